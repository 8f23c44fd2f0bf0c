"""`jm.ops.associative_scan` over an unknown length: traced step by step, run in parallel."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ...ops.scans import COMBINE, SCAN, segmented_scan
from ..equation import Equation
from ..padded import Padded
from ..versions import body_of, scan_parts


def find_combine(equation: Equation) -> Any:
    """The program that combines two steps, if the equation is such a scan itself, not its derivative.

    Then constants and steps go straight from the call to the scan, and from the scan to that program. Otherwise None;
    the scan then runs step by step, like any other.
    """
    if equation.params.get("name") != SCAN:
        return None
    body = body_of(equation.params["jaxpr"])
    count = len(body.outvars)
    scans = [eqn for eqn in body.eqns if eqn.primitive.name == "scan"]
    if len(scans) != 1 or body.constvars or list(scans[0].outvars[-count:]) != list(body.outvars):
        return None
    num_consts, num_carry = scan_parts(scans[0].params)
    step = body_of(scans[0].params["jaxpr"])
    calls = [eqn for eqn in step.eqns if eqn.params.get("name") == COMBINE]
    num_steps = len(body.invars) - num_consts
    if len(calls) != 1 or num_steps != count or num_carry != count + 1 or step.constvars:
        return None
    pairs = [(scans[0].invars, body.invars), (calls[0].invars, step.invars)]
    are_straight = all(
        list(inner[:num_consts]) == list(outer[:num_consts]) and list(inner[-count:]) == list(outer[-count:])
        for inner, outer in pairs
    )
    is_whole = len(calls[0].invars) == num_consts + 2 * count and len(calls[0].outvars) == count
    return calls[0].params["jaxpr"] if are_straight and is_whole else None


def run_in_parallel(equation: Equation, combine: Any, operands: Sequence[Padded]) -> list[Padded]:
    """The scan, skipping the padding."""
    count, sizes = len(equation.eqn.outvars), equation.sizes
    constants, steps = operands[:-count], [x.with_safe_padding() for x in operands[-count:]]
    shapes = [x.shape[1:] for x in steps]

    def combine_one(left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
        rows = [Padded(x, shape, sizes) for side in (left, right) for x, shape in zip(side, shapes, strict=True)]
        return [x.array for x in equation.run(combine, sizes, [*constants, *rows])]

    is_real = jnp.arange(steps[0].array.shape[0], dtype=jnp.int32) < steps[0].size(0)
    arrays = segmented_scan(jax.vmap(combine_one), [x.array for x in steps], axis=0, mask=is_real)
    return equation.results(arrays)
