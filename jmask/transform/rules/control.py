"""Loops and branches: their programs run by the same rules."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.extend.core import Literal

from ..equation import Equation
from ..padded import Padded, select, take_clipped
from ..versions import body_of, scan_parts, vary_alike
from .registry import nothing, rule


def _scans(equation: Equation) -> str | None:
    length = equation.params["length"]
    return f"scans {length}" if equation.sizes.is_ragged(length) else None


def _operands(program: Any, arrays: Any, equation: Equation, outside: Sequence[Padded]) -> list[Padded]:
    shapes = [tuple(var.aval.shape) for var in body_of(program).invars]
    is_tangent = any(x.is_tangent for x in outside)
    return [Padded(a, shape, equation.sizes, is_tangent=is_tangent) for a, shape in zip(arrays, shapes, strict=True)]


def _arrays(values: Any, dtypes: Any) -> list[Any]:
    """Plain arrays of these dtypes, no longer weakly typed: the carry of a loop must keep its type."""
    return [
        x.array if jnp.issubdtype(dtype, jax.dtypes.extended) else lax.convert_element_type(x.array, dtype)
        for x, dtype in zip(values, dtypes, strict=True)
    ]


@rule("scan", effect=_scans)
def scan_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """A scan over all padded steps of the row; at padded steps the carry is unchanged.

    There the body runs on the inputs of its first step, so that it is never worse than on the sequence alone.
    """
    params, program, sizes = equation.params, equation.params["jaxpr"], equation.sizes
    num_consts, num_carry = scan_parts(params)
    consts, init, xs = operands[:num_consts], operands[num_consts:][:num_carry], operands[num_consts + num_carry :]
    steps = jnp.arange(sizes.padded_size(params["length"]), dtype=jnp.int32)
    is_ragged = sizes.is_ragged(params["length"])
    inputs = [_with_first_step(x, params["reverse"]) if is_ragged else x.with_safe_padding().array for x in xs]
    dtypes = [var.aval.dtype for var in body_of(program).invars][num_consts:][:num_carry]
    start = _start(_arrays(init, dtypes), [*(x.array for x in consts), *inputs], equation)

    def step(carry: list[Any], inputs: Any) -> tuple[list[Any], list[Any]]:
        index, slices = inputs
        is_real = index < sizes.true_size(params["length"])
        before = carry
        if is_ragged:
            before = [select(is_real, c, lax.stop_gradient(s)) for c, s in zip(carry, start, strict=True)]
        arrays = [*(x.array for x in consts), *before, *slices]
        results = equation.run(program, sizes, _operands(program, arrays, equation, operands))
        after = _arrays(results[:num_carry], dtypes)
        if is_ragged:
            after = [select(is_real, new, old) for new, old in zip(after, carry, strict=True)]
        return after, [x.array for x in results[num_carry:]]

    unroll = sizes.padded_sizes(params["unroll"])
    carry, ys = lax.scan(step, start, (steps, inputs), reverse=params["reverse"], unroll=unroll)
    return equation.results([*carry, *ys])


def _with_first_step(x: Padded, is_reverse: bool) -> Any:
    """The inputs of a scan, with those of the first step it runs at padded steps."""
    if not is_reverse or x.is_tangent or 0 in x.array.shape:
        return x.with_safe_padding().array
    others = tuple(axis for axis in x.ragged_axes if axis)
    rest = (
        Padded(x.array, (x.array.shape[0], *x.shape[1:]), x.sizes, x.has_safe_padding).with_safe_padding().array
        if others
        else x.array
    )
    last = lax.stop_gradient(take_clipped(rest, jnp.maximum(x.size(0) - 1, 0)[None], 0))
    return select(x.valid([0]), rest, select(x.size(0) > 0, last, 1))


def _start(carry: list[Any], arrays: Sequence[Any], equation: Equation) -> list[Any]:
    """The initial carry of a loop, as an array of its row even if it is a constant.

    This gives it the type that it has after a step, even on several devices.
    """
    lengths = list(equation.sizes.lengths.values())

    def of_row(array: Any) -> Any:
        if jnp.issubdtype(array.dtype, jnp.number):
            for length in lengths:
                array += (0 * length).astype(array.dtype)
        return array

    return vary_alike(list(map(of_row, carry)), like=[*arrays, *lengths])


@rule("while", effect=nothing)
def while_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """A loop that runs while its condition holds for this row."""
    bounds = _count_of(equation, operands)
    if bounds is not None:
        return _count(equation, operands, *bounds)
    params, sizes = equation.params, equation.sizes
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    in_condition, in_body, init = operands[:first], operands[first:second], operands[second:]
    dtypes = [var.aval.dtype for var in equation.eqn.outvars]

    def results_of(program: Any, consts: Any, carry: list[Any]) -> list[Padded]:
        arrays = [*(x.array for x in consts), *carry]
        return equation.run(program, sizes, _operands(program, arrays, equation, operands))

    carry = lax.while_loop(
        lambda carry: results_of(params["cond_jaxpr"], in_condition, carry)[0].array,
        lambda carry: _arrays(results_of(params["body_jaxpr"], in_body, carry), dtypes),
        _start(_arrays(init, dtypes), [x.array for x in operands], equation),
    )
    return equation.results(carry)


def _count_of(equation: Equation, operands: Sequence[Padded]) -> tuple[int, Any] | None:
    """The bounds of a `jax.lax.fori_loop` up to a size that depends on the length."""
    params, carry = equation.params, operands[equation.params["cond_nconsts"] + equation.params["body_nconsts"] :]
    condition, body = body_of(params["cond_jaxpr"]), body_of(params["body_jaxpr"])
    if params["cond_nconsts"] or len(carry) < 2 or carry[1].dim is None or not isinstance(carry[0].array, np.ndarray):
        return None
    index, upper = body.invars[params["body_nconsts"] :][:2]
    compares = [(eqn.primitive.name, list(eqn.invars)) for eqn in condition.eqns] == [("lt", condition.invars[:2])]
    counts = any(
        eqn.primitive.name == "add"
        and eqn.outvars[0] is body.outvars[0]
        and eqn.invars[0] is index
        and isinstance(eqn.invars[1], Literal)
        and eqn.invars[1].val == 1
        for eqn in body.eqns
    )
    return (int(carry[0].array), carry[1].dim) if compares and counts and body.outvars[1] is upper else None


def _count(equation: Equation, operands: Sequence[Padded], lower: int, upper: Any) -> list[Padded]:
    """The loop as a scan over all padded steps of the row, which has a gradient, as the loop alone does."""
    params, sizes = equation.params, equation.sizes
    consts, init = operands[: params["body_nconsts"]], operands[params["body_nconsts"] :]
    dtypes = [var.aval.dtype for var in equation.eqn.outvars]
    start = _start(_arrays(init, dtypes), [x.array for x in operands], equation)

    def step(carry: list[Any], index: Any) -> tuple[list[Any], None]:
        is_real = index < sizes.true_size(upper)
        before = [select(is_real, c, lax.stop_gradient(s)) for c, s in zip(carry, start, strict=True)]
        arrays = [*(x.array for x in consts), *before]
        results = equation.run(params["body_jaxpr"], sizes, _operands(params["body_jaxpr"], arrays, equation, operands))
        return [select(is_real, new, old) for new, old in zip(_arrays(results, dtypes), carry, strict=True)], None

    carry, _ = lax.scan(step, start, jnp.arange(lower, max(sizes.padded_size(upper), lower), dtype=jnp.int32))
    return equation.results(carry)


@rule("cond", effect=nothing)
def cond_rule(equation: Equation, index: Padded, *operands: Padded) -> list[Padded]:
    """One of several programs."""
    dtypes = [var.aval.dtype for var in equation.eqn.outvars]

    def branch(program: Any) -> Any:
        def call(*arrays: Any) -> list[Any]:
            found = equation.run(program, equation.sizes, _operands(program, arrays, equation, operands))
            return vary_alike(_arrays(found, dtypes), like=everything)

        return call

    branches = [branch(program) for program in equation.params["branches"]]
    arrays = [x.array for x in operands]
    everything = [*arrays, *equation.sizes.lengths.values()]
    return equation.results(lax.switch(lax.convert_element_type(index.array, jnp.int32), branches, *arrays))


@rule("optimization_barrier", effect=nothing)
def barrier_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """Leaves everything unchanged."""
    arrays = equation.bind(*(x.array for x in operands))
    return [dataclasses.replace(x, array=array) for x, array in zip(operands, arrays, strict=True)]
