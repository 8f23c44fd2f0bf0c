"""Reads and writes at indices: the length of the sequence decides what is in bounds."""

import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from ..equation import Equation
from ..padded import Padded, select, take_clipped
from .registry import rule

MODE = lax.GatherScatterMode


def _words(equation: Equation, parts: Sequence[Any]) -> str | None:
    """The ragged axes that are read or written only in part."""
    shape = equation.eqn.invars[0].aval.shape
    found = [dim for dim, part in zip(shape, parts, strict=True) if equation.sizes.is_ragged(dim) and part != dim]
    return f"indexes {', '.join(map(str, found))}" if found else None


def _sliced(equation: Equation) -> str | None:
    update = equation.eqn.invars[1].aval.shape
    return _words(equation, update if equation.name == "dynamic_update_slice" else equation.out_shapes[0])


def _gathered(equation: Equation) -> str | None:
    return _words(equation, equation.params["slice_sizes"])


def _start(equation: Equation, index: Any, size: Any, part: Any) -> Any:
    """The start of a part of an axis, moved so that the part ends within the axis."""
    return jnp.clip(index, 0, equation.sizes.true_size(size) - equation.sizes.true_size(part)).astype(jnp.int32)


@rule("dynamic_slice", effect=_sliced)
def dynamic_slice_rule(equation: Equation, x: Padded, *starts: Padded) -> Padded:
    """A part that begins at an index."""
    array, has_safe_padding = x.array, x.has_safe_padding
    for axis, (start, size) in enumerate(zip(starts, equation.out_shapes[0], strict=True)):
        if size == x.shape[axis]:
            continue
        first = _start(equation, start.array, x.shape[axis], size)
        if equation.sizes.is_ragged(size):
            steps = jnp.arange(equation.sizes.padded_size(size), dtype=jnp.int32)
            array = take_clipped(array, first + steps, axis)
        else:
            array = lax.dynamic_slice_in_dim(array, first, size, axis)
        has_safe_padding = has_safe_padding and axis not in x.ragged_axes and not equation.sizes.is_ragged(size)
    return equation.result(array, has_safe_padding=has_safe_padding)


@rule("dynamic_update_slice", effect=_sliced)
def dynamic_update_slice_rule(equation: Equation, x: Padded, update: Padded, *starts: Padded) -> Padded:
    """The array with the part that begins at an index replaced."""
    firsts = [
        _start(equation, start.array, *sizes) for start, *sizes in zip(starts, x.shape, update.shape, strict=True)
    ]
    if not update.is_ragged:
        return equation.result(lax.dynamic_update_slice(x.array, update.array, firsts))
    array, inside = update.array, True
    for axis, first in enumerate(firsts):
        steps = jnp.arange(x.array.shape[axis], dtype=jnp.int32) - first
        array = take_clipped(array, steps, axis)
        within = (steps >= 0) & (steps < update.size(axis))
        inside &= jnp.expand_dims(within, [a for a in range(x.ndim) if a != axis])
    return equation.result(select(inside, array, x.array))


@rule("gather", effect=_gathered)
def gather_rule(equation: Equation, x: Padded, indices: Padded) -> Padded:
    """Windows at indices; a ragged window begins where the padded array has room for all of it."""
    params, sizes = equation.params, equation.sizes
    numbers, windows = params["dimension_numbers"], params["slice_sizes"]
    axes, array = numbers.start_index_map, x.array
    indices = indices.with_safe_padding()
    partial = [axis for axis in axes if sizes.is_ragged(windows[axis]) and windows[axis] != x.shape[axis]]
    if partial:
        room = [(0, sizes.padded_size(windows[axis]) if axis in partial else 0, 0) for axis in range(x.ndim)]
        array = lax.pad(array, jnp.zeros((), array.dtype), room)
    if not x.is_ragged:
        return equation.result(
            equation.bind(array, indices.array), has_safe_padding=indices.has_safe_padding and not partial
        )
    last = [sizes.true_size(x.shape[axis]) - sizes.true_size(windows[axis]) for axis in axes]
    mode = MODE.from_any(params["mode"])
    found = equation.bind(array, _bounded(indices.array, axes, last, mode != MODE.FILL_OR_DROP, array))
    if mode == MODE.PROMISE_IN_BOUNDS and not x.is_tangent and jnp.issubdtype(x.dtype, jnp.inexact):
        broken = functools.reduce(jnp.logical_or, map(_is_beyond, _columns(indices.array), last), False)
        broken = jnp.expand_dims(broken, numbers.offset_dims)
        found = select(broken, lax.stop_gradient(found), found)  # XLA reads the nearest entry, with no gradient
    return equation.result(found)


