"""Functions inside the program: they are entered, and keep their custom derivatives."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..equation import Equation
from ..errors import explained_lengths
from ..padded import Padded
from ..sizes import Sizes
from ..versions import bind_as_is, body_of
from .associative import find_combine, run_in_parallel
from .registry import nothing, rule


@rule("jit", "pjit", "closed_call", "core_call", "custom_vmap_call", effect=nothing)
def call_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """A function that is equivalent to its body."""
    combine = find_combine(equation)
    if combine is not None:
        return run_in_parallel(equation, combine, operands)
    program = next(equation.params[name] for name in ("jaxpr", "call_jaxpr", "call") if name in equation.params)
    return equation.run(program, equation.sizes, operands)


@rule("remat2", "checkpoint", "remat", effect=nothing)
def checkpoint_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """A function that is recomputed in the backward pass."""
    params, flags = equation.params, []

    def body(arrays: list[Any]) -> list[Any]:
        inside = [dataclasses.replace(x, array=a) for a, x in zip(arrays, operands, strict=True)]
        results = equation.run(params["jaxpr"], equation.sizes, inside)
        flags[:] = [x.has_safe_padding for x in results]
        return [x.array for x in results]

    wrapped = jax.checkpoint(body, prevent_cse=params["prevent_cse"], policy=params["policy"])
    arrays = wrapped([x.array for x in operands])
    return [
        equation.result(a, has_safe_padding=is_safe, index=i)
        for i, (a, is_safe) in enumerate(zip(arrays, flags, strict=True))
    ]


@rule("custom_jvp_call", effect=nothing)
def custom_jvp_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """A function with a rule for its tangents.

    JAX differentiates the equation with symbolic sizes, which runs the user's rule; the resulting program is run on the
    padded row.
    """
    row, is_of_det = _Row(equation, operands), _is_determinant(equation)

    @jax.custom_jvp
    def function(lengths: Any, arrays: list[Any]) -> list[Any]:
        return row.call(lengths, arrays)

    @function.defjvp
    def tangents_of(primals: Any, tangents: Any) -> Any:
        if is_of_det:
            raise NotImplementedError(
                f"`jm.vmap`: the gradient of `jnp.linalg.det` of a matrix of unknown size, at {equation.line}, for "
                "which JAX has another formula if the size is 1. Write `sign, log = jnp.linalg.slogdet(a)` and `sign * "
                "jnp.exp(log)`."
            )
        (lengths, arrays), (_, tangents) = primals, tangents

        def both(specs: list[Any], directions: list[Any]) -> Any:
            some = tuple(specs[i] for i in row.differentiable)
            return jax.jvp(row.function_of_differentiable(specs), some, tuple(directions), has_aux=True)

        with explained_lengths(lengths):
            program = jax.make_jaxpr(both)(row.specs, [row.specs[i] for i in row.differentiable])
        found = row.run(program, lengths, arrays, [tangents[i] for i in row.differentiable])
        values, rest = _split(found, len(row.differentiable_results))
        found_tangents, others = _split(rest, len(row.differentiable_results))
        return row.in_order(values, others), row.in_order(found_tangents, [_no_gradient(x) for x in others])

    return row.results(function)


@rule("custom_vjp_call", "custom_vjp_call_jaxpr", effect=nothing)
def custom_vjp_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """A function with a rule for its cotangents, handled in the same way; those of padding are zeros."""
    row = _Row(equation, operands)
    pullback: dict[str, Any] = {}

    @jax.custom_vjp
    def function(lengths: Any, arrays: list[Any]) -> list[Any]:
        return row.call(lengths, arrays)

    def forward(lengths: Any, arrays: list[Any]) -> Any:
        def values_and_residuals(specs: list[Any]) -> Any:
            some = (specs[i] for i in row.differentiable)
            values, pull, others = jax.vjp(row.function_of_differentiable(specs), *some, has_aux=True)
            residuals, pullback["structure"] = jax.tree.flatten(pull)
            return values, others, residuals

        with explained_lengths(lengths):
            program = jax.make_jaxpr(values_and_residuals)(row.specs)
        pullback["residuals"] = program.out_avals[len(row.result_specs) :]
        found, residuals = _split(row.run(program, lengths, arrays), len(row.result_specs))
        values, others = _split(found, len(row.differentiable_results))
        return row.in_order(values, others), (lengths, arrays, residuals)

    def backward(saved: Any, cotangents: list[Any]) -> Any:
        lengths, arrays, residuals = saved

        def pulled(residuals: list[Any], cotangents: list[Any]) -> Any:
            return pullback["structure"].unflatten(residuals)(cotangents)

        specs = [row.result_specs[i] for i in row.differentiable_results]
        shapes = [jax.ShapeDtypeStruct(aval.shape, aval.dtype) for aval in pullback["residuals"]]
        with explained_lengths(lengths):
            program, sizes = jax.make_jaxpr(pulled)(shapes, specs), row.sizes(lengths)
        given = [cotangents[i] for i in row.differentiable_results]
        given = [Padded(x, spec.shape, sizes).fill(0) for x, spec in zip(given, specs, strict=True)]
        found = iter(row.run(program, lengths, [*residuals, *given]))
        result = [
            Padded(next(found), spec.shape, sizes).fill(0) if i in row.differentiable else _no_gradient(array)
            for i, (array, spec) in enumerate(zip(arrays, row.specs, strict=True))
        ]
        return jax.tree.map(_no_gradient, lengths), result

    function.defvjp(forward, backward)
    return row.results(function)


class _Row:
    """A function with a custom derivative, and the row that its operands belong to.

    The lengths of the row are arguments like the others: such functions must not close over traced values.

    Attributes:
        specs: the abstract operands, with symbolic sizes.
        differentiable: which of them have gradients.
        result_specs: the abstract results.
        differentiable_results: which of them have gradients.
    """

    def __init__(self, equation: Equation, operands: Sequence[Padded]) -> None:
        self.equation, self.operands = equation, [x.with_safe_padding() for x in operands]
        self.specs, differentiable = _specs(equation.eqn.invars)
        first = equation.params.get("num_consts", 0)  # operands before it are closed over and have no derivative
        self.differentiable = [i for i in differentiable if i >= first]
        self.result_specs, self.differentiable_results = _specs(equation.eqn.outvars)
        self._have_safe_padding: list[bool] = []

    def sizes(self, lengths: dict[str, Any]) -> Sizes:
        """The sizes of a row with these lengths."""
        return dataclasses.replace(self.equation.sizes, lengths=lengths)

    def run(
        self, program: Any, lengths: dict[str, Any], arrays: Sequence[Any], tangents: Sequence[Any] = ()
    ) -> list[Any]:
        """Runs a program on arrays and tangents in the shapes of its arguments."""
        sizes, shapes = self.sizes(lengths), [tuple(var.aval.shape) for var in body_of(program).invars]
        operands = [
            Padded(
                array,
                shape,
                sizes,
                has_safe_padding=i < len(self.specs) and bool(tangents),
                is_tangent=i >= len(arrays),
            ).with_safe_padding()
            for i, (array, shape) in enumerate(zip((*arrays, *tangents), shapes, strict=True))
        ]
        return [x.array for x in self.equation.run(program, sizes, operands)]

    def call(self, lengths: dict[str, Any], arrays: Sequence[Any]) -> list[Any]:
        """The function itself."""
        sizes = self.sizes(lengths)
        operands = [
            Padded(a, spec.shape, sizes, has_safe_padding=True) for a, spec in zip(arrays, self.specs, strict=True)
        ]
        results = self.equation.run(self.equation.params["call_jaxpr"], sizes, operands)
        self._have_safe_padding = [x.has_safe_padding for x in results]
        return [x.array for x in results]

    def function_of_differentiable(self, specs: Sequence[Any]) -> Any:
        """JAX's own equation as a function of the differentiable operands: differentiable results, and the others."""

        def function(*some: Any) -> tuple[list[Any], list[Any]]:
            mixed = list(specs)
            for i, value in zip(self.differentiable, some, strict=True):
                mixed[i] = value
            results = bind_as_is(self.equation.eqn, mixed)
            others = [x for i, x in enumerate(results) if i not in self.differentiable_results]
            return [results[i] for i in self.differentiable_results], others

        return function

    def in_order(self, differentiable: Sequence[Any], others: Sequence[Any]) -> list[Any]:
        """Results in the order of the equation."""
        first, second = iter(differentiable), iter(others)
        return [next(first if i in self.differentiable_results else second) for i in range(len(self.result_specs))]

    def results(self, function: Any) -> list[Padded]:
        """The results of the function for the operands."""
        arrays = function(dict(self.equation.sizes.lengths), [x.array for x in self.operands])
        are_safe = self._have_safe_padding or [False] * len(arrays)
        return [
            self.equation.result(a, has_safe_padding=s, index=i)
            for i, (a, s) in enumerate(zip(arrays, are_safe, strict=True))
        ]


def _is_determinant(equation: Equation) -> bool:
    """Whether it is `jnp.linalg.det`, whose gradient in JAX depends on whether the size is 1."""
    name = body_of(equation.params["call_jaxpr"]).debug_info.func_name
    return equation.is_ragged and name in ("det", "_det")


def _specs(variables: Sequence[Any]) -> tuple[list[jax.ShapeDtypeStruct], list[int]]:
    specs = [jax.ShapeDtypeStruct(var.aval.shape, var.aval.dtype) for var in variables]
    return specs, [i for i, spec in enumerate(specs) if jnp.issubdtype(spec.dtype, jnp.inexact)]


def _split(values: Sequence[Any], size: int) -> tuple[list[Any], list[Any]]:
    return list(values[:size]), list(values[size:])


def _no_gradient(array: Any) -> Any:
    is_inexact = jnp.issubdtype(array.dtype, jnp.inexact)
    return jnp.zeros_like(array) if is_inexact else np.zeros(np.shape(array), jax.dtypes.float0)
