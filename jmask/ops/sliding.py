"""Operations over windows: their results for each row of a batch, or for each sequence of packed rows."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp

from ..core.arithmetic import expand, in_front
from ..core.masked import Masked, like
from ..core.step_order import close_gaps, left_align
from .packed_windows import slide_packed, spread_packed
from .windows import Pads, TransposedWindows, Windows, pad_time


def slide(
    x: Any,
    windows: Windows | TransposedWindows,
    operation: Callable[[Any, Pads, tuple[Any, Any]], Any],
    of_packed: Callable[..., Any],
    value: Any = 0,
) -> Any:
    """Applies an operation over windows, with the same result for each row as for the sequence alone.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; axis -2 of an array is time. See `check_steps`.
        windows: the windows.
        operation: called as `operation(values, pads, (first, end))`: arrays `(..., time, features)` with `value` in
            their padding, the padding to add before and after them, and where the real steps of each row begin and end.
        of_packed: the same operation for packed rows, called as `of_packed(values, taps)`, for transposed windows
            with the padding as a third argument (see `packed_windows`).
        value: a value in the padding that changes no result.

    Returns:
        A `Masked` with zeros in its padding for a `Masked`, an array for an array. If there are as many windows as
        steps, each result is where its step is; otherwise the results come at the start of the row. Windows of packed
        rows stay within their sequences.
    """
    time = x.shape[-2]
    if time == 0:
        step = pad_time(jnp.asarray(x.values if isinstance(x, Masked) else x), (0, 1), 0)
        y = operation(step, windows.pads(1), (0, 1))[..., :0, :]
        return like(x, y)
    if not isinstance(x, Masked):
        return operation(jnp.asarray(x), windows.pads(time), (0, time))
    if windows.is_pointwise:
        y = operation(x.fill(value), windows.pads(time), (0, time))
        return x.with_values(_zero_outside(y, x.mask))
    if x.segment_ids is not None:
        if isinstance(windows, TransposedWindows):
            return spread_packed(x, windows, of_packed)
        return slide_packed(x, windows, of_packed, value)
    # If there are as many windows as steps, what comes before the first step may be padding, so steps without holes
    # stay where they are.
    x, restore = (close_gaps if windows.preserves_length else left_align)(x)
    lengths = x.lengths
    first = jnp.argmax(x.mask, axis=-1).astype(lengths.dtype) if windows.preserves_length else jnp.zeros_like(lengths)
    values, pads = windows.align(x.fill(value), lengths, value)
    y = operation(values, pads, (first, first + lengths))
    if not windows.preserves_length:
        num_windows = windows.output_length(lengths)[..., None]
        mask = in_front(jnp.arange(y.shape[-2], dtype=jnp.int32), num_windows.ndim) < num_windows
        return Masked(_zero_outside(y, mask), mask)
    return restore(_zero_outside(y, x.mask))


def check_steps(x: Any, name: str) -> None:
    """Raises unless the values have exactly one feature axis, after time."""
    mask_ndim = x.mask.ndim if isinstance(x, Masked) else max(x.ndim - 1, 1)
    if mask_ndim == 0 or x.ndim != mask_ndim + 1:
        mask = f" with a mask {tuple(x.mask.shape)}" if isinstance(x, Masked) else ""
        raise ValueError(
            f"`{name}` works on values (batch, time, features), with one feature axis behind the last axis of the "
            f"mask; received {tuple(x.shape)}{mask}. Add an axis, `x[..., None]`, or merge the feature axes."
        )


def _zero_outside(y: Any, mask: Any) -> Any:
    return jnp.where(expand(mask, y.ndim), y, jnp.zeros((), y.dtype))