def _bounded(indices: Any, axes: Sequence[Any], last: list[Any], are_clipped: bool, array: Any) -> Any:
    """Indices that are in or out of bounds of the padded array as they are for the sequence alone; int32 at least."""
    columns = []
    for column, axis, most in zip(_columns(indices), axes, last, strict=True):
        if are_clipped:
            columns.append(jnp.clip(column, 0, most).astype(column.dtype))
        else:
            columns.append(jnp.where(_is_beyond(column, most), _beyond(column, array.shape[axis]), column))
    return jnp.stack(columns, axis=-1) if columns else indices


def _columns(indices: Any) -> list[Any]:
    """The indices along each axis, in a dtype that holds every size."""
    indices = indices.astype(jnp.promote_types(indices.dtype, jnp.int32))
    return [indices[..., k] for k in range(indices.shape[-1])]


def _is_beyond(column: Any, last: Any) -> Any:
    return (column < 0) | (column > last)


def _beyond(column: Any, size: Any) -> Any:
    """Indices out of bounds, no two alike: some scatters promise that theirs are unique."""
    return size + jnp.arange(column.size, dtype=column.dtype).reshape(column.shape)


def _scattered(equation: Equation) -> str | None:
    shapes = [tuple(var.aval.shape) for var in equation.eqn.invars]
    found = [dim for dim in shapes[1] if equation.sizes.is_ragged(dim)]
    if found:
        return f"gathers {', '.join(map(str, found))}"
    return _words(equation, _window_shape(equation.params["dimension_numbers"], shapes[0], shapes[2]))


@rule("scatter", "scatter-add", "scatter-sub", "scatter-mul", "scatter-min", "scatter-max", effect=_scattered)
def scatter_rule(equation: Equation, x: Padded, indices: Padded, updates: Padded) -> Padded:
    """Updates at indices; what comes from padding is dropped."""
    params, sizes = equation.params, equation.sizes
    numbers = params["dimension_numbers"]
    axes = numbers.scatter_dims_to_operand_dims
    windows = _window_shape(numbers, x.shape, updates.shape)
    if any(sizes.is_ragged(window) and window != size for window, size in zip(windows, x.shape, strict=True)):
        return _write_window(equation, x, indices, updates, windows)
    last = [sizes.true_size(x.shape[axis]) - sizes.true_size(windows[axis]) for axis in axes]
    bounded = _bounded(indices.array, axes, last, MODE.from_any(params["mode"]) == MODE.CLIP, x.array)
    if indices.is_ragged:
        outside = [_beyond(bounded[..., k], x.array.shape[axis]) for k, axis in enumerate(axes)]
        bounded = jnp.where(indices.valid(), bounded, jnp.stack(outside, axis=-1))
    changed = {"mode": MODE.FILL_OR_DROP, "indices_are_sorted": False}
    return equation.result(equation.bind(x.array, bounded, updates.array, **changed))


_COMBINE = {
    "scatter": lambda old, new: new,
    "scatter-add": jnp.add,
    "scatter-sub": jnp.subtract,
    "scatter-mul": jnp.multiply,
    "scatter-min": jnp.minimum,
    "scatter-max": jnp.maximum,
}


def _write_window(equation: Equation, x: Padded, indices: Padded, updates: Padded, windows: list[Any]) -> Padded:
    """One window of a size that depends on the length, such as `x.at[1:].set(y)`."""
    numbers, sizes = equation.params["dimension_numbers"], equation.sizes
    if indices.ndim > 1 or numbers.operand_batching_dims:
        raise NotImplementedError(
            f"`jm.vmap`: `{equation.name}` writes several windows of the unknown sizes {windows} at once, at "
            f"{equation.line}. Write them one by one, or as a `jnp.where` over the whole axis."
        )
    array, inside = jnp.expand_dims(updates.array, numbers.inserted_window_dims), True
    starts = dict(zip(numbers.scatter_dims_to_operand_dims, indices.array, strict=True))
    for axis, window in enumerate(windows):
        last = sizes.true_size(x.shape[axis]) - sizes.true_size(window)
        start = starts.get(axis, 0)
        if MODE.from_any(equation.params["mode"]) == MODE.CLIP:
            start = jnp.clip(start, 0, last)
        steps = jnp.arange(x.array.shape[axis], dtype=jnp.int32) - start
        array = take_clipped(array, steps, axis)
        within = (steps >= 0) & (steps < sizes.true_size(window)) & (start >= 0) & (start <= last)
        inside &= jnp.expand_dims(within, [a for a in range(x.ndim) if a != axis])
    return equation.result(select(inside, _COMBINE[equation.name](x.array, array), x.array))


def _window_shape(numbers: Any, shape: tuple[Any, ...], updates: tuple[Any, ...]) -> list[Any]:
    """The sizes of one update along the axes of the array."""
    sizes = iter(updates[axis] for axis in numbers.update_window_dims)
    alone = {*numbers.inserted_window_dims, *numbers.operand_batching_dims}
    return [1 if axis in alone else next(sizes) for axis in range(len(shape))]
