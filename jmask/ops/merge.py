"""Several inputs into one, step by step: sums, products, means and extremes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax.numpy as jnp

from ..core.arithmetic import expand, intersect
from ..core.checks import check_one_of
from ..core.masked import Masked, fill, mask_of, segment_ids_of, values_of
from ..core.segment_ids import check_not_packed
from .alignment import align
from .reduce import highest, lowest

Merge = Literal["intersection", "union"]


def add(xs: Sequence[Any], *, merge: Merge = "intersection") -> Any:
    """The sum of several inputs, step by step.

    Args:
        xs: `Masked` or arrays whose shapes broadcast, `(batch, time, ...)`. One of lower rank, `(batch, features)`,
            belongs to the sequence: it takes part in each of its steps, and has none of its own. A number for each
            step, `(batch, time)`, therefore needs a feature axis, `x[..., None]`.
        merge: `"intersection"`: a step is real where it is in all inputs, and an array counts as all real;
            `"union"`: where it is in any, and an input adds 0 at its padded steps. Packed rows meet step by step
            where their ids are equal, as in `x + y`; in a union all inputs must have the segment ids of one of them.

    Returns:
        The sum; a `Masked` unless no step is padding. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: no inputs, shapes or masks that do not fit, another word for `merge`, packed rows with an input of
            lower rank, or a union of rows that are packed in different ways.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x, y = (jm.from_lengths(jnp.ones((1, 3)), [n]) for n in (1, 2))
    >>> jm.ops.add([x, y], merge="union")
    Masked(float32[1, 3], lengths=[2])
    [[2 1 ·]]
    """
    return _fold(xs, "add", jnp.add, lambda dtype: 0, merge)


def subtract(xs: Sequence[Any], *, merge: Merge = "intersection") -> Any:
    """The first of two inputs minus the second, step by step; arguments and masks as in `jm.ops.add`.

    In a union an input counts as 0 at its padded steps.

    Raises:
        ValueError: not two inputs, or as for `jm.ops.add`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.subtract([jnp.array([5.0]), jnp.array([3.0])]).tolist()
    [2.0]
    """
    check_pair(xs, "subtract")
    return _fold(xs, "subtract", jnp.subtract, lambda dtype: 0, merge)


def multiply(xs: Sequence[Any], *, merge: Merge = "intersection") -> Any:
    """The product of several inputs, step by step; arguments and masks as in `jm.ops.add`.

    In a union an input counts as 1 at its padded steps.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.multiply([jm.from_lengths(jnp.ones((1, 2, 3)), [1]), jnp.array([[2.0, 3.0, 4.0]])])[0, 0].fill().tolist()
    [2.0, 3.0, 4.0]
    """
    return _fold(xs, "multiply", jnp.multiply, lambda dtype: 1, merge)


def maximum(xs: Sequence[Any], *, merge: Merge = "intersection") -> Any:
    """The largest of several inputs, entry by entry; arguments and masks as in `jm.ops.add`.

    In a union an input has no part in its padded steps.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.maximum([jnp.array([5, -3]), jnp.array([3, -1])]).tolist()
    [5, -1]
    """
    return _fold(xs, "maximum", jnp.maximum, lowest, merge)


def minimum(xs: Sequence[Any], *, merge: Merge = "intersection") -> Any:
    """The smallest of several inputs, entry by entry; arguments and masks as in `jm.ops.add`.

    In a union an input has no part in its padded steps.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.minimum([jnp.array([5, -3]), jnp.array([3, -1])]).tolist()
    [3, -3]
    """
    return _fold(xs, "minimum", jnp.minimum, highest, merge)


def average(xs: Sequence[Any], *, merge: Merge = "intersection") -> Any:
    """The mean of several inputs, step by step; arguments and masks as in `jm.ops.add`.

    In a union the sum at a step is divided by the number of inputs that have the step. Sums are taken in float32 at
    least; integers have a float mean.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x, y = (jm.from_lengths(jnp.full((1, 3), 2.0 * n), [n]) for n in (1, 2))
    >>> jm.ops.average([x, y], merge="union")
    Masked(float32[1, 3], lengths=[2])
    [[3 4 ·]]
    """
    check_one_of("merge", merge, get_args(Merge))
    aligned = align(xs, "average")
    dtype = jnp.result_type(*map(values_of, xs))
    wide = jnp.promote_types(dtype, jnp.float32)
    total = functools.reduce(jnp.add, [_values(x, wide, 0 if merge == "union" else None) for x in aligned])
    mean = total / (len(xs) if merge == "intersection" else _num_present(aligned))
    return _marked(xs, aligned, mean.astype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else mean, "average", merge)


def check_pair(xs: Any, name: str) -> None:
    """Refuses what is no list of two inputs."""
    if not isinstance(xs, (list, tuple)) or len(xs) != 2:
        received = f"a list of {len(xs)}" if isinstance(xs, (list, tuple)) else repr(xs)
        raise ValueError(f"`{name}` takes a list of two inputs; received {received}.")


def _fold(xs: Sequence[Any], name: str, combine: Callable, identity: Callable[[Any], Any], merge: Merge) -> Any:
    """The inputs combined from left to right; in a union padding is the identity of the operation."""
    check_one_of("merge", merge, get_args(Merge))
    aligned = align(xs, name)
    if len(xs) == 1:
        return xs[0]
    dtype = jnp.result_type(*map(values_of, xs))
    # A factor is the derivative of the others, so it must be finite at padding too; a term is not.
    is_filled = merge == "union" or combine is jnp.multiply
    values = functools.reduce(combine, [_values(x, dtype, identity(dtype) if is_filled else None) for x in aligned])
    return _marked(xs, aligned, values, name, merge)


def _values(x: Any, dtype: Any, padding: Any = None) -> Any:
    """Values of the common dtype, in which the identity is one for all inputs; padding as it is if it is None."""
    values = jnp.asarray(values_of(x), dtype)
    return values if padding is None or not isinstance(x, Masked) else fill(x.with_values(values), padding)


def _num_present(xs: Sequence[Any]) -> Any:
    """How many inputs have each step, at least 1."""
    present = [1 if mask_of(x) is None else expand(x.mask, x.ndim).astype(jnp.int32) for x in xs]
    return jnp.maximum(sum(present), 1)


def _marked(xs: Sequence[Any], aligned: Sequence[Any], values: Any, name: str, merge: Merge) -> Any:
    """The merged values, under the mask that they have."""
    marks = _intersection(aligned) if merge == "intersection" else _union(xs, aligned, name)
    if marks is None:
        return values
    mask, leading = marks.mask, values.shape[: marks.mask.ndim]
    if tuple(leading) == tuple(mask.shape):
        return Masked(values, mask, marks.segment_ids)
    ids = marks.segment_ids
    return Masked(values, jnp.broadcast_to(mask, leading), None if ids is None else jnp.broadcast_to(ids, leading))


def _intersection(xs: Sequence[Any]) -> Masked | None:
    """Mask and segment ids of the steps that all inputs have, without values; None if all is real."""

    def both(x: Masked, y: Masked) -> Masked:
        return Masked(None, *intersect(x, y))

    found = [x for x in xs if isinstance(x, Masked)]
    return functools.reduce(both, found) if found else None


def _union(xs: Sequence[Any], aligned: Sequence[Any], name: str) -> Masked | None:
    """The same for the steps that any input has; inputs of lower rank have none."""
    if len({id(segment_ids_of(x)) for x in xs}) > 1:
        remedy = "Use `merge='intersection'`, or unpack them first, `jm.unpack_batch(x, num_sequences, length)`."
        for x in xs:
            check_not_packed(x, f"`{name}` in a union with rows that are not packed alike", remedy)
    ndim = max(x.ndim for x in xs)
    masks = [mask_of(y) for x, y in zip(xs, aligned, strict=True) if x.ndim == ndim]
    if any(mask is None for mask in masks):
        return None
    mask = functools.reduce(lambda a, b: a if a is b else a | b, masks)
    return Masked(None, mask, segment_ids_of(xs[0]))
