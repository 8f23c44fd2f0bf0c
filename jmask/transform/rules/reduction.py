"""Reductions: the padding is filled with a value that changes nothing."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..equation import Equation
from ..padded import Padded
from .registry import along, rule


def largest(dtype: Any) -> Any:
    """The value that no other exceeds."""
    if dtype == jnp.bool_:
        return True
    return _infinity(dtype) if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).max


def smallest(dtype: Any) -> Any:
    """The value that exceeds no other."""
    if dtype == jnp.bool_:
        return False
    return -_infinity(dtype) if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).min


def _infinity(dtype: Any) -> Any:
    """Infinity, or the largest number of a dtype that has none."""
    return jnp.inf if np.isinf(np.asarray(jnp.inf).astype(dtype)) else jnp.finfo(dtype).max


def _ones(dtype: Any) -> Any:
    return True if dtype == jnp.bool_ else np.invert(np.zeros((), dtype))


IDENTITIES = {
    "sum": lambda dtype: 0,
    "prod": lambda dtype: 1,
    "max": smallest,
    "min": largest,
    "or": lambda dtype: 0,
    "xor": lambda dtype: 0,
    "and": _ones,
}


@rule(*(f"reduce_{name}" for name in IDENTITIES), effect=along("reduces over", lambda e: e.params["axes"]))
def reduce_rule(equation: Equation, x: Padded) -> Padded:
    """A reduction with an identity."""
    identity = IDENTITIES[equation.name.removeprefix("reduce_")](x.dtype)
    return equation.result(
        equation.bind(x.fill(identity, equation.params["axes"])), has_safe_padding=x.has_safe_padding
    )


@rule("argmax", "argmin", effect=along("searches", lambda e: e.params["axes"]))
def search_rule(equation: Equation, x: Padded) -> Padded:
    """The first of several equal entries wins, so the padding, which comes last, never does."""
    least = smallest(x.dtype) if equation.name == "argmax" else largest(x.dtype)
    return equation.result(equation.bind(x.fill(least, equation.params["axes"])), has_safe_padding=x.has_safe_padding)


@rule("reduce", effect=along("reduces over", lambda e: e.params["dimensions"]))
def reduce_by_function_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """A reduction by a user's function, whose initial values `jax.lax.reduce` requires to change nothing."""
    half = len(operands) // 2
    axes = equation.params["dimensions"]
    filled = [x.fill(init.array, axes) for x, init in zip(operands[:half], operands[half:], strict=True)]
    return equation.results(equation.bind(*filled, *(init.array for init in operands[half:])))
