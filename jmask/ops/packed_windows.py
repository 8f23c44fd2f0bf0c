"""Windows over the sequences of packed rows: an entry of a window is a shift of the row, and none where it leaves.

No step is gathered, unless a sequence has padding among its steps or windows are more than one step apart.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax
from jax.core import max_dim
from jaxtyping import Array

from ..core.arithmetic import expand, in_front
from ..core.masked import Masked
from ..core.segment_ids import ids_of
from ..core.step_order import close_gaps, left_align
from .windows import TransposedWindows, Windows


@dataclasses.dataclass(frozen=True, eq=False)
class Taps:
    """The entries of the window at every step of packed rows, in which each sequence is without gaps.

    Attributes:
        place: int32 `(..., time)`: the index of each step in its sequence.
        length: the number of steps of that sequence; 0 at padding.
        offsets: for each entry, how many steps after the window's own step it is.
    """

    place: Array
    length: Array
    offsets: tuple[int, ...]

    def sees(self, entry: int) -> Array:
        """Where an entry is within the sequence, bool `(..., time)`."""
        place = self.place + self.offsets[entry]
        return (place >= 0) & (place < self.length)

    def of(self, values: Array, entry: int, value: Any = 0) -> Array:
        """What an entry sees of values `(..., time, features)`, and `value` where it is beyond the sequence."""
        offset, axis = self.offsets[entry], self.place.ndim - 1
        time = values.shape[axis]
        value = jnp.asarray(value, values.dtype)
        if isinstance(time, int) and abs(offset) >= time:
            return jnp.full_like(values, value)
        widths = [(-offset, offset, 0) if i == axis else (0, 0, 0) for i in range(values.ndim)]
        return jnp.where(expand(self.sees(entry), values.ndim), lax.pad(values, value, widths), value)


def slide_packed(x: Masked, windows: Windows, operation: Callable[[Array, Taps], Array], value: Any) -> Masked:
    """Applies an operation over windows that stay within their sequences.

    Args:
        x: packed rows, values `(..., time, features)`.
        windows: the windows.
        operation: called as `operation(values, taps)`: values with `value` in their padding, without gaps in a
            sequence; its results are those of a window at every step.
        value: what changes no result.

    Returns:
        Packed rows with zeros in their padding. As many windows as steps: each where its step is. Windows within the
        sequence, one step apart: each at its first step. Else the results of each row come at its start, sequence by
        sequence. Rows are as short as they can be whatever the lengths.
    """
    time = x.shape[-2]
    x, restore = close_gaps(x)
    place, length = _places(x)
    before = {"valid": 0, "causal": windows.span - 1, "same": (windows.span - 1) // 2}[windows.padding]
    offsets = tuple(entry * windows.dilation_rate - before for entry in range(windows.width))
    y = operation(jnp.asarray(x.fill(value)), Taps(place, length, offsets))
    if windows.preserves_length:
        return restore(_zero_outside(y, x.mask))
    begins = place - (before - windows.pad_left(length) if windows.padding == "same" else 0)
    kept = jnp.asarray(x.mask) & (begins >= 0) & (begins % windows.strides == 0)
    if windows.padding == "valid":
        kept = kept & (place + windows.span <= length)
    found = Masked(_zero_outside(y, kept), kept, ids_of(x) * kept, x.num_sequences)
    if windows.strides > 1:
        found, _ = left_align(found)
    if windows.padding == "valid" and windows.span >= windows.strides:
        time = max_dim((time - windows.span) // windows.strides + 1, 0)
    return found[(slice(None),) * (place.ndim - 1) + (slice(0, time),)]


def spread_packed(
    x: Masked, windows: TransposedWindows, operation: Callable[[Array, Taps, tuple[int, int]], Array]
) -> Masked:
    """Applies a transposed convolution, whose windows stay within what their sequences become.

    Args:
        x: packed rows, values `(..., time, features)`.
        windows: the windows, over the result.
        operation: called as `operation(values, taps, pads)`: taps of places in the result, whose `offsets` are from
            the place of the step there, and the padding before and after the steps of the result.

    Returns:
        Packed rows with `strides` steps for each step.

    Raises:
        ValueError: the last step of a sequence adds more than `strides` steps, for which its row may have no room.
    """
    strides, last = windows.strides, windows.last
    if last > strides:
        raise ValueError(
            f"`conv_transpose` of packed rows keeps {strides} steps for each step (`strides`), and with these options "
            f"the last step of each sequence needs {last}: a row would need room that depends on how many sequences it "
            "holds. Use `padding='same'`, or give each sequence a row of its own, `jm.unpack_batch(x, num_sequences, "
            "length)`."
        )
    x, restore = close_gaps(x)
    place, length = _places(x)
    cut, _ = windows.pads(0)
    offsets = tuple(entry * windows.dilation_rate + cut for entry in range(windows.width))
    size = jnp.where(length > 0, (length - 1) * strides + last, 0)
    y = operation(jnp.asarray(x.fill(0)), Taps(place * strides, size, offsets), (cut, strides - windows.span - cut))
    if windows.preserves_length:
        return restore(_zero_outside(y, x.mask))
    axis = place.ndim - 1
    place, size, ids = (jnp.repeat(a, strides, axis) for a in (place * strides, size, jnp.asarray(ids_of(x))))
    kept = place + jnp.arange(place.shape[-1], dtype=jnp.int32) % strides < size
    return Masked(_zero_outside(y, kept), kept, ids * kept, x.num_sequences)


def _places(x: Masked) -> tuple[Array, Array]:
    """The index of each step in its sequence, which has no gaps, and the length of that; both 0 at padding."""
    mask, ids = jnp.asarray(x.mask), jnp.asarray(ids_of(x))
    axis = ids.ndim - 1
    beside = jnp.pad(ids, [(0, 0)] * axis + [(1, 1)])
    begins, ends = (ids != lax.slice_in_dim(beside, i, i + ids.shape[-1], axis=axis) for i in (0, 2))
    steps = in_front(jnp.arange(ids.shape[-1], dtype=jnp.int32), ids.ndim)
    first = lax.cummax(jnp.where(mask & begins, steps, 0), axis)
    last = lax.cummin(jnp.where(mask & ends, steps, ids.shape[-1]), axis, reverse=True)
    return jnp.where(mask, steps - first, 0), jnp.where(mask, last - first + 1, 0)


def _zero_outside(y: Array, mask: Any) -> Array:
    return jnp.where(expand(mask, y.ndim), y, jnp.zeros((), y.dtype))
