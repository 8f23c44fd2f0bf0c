"""Runs a program that was traced with symbolic lengths on one padded row."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend import source_info_util
from jax.extend.core import Literal

from .equation import Equation
from .padded import Padded
from .rules import has_rule_always, rule_for
from .sizes import Sizes
from .versions import bind_as_is, body_of, constants_of


def run_program(
    program: Any,
    sizes: Sizes,
    operands: Sequence[Padded],
    around: Equation | None = None,
    constants: Sequence[Any] | None = None,
) -> list[Padded]:
    """The results of the program on padded operands.

    One invariant holds for the operands, for every intermediate value and for the results: their first entries along a
    ragged axis are those that the program has on the sequence alone. The rule of each primitive keeps it.

    Args:
        program: a jaxpr.
        sizes: the values of its symbolic sizes.
        operands: its arguments.
        around: the equation that it belongs to.
        constants: used instead of its own.

    Returns:
        Its results.

    Raises:
        NotImplementedError: a primitive that has no rule meets a ragged axis.
    """
    body = body_of(program)
    env: dict[Any, Padded] = dict(zip(body.invars, operands, strict=True))
    constants = constants_of(program) if constants is None else constants
    env.update((var, _whole(value, var, sizes)) for var, value in zip(body.constvars, constants, strict=True))

    def read(atom: Any) -> Padded:
        return _whole(atom.val, atom, sizes) if isinstance(atom, Literal) else env[atom]

    for eqn in body.eqns:
        stack = source_info_util.current_name_stack() + eqn.source_info.name_stack
        with source_info_util.user_context(eqn.source_info.traceback, name_stack=stack):
            results = _step(Equation(eqn, sizes, run_program, around), [read(atom) for atom in eqn.invars])
        env.update(zip(eqn.outvars, results, strict=True))
    return [read(atom) for atom in body.outvars]


def _step(equation: Equation, operands: list[Padded]) -> list[Padded]:
    if not equation.is_ragged and not has_rule_always(equation):
        is_tangent = any(x.is_tangent for x in operands)
        arrays = bind_as_is(equation.eqn, [x.array for x in operands])
        return [
            Padded(a, s, equation.sizes, is_tangent=is_tangent)
            for a, s in zip(arrays, equation.out_shapes, strict=True)
        ]
    results = rule_for(equation)(equation, *operands)
    if not isinstance(results, (list, tuple)):
        results = [results]
    _check_results(equation, results)
    results = [x if isinstance(x, Padded) else equation.result(x, index=i) for i, x in enumerate(results)]
    if any(x.is_tangent for x in operands):
        results = [dataclasses.replace(x, is_tangent=True) for x in results]
    for result, shape in zip(results, equation.out_shapes, strict=True):
        padded = tuple(map(equation.sizes.padded_size, shape))
        if tuple(result.array.shape) != padded:
            raise ValueError(
                f"The rule of `{equation.name}` must return the padded shape {padded}; it returned "
                f"{tuple(result.array.shape)}. The equation is at {equation.line}."
            )
    return results


def _check_results(equation: Equation, results: Sequence[Any]) -> None:
    """Raises unless a rule has returned arrays, one for each result; shapes are checked later."""
    count = len(equation.out_shapes)
    wrong = [x for x in results if not hasattr(x, "shape")]
    if wrong or len(results) != count:
        must = "an array" if count == 1 else f"a list of {count} arrays"
        got = repr(wrong[0]) if wrong else f"{len(results)} of them"
        raise TypeError(
            f"The rule of `{equation.name}` must return {must}; it returned {got}. The equation is at {equation.line}."
        )


def _whole(value: Any, atom: Any, sizes: Sizes) -> Padded:
    """A constant of the program, without any padding."""
    array = value if isinstance(value, jax.Array) else np.asarray(value, atom.aval.dtype)
    return Padded(array, tuple(atom.aval.shape), sizes, has_safe_padding=True)
