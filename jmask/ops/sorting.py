"""Sorting the real steps of each sequence: in order, as indices, and the largest of them."""

import functools
import operator
from typing import Any, SupportsIndex, overload

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike

from ..core.arithmetic import expand, guard, in_front
from ..core.explicit_axes import divided_by_row
from ..core.masked import Masked
from ..core.packed_rows import sequence_rows
from ..core.segment_ids import ids_of, number_of_sequences, sequence_starts
from ..core.step_order import left_align
from .kinds import same_kind
from .reduce import lowest
from .time_axis import reverse


@same_kind
def sort(
    x: Masked | ArrayLike, axis: SupportsIndex = -1, *, stable: bool = True, descending: bool = False
) -> Masked | Array:
    """Sorts along one axis; along time the real steps of each sequence, feature by feature; padding stays in place.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array. Each sequence of a packed row is sorted on
            its own.
        axis: in values `(batch, time, features)`, 1 is time and -1 the features.
        stable: whether equal steps keep their order.
        descending: whether to sort from the largest to the smallest.

    Returns:
        The shape and mask of `x`. NaN counts as the largest. An empty row stays empty and passes no gradient.

    Raises:
        ValueError: `axis` is a masked axis other than time, or does not exist.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.masked(jnp.array([[5, 0, 2, 3]]), jnp.array([[True, False, True, True]]))
    >>> jm.ops.sort(x, axis=1).fill(-1).tolist()
    [[2, -1, 3, 5]]
    """
    axis = one_axis(x, axis, "sort")
    if not is_time(x, axis, "sort"):
        return _each_step(x, lambda values: jnp.sort(values, axis, stable=stable, descending=descending))
    return _sorted(x, stable, descending)[0]


@same_kind
def argsort(
    x: Masked | ArrayLike, axis: SupportsIndex = -1, *, stable: bool = True, descending: bool = False
) -> Masked | Array:
    """The indices that sort along one axis; along time they count the real steps of each sequence from 0.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array. Each sequence of a packed row is sorted on
            its own.
        axis: in values `(batch, time, features)`, 1 is time and -1 the features.
        stable: whether equal steps keep their order.
        descending: whether to sort from the largest to the smallest.

    Returns:
        int32 in the shape and with the mask of `x`. NaN counts as the largest. An empty row stays empty.

    Raises:
        ValueError: `axis` is a masked axis other than time, or does not exist.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.masked(jnp.array([[5, 0, 2, 3]]), jnp.array([[True, False, True, True]]))
    >>> jm.ops.argsort(x, axis=1).fill(-1).tolist()
    [[1, -1, 2, 0]]
    """
    axis = one_axis(x, axis, "argsort")
    if not is_time(x, axis, "argsort"):
        return _each_step(x, lambda values: jnp.argsort(values, axis, stable=stable, descending=descending))
    return _sorted(x, stable, descending)[1]


@overload
def top_k(x: Masked, k: SupportsIndex, *, axis: SupportsIndex = -1) -> tuple[Masked, Masked]: ...
@overload
def top_k(x: ArrayLike, k: SupportsIndex, *, axis: SupportsIndex = -1) -> tuple[Array, Array]: ...
def top_k(x: Masked | ArrayLike, k: SupportsIndex, *, axis: SupportsIndex = -1) -> tuple[Any, Any]:
    """The `k` largest values along one axis, in descending order, and their indices.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        k: the number of values.
        axis: in values `(batch, time, features)`, 1 is time and -1 the features.

    Returns:
        Values and int32 indices. Along the features both have the mask of `x`. Along time they are `(batch, k, ...)`
        with a mask `(batch, k)`: a sequence of fewer than `k` steps has padding after them; an empty row has only
        padding and passes no gradient. Packed rows give `(num_sequences, k, ...)`. Indices count real steps from 0, as
        in `jm.ops.take`.

    Raises:
        TypeError: `k` is not an integer.
        ValueError: `axis` is a masked axis other than time, `k` exceeds the number of features, or `axis` is time and
            it is not known how many sequences packed rows hold.

    >>> import jax.numpy as jnp, jmask as jm
    >>> values, indices = jm.ops.top_k(jm.from_lengths(jnp.array([[5, 7, 9], [3, 9, 9]]), [2, 1]), 2, axis=1)
    >>> values.fill(-1).tolist(), indices.fill(-1).tolist()
    ([[7, 5], [3, -1]], [[1, 0], [0, -1]])
    """
    axis, k = one_axis(x, axis, "top_k"), operator.index(k)
    if not is_time(x, axis, "top_k"):
        values, indices = _largest(guard(x.values, x.mask) if isinstance(x, Masked) else jnp.asarray(x), k, axis)
        return (x.with_values(values), x.with_values(indices)) if isinstance(x, Masked) else (values, indices)
    return _largest_steps(x, k, axis)


