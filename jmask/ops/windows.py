"""Windows that slide over the steps of a sequence: where they start, and how many there are.

If the real steps of a row come first and neutral values follow them, those act as right padding: a window operation
gives for the row what it gives for the sequence alone. Only the padding before the first step must match that of the
sequence alone; where it depends on the length, the row is shifted by the difference.
"""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp
from jax import lax

from ..core.arithmetic import expand, in_front
from ..core.checks import check_one_of, checked_size

Padding = Literal["valid", "same", "causal"]
Pads = tuple[Any, Any]


@dataclasses.dataclass(frozen=True)
class Windows:
    """Equally spaced windows of one width; window i reads the steps `i * strides - pad_left + j * dilation_rate`.

    Here j counts from 0 to `width - 1`, and `pad_left` is the number of padded steps before the first. As in Keras it
    is 0 for "valid", `span - 1` for "causal", and for "same" half of what `ceil(length / strides)` windows read beyond
    the sequence, rounded down.
    """

    width: int
    strides: int = 1
    padding: Padding = "valid"
    dilation_rate: int = 1

    def __post_init__(self) -> None:
        """Raises if the options describe no windows."""
        checked_size("strides", self.strides, 1)
        checked_size("dilation_rate", self.dilation_rate, 1)
        check_one_of("padding", self.padding, ("valid", "same", "causal"))

    @property
    def span(self) -> int:
        """The number of steps from the first to the last that a window reads."""
        return (self.width - 1) * self.dilation_rate + 1

    @property
    def is_pointwise(self) -> bool:
        """Whether each window reads exactly one step, and each step has a window."""
        return self.width == self.strides == 1

    @property
    def preserves_length(self) -> bool:
        """Whether there are as many windows as steps."""
        return self.strides == 1 and (self.padding != "valid" or self.width == 1)

    def output_length(self, length: Any) -> Any:
        """The number of windows: those within the sequence for "valid", else one for every `strides` steps."""
        if self.padding == "valid":
            return jnp.maximum((length - self.span) // self.strides + 1, 0)
        return (length + self.strides - 1) // self.strides

    def pad_left(self, length: Any) -> Any:
        """The number of padded steps before the first."""
        if self.padding == "same":
            return jnp.maximum(self.span - 1 - (length - 1) % self.strides, 0) // 2
        return self.span - 1 if self.padding == "causal" else 0

    def count(self, steps: tuple[Any, Any], num_windows: Any) -> Any:
        """The number of real steps, `first` to `end - 1`, that each undilated window reads."""
        first, end = (jnp.asarray(step)[..., None] for step in steps)
        pad_left = jnp.asarray(self.pad_left(end - first))
        start = in_front(jnp.arange(num_windows, dtype=jnp.int32), end.ndim) * self.strides - pad_left
        return jnp.minimum(start + self.width, end) - jnp.maximum(start, first)

    def pads(self, time: Any) -> Pads:
        """The padding before and after an array of real steps."""
        if self.padding == "same":
            return lax.padtype_to_pads((time,), (self.span,), (self.strides,), "SAME")[0]
        return self.pad_left(time), 0

    def align(self, values: Any, lengths: Any, value: Any) -> tuple[Any, Pads]:
        """Shifts left-aligned rows so that one padding fits all of them; returns the rows and the padding."""
        if self.padding != "same":
            return values, self.pads(values.shape[-2])
        narrowest, widest = max(self.span - self.strides, 0) // 2, (self.span - 1) // 2
        pad_right, shift, bit = self.span - 1 - narrowest, self.pad_left(lengths) - narrowest, 1
        while bit <= widest - narrowest:  # by powers of two: faster than a gather, and much faster in the gradient
            shifted, left = (pad_time(values, pads, value) for pads in ((bit, 0), (0, bit)))
            values = jnp.where(expand(shift & bit > 0, values.ndim), shifted, left)
            pad_right, bit = pad_right - bit, bit * 2
        return values, (narrowest, pad_right)


@dataclasses.dataclass(frozen=True)
class TransposedWindows:
    """Windows over the result: step i of the sequence writes the steps `i * strides + j * dilation_rate - cut`.

    The windows of n steps cover `(n - 1) * strides + span` steps. "valid" keeps all of these and adds
    `output_padding`, by default what the last step needs to fill `strides`; "same" keeps `n * strides`, or
    with `output_padding` `(n - 1) * strides + span % 2 + output_padding`. Half of the excess, rounded down, is cut off
    at the start, as in Keras.
    """

    width: int
    strides: int = 1
    padding: Padding = "valid"
    dilation_rate: int = 1
    output_padding: int | None = None

    def __post_init__(self) -> None:
        """Raises if the options describe no windows."""
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
        """The number of steps from the first to the last of a window."""
        return (self.width - 1) * self.dilation_rate + 1

    @property
    def last(self) -> int:
        """The number of steps that the last step of a sequence adds; each of the others adds `strides`."""
        if self.output_padding is None:
            return self.strides if self.padding == "same" else max(self.span, self.strides)
        return self.output_padding + (self.span % 2 if self.padding == "same" else self.span)

    @property
    def is_pointwise(self) -> bool:
        """Whether each window has exactly one step, and each step has a window."""
        return self.width == self.strides == 1

    @property
    def preserves_length(self) -> bool:
        """Whether the result has as many steps as the sequence."""
        return self.strides == self.last == 1

    def output_length(self, length: Any) -> Any:
        """The number of steps of the result."""
        return jnp.where(length > 0, (length - 1) * self.strides + self.last, 0)

    def pads(self, time: Any) -> Pads:
        """The padding before and after what the windows cover; negative where steps are cut off."""
        cut = max(self.span - self.last, 0) // 2
        return -cut, self.last - self.span + cut

    def align(self, values: Any, lengths: Any, value: Any) -> tuple[Any, Pads]:
        """The left-aligned rows, unchanged since the padding does not depend on lengths, and the padding."""
        return values, self.pads(values.shape[-2])


def pad_time(values: Any, pads: tuple[int, int], value: Any) -> Any:
    """Values `(..., time, features)` with more steps before and after them."""
    return jnp.pad(values, [*[(0, 0)] * (values.ndim - 2), pads, (0, 0)], constant_values=value)
