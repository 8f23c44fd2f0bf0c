"""Running `jm.vmap` outside `jax.jit`: compiled once per program, however often the function is traced."""

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any

import jax
from jax.core import Tracer

from ..core.masked import Masked
from ..core.programs import is_within_program, kept_programs, key_of
from .batch import BatchPlan, evaluate_batch
from .rules import rules_of_users


def run_compiled(plan: BatchPlan, leaves: Sequence[Any]) -> list[Any]:
    """Computes the results of a call, arrays and `Masked`.

    If JAX is tracing around the call, the program becomes part of that trace. Otherwise it is compiled, and the next
    call, although traced again, finds the compiled program by what it computes.
    """
    constants = plan.constants
    is_traced = any(isinstance(array, Tracer) for array in jax.tree.leaves((leaves, constants)))
    if is_traced and is_within_program():
        with jax.numpy_rank_promotion("allow"):  # the user's setting applied while the function was traced
            return evaluate_batch(plan, leaves, constants)
    function = kept_programs.get(_key(plan), lambda: _compile(_without_constants(plan)))
    with jax.numpy_rank_promotion("allow"):
        results = function(leaves, constants)
    return [
        _reuse(result, plan, leaves, out_spec.name) for result, out_spec in zip(results, plan.out_specs, strict=True)
    ]


def _compile(plan: BatchPlan) -> Callable[..., Any]:
    def vmap_of_sequences(leaves: Sequence[Any], constants: Sequence[Any]) -> list[Any]:
        return evaluate_batch(plan, leaves, constants)

    return jax.jit(vmap_of_sequences)


def _key(plan: BatchPlan) -> Hashable:
    arguments = plan.arguments
    variants = [
        (v.empty, tuple(v.symbols.own.items()), v.symbols.constraints, v.program.has_mask, key_of(v.program.jaxpr))
        for v in plan.variants
    ]
    times = tuple(arguments.times.items())
    return evaluate_batch, arguments.each, arguments.size, times, tuple(variants), rules_of_users()


def _without_constants(plan: BatchPlan) -> BatchPlan:
    """The plan without the arrays that the function closes over, which must not be kept alive."""
    variants = [
        dataclasses.replace(v, program=dataclasses.replace(v.program, jaxpr=v.program.jaxpr.jaxpr))
        for v in plan.variants
    ]
    return dataclasses.replace(plan, variants=tuple(variants))


def _reuse(result: Any, plan: BatchPlan, leaves: Sequence[Any], name: str | None) -> Any:
    """A result with the very same mask object as its argument, if nothing has moved."""
    if not (isinstance(result, Masked) and plan.are_all_run and result.mask.ndim == 2):
        return result
    for leaf, argument in zip(leaves, plan.arguments.each, strict=True):
        if name is not None and argument.name == name and argument.axis == 0 and leaf.mask.shape == result.mask.shape:
            return Masked(result.values, leaf.mask)
    return result
