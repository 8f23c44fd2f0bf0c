"""Linear solvers that take the operator as a function, such as `jax.scipy.sparse.linalg.cg` and `jnp.linalg.solve`."""

from collections.abc import Callable, Sequence
from typing import Any

from jax import lax

from ..equation import Equation
from ..padded import Padded
from ..versions import body_of
from .registry import nothing, rule


@rule("custom_linear_solve", effect=nothing)
def custom_linear_solve_rule(equation: Equation, *operands: Padded) -> list[Padded]:
    """The solver with its own derivative: vectors have zeros in their padding, before and after the operator."""
    counts, programs = equation.params["const_lengths"], equation.params["jaxprs"]
    constants, first = {}, 0
    for name in ("matvec", "vecmat", "solve", "transpose_solve"):
        constants[name] = operands[first : first + getattr(counts, name)]
        first += getattr(counts, name)
    b = operands[first:]

    def of_vectors(name: str, *, is_linear: bool) -> Callable[[Sequence[Any]], list[Any]]:
        program = getattr(programs, name)
        shapes = [tuple(var.aval.shape) for var in body_of(program).invars[len(constants[name]) :]]

        def function(vectors: Sequence[Any]) -> list[Any]:
            rows = [Padded(v, shape, equation.sizes) for v, shape in zip(vectors, shapes, strict=True)]
            rows = [Padded(row.fill(0), row.shape, row.sizes, is_tangent=is_linear) for row in rows]
            results = equation.run(program, equation.sizes, [*constants[name], *rows])
            return [x.fill(0) for x in results]

        return function

    solve = of_vectors("solve", is_linear=False)
    has_transpose = programs.transpose_solve is not None
    backwards = of_vectors("transpose_solve", is_linear=False) if has_transpose else None
    num_auxiliary = len(equation.eqn.outvars) - len(b)

    def with_auxiliary(function: Callable) -> Callable:
        def split(_: Any, vectors: Sequence[Any]) -> Any:
            found = function(vectors)
            return (found[: len(b)], found[len(b) :]) if num_auxiliary else found

        return split

    found = lax.custom_linear_solve(
        of_vectors("matvec", is_linear=True),
        [x.fill(0) for x in b],
        with_auxiliary(solve),
        with_auxiliary(backwards) if backwards else None,
        has_aux=bool(num_auxiliary),
    )
    return equation.results([*found[0], *found[1]] if num_auxiliary else found)
