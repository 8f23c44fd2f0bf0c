"""Reductions that count real steps only."""

import builtins
import operator
from collections.abc import Callable, Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from ..core.arithmetic import expand
from ..core.masked import Masked, like, values_of
from ..core.segment_ids import UNPACK, check_not_packed
from .kinds import AnyInput, Axis, reduction
from .segments import by_id, product, reduce_each


@reduction
def sum(x: Masked | ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Masked | Array:
    """The sum over the real steps.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        An array for all masked axes (batch and time) or for an array input. Over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step; with a mask of rank 3, `(documents, sentences, words)`,
        reducing the words leaves the sentences that have a real word. Packed rows have a result for each sequence,
        `(num_sequences, ...)`: entry `k - 1` for id `k`, in the mask where it has steps; over batch and time all
        sequences are merged. Over feature axes alone, a `Masked` with the mask
        of `x`. An empty row gives 0 and passes no gradient.

    Raises:
        ValueError: an axis does not exist; or rows are packed and `axis` is the batch without time, or the number of
            their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.sum(jm.from_lengths(jnp.ones((2, 3)), [2, 0]), axis=1)
    Masked(float32[2], real=1)
    [2 ·]
    """
    return _reduce(x, axis, keepdims, lambda v, where, axes: jnp.sum(v, axes, keepdims=True), "sum", neutral=0)


@overload
def mean(x: AnyInput, axis: None = None, *, keepdims: bool = False, weights: AnyInput | None = None) -> Array: ...
@overload
def mean(x: ArrayLike, axis: Axis = None, *, keepdims: bool = False, weights: ArrayLike | None = None) -> Array: ...
@overload
def mean(
    x: AnyInput, axis: Axis = None, *, keepdims: bool = False, weights: AnyInput | None = None
) -> Masked | Array: ...
def mean(
    x: Masked | ArrayLike, axis: Axis = None, *, keepdims: bool = False, weights: Masked | ArrayLike | None = None
) -> Masked | Array:
    """The mean over the real steps: their sum divided by their number, or by the sum of their weights.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.
        weights: for sequences `(batch,)`, for steps `(batch, time)`, or for single values, an array or a `Masked`; a
            step counts where `x` and the weights are both real. None: all 1.

    Returns:
        An array for all masked axes (batch and time) or for an array input; over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step (packed rows: `(num_sequences,)`); over feature axes alone, a
        `Masked` with the mask of `x`. An
        empty row gives 0 and passes no gradient, and so does a row whose weights sum to 0.

    Raises:
        ValueError: an axis does not exist, or the shape of the weights does not fit; or rows are packed and `axis` is
            the batch without time, or the number of their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> float(jm.ops.mean(jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2])))
    2.0
    """
    if weights is not None:
        return _weighted_mean(x, weights, axis, keepdims)

    def mean_of(values: Array, where: Array, axes: tuple[int, ...]) -> Array:
        dtype = jnp.result_type(values.dtype, float)
        wide = jnp.promote_types(dtype, jnp.float32)  # a long sum may exceed the range of its dtype
        total = jnp.sum(values, axes, keepdims=True, dtype=wide)
        count = jnp.sum(where, axes, keepdims=True, dtype=jnp.int32)
        return (total / jnp.maximum(count, 1).astype(wide)).astype(dtype)

    return _reduce(x, axis, keepdims, mean_of, "mean", neutral=0)


@reduction
def max(x: Masked | ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Masked | Array:
    """The largest value of the real steps.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        An array for all masked axes (batch and time) or for an array input; over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step (packed rows: `(num_sequences,)`); over feature axes alone, a
        `Masked` with the mask of `x`. An empty row gives 0 and passes no gradient.

    Raises:
        ValueError: an axis does not exist; or rows are packed and `axis` is the batch without time, or the number of
            their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.max(jm.from_lengths(jnp.array([[-2, -5, 9]]), [2]), axis=1).values.tolist()
    [-2]
    """
    return _reduce(x, axis, keepdims, _unless_empty(jnp.max), "max", neutral=lowest)


@reduction
def min(x: Masked | ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Masked | Array:
    """The smallest value of the real steps.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        An array for all masked axes (batch and time) or for an array input; over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step (packed rows: `(num_sequences,)`); over feature axes alone, a
        `Masked` with the mask of `x`. An empty row gives 0 and passes no gradient.

    Raises:
        ValueError: an axis does not exist; or rows are packed and `axis` is the batch without time, or the number of
            their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.min(jm.from_lengths(jnp.array([[2, 5, -9]]), [2]), axis=1).values.tolist()
    [2]
    """
    return _reduce(x, axis, keepdims, _unless_empty(jnp.min), "min", neutral=highest)


@reduction
def any(x: Masked | ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Masked | Array:
    """Whether any real step is true.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        An array for all masked axes (batch and time) or for an array input; over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step (packed rows: `(num_sequences,)`); over feature axes alone, a
        `Masked` with the mask of `x`. An empty row gives False.

    Raises:
        ValueError: an axis does not exist; or rows are packed and `axis` is the batch without time, or the number of
            their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.any(jm.from_lengths(jnp.array([[0, 1]]), [1]), axis=1).values.tolist()
    [False]
    """
    return _reduce(x, axis, keepdims, lambda v, where, axes: jnp.any(v, axes, keepdims=True), "any", neutral=0)


@reduction
def all(x: Masked | ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Masked | Array:
    """Whether all real steps are true.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        An array for all masked axes (batch and time) or for an array input; over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step (packed rows: `(num_sequences,)`); over feature axes alone, a
        `Masked` with the mask of `x`. An empty row gives True.

    Raises:
        ValueError: an axis does not exist; or rows are packed and `axis` is the batch without time, or the number of
            their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.all(jm.from_lengths(jnp.array([[1, 0]]), [1]), axis=1).values.tolist()
    [True]
    """
    return _reduce(x, axis, keepdims, lambda v, where, axes: jnp.all(v, axes, keepdims=True), "all", neutral=1)


@reduction
def prod(x: Masked | ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Masked | Array:
    """The product of the real steps.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        An array for all masked axes (batch and time) or for an array input; over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step (packed rows: `(num_sequences,)`); over feature axes alone, a
        `Masked` with the mask of `x`. An empty row gives 1 and passes no gradient.

    Raises:
        ValueError: an axis does not exist; or rows are packed and `axis` is the batch without time, or the number of
            their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.prod(jm.from_lengths(jnp.array([[2, 3, 9]]), [2]), axis=1).values.tolist()
    [6]
    """
    return _reduce(x, axis, keepdims, lambda v, where, axes: product(v, axes, keepdims=True), "prod", neutral=1)


def _weighted_mean(x: Any, weights: Any, axis: Axis, keepdims: bool) -> Any:
    x, weights = (y if isinstance(y, Masked) else jnp.asarray(y) for y in (x, weights))
    dtype = jnp.result_type(x.dtype, float)
    wide = jnp.promote_types(dtype, jnp.float32)
    missing, leading = x.ndim - weights.ndim, x.shape[: weights.ndim]
    if missing < 0 or builtins.any(n not in (1, size) for n, size in zip(weights.shape, leading, strict=True)):
        raise ValueError(
            "`weights` of `mean` are one for each sequence (batch,), each step (batch, time) or each value; received "
            f"shape {tuple(weights.shape)} for values {tuple(x.shape)}."
        )
    each = values_of(weights).astype(wide).reshape(*weights.shape, *(1,) * missing)
    each = like(weights, each)
    weighted = each * x.astype(wide) if isinstance(each, Masked) else x.astype(wide) * each
    each = jnp.broadcast_to(values_of(each), weighted.shape)
    each = like(weighted, each)
    total, weight = (sum(y, axis, keepdims=keepdims) for y in (weighted, each))
    is_none = values_of(weight) == 0
    result = jnp.where(is_none, 0, values_of(total) / jnp.where(is_none, 1, values_of(weight))).astype(dtype)
    return like(total, result)


def is_by_sequence(x: Any, axis: Axis, name: str) -> bool:
    """Whether a reduction gives one result for each sequence of packed rows: it is over time, and not over the batch.

    All sequences are merged if every masked axis is reduced, batch and time. With a mask of rank 1, time is the only
    one, and each sequence still has a result of its own, because under `jax.vmap` every row has such a mask.

    Raises:
        ValueError: it is over the batch alone, and would mix the sequences that share a place in their rows.
    """
    if not isinstance(x, Masked) or x.segment_ids is None:
        return False
    masked_axes = [a for a in _axes(axis, x.ndim) if a < x.mask.ndim]
    if not masked_axes or len(masked_axes) == x.mask.ndim > 1:
        return False
    if masked_axes != [x.mask.ndim - 1]:
        merge = "To merge all sequences of the batch, reduce batch and time at once, `axis=(0, 1)`."
        check_not_packed(x, f"`{name}` over the masked axis {masked_axes[-1]}", f"{UNPACK} {merge}")
    return True


def at_values(x: Any, result: Any, axis: Axis, name: str) -> Array:
    """The result of a reduction with `keepdims`, in a shape that broadcasts against the values that it is of."""
    if not is_by_sequence(x, axis, name):
        return values_of(result)
    return by_id(x, f"`{name}` over time").at_steps(jnp.squeeze(result.values, 1))


def _reduce(x: Any, axis: Axis, keepdims: bool, reduction: Callable, name: str, neutral: Any) -> Any:
    """Fills the padding with the reduction's identity, reduces, and adds the remaining mask."""
    if not isinstance(x, Masked):
        values = jnp.asarray(x)
        axes = _axes(axis, values.ndim)
        reduced = reduction(values, jnp.ones(values.shape, bool), axes)
        return reduced if keepdims else jnp.squeeze(reduced, axes)
    axes = _axes(axis, x.ndim)
    if is_by_sequence(x, axis, name):
        return reduce_each(x, axes, keepdims, name)
    dtype = jax.dtypes.canonicalize_dtype(x.dtype)
    value = neutral(dtype) if callable(neutral) else jnp.asarray(neutral, dtype)
    where = jnp.broadcast_to(expand(x.mask, x.ndim), x.shape)
    reduced = reduction(x.fill(value), where, axes)
    values = reduced if keepdims else jnp.squeeze(reduced, axes)
    return with_remaining_mask(x, values, tuple(a for a in axes if a < x.mask.ndim), keepdims)


def with_remaining_mask(x: Masked, values: Array, masked_axes: tuple[int, ...], keepdims: bool) -> Any:
    """A reduction's result: a `Masked` if masked axes remain, True where there was a real step; otherwise an array."""
    if not masked_axes:
        return x.with_values(values)
    if x.mask.ndim == len(masked_axes):
        return values
    return Masked(values, jnp.any(x.mask, masked_axes, keepdims=keepdims))


def _axes(axis: Axis, ndim: int) -> tuple[int, ...]:
    named = range(ndim) if axis is None else axis if isinstance(axis, Sequence) else (axis,)
    axes = [operator.index(a) for a in named]
    for a in axes:
        if not -ndim <= a < ndim:
            raise ValueError(f"`axis={axis}` is out of bounds for values of rank {ndim}.")
    found = sorted({a % ndim for a in axes})
    if len(found) < len(axes):
        raise ValueError(f"`axis={axis}` names an axis of values of rank {ndim} twice.")
    return tuple(found)


def _unless_empty(reduction: Callable) -> Callable:
    """A reduction without a finite identity, made to give 0 where there is nothing to reduce."""

    def safe(values: Array, where: Array, axes: tuple[int, ...]) -> Array:
        found = jnp.any(where, axes, keepdims=True)
        if 0 in (values.shape[a] for a in axes):
            return jnp.zeros(found.shape, values.dtype)
        return jnp.where(found, reduction(values, axes, keepdims=True), jnp.zeros((), values.dtype))

    return safe


def lowest(dtype: Any) -> Any:
    """The smallest value of the dtype."""
    if dtype == bool:
        return False
    return -jnp.inf if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).min


def highest(dtype: Any) -> Any:
    """The largest value of the dtype."""
    if dtype == bool:
        return True
    return jnp.inf if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).max