def one_axis(x: Any, axis: SupportsIndex, name: str) -> int:
    """The axis, counted from 0."""
    ndim, found = jnp.ndim(x.values if isinstance(x, Masked) else x), operator.index(axis)
    if not -ndim <= found < ndim:
        raise ValueError(f"`axis={axis}` of `{name}` is out of bounds for values of rank {ndim}.")
    return found % ndim


def is_time(x: Any, axis: int, name: str) -> bool:
    """Whether the axis is the time of a `Masked`; raises for another masked axis, along which sequences would mix."""
    if not isinstance(x, Masked) or axis >= x.mask.ndim:
        return False
    if axis < x.mask.ndim - 1:
        raise ValueError(
            f"`{name}` works along time, axis {x.mask.ndim - 1}, or along features; along axis {axis} of values "
            f"{tuple(x.shape)} with a mask {tuple(x.mask.shape)} it would compare steps of different sequences. Fill "
            "the padding first, `x.fill(0)`."
        )
    return True


def _each_step(x: Any, function: Any) -> Any:
    return x.with_values(function(guard(x.values, x.mask))) if isinstance(x, Masked) else function(jnp.asarray(x))


def _sorted(x: Any, stable: bool, descending: bool) -> tuple[Masked, Masked]:
    """The real steps of each sequence in order, and their indices within it, feature by feature."""
    front: Any
    front, restore = left_align(x)
    axis, mask = x.mask.ndim - 1, jnp.asarray(front.mask)
    index: Any = front.with_values(jnp.broadcast_to(expand(front.positions, x.ndim), x.shape))
    if descending:  # reversed, sorted and reversed back, so that equal steps keep their order
        front, index = reverse(front), reverse(index)
    ids = ids_of(front)
    number = (
        jnp.zeros(mask.shape, jnp.int32)
        if ids is None
        else lax.cumsum(sequence_starts(mask, ids).astype(jnp.int32), axis)
    )
    number = jnp.where(mask, number, jnp.iinfo(jnp.int32).max)
    operands = (jnp.broadcast_to(expand(number, x.ndim), x.shape), front.fill(0), index.values)
    sort = functools.partial(lax.sort, dimension=axis, is_stable=stable, num_keys=2)
    _, values, indices = divided_by_row(sort, operands)
    found = front.with_values(values), front.with_values(indices)
    values, indices = (reverse(y) for y in found) if descending else found
    return restore(values), restore(indices)


def _largest_steps(x: Any, k: int, axis: int) -> tuple[Masked, Masked]:
    if x.segment_ids is not None:
        number = number_of_sequences(x, "`top_k` over time")
        values, indices = (sequence_rows(y, number, k) for y in _sorted(x, stable=True, descending=True))
        return values, indices
    x, _ = left_align(x)
    missing = max(k - x.shape[axis], 0)
    widths = [(0, missing if a == axis else 0) for a in range(x.ndim)]
    none = lowest(x.dtype)
    values, indices = _largest(jnp.pad(x.fill(none), widths, constant_values=none), k, axis)
    mask = in_front(jnp.arange(k, dtype=jnp.int32), x.mask.ndim) < jnp.sum(x.mask, -1, keepdims=True, dtype=jnp.int32)
    return Masked(values, mask), Masked(indices, mask)


def _largest(values: Array, k: int, axis: int) -> tuple[Array, Array]:
    largest, indices = lax.top_k(jnp.moveaxis(values, axis, -1), k)
    return jnp.moveaxis(largest, -1, axis), jnp.moveaxis(indices, -1, axis)
