"""Several inputs into one: sums, and concatenation over time or features."""

import functools
from collections.abc import Sequence
from typing import Any, Literal

import jax.numpy as jnp

from ..arithmetic import intersect_masks, join
from ..masked import Masked, PaddingSide, fill, mask_of, segments_of, values_of
from ..segments import refuse_segments

Merge = Literal["intersection", "union"]


def merge_masks(masks: Sequence[Any], merge: Merge = "intersection") -> Any:
    """The mask of a merged step.

    Args:
        masks: bool arrays of one shape, or None where all is real.
        merge: `"intersection"`: real where all inputs are; `"union"`: real where any is.

    Returns:
        The mask, or None if everything is real.

    Raises:
        ValueError: another word for `merge`.
    """
    check_merge(merge)
    if merge == "intersection":
        return functools.reduce(intersect_masks, masks, None)
    if any(mask is None for mask in masks):
        return None
    return functools.reduce(lambda a, b: a if a is b else a | b, masks)


def check_merge(merge: str) -> None:
    """Refuses another word."""
    if merge not in ("intersection", "union"):
        raise ValueError(f"`merge` must be 'intersection' or 'union'; received {merge!r}.")


def add(xs: Sequence[Any], *, merge: Merge = "intersection") -> Any:
    """The sum of several inputs, step by step.

    Args:
        xs: `Masked` or arrays of one rank whose shapes broadcast, `(batch, time, ...)`.
        merge: `"intersection"`: a step is real where it is in all inputs, and an array counts as all real;
            `"union"`: where it is in any, and an input adds 0 at its padded steps. Packed rows meet step by step
            where their ids are equal, as in `x + y`; in a union all inputs must have the segments of one of them.

    Returns:
        The sum; a `Masked` unless no step is padding. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: no inputs, ranks or masks that do not fit, another word for `merge`, or a union of rows that are
            packed in different ways.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x, y = (jm.from_lengths(jnp.ones((1, 3)), [n]) for n in (1, 2))
    >>> jm.ops.add([x, y], merge="union")
    Masked(float32[1, 3], lengths=[2])
    [[2 1 ·]]
    """
    _check_inputs(xs, "add")
    if merge == "intersection":
        return functools.reduce(lambda a, b: a + b, xs)
    _check_union(xs)
    mask = merge_masks([mask_of(x) for x in xs], merge)
    values = functools.reduce(lambda a, b: a + b, [fill(x, 0) for x in xs])
    return values if mask is None else _masked_like(xs, values, mask, segments_of(xs[0]))


def concatenate(xs: Sequence[Any], axis: int = -1) -> Any:
    """Concatenation, values and masks together.

    Args:
        xs: `Masked` or arrays of one rank; an array counts as all real.
        axis: over the last masked axis (time) the masks are concatenated too, and padding stays where it is, in the
            middle of the longer rows; over a feature axis a step is real where it is in all inputs, of packed rows
            where it is in the same sequence of all. Over the batch axis an input that is not packed joins packed ones
            as rows of one sequence each, with id 1.

    Returns:
        The concatenation; a `Masked` if any input is one. An empty row stays empty and passes no gradient.

    Raises:
        ValueError: no inputs, ranks or masks that do not fit, or packed rows over time.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1, 2]]), [1])
    >>> jm.ops.concatenate([x, x + 2], axis=1)
    Masked(int32[1, 4], lengths=[2])
    [[1 · 3 ·]]
    """
    _check_inputs(xs, "concatenate")
    values = jnp.concatenate([values_of(x) for x in xs], axis)
    found = [x for x in xs if isinstance(x, Masked)]
    if not found:
        return values
    axis, mask_ndim = axis % values.ndim, found[0].mask.ndim
    if axis >= mask_ndim:
        mask, segments = functools.reduce(join, [(mask_of(x), segments_of(x)) for x in xs])
        return _masked_like(xs, values, mask, segments)
    is_time = axis == mask_ndim - 1
    for x in xs if is_time else ():
        refuse_segments(x, "`concatenate` over time")
    masks = [jnp.ones(x.shape[:mask_ndim], bool) if mask_of(x) is None else x.mask for x in xs]
    segments = None
    if any(segments_of(x) is not None for x in xs):
        ids = [mask if segments_of(x) is None else x.segments for x, mask in zip(xs, masks, strict=True)]
        segments = jnp.concatenate([array.astype(jnp.int32) for array in ids], axis)
    return Masked(values, jnp.concatenate(masks, axis), None if is_time else _common_side(xs), segments)


def _common_side(xs: Sequence[Any]) -> Any:
    sides = {getattr(x, "padding_side", None) for x in xs}
    return sides.pop() if len(sides) == 1 else None


def _masked_like(xs: Sequence[Any], values: Any, mask: Any, segments: Any) -> Masked:
    """The merged values under their mask; if it is the mask of an input, the padding side is known too."""
    side: PaddingSide = next((x.padding_side for x in xs if isinstance(x, Masked) and x.mask is mask), None)
    return Masked(values, mask, side, segments)


def _check_union(xs: Sequence[Any]) -> None:
    """Refuses a union in which a step could belong to two sequences."""
    if len({id(segments_of(x)) for x in xs}) > 1:
        remedy = "Use `merge='intersection'`, or unpack them first, `jm.unpack_batch(x, num_sequences, length)`."
        for x in xs:
            refuse_segments(x, "`add` in a union with rows that are not packed alike", remedy)


def _check_inputs(xs: Sequence[Any], name: str) -> None:
    if not isinstance(xs, (list, tuple)) or not xs:
        raise ValueError(f"`{name}` takes a list of one or more inputs; received {xs!r}.")
    ranks = {x.ndim for x in xs}
    mask_shapes = {tuple(x.mask.shape) for x in xs if isinstance(x, Masked)}
    if len(ranks) > 1 or len({len(shape) for shape in mask_shapes}) > 1:
        raise ValueError(
            f"`{name}` takes inputs of one rank with masks of one rank; received values {[tuple(x.shape) for x in xs]} "
            f"and masks {sorted(mask_shapes)}. Add axes with indexing, e.g. `x[:, None]`."
        )
