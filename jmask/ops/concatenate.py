"""Concatenation over features, time or the batch."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from ..arithmetic import join
from ..masked import Masked, mask_of, segments_of, values_of
from ..segments import refuse_segments
from .alignment import check_list, refuse_ranks


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
    check_list(xs, "concatenate")
    refuse_ranks(xs, "concatenate")
    values = jnp.concatenate([values_of(x) for x in xs], axis)
    found = [x for x in xs if isinstance(x, Masked)]
    if not found:
        return values
    axis, mask_ndim = axis % values.ndim, found[0].mask.ndim
    if axis >= mask_ndim:
        mask, segments = functools.reduce(join, [(mask_of(x), segments_of(x)) for x in xs])
        return Masked(values, mask, segments)
    is_time = axis == mask_ndim - 1
    for x in xs if is_time else ():
        refuse_segments(x, "`concatenate` over time")
    masks = [jnp.ones(x.shape[:mask_ndim], bool) if mask_of(x) is None else x.mask for x in xs]
    segments = None
    if any(segments_of(x) is not None for x in xs):
        ids = [mask if segments_of(x) is None else x.segments for x, mask in zip(xs, masks, strict=True)]
        segments = jnp.concatenate([array.astype(jnp.int32) for array in ids], axis)
    return Masked(values, jnp.concatenate(masks, axis), segments)
