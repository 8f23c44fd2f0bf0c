"""Windows that slide over the steps of a sequence: where they stand, and what they give for each row of a batch.

If the real steps of a row stand at its front, and neutral ones behind them, these are a border like any other: an
operation over windows gives for the row what it gives for the sequence alone. Only the border before the first step
has to be that of the sequence alone; where it depends on the length, the row is shifted by the difference.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import jax.numpy as jnp
from jax import lax

from ..core.arithmetic import expand, in_front
from ..core.checks import check_one_of
from ..core.masked import Masked, like
from ..core.segment_ids import check_not_packed
from ..core.step_order import close_gaps, left_align
from ..data.padding import checked_size

Padding = Literal["valid", "same", "causal"]
Border = tuple[Any, Any]


@dataclasses.dataclass(frozen=True)
class Windows:
    """Windows of one width at equal distances, of which number i reads the steps `i * strides - before + j * dilation`.

    Here j counts from 0 to `width - 1`, and `before` is the border before the first step. As in Keras it has no step
    for "valid", all but one of the steps that a window spans for "causal", and for "same" half of what
    `ceil(length / strides)` windows read beyond the sequence, rounded down.
    """

    width: int
    strides: int = 1
    padding: Padding = "valid"
    dilation_rate: int = 1

    def __post_init__(self) -> None:
        """Refuses what makes no windows."""
        checked_size("strides", self.strides, 1)
        checked_size("dilation_rate", self.dilation_rate, 1)
        check_one_of("padding", self.padding, ("valid", "same", "causal"))

    @property
    def span(self) -> int:
        """Number of steps from the first that a window reads to the last."""
        return (self.width - 1) * self.dilation_rate + 1

    @property
    def is_stepwise(self) -> bool:
        """Whether each window reads one step, and each step has one."""
        return self.width == self.strides == 1

    @property
    def keeps_steps(self) -> bool:
        """Whether there are as many windows as steps."""
        return self.strides == 1 and (self.padding != "valid" or self.width == 1)

    def places(self, length: Any) -> Any:
        """The number of windows: those that lie within the sequence, or one for every `strides` steps."""
        if self.padding == "valid":
            return jnp.maximum((length - self.span) // self.strides + 1, 0)
        return (length + self.strides - 1) // self.strides

    def before(self, length: Any) -> Any:
        """The border before the first step."""
        if self.padding == "same":
            return jnp.maximum(self.span - 1 - (length - 1) % self.strides, 0) // 2
        return self.span - 1 if self.padding == "causal" else 0

    def count(self, steps: tuple[Any, Any], places: Any) -> Any:
        """The number of real steps, those from `first` up to `end`, that each window reads, if not dilated."""
        first, end = (jnp.asarray(step)[..., None] for step in steps)
        before = jnp.asarray(self.before(end - first))
        start = in_front(jnp.arange(places, dtype=jnp.int32), end.ndim) * self.strides - before
        return jnp.minimum(start + self.width, end) - jnp.maximum(start, first)

    def border(self, time: Any) -> Border:
        """The border before and behind an array of real steps."""
        if self.padding == "same":
            return lax.padtype_to_pads((time,), (self.span,), (self.strides,), "SAME")[0]
        return self.before(time), 0

    def align(self, values: Any, lengths: Any, value: Any) -> tuple[Any, Border]:
        """Rows whose steps stand at the front, shifted so that they all want one border, and this border."""
        if self.padding != "same":
            return values, self.border(values.shape[-2])
        narrowest, widest = max(self.span - self.strides, 0) // 2, (self.span - 1) // 2
        behind, shift, bit = self.span - 1 - narrowest, self.before(lengths) - narrowest, 1
        while bit <= widest - narrowest:  # by a power of two at a time: faster than a gather, above all its gradient
            shifted, left = (_pad_time(values, border, value) for border in ((bit, 0), (0, bit)))
            values = jnp.where(expand(shift & bit > 0, values.ndim), shifted, left)
            behind, bit = behind - bit, bit * 2
        return values, (narrowest, behind)


@dataclasses.dataclass(frozen=True)
class TransposedWindows:
    """Windows of the result, one for each step i of the sequence, of the steps `i * strides + j * dilation - cut`.

    Those of n steps cover `(n - 1) * strides + span`. "valid" keeps these, and adds `output_padding`, or by default
    what the last step lacks to `strides`; "same" keeps `n * strides`, or `(n - 1) * strides + span % 2` and
    `output_padding`. Of what is too much, half is cut off in front, rounded down, as in Keras.
    """

    width: int
    strides: int = 1
    padding: Padding = "valid"
    dilation_rate: int = 1
    output_padding: int | None = None

    def __post_init__(self) -> None:
        """Refuses what makes no windows."""
        checked_size("strides", self.strides, 1)
        checked_size("dilation_rate", self.dilation_rate, 1)
        check_one_of("padding", self.padding, ("valid", "same"))
        if self.output_padding is not None and checked_size("output_padding", self.output_padding, 0) >= self.strides:
            raise ValueError(
                f"`output_padding` must be less than `strides`, {self.strides}; received {self.output_padding}. Leave "
                "it out for the usual number of steps."
            )

    @property
    def span(self) -> int:
        """Number of steps from the first of a window to the last."""
        return (self.width - 1) * self.dilation_rate + 1

    @property
    def last(self) -> int:
        """What the last step of a sequence adds to the number of steps, where each of the others adds `strides`."""
        if self.output_padding is None:
            return self.strides if self.padding == "same" else max(self.span, self.strides)
        return self.output_padding + (self.span % 2 if self.padding == "same" else self.span)

    @property
    def is_stepwise(self) -> bool:
        """Whether each window has one step, and each step has one."""
        return self.width == self.strides == 1

    @property
    def keeps_steps(self) -> bool:
        """Whether the result has as many steps as the sequence."""
        return self.strides == self.last == 1

    def places(self, length: Any) -> Any:
        """The number of steps of the result."""
        return jnp.where(length > 0, (length - 1) * self.strides + self.last, 0)

    def border(self, time: Any) -> Border:
        """The border before and behind what the windows cover; negative where it is cut off."""
        cut = max(self.span - self.last, 0) // 2
        return -cut, self.last - self.span + cut

    def align(self, values: Any, lengths: Any, value: Any) -> tuple[Any, Border]:
        """The rows as they are, whose steps stand at the front, since the border does not depend on lengths."""
        return values, self.border(values.shape[-2])


def slide(
    x: Any,
    windows: Windows | TransposedWindows,
    operation: Callable[[Any, Border, tuple[Any, Any]], Any],
    name: str,
    value: Any = 0,
) -> Any:
    """An operation over windows, for each row what it gives for the sequence alone.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; in an array axis -2 is time. See `check_steps`.
        windows: where they stand.
        operation: `operation(values, border, (first, end))`: of arrays `(..., time, features)`, with `value` in their
            padding, and this border; `x` has the real steps of its rows from `first` up to `end`, if not at the front.
        name: the public name of the operation.
        value: what changes no result.

    Returns:
        A `Masked` for a `Masked`, with zeros in its padding, else an array. Steps are put back to where they stood if
        there are as many, else they stand at the front.
    """
    time = x.shape[-2]
    if time == 0:
        step = _pad_time(jnp.asarray(x.values if isinstance(x, Masked) else x), (0, 1), 0)
        y = operation(step, windows.border(1), (0, 1))[..., :0, :]
        return like(x, y)
    if not isinstance(x, Masked):
        return operation(jnp.asarray(x), windows.border(time), (0, time))
    if windows.is_stepwise:
        y = operation(x.fill(value), windows.border(time), (0, time))
        return x.with_values(_zero_outside(y, x.mask))
    check_not_packed(x, f"`{name}` over time")
    # Where there are as many windows as steps, the border may be padding too, so steps without holes stay in place.
    x, restore = (close_gaps if windows.keeps_steps else left_align)(x)
    lengths = x.lengths
    first = jnp.argmax(x.mask, axis=-1).astype(lengths.dtype) if windows.keeps_steps else jnp.zeros_like(lengths)
    values, border = windows.align(x.fill(value), lengths, value)
    y = operation(values, border, (first, first + lengths))
    if not windows.keeps_steps:
        places = windows.places(lengths)[..., None]
        mask = in_front(jnp.arange(y.shape[-2], dtype=jnp.int32), places.ndim) < places
        return Masked(_zero_outside(y, mask), mask)
    return restore(_zero_outside(y, x.mask))


def check_steps(x: Any, name: str) -> None:
    """Refuses values that have not exactly one feature axis behind time."""
    mask_ndim = x.mask.ndim if isinstance(x, Masked) else max(x.ndim - 1, 1)
    if mask_ndim == 0 or x.ndim != mask_ndim + 1:
        mask = f" with a mask {tuple(x.mask.shape)}" if isinstance(x, Masked) else ""
        raise ValueError(
            f"`{name}` works on values (batch, time, features), with one feature axis behind the last axis of the "
            f"mask; received {tuple(x.shape)}{mask}. Add an axis, `x[..., None]`, or merge the feature axes."
        )


def _pad_time(values: Any, border: tuple[int, int], value: Any) -> Any:
    return jnp.pad(values, [*[(0, 0)] * (values.ndim - 2), border, (0, 0)], constant_values=value)


def _zero_outside(y: Any, mask: Any) -> Any:
    return jnp.where(expand(mask, y.ndim), y, jnp.zeros((), y.dtype))
