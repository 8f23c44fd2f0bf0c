"""Cropping and padding: removing steps from, and adding steps to, both ends of each sequence."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ..core.masked import Masked
from ..core.step_order import left_align
from .kinds import same_kind
from .linear import AnyArray
from .packed_steps import cropped, zero_padded
from .reshaping import required_time_axis


@same_kind
def crop(x: Masked | AnyArray, cropping: int | Sequence[int] = (1, 1)) -> Masked | Array:
    """Removes real steps from both ends of each sequence.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`: time is the mask's last axis; in an array, axis 1.
        cropping: how many steps to remove at the start and at the end, or one number for both.

    Returns:
        `(batch, time - left - right, ...)`, with at least 0 steps; a `Masked` stays one, padded on the right. A
        sequence of `left + right` steps or fewer becomes an empty row. An empty row stays empty and passes no gradient.
        Packed rows stay packed: each sequence loses its own steps, and the others of its row move up.

    Raises:
        ValueError: a number is negative, or there is no time axis.

    >>> import jmask as jm
    >>> jm.ops.crop(jm.pad_sequences([[3, 4, 5, 6], [7, 8, 9]]))
    Masked(int32[2, 2], lengths=[2 1])
    [[4 5]
     [8 ·]]
    """
    left, right = pair_of("cropping", cropping)
    axis = required_time_axis(x, "crop")
    if not isinstance(x, Masked):
        return _cut(jnp.asarray(x), axis, left, right)
    if x.segment_ids is not None:
        return cropped(x, left, right)
    x, _ = left_align(x)
    values = _cut(x.values, axis, left, right)
    # The mask loses as many real steps as the values; the first ones are those that all rows have.
    mask = lax.dynamic_slice_in_dim(jnp.asarray(x.mask), left + right, values.shape[axis], axis)
    return Masked(values, mask)


@same_kind
def zero_pad(
    x: Masked | AnyArray, padding: int | Sequence[int] = 1, *, max_segments: int | None = None
) -> Masked | Array:
    """Adds real steps of zeros at both ends of each sequence.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`: time is the mask's last axis; in an array, axis 1.
        padding: how many steps to add before the first real step and after the last, or one number for both.
        max_segments: for packed rows, the most sequences that a row has; None allows for a sequence at each of its
            steps, up to the number of sequences if that is known.

    Returns:
        `(batch, left + time + right, ...)`, zero at padded steps too; a `Masked` stays one, padded on the
        right. An empty row, which holds no sequence, stays empty and passes no gradient. Packed rows stay packed, and
        as each sequence gets its own steps, they have `time + max_segments * (left + right)` steps. If a row has more
        than `max_segments` sequences and its ids are traced, it becomes NaN, or the smallest integer.

    Raises:
        ValueError: a number is negative, there is no time axis, or a row has more than `max_segments` sequences.

    >>> import jmask as jm
    >>> jm.ops.zero_pad(jm.pad_sequences([[3, 4], [5], []]), (1, 0))
    Masked(int32[3, 3], lengths=[3 2 0])
    [[0 3 4]
     [0 5 ·]
     [· · ·]]
    """
    left, right = pair_of("padding", padding)
    axis = required_time_axis(x, "zero_pad")
    if not isinstance(x, Masked):
        return jnp.pad(x, _widths(x.ndim, axis, left, right))
    if x.segment_ids is not None:
        return zero_padded(x, left, right, max_segments)
    x, _ = left_align(x)
    values = jnp.pad(x.fill(0), _widths(x.ndim, axis, left, right))
    mask = jnp.pad(jnp.asarray(x.mask), _widths(axis + 1, axis, left + right, 0), constant_values=True)
    return Masked(values, mask & jnp.any(x.mask, axis, keepdims=True))


def pair_of(name: str, number: Any) -> tuple[int, int]:
    """Two numbers of steps; one number means both."""
    pair = (number, number) if type(number) is int else number
    fits = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(type(n) is int and n >= 0 for n in pair)
    if not fits:
        raise ValueError(
            f"`{name}` must be a number of steps, 0 or more, or two of them, for the beginning and the end; received "
            f"{number!r}."
        )
    return pair[0], pair[1]


def _cut(array: Any, axis: int, left: int, right: int) -> Any:
    """The array without so many entries at both ends of an axis."""
    return array[(slice(None),) * axis + (slice(left, -right or None),)]


def _widths(ndim: int, axis: int, left: int, right: int) -> list[tuple[int, int]]:
    return [(left, right) if a == axis else (0, 0) for a in range(ndim)]
