"""Joining inputs: end to end over features, time or the batch, or side by side along a new axis."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ..core.arithmetic import join, marks_of
from ..core.masked import Masked, mask_of, segment_ids_of, values_of
from .alignment import check_list, with_masks_of_one_rank, with_steps_of_packed
from .kinds import AnyInput, merged
from .packed_steps import joined_by_sequence


@merged
def concatenate(xs: Sequence[AnyInput], axis: int = -1) -> Masked | Array:
    """Concatenation, values and masks together.

    Args:
        xs: `Masked` or arrays of one rank; an array counts as all real. Over features, next to packed rows, an input
            may also have one entry for each sequence, `(num_sequences, features)`, which comes to each of its steps.
        axis: over the last masked axis (time) the masks are concatenated too, and padding stays where it is, so it may
            end up inside the longer rows; in packed rows, which then all hold the same sequences, the steps of each
            sequence come behind its own, and the sequences of a row stand in the order of their ids. Over a feature
            axis a step is real where it is real in all inputs, and in packed rows in the same sequence of all. Over the
            batch axis inputs may have different numbers of steps, and shorter ones are padded on the right; an unpacked
            input joins packed ones as rows of one sequence each, with id 1. Ids stay as they are there, and may stand
            for other sequences in each input, so `num_sequences` is no longer known.

    Returns:
        The concatenation; a `Masked` if any input is one. An empty row stays empty and passes no gradient.

    Raises:
        ValueError: there are no inputs, ranks or masks do not fit, or `axis` is time and only some inputs are packed.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1, 2]]), [1])
    >>> jm.ops.concatenate([x, x + 2], axis=1)
    Masked(int32[1, 4], lengths=[2])
    [[1 · 3 ·]]
    """
    check_list(xs, "concatenate")
    xs = with_steps_of_packed(xs, "concatenate") if _is_over_features(xs, axis) else xs
    xs = with_masks_of_one_rank(xs, "concatenate")
    found = [x for x in xs if isinstance(x, Masked)]
    if not found:
        return jnp.concatenate(xs, axis)
    axis, mask_ndim = axis % found[0].ndim, found[0].mask.ndim
    xs = _as_wide(xs, range(axis + 1, mask_ndim), mask_ndim)
    values = jnp.concatenate([values_of(x) for x in xs], axis)
    if axis >= mask_ndim:
        return Masked(values, *functools.reduce(join, map(marks_of, xs)))
    is_time = axis == mask_ndim - 1
    if is_time and any(x.segment_ids is not None for x in found):
        return joined_by_sequence(_all_packed(xs), values, "`concatenate` over time")
    masks = [_mask_of(x, mask_ndim) for x in xs]
    segment_ids = None
    if any(segment_ids_of(x) is not None for x in xs):
        segment_ids = jnp.concatenate([_ids_of(x, mask_ndim) for x in xs], axis)
    return Masked(values, jnp.concatenate(masks, axis), segment_ids)


@merged
def stack(xs: Sequence[AnyInput], axis: int = 0) -> Masked | Array:
    """Inputs of one shape along a new axis, values and masks together.

    Args:
        xs: `Masked` or arrays of one rank; an array counts as all real.
        axis: the new axis. Before time it becomes a masked axis: single sequences become a batch, and batches a batch
            of documents. Inputs may then have different sizes along the masked axes after it, and shorter ones are
            padded on the right. After time it is a feature axis, and a step is real where it is real in all inputs, and
            in packed rows in the same sequence of all.

    Returns:
        The stack, with one more axis; a `Masked` if any input is one. An empty row stays empty and passes no gradient.

    Raises:
        ValueError: there are no inputs, or ranks, shapes or masks do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> rows = jm.masked(jnp.array([3, 4]), jnp.array([True, True])), jnp.array([5])
    >>> jm.ops.stack(rows).fill(0).tolist()
    [[3, 4], [5, 0]]
    """
    check_list(xs, "stack")
    xs = with_masks_of_one_rank(xs, "stack")
    found = [x for x in xs if isinstance(x, Masked)]
    if not found:
        return jnp.stack(xs, axis)
    ndim, mask_ndim = found[0].ndim + 1, found[0].mask.ndim
    if not -ndim <= axis < ndim:
        raise ValueError(f"`axis={axis}` of `stack` is out of bounds for a stack of rank {ndim}.")
    axis %= ndim
    if axis >= mask_ndim:
        return Masked(jnp.stack([values_of(x) for x in xs], axis), *functools.reduce(join, map(marks_of, xs)))
    xs = _as_wide(xs, range(axis, mask_ndim), mask_ndim)
    segment_ids = None
    if any(segment_ids_of(x) is not None for x in xs):
        segment_ids = jnp.stack([_ids_of(x, mask_ndim) for x in xs], axis)
    masks = jnp.stack([_mask_of(x, mask_ndim) for x in xs], axis)
    return Masked(jnp.stack([values_of(x) for x in xs], axis), masks, segment_ids=segment_ids)


def _is_over_features(xs: Sequence[Any], axis: int) -> bool:
    """Whether the axis comes after the masked axes of the input of the highest rank."""
    widest = max(xs, key=lambda x: x.ndim)
    return isinstance(widest, Masked) and axis % widest.ndim >= widest.mask.ndim


def _all_packed(xs: Sequence[Any]) -> list[Masked]:
    """The inputs; raises if some are packed and others are not, as nothing says whose steps the latter are."""
    for x in xs:
        if segment_ids_of(x) is None:
            raise ValueError(
                "`concatenate` over time puts the steps of each sequence behind its own, so all inputs are packed, or "
                f"none is; received {tuple(x.shape)} without segment ids. Give it some, "
                "`jm.from_segment_ids(values, ids)`, with the ids of the sequences of the others."
            )
    return list(xs)


def _mask_of(x: Any, mask_ndim: int) -> Any:
    """The mask, all True for an array."""
    return jnp.ones(x.shape[:mask_ndim], bool) if mask_of(x) is None else x.mask


def _ids_of(x: Any, mask_ndim: int) -> Any:
    """The ids of packed rows; for other rows, 1 at real steps."""
    ids = segment_ids_of(x)
    return (_mask_of(x, mask_ndim) if ids is None else ids).astype(jnp.int32)


def _as_wide(xs: Sequence[Any], axes: Any, mask_ndim: int) -> list[Any]:
    """The inputs, padded on the right along these axes to the largest size of each."""
    widest = {axis: max(x.shape[axis] for x in xs) for axis in axes}

    def pad(array: Any, missing: dict[int, int]) -> Any:
        return jnp.pad(jnp.asarray(array), [(0, missing.get(axis, 0)) for axis in range(array.ndim)])

    wide = []
    for x in xs:
        missing = {axis: size - x.shape[axis] for axis, size in widest.items() if size != x.shape[axis]}
        if missing:
            ids = segment_ids_of(x)
            ids = None if ids is None else pad(ids, missing)
            x = Masked(pad(values_of(x), missing), pad(_mask_of(x, mask_ndim), missing), ids, marks_of(x).num_sequences)
        wide.append(x)
    return wide
