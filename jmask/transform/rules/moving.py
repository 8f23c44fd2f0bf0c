"""Moving entries along an axis: reversal, slices, concatenation, padding, tiles."""

from typing import Any

import jax.numpy as jnp
from jax import lax

from ..equation import Equation
from ..padded import Padded, select, take_clipped
from .registry import along, rule


def reverse_real(array: Any, axis: int, size: Any) -> Any:
    """The first `size` entries of an axis in reverse."""
    steps = jnp.arange(array.shape[axis], dtype=jnp.int32)
    return take_clipped(array, size - 1 - steps, axis)


@rule("rev", effect=along("reverses", lambda e: e.params["dimensions"]))
def rev_rule(equation: Equation, x: Padded) -> Padded:
    """Along a ragged axis only the real entries are reversed."""
    axes = equation.params["dimensions"]
    ragged = [axis for axis in axes if axis in x.ragged_axes]
    array = lax.rev(x.array, [axis for axis in axes if axis not in ragged])
    for axis in ragged:
        array = reverse_real(array, axis, x.size(axis))
    return equation.result(array, has_safe_padding=x.has_safe_padding and not ragged)


def _sliced(equation: Equation) -> list[int]:
    shape = equation.eqn.invars[0].aval.shape
    return [axis for axis, size in enumerate(shape) if equation.out_shapes[0][axis] != size]


@rule("slice", effect=along("takes a part of", _sliced))
def slice_rule(equation: Equation, x: Padded) -> Padded:
    """A part of each axis; where it begins may depend on the length."""
    params, out_shape = equation.params, equation.out_shapes[0]
    strides = params["strides"] or (1,) * x.ndim
    for axis, (start, stride) in enumerate(zip(params["start_indices"], strides, strict=True)):
        if _is_whole(x, axis, start, stride, out_shape[axis]):
            continue
        size = equation.sizes.padded_size(out_shape[axis])
        last = start + (size - 1) * stride + 1 if isinstance(start, int) else None
        if last is not None and size and last <= x.array.shape[axis]:
            array = lax.slice_in_dim(x.array, start, last, stride, axis)
        else:
            array = x.take(equation.sizes.true_size(start) + stride * jnp.arange(size, dtype=jnp.int32), axis)
        x = Padded(
            array, (*x.shape[:axis], out_shape[axis], *x.shape[axis + 1 :]), x.sizes, _unless(x, axis, out_shape[axis])
        )
    return equation.result(x.array, has_safe_padding=x.has_safe_padding)


def _is_whole(x: Padded, axis: int, start: Any, stride: int, size: Any) -> bool:
    return isinstance(start, int) and start == 0 and stride == 1 and size == x.shape[axis]


def _unless(x: Padded, axis: int, size: Any) -> bool:
    """Whether padding stays safe when a part of this size is taken from an axis."""
    return x.has_safe_padding and axis not in x.ragged_axes and not x.sizes.is_ragged(size)


@rule("concatenate", effect=along("joins along", lambda e: [e.params["dimension"]]))
def concatenate_rule(equation: Equation, *parts: Padded) -> Padded:
    """The parts one after another, each after the real entries of the previous one."""
    axis = equation.params["dimension"]
    joined = lax.concatenate([x.array for x in parts], axis)
    if not any(axis in x.ragged_axes for x in parts[:-1]):
        has_safe_padding = axis not in parts[-1].ragged_axes and all(x.has_safe_padding for x in parts)
        return equation.result(joined, has_safe_padding=has_safe_padding)
    steps = jnp.arange(equation.sizes.padded_size(equation.out_shapes[0][axis]), dtype=jnp.int32)
    indices, start, padded_start = steps, 0, 0
    for x in parts[:-1]:
        start, padded_start = start + x.size(axis), padded_start + x.array.shape[axis]
        indices = jnp.where(steps >= start, steps - start + padded_start, indices)
    return equation.result(take_clipped(joined, indices, axis))


@rule("split", effect=along("splits", lambda e: [e.params["axis"]]))
def split_rule(equation: Equation, x: Padded) -> list[Padded]:
    """Parts of an axis; where each begins may depend on the length."""
    axis, results, start, padded_start = equation.params["axis"], [], 0, 0
    for index, size in enumerate(equation.params["sizes"]):
        padded_size = equation.sizes.padded_size(size)
        if isinstance(start, int) and start + padded_size <= x.array.shape[axis]:
            array = lax.slice_in_dim(x.array, start, start + padded_size, axis=axis)
        else:
            array = x.take(start + jnp.arange(padded_size, dtype=jnp.int32), axis)
        results.append(equation.result(array, has_safe_padding=_unless(x, axis, size), index=index))
        start, padded_start = start + equation.sizes.true_size(size), padded_start + padded_size
    return results


def _padded_axes(equation: Equation) -> list[int]:
    return [axis for axis, amounts in enumerate(equation.params["padding_config"]) if tuple(amounts) != (0, 0, 0)]


@rule("pad", effect=along("pads", _padded_axes))
def pad_rule(equation: Equation, x: Padded, value: Padded) -> Padded:
    """The value around each axis and between its entries, or entries cut off where the amount is negative."""
    for axis in _padded_axes(equation):
        low, _, interior = equation.params["padding_config"][axis]
        dim = equation.out_shapes[0][axis]
        size = equation.sizes.padded_size(dim)
        array = x.fill(value.array, [axis])
        span = array.shape[axis] + max(array.shape[axis] - 1, 0) * interior
        if isinstance(low, int) and low + span > 0:
            amounts = [(0, 0, 0)] * x.ndim
            amounts[axis] = (low, size - low - span, interior)
            array = lax.pad(array, value.array, amounts)
        else:
            steps = jnp.arange(size, dtype=jnp.int32) - equation.sizes.true_size(low)
            source = steps // (interior + 1)
            real = (steps >= 0) & (steps % (interior + 1) == 0) & (source < x.size(axis))
            real = jnp.expand_dims(real, [a for a in range(x.ndim) if a != axis])
            array = select(real, take_clipped(array, source, axis), value.array)
        has_safe_padding = x.has_safe_padding and not equation.sizes.is_ragged(dim)
        x = Padded(array, (*x.shape[:axis], dim, *x.shape[axis + 1 :]), x.sizes, has_safe_padding)
    return equation.result(x.array, has_safe_padding=x.has_safe_padding)


@rule("tile", effect=along("repeats", lambda e: [a for a, times in enumerate(e.params["reps"]) if times != 1]))
def tile_rule(equation: Equation, x: Padded) -> Padded:
    """Each copy begins after the real entries of the previous one."""
    array, reps = x.array, equation.params["reps"]
    moved = [axis for axis in x.ragged_axes if not (isinstance(reps[axis], int) and reps[axis] == 1)]
    padded_size = [1 if axis in moved else equation.sizes.padded_size(times) for axis, times in enumerate(reps)]
    array = jnp.tile(array, padded_size)
    for axis in moved:
        steps = jnp.arange(equation.sizes.padded_size(equation.out_shapes[0][axis]), dtype=jnp.int32)
        array = take_clipped(array, steps % jnp.maximum(x.size(axis), 1), axis)
    return equation.result(
        array, has_safe_padding=x.has_safe_padding and not moved and not any(map(x.sizes.is_ragged, reps))
    )
