"""Primitives that work entry by entry, recognised by their kind: padding only meets padding."""

import functools
from collections.abc import Hashable
from typing import Any

import jax
from jax.extend.core import Literal

from ..equation import Equation
from ..padded import Padded

# The slopes of these are finite wherever their operands are, infinite or not a number: whatever the padding holds, a
# cotangent of 0 stays 0.
_FINITE_GRADIENT = """
    add add_any and ceil clamp conj convert_element_type copy eq floor ge gt imag is_finite le lt max min ne neg
    nextafter not or real reduce_precision round select_n sign stop_gradient sub xor
"""
FINITE_GRADIENT = frozenset(_FINITE_GRADIENT.split())


def elementwise_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """The primitive on padded arrays.

    Where it may have infinite slopes, its operands get safe padding first: a cotangent of 0 times an infinite slope
    would be NaN. The slope of a product is its other factor.
    """
    if not _has_finite_gradient(equation) and equation.has_inexact_results:
        operands = tuple(x.with_safe_padding() for x in operands)
    arrays = equation.bind(*(x.array for x in operands))
    has_safe_padding = all(x.has_safe_padding for x in operands)
    return equation.results(
        arrays if equation.eqn.primitive.multiple_results else [arrays], has_safe_padding=has_safe_padding
    )


def _has_finite_gradient(equation: Equation) -> bool:
    is_scaled = equation.name == "mul" and any(isinstance(var, Literal) for var in equation.eqn.invars)
    return is_scaled or equation.name in FINITE_GRADIENT


def is_elementwise(equation: Equation) -> bool:
    """Whether the primitive works entry by entry, according to JAX.

    Its batching rule shows it: on scalars, `jax.vmap` turns such a primitive, and no other, into the same primitive
    with the same parameters.
    """
    eqn = equation.eqn
    shapes = {tuple(var.aval.shape) for var in eqn.outvars}
    if len(shapes) != 1 or not eqn.invars:
        return False
    shape = shapes.pop()
    if not all(_broadcasts(tuple(var.aval.shape), shape) for var in eqn.invars):
        return False
    dtypes = tuple((var.aval.dtype, getattr(var.aval, "weak_type", False)) for var in eqn.invars)
    params = tuple(sorted((name, None if "sharding" in name else value) for name, value in eqn.params.items()))
    if not isinstance(params, Hashable):
        return False
    try:
        return _is_entrywise(eqn.primitive, params, dtypes)
    except TypeError:  # a parameter that cannot be hashed
        return False


def _broadcasts(shape: tuple[Any, ...], out_shape: tuple[Any, ...]) -> bool:
    pairs = zip(shape, out_shape, strict=False)
    return not shape or (
        len(shape) == len(out_shape) and all(a == b or (isinstance(a, int) and a == 1) for a, b in pairs)
    )


@functools.cache
def _is_entrywise(primitive: Any, params: tuple[tuple[str, Any], ...], dtypes: tuple[Any, ...]) -> bool:
    def on_scalars(*operands: Any) -> Any:
        return primitive.bind(*operands, **dict(params))

    try:
        specs = [jax.ShapeDtypeStruct((2,), dtype, weak_type=is_weak) for dtype, is_weak in dtypes]
        found = jax.make_jaxpr(jax.vmap(on_scalars))(*specs).jaxpr.eqns
    except Exception:  # whatever a primitive that does not take scalars raises
        return False
    if not found:  # it does nothing, like a conversion to the same dtype
        return True
    return len(found) == 1 and found[0].primitive is primitive and tuple(sorted(found[0].params.items())) == params
