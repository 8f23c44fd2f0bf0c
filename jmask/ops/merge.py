"""Merging several inputs step by step: sums, products, means and extremes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Literal, get_args

import jax.numpy as jnp
from jaxtyping import Array

from ..core.arithmetic import Marks, expand, join, marks_of
from ..core.checks import check_one_of
from ..core.masked import Masked, fill, mask_of, segment_ids_of, values_of
from ..core.segment_ids import check_not_packed
from .alignment import align_ranks
from .kinds import AnyInput, merged
from .reduce import highest, lowest

Merge = Literal["intersection", "union"]


@merged
def add(xs: Sequence[AnyInput], *, merge: Merge = "intersection") -> Masked | Array:
    """The sum of several inputs, step by step.

    Args:
        xs: `Masked` or arrays whose shapes broadcast, `(batch, time, ...)`. An input of lower rank,
            `(batch, features)`, belongs to the sequence: it applies to each of its steps; next to packed rows it is
            `(num_sequences, features)`. So one number per step, `(batch, time)`, needs a feature axis, `x[..., None]`.
        merge: `"intersection"`: a step is real if it is real in all inputs, and all steps of an array are real;
            `"union"`: if it is real in any input, and an input adds 0 at its padded steps. Packed rows are combined
            step by step where their ids are equal, as in `x + y`; in a union all inputs must have the segment ids of
            one of them.

    Returns:
        The sum; a `Masked` unless no step is padding. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there are no inputs, shapes or masks do not fit, `merge` is unknown, the rows of a union are packed
            differently, or an input has a lower rank and it is not known how many sequences packed rows hold.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x, y = (jm.from_lengths(jnp.ones((1, 3)), [n]) for n in (1, 2))
    >>> jm.ops.add([x, y], merge="union")
    Masked(float32[1, 3], lengths=[2])
    [[2 1 ·]]
    """
    return _fold(xs, "add", jnp.add, lambda dtype: 0, merge)


@merged
def subtract(xs: Sequence[AnyInput], *, merge: Merge = "intersection") -> Masked | Array:
    """The first of two inputs minus the second, step by step.

    Args:
        xs: two `Masked` or arrays whose shapes broadcast, `(batch, time, ...)`. An input of lower rank,
            `(batch, features)`, belongs to the sequence: it applies to each of its steps; next to packed rows it is
            `(num_sequences, features)`. So one number per step, `(batch, time)`, needs a feature axis, `x[..., None]`.
        merge: `"intersection"`: a step is real if it is real in all inputs, and all steps of an array are real;
            `"union"`: if it is real in any input, and an input counts as 0 at its padded steps. Packed rows are
            combined step by step where their ids are equal, as in `x + y`; in a union all inputs must have the segment
            ids of one of them.

    Returns:
        The difference; a `Masked` unless no step is padding. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there are not two inputs, shapes or masks do not fit, `merge` is unknown, the rows of a union are
            packed differently, or an input has a lower rank and it is not known how many sequences packed rows hold.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.subtract([jnp.array([5.0]), jnp.array([3.0])]).tolist()
    [2.0]
    """
    check_pair(xs, "subtract")
    return _fold(xs, "subtract", jnp.subtract, lambda dtype: 0, merge)


@merged
def multiply(xs: Sequence[AnyInput], *, merge: Merge = "intersection") -> Masked | Array:
    """The product of several inputs, step by step.

    Args:
        xs: `Masked` or arrays whose shapes broadcast, `(batch, time, ...)`. An input of lower rank,
            `(batch, features)`, belongs to the sequence: it applies to each of its steps; next to packed rows it is
            `(num_sequences, features)`. So one number per step, `(batch, time)`, needs a feature axis, `x[..., None]`.
        merge: `"intersection"`: a step is real if it is real in all inputs, and all steps of an array are real;
            `"union"`: if it is real in any input, and an input counts as 1 at its padded steps. Packed rows are
            combined step by step where their ids are equal, as in `x + y`; in a union all inputs must have the segment
            ids of one of them.

    Returns:
        The product; a `Masked` unless no step is padding. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there are no inputs, shapes or masks do not fit, `merge` is unknown, the rows of a union are packed
            differently, or an input has a lower rank and it is not known how many sequences packed rows hold.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.multiply([jm.from_lengths(jnp.ones((1, 2, 3)), [1]), jnp.array([[2.0, 3.0, 4.0]])])[0, 0].fill().tolist()
    [2.0, 3.0, 4.0]
    """
    return _fold(xs, "multiply", jnp.multiply, lambda dtype: 1, merge)


@merged
def maximum(xs: Sequence[AnyInput], *, merge: Merge = "intersection") -> Masked | Array:
    """The largest of several inputs, entry by entry.

    Args:
        xs: `Masked` or arrays whose shapes broadcast, `(batch, time, ...)`. An input of lower rank,
            `(batch, features)`, belongs to the sequence: it applies to each of its steps; next to packed rows it is
            `(num_sequences, features)`. So one number per step, `(batch, time)`, needs a feature axis, `x[..., None]`.
        merge: `"intersection"`: a step is real if it is real in all inputs, and all steps of an array are real;
            `"union"`: if it is real in any input, and the padded steps of an input do not count. Packed rows are
            combined step by step where their ids are equal, as in `x + y`; in a union all inputs must have the segment
            ids of one of them.

    Returns:
        The maximum; a `Masked` unless no step is padding. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there are no inputs, shapes or masks do not fit, `merge` is unknown, the rows of a union are packed
            differently, or an input has a lower rank and it is not known how many sequences packed rows hold.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.maximum([jnp.array([5, -3]), jnp.array([3, -1])]).tolist()
    [5, -1]
    """
    return _fold(xs, "maximum", jnp.maximum, lowest, merge)


@merged
def minimum(xs: Sequence[AnyInput], *, merge: Merge = "intersection") -> Masked | Array:
    """The smallest of several inputs, entry by entry.

    Args:
        xs: `Masked` or arrays whose shapes broadcast, `(batch, time, ...)`. An input of lower rank,
            `(batch, features)`, belongs to the sequence: it applies to each of its steps; next to packed rows it is
            `(num_sequences, features)`. So one number per step, `(batch, time)`, needs a feature axis, `x[..., None]`.
        merge: `"intersection"`: a step is real if it is real in all inputs, and all steps of an array are real;
            `"union"`: if it is real in any input, and the padded steps of an input do not count. Packed rows are
            combined step by step where their ids are equal, as in `x + y`; in a union all inputs must have the segment
            ids of one of them.

    Returns:
        The minimum; a `Masked` unless no step is padding. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there are no inputs, shapes or masks do not fit, `merge` is unknown, the rows of a union are packed
            differently, or an input has a lower rank and it is not known how many sequences packed rows hold.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.minimum([jnp.array([5, -3]), jnp.array([3, -1])]).tolist()
    [3, -3]
    """
    return _fold(xs, "minimum", jnp.minimum, highest, merge)


@merged
def average(xs: Sequence[AnyInput], *, merge: Merge = "intersection") -> Masked | Array:
    """The mean of several inputs, step by step, computed in float32 at least; the mean of integers is a float.

    Args:
        xs: `Masked` or arrays whose shapes broadcast, `(batch, time, ...)`. An input of lower rank,
            `(batch, features)`, belongs to the sequence: it applies to each of its steps; next to packed rows it is
            `(num_sequences, features)`. So one number per step, `(batch, time)`, needs a feature axis, `x[..., None]`.
        merge: `"intersection"`: a step is real if it is real in all inputs, and all steps of an array are real;
            `"union"`: if it is real in any input, and the sum at a step is divided by the number of inputs in which it
            is real. Packed rows are combined step by step where their ids are equal, as in `x + y`; in a union all
            inputs must have the segment ids of one of them.

    Returns:
        The mean; a `Masked` unless no step is padding. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there are no inputs, shapes or masks do not fit, `merge` is unknown, the rows of a union are packed
            differently, or an input has a lower rank and it is not known how many sequences packed rows hold.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x, y = (jm.from_lengths(jnp.full((1, 3), 2.0 * n), [n]) for n in (1, 2))
    >>> jm.ops.average([x, y], merge="union")
    Masked(float32[1, 3], lengths=[2])
    [[3 4 ·]]
    """
    check_one_of("merge", merge, get_args(Merge))
    aligned = align_ranks(xs, "average")
    dtype = jnp.result_type(*map(values_of, xs))
    wide = jnp.promote_types(dtype, jnp.float32)
    total = functools.reduce(jnp.add, [_values(x, wide, 0 if merge == "union" else None) for x in aligned])
    mean = total / (len(xs) if merge == "intersection" else _num_present(aligned))
    return _marked(xs, aligned, mean.astype(dtype) if jnp.issubdtype(dtype, jnp.inexact) else mean, "average", merge)


def check_pair(xs: Any, name: str) -> None:
    """Raises unless `xs` is a list of two inputs."""
    if not isinstance(xs, (list, tuple)) or len(xs) != 2:
        received = f"a list of {len(xs)}" if isinstance(xs, (list, tuple)) else repr(xs)
        raise ValueError(f"`{name}` takes a list of two inputs; received {received}.")


def _fold(xs: Sequence[Any], name: str, combine: Callable, identity: Callable[[Any], Any], merge: Merge) -> Any:
    """Combines the inputs from left to right; in a union the padding is the identity of the operation."""
    check_one_of("merge", merge, get_args(Merge))
    aligned = align_ranks(xs, name)
    if len(xs) == 1:
        return xs[0]
    dtype = jnp.result_type(*map(values_of, xs))
    # A factor is part of the derivatives of the others, so it must be finite in the padding too; a term need not be.
    is_filled = merge == "union" or combine is jnp.multiply
    values = functools.reduce(combine, [_values(x, dtype, identity(dtype) if is_filled else None) for x in aligned])
    return _marked(xs, aligned, values, name, merge)


def _values(x: Any, dtype: Any, padding: Any = None) -> Any:
    """The values in the common dtype, with `padding` at padded steps; None leaves them unchanged."""
    values = jnp.asarray(values_of(x), dtype)
    return values if padding is None or not isinstance(x, Masked) else fill(x.with_values(values), padding)


def _num_present(xs: Sequence[Any]) -> Any:
    """The number of inputs in which each step is real, at least 1."""
    present = [1 if mask_of(x) is None else expand(x.mask, x.ndim).astype(jnp.int32) for x in xs]
    return jnp.maximum(sum(present), 1)


def _marked(xs: Sequence[Any], aligned: Sequence[Any], values: Any, name: str, merge: Merge) -> Any:
    """The merged values with their mask."""
    marks = _intersection(aligned) if merge == "intersection" else _union(xs, aligned, name)
    if marks is None:
        return values
    mask, leading = marks.mask, values.shape[: marks.mask.ndim]
    if tuple(leading) == tuple(mask.shape):
        return Masked(values, *marks)
    ids = None if marks.segment_ids is None else jnp.broadcast_to(marks.segment_ids, leading)
    return Masked(values, jnp.broadcast_to(mask, leading), ids, marks.num_sequences)


def _intersection(xs: Sequence[Any]) -> Marks | None:
    """The marks of the steps that are real in all inputs; None if all are real."""
    found = [marks_of(x) for x in xs if isinstance(x, Masked)]
    return functools.reduce(join, found) if found else None


def _union(xs: Sequence[Any], aligned: Sequence[Any], name: str) -> Marks | None:
    """The same for the steps that are real in any input; inputs of lower rank have no steps."""
    ndim = max(x.ndim for x in xs)
    if len({id(segment_ids_of(x)) for x in xs if x.ndim == ndim}) > 1:
        remedy = "Use `merge='intersection'`, or unpack them first, `jm.unpack_batch(x, num_sequences, length)`."
        for x in xs:
            check_not_packed(x, f"`{name}` in a union with rows that are not packed alike", remedy)
    masks = [mask_of(y) for x, y in zip(xs, aligned, strict=True) if x.ndim == ndim]
    if any(mask is None for mask in masks):
        return None
    mask = functools.reduce(lambda a, b: a if a is b else a | b, masks)
    packed = [marks_of(x) for x in xs if x.ndim == ndim]
    return Marks(mask) if packed[0].segment_ids is None else functools.reduce(join, packed)._replace(mask=mask)
