"""Sorting: padding comes last, whatever it holds."""

import jax.numpy as jnp
from jax import lax

from ..equation import Equation
from ..padded import Padded
from .reduction import smallest
from .registry import along, rule


@rule("sort", effect=along("sorts", lambda e: [e.params["dimension"]]))
def sort_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """Sorts by one more key, the first: whether an entry is padding."""
    axis, x = equation.params["dimension"], operands[0]
    has_safe_padding = all(operand.has_safe_padding for operand in operands)
    arrays = [operand.array for operand in operands]
    if axis not in x.ragged_axes:
        return equation.results(equation.bind(*arrays), has_safe_padding=has_safe_padding)
    is_padding = jnp.broadcast_to(~x.valid([axis]), x.array.shape)
    _, *arrays = lax.sort(
        (is_padding, *arrays),
        dimension=axis,
        is_stable=equation.params["is_stable"],
        num_keys=equation.params["num_keys"] + 1,
    )
    return equation.results(arrays)


@rule("top_k", effect=along("sorts", lambda e: [len(e.eqn.invars[0].aval.shape) - 1]))
def top_k_rule(equation: Equation, x: Padded) -> list[Padded]:
    """The largest entries; ties go to the first, so padding, which comes last, never wins."""
    axis = equation.params.get("axis", x.ndim - 1)
    found = equation.results(equation.bind(x.fill(smallest(x.dtype), [axis])), has_safe_padding=x.has_safe_padding)
    return [equation.result(y.fill(0, [axis]), index=index) for index, y in enumerate(found)]
