"""What `jm.vmap` runs outside `jax.jit`: compiled once for each program, however often the function is traced."""

import dataclasses
import functools
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
import numpy as np
from jax import lax

from ..masked import Masked
from .batch import Plan, Variant, evaluate
from .canonical import UnknownError, describe

_MOST_PROGRAMS = 128  # that are kept


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A program under its description, by which alone it is found again."""

    key: Hashable
    function: Callable[..., Any] = dataclasses.field(compare=False)


def run(plan: Plan, leaves: Sequence[Any]) -> list[Any]:
    """The results of a call, arrays and `Masked`.

    While JAX traces around the call, its program becomes part of that trace. Else it is compiled, and found again by
    what it computes at the next call, whose trace is another one.
    """
    constants, arrays = plan.constants, jax.tree.leaves(leaves)
    is_traced = any(isinstance(array, jax.core.Tracer) for array in jax.tree.leaves((arrays, constants)))
    if is_traced and isinstance(lax.full((), 0, np.int8), jax.core.Tracer):
        return evaluate(plan, leaves, constants)
    try:
        key = (_describe(plan), tuple(_describe_variant(v, is_traced) for v in plan.variants))
        function = _compile(_Entry(key, functools.partial(evaluate, _without_constants(plan))))
    except UnknownError:
        return evaluate(plan, leaves, constants)
    results = function(leaves, constants)
    return [_reuse(result, plan, leaves, form.name) for result, form in zip(results, plan.forms, strict=True)]


@functools.lru_cache(maxsize=_MOST_PROGRAMS)
def _compile(entry: _Entry) -> Callable[..., Any]:
    def vmap_of_sequences(leaves: Sequence[Any], constants: Sequence[Any]) -> list[Any]:
        return entry.function(leaves, constants)

    return jax.jit(vmap_of_sequences)


def _describe(plan: Plan) -> Hashable:
    arguments = plan.arguments
    return arguments.each, arguments.size, tuple(arguments.times.items())


def _describe_variant(variant: Variant, with_derivatives: bool) -> Hashable:
    symbols, program = variant.symbols, variant.program
    return (
        variant.empty,
        tuple(symbols.own.items()),
        symbols.constraints,
        program.has_mask,
        describe(program.jaxpr, with_derivatives=with_derivatives),
    )


def _without_constants(plan: Plan) -> Plan:
    """The plan without the arrays that the function closes over, which are not to be kept."""
    variants = [
        dataclasses.replace(v, program=dataclasses.replace(v.program, jaxpr=v.program.jaxpr.jaxpr))
        for v in plan.variants
    ]
    return dataclasses.replace(plan, variants=tuple(variants))


def _reuse(result: Any, plan: Plan, leaves: Sequence[Any], name: str | None) -> Any:
    """A result under the very mask of its argument, if nothing has moved."""
    if not (isinstance(result, Masked) and plan.are_all_run and result.mask.ndim == 2):
        return result
    for leaf, argument in zip(leaves, plan.arguments.each, strict=True):
        if name is not None and argument.name == name and argument.axis == 0 and leaf.mask.shape == result.mask.shape:
            return dataclasses.replace(result, mask=leaf.mask)
    return result
