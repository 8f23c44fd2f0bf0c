"""Shapes: new axes, reordered axes, and reshaped arrays."""

import math
from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
from jax import lax

from ..equation import Equation
from ..padded import Padded
from .registry import nothing, rule


@rule("broadcast_in_dim", effect=nothing)
def broadcast_in_dim_rule(equation: Equation, x: Padded) -> Padded:
    """All entries along a new axis are equal, so padding stays as safe as it was."""
    shape = equation.sizes.padded_sizes(equation.params["shape"])
    array = lax.broadcast_in_dim(x.array, shape, equation.params["broadcast_dimensions"])
    return equation.result(array, has_safe_padding=x.has_safe_padding)


@rule("transpose", "squeeze", "expand_dims", effect=nothing)
def rearrange_rule(equation: Equation, x: Padded) -> Padded:
    """Axes change places; added and removed axes have size 1."""
    return equation.result(equation.bind(x.array), has_safe_padding=x.has_safe_padding)


@rule("stack", effect=nothing)
def stack_rule(equation: Equation, *parts: Padded) -> Padded:
    """Arrays of one shape along a new axis."""
    array = equation.bind(*(x.array for x in parts))
    return equation.result(array, has_safe_padding=all(x.has_safe_padding for x in parts))


@rule("iota", effect=lambda e: "counts steps" if e.sizes.is_ragged(e.params["shape"][e.params["dimension"]]) else None)
def iota_rule(equation: Equation) -> Padded:
    """Counts along one axis."""
    params = equation.params
    array = lax.broadcasted_iota(params["dtype"], equation.sizes.padded_sizes(params["shape"]), params["dimension"])
    return equation.result(array, has_safe_padding=not equation.sizes.is_ragged(params["shape"][params["dimension"]]))


@rule("dim_as_value", effect=lambda equation: f"takes {equation.params['dim']} as a number")
def dim_as_value_rule(equation: Equation) -> Padded:
    """The size for the sequence alone."""
    dim, dtype = equation.params["dim"], equation.eqn.outvars[0].aval.dtype
    return Padded(jnp.asarray(equation.sizes.true_size(dim), dtype), (), equation.sizes, dim=dim)


def _reshape_effect(equation: Equation) -> str | None:
    shape, out_shape = tuple(equation.eqn.invars[0].aval.shape), equation.out_shapes[0]
    mixed = [g for g in _groups(shape, out_shape) if g[0] != g[1] and any(map(equation.sizes.is_ragged, g[0]))]
    return "; ".join(f"reshapes {source} into {target}" for source, target in mixed) or None


@rule("reshape", effect=_reshape_effect)
def reshape_rule(equation: Equation, x: Padded) -> Padded:
    """The same entries in another shape.

    Axes change in groups of the same number of entries. A group keeps its layout if, before and after, only its first
    axis is ragged. Otherwise each entry is looked up at its position in the padded array.
    """
    sizes, out_shape = equation.sizes, equation.out_shapes[0]
    padded_size = tuple(map(sizes.padded_size, out_shape))
    groups = list(_groups(x.shape, out_shape))
    keeps = all(_keeps_layout(sizes, source) and _keeps_layout(sizes, target) for source, target in groups)
    same = all(math.prod(map(sizes.padded_size, s)) == math.prod(map(sizes.padded_size, t)) for s, t in groups)
    if keeps and same:
        untouched = all(source == target for source, target in groups if any(map(sizes.is_ragged, source)))
        return equation.result(jnp.reshape(x.array, padded_size), has_safe_padding=x.has_safe_padding and untouched)
    index = 0  # of each entry of the result, in the sequence alone
    for axis, dim in enumerate(out_shape):
        steps = lax.broadcasted_iota(jnp.int32, padded_size, axis)
        index = index * sizes.true_size(dim) + steps
    source, stride = 0, 1  # of the same entry, in the padded array
    for dim in reversed(x.shape):
        source = source + (index % sizes.true_size(dim)) * stride
        index = index // sizes.true_size(dim)
        stride *= sizes.padded_size(dim)
    return equation.result(jnp.take(jnp.ravel(x.array), source, mode="clip"))


def _keeps_layout(sizes: Any, dims: tuple[Any, ...]) -> bool:
    return not any(map(sizes.is_ragged, dims[1:]))


def _groups(source: tuple[Any, ...], target: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], tuple[Any, ...]]]:
    """The shortest runs of axes of the same number of entries; axes of size 1 join their neighbours."""
    if any(isinstance(dim, int) and dim == 0 for dim in (*source, *target)):
        yield source, target
        return
    i = j = 0
    while i < len(source) or j < len(target):
        first, second = i, j
        i, j = min(i + 1, len(source)), min(j + 1, len(target))
        while not _equal(source[first:i], target[second:j]):
            if j < len(target) and (i == len(source) or _is_smaller(target[second:j], source[first:i])):
                j += 1
            elif i < len(source):
                i += 1
            else:
                break
        yield source[first:i], target[second:j]


def _equal(source: tuple[Any, ...], target: tuple[Any, ...]) -> bool:
    return bool(math.prod(source) == math.prod(target))


def _is_smaller(a: tuple[Any, ...], b: tuple[Any, ...]) -> bool:
    """Which of two runs to lengthen: the smaller one, by static factors and numbers of axes."""
    symbolic = [sum(not isinstance(dim, int) for dim in dims) for dims in (a, b)]
    padded_size = [math.prod(dim for dim in dims if isinstance(dim, int)) for dims in (a, b)]
    return (symbolic[0], padded_size[0]) < (symbolic[1], padded_size[1])
