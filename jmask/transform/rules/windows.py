"""Windows that slide over the steps: convolution and pooling, equal to those over the sequence alone."""

import dataclasses
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ..equation import Equation
from ..padded import Padded, select, take_clipped
from ..sizes import Sizes
from .reduction import IDENTITIES, smallest
from .registry import rule


@dataclasses.dataclass(frozen=True)
class Slide:
    """How a window moves along one axis.

    Attributes:
        window: padded size of the window.
        stride: steps from one position of the window to the next.
        padding: entries before and after the array, symbolic; negative where entries are cut off.
        base_dilation: distance between neighbouring entries of the array.
        window_dilation: distance between neighbouring entries of the window.
        places: padded number of positions.
    """

    window: int
    stride: int
    padding: tuple[Any, Any]
    base_dilation: int
    window_dilation: int
    places: int

    def pads(self, array: Any, axis: int, value: Any, sizes: Sizes) -> tuple[Any, tuple[int, int], int]:
        """The array, the padding and the base dilation with which the window has exactly `places` positions.

        Entries after the sequence hold `value` already, as if they were padding. The padding before it must be known
        when the program is compiled; where it depends on the length, it is written into the array.
        """
        low, dilation = self.padding[0], self.base_dilation
        if not isinstance(low, int):
            amounts = [(0, 0, 0)] * array.ndim
            amounts[axis] = (0, 0, dilation - 1)
            array = lax.pad(array, jnp.asarray(value, array.dtype), amounts)
            room = max(sizes.padded_size(low), 0)
            source = jnp.arange(array.shape[axis] + room, dtype=jnp.int32) - sizes.true_size(low)
            inside = (source >= 0) & (source < array.shape[axis])
            inside = jnp.expand_dims(inside, [a for a in range(array.ndim) if a != axis])
            array, low, dilation = select(inside, take_clipped(array, source, axis), value), 0, 1
        reach = (self.places - 1) * self.stride + (self.window - 1) * self.window_dilation + 1
        seen = max((reach - low - 1) // dilation + 1, 1)  # entries; cut by a slice, as pooling cut by a negative
        array = lax.slice_in_dim(array, 0, min(seen, array.shape[axis]), axis=axis)  # padding has no gradient
        span = max((array.shape[axis] - 1) * dilation + 1, 0)
        return array, (low, reach - low - span), dilation


def _words(equation: Equation, axes: Any, out_axes: Any, windows: Any) -> str | None:
    shape, out_shape = equation.eqn.invars[0].aval.shape, equation.out_shapes[0]
    found = [
        shape[axis]
        for axis, out_axis, window in zip(axes, out_axes, windows, strict=True)
        if equation.sizes.is_ragged(shape[axis])
        and not (isinstance(window, int) and window == 1 and out_shape[out_axis] == shape[axis])
    ]
    return f"slides a window over {', '.join(map(str, found))}" if found else None


def _convolves(equation: Equation) -> str | None:
    numbers, kernel = equation.params["dimension_numbers"], equation.eqn.invars[1].aval.shape
    return _words(equation, numbers.lhs_spec[2:], numbers.out_spec[2:], [kernel[axis] for axis in numbers.rhs_spec[2:]])


@rule("conv_general_dilated", effect=_convolves)
def convolve_rule(equation: Equation, x: Padded, kernel: Padded) -> Padded:
    """A convolution: everything after the sequence is zero, as its own padding is."""
    params, sizes = equation.params, equation.sizes
    numbers = params["dimension_numbers"]
    array, weights = x.fill(0, numbers.lhs_spec[1:]), kernel.fill(0, numbers.rhs_spec[1:])
    paddings, dilations = [], []
    for i, (axis, out_axis) in enumerate(zip(numbers.lhs_spec[2:], numbers.out_spec[2:], strict=True)):
        slide = Slide(
            weights.shape[numbers.rhs_spec[2 + i]],
            params["window_strides"][i],
            params["padding"][i],
            params["lhs_dilation"][i],
            params["rhs_dilation"][i],
            sizes.padded_size(equation.out_shapes[0][out_axis]),
        )
        array, padding, dilation = slide.pads(array, axis, 0, sizes)
        paddings.append(padding)
        dilations.append(dilation)
    return equation.result(equation.bind(array, weights, padding=tuple(paddings), lhs_dilation=tuple(dilations)))


def _pools(equation: Equation) -> str | None:
    windows = equation.params["window_dimensions"]
    return _words(equation, range(len(windows)), range(len(windows)), windows)


def _pool(equation: Equation, operands: list[Padded], values: list[Any]) -> Any:
    """The primitive on operands with these values in their padding."""
    params, sizes, slides = equation.params, equation.sizes, []
    for axis, window in enumerate(params["window_dimensions"]):
        ones = (1,) * len(params["window_dimensions"])
        slides.append(
            Slide(
                sizes.padded_size(window),
                params["window_strides"][axis],
                params["padding"][axis],
                params.get("base_dilation", ones)[axis],
                params.get("window_dilation", ones)[axis],
                sizes.padded_size(equation.out_shapes[0][axis]),
            )
        )
    arrays, paddings, dilations = [], [], []
    for x, value in zip(operands, values, strict=True):
        array, paddings, dilations = x.fill(value), [], []
        for axis, slide in enumerate(slides):
            array, padding, dilation = slide.pads(array, axis, value, sizes)
            paddings.append(padding)
            dilations.append(dilation)
        arrays.append(array)
    changed: dict[str, Any] = {"padding": tuple(paddings)}
    if "base_dilation" in params:
        changed["base_dilation"] = tuple(dilations)
    return arrays, changed


def _finite(equation: Equation, array: Any, index: int = 0) -> Padded:
    """The result with zeros where the window has seen only padding, since the entry there may be infinite."""
    return equation.result(equation.result(array, index=index).fill(0), index=index)


@rule("reduce_window_sum", "reduce_window_max", "reduce_window_min", effect=_pools)
def pool_rule(equation: Equation, x: Padded) -> Padded:
    """The largest entry, the smallest or the sum at each position of the window."""
    x = x.with_safe_padding()
    identity = IDENTITIES[equation.name.rpartition("_")[2]](x.dtype)
    (array,), changed = _pool(equation, [x], [identity])
    return _finite(equation, equation.bind(array, **changed))


@rule("reduce_window", effect=_pools)
def pool_by_function_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """A reduction by a user's function, whose initial values change nothing."""
    half = len(operands) // 2
    inits = [x.array for x in operands[half:]]
    arrays, changed = _pool(equation, [x.with_safe_padding() for x in operands[:half]], inits)
    found = equation.bind(*arrays, *inits, **changed)
    return [_finite(equation, array, index) for index, array in enumerate(found)]


@rule("select_and_gather_add", effect=_pools)
def pool_tangents_rule(equation: Equation, tangents: Padded, x: Padded) -> Padded:
    """The tangent of a pooled entry is that of the entry which was the largest, or the smallest."""
    arrays, changed = _pool(equation, [tangents, x.with_safe_padding()], [0, _loser(equation, x)])
    return _finite(equation, equation.bind(*arrays, **changed))


@rule("select_and_scatter_add", effect=_pools)
def pool_cotangents_rule(equation: Equation, cotangents: Padded, x: Padded) -> Padded:
    """The cotangent of a pooled entry goes to the entry which was the largest, or the smallest."""
    params, sizes, paddings = equation.params, equation.sizes, []
    array = x.with_safe_padding().fill(_loser(equation, x))
    for axis, (window, padding) in enumerate(zip(params["window_dimensions"], params["padding"], strict=True)):
        if not isinstance(padding[0], int):
            raise NotImplementedError(
                f"`jm.vmap`: the gradient of a pooling whose padding {padding[0]} depends on the length, within the "
                f"function, at {equation.line}. Take the gradient outside `jm.vmap`, or pad by hand."
            )
        places = cotangents.array.shape[axis]
        slide = Slide(sizes.padded_size(window), params["window_strides"][axis], padding, 1, 1, places)
        array, seen, _ = slide.pads(array, axis, 0, sizes)
        paddings.append(seen)
    found = equation.bind(cotangents.fill(0), array, padding=tuple(paddings))
    unseen = [(0, size - part, 0) for size, part in zip(x.array.shape, found.shape, strict=True)]
    return equation.result(lax.pad(found, jnp.zeros((), found.dtype), unseen))


def _loser(equation: Equation, x: Padded) -> Any:
    is_largest = equation.params["select_prim"].name in ("ge", "gt")
    least = smallest(x.dtype)
    return least if is_largest else np.negative(least)
