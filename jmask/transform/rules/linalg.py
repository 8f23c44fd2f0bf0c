"""Linear algebra: a ragged matrix becomes a block of a larger one, whose other block is harmless."""

from typing import Any

import jax.numpy as jnp
from jax import lax

from ..equation import Equation
from ..padded import Padded, select, take_clipped
from .registry import nothing, rule


def _factorises(equation: Equation) -> str | None:
    shape = equation.eqn.invars[0].aval.shape
    return "factorises a matrix of steps" if any(map(equation.sizes.is_ragged, shape[-2:])) else None


def _ragged_sides(x: Padded) -> list[int]:
    return [axis for axis in (x.ndim - 2, x.ndim - 1) if axis in x.ragged_axes]


def _with_block(x: Padded, diagonal: Any = None) -> Any:
    """A square matrix with zeros in its padding, except ones, or the given entries `(..., size)`, on the diagonal."""
    block = jnp.eye(x.array.shape[-1], dtype=x.dtype)
    if diagonal is not None:
        block = block * diagonal[..., None, :].astype(x.dtype)
    axes = _ragged_sides(x)
    return select(x.valid(axes), x.array, jnp.broadcast_to(block, x.array.shape)) if axes else x.array


def _check_square(equation: Equation, x: Padded) -> None:
    rows, columns = x.shape[-2:]
    if rows != columns:
        raise NotImplementedError(
            f"`jm.vmap`: `{equation.name}` of a matrix of shape ({rows}, {columns}), at {equation.line}: of a matrix "
            "with a side of unknown length it needs a square one, such as `x.T @ x` or `x @ x.T`."
        )


@rule("cholesky", effect=_factorises)
def cholesky_rule(equation: Equation, x: Padded) -> Padded:
    """The factor of a block matrix is the block matrix of the factors."""
    return equation.result(equation.bind(_with_block(x.with_safe_padding())))


@rule("triangular_solve", effect=_factorises)
def triangular_solve_rule(equation: Equation, a: Padded, b: Padded) -> Padded:
    """The unknowns of the identity block equal its right-hand side: zeros."""
    a, b = a.with_safe_padding(), b.with_safe_padding()
    axis = b.ndim - (2 if equation.params["left_side"] else 1)
    return equation.result(equation.bind(_with_block(a), b.fill(0, [axis])))


@rule("lu", effect=_factorises)
def lu_rule(equation: Equation, x: Padded) -> list[Padded]:
    """A row of the identity block is never the pivot of an earlier column."""
    if _ragged_sides(x):
        _check_square(equation, x)
    return equation.results(equation.bind(_with_block(x.with_safe_padding())))


@rule("lu_pivots_to_permutation", effect=nothing)
def permutation_rule(equation: Equation, pivots: Padded) -> Padded:
    """Padded rows stay where they are."""
    steps = jnp.arange(pivots.array.shape[-1], dtype=pivots.dtype)
    return equation.result(equation.bind(pivots.fill(steps, [pivots.ndim - 1])))


@rule("eigh", effect=_factorises)
def eigh_rule(equation: Equation, x: Padded) -> list[Padded]:
    """The eigenvalues of the other block exceed all those of the matrix, so they come last.

    They are all different, since the derivatives of eigenvectors divide by differences of eigenvalues.
    """
    x = x.with_safe_padding()
    if not _ragged_sides(x):
        return equation.results(equation.bind(x.array), has_safe_padding=True)
    _check_square(equation, x)
    bound = jnp.abs(x.fill(0)).sum(-1).max(-1)
    return equation.results(equation.bind(_with_block(x, _beyond(bound, x))))


@rule("svd", effect=_factorises)
def svd_rule(equation: Equation, x: Padded) -> list[Padded]:
    """For a square matrix, the singular values of the other block are larger, come first, and are cut off.

    For other matrices, rows or columns of zeros change nothing.
    """
    x, sides = x.with_safe_padding(), _ragged_sides(x)
    if not sides:
        return equation.results(equation.bind(x.array), has_safe_padding=True)
    if len(sides) == 1:
        _check_rank(equation, x, equation.out_shapes[0][-1])
        if equation.params["compute_uv"] and equation.params["full_matrices"]:
            raise NotImplementedError(
                f"`jm.vmap`: `svd` of a matrix of shape {x.shape[-2:]}, at {equation.line}: the basis of what the "
                "matrix does not reach depends on the padding. Say `full_matrices=False`."
            )
        return equation.results(equation.bind(x.fill(0, sides)))
    _check_square(equation, x)
    norm = jnp.sqrt((jnp.abs(x.fill(0)) ** 2).sum((-2, -1)))
    found = equation.bind(_with_block(x, _beyond(norm, x)))
    size = x.array.shape[-1]
    order = jnp.arange(size, dtype=jnp.int32) + size - x.size(x.ndim - 1)
    places = (x.ndim - 2, x.ndim - 1, x.ndim - 2)  # of the singular values in the results
    return equation.results([take_clipped(array, order, axis) for array, axis in zip(found, places, strict=False)])


@rule("qr", effect=_factorises)
def qr_rule(equation: Equation, x: Padded) -> list[Padded]:
    """A reflection leaves rows of zeros and the identity block unchanged."""
    x, sides = x.with_safe_padding(), _ragged_sides(x)
    if x.ndim - 1 in sides and equation.params.get("pivoting"):
        raise NotImplementedError(
            f"`jm.vmap`: `qr` with pivoting of columns of unknown number, at {equation.line}. Say `pivoting=False`."
        )
    if len(sides) == 2:
        _check_square(equation, x)
        return equation.results(equation.bind(_with_block(x)))
    if sides:
        _check_rank(equation, x, equation.out_shapes[1][-1 if sides == [x.ndim - 2] else -2])
    return equation.results(equation.bind(x.fill(0, sides) if sides else x.array), has_safe_padding=not sides)


@rule("tridiagonal_solve", effect=lambda e: "solves over the steps" if e.is_ragged else None)
def tridiagonal_solve_rule(equation: Equation, lower: Padded, diagonal: Padded, upper: Padded, b: Padded) -> Padded:
    """The unknowns of the identity block are zeros."""
    lower, diagonal, upper, b = (x.with_safe_padding() for x in (lower, diagonal, upper, b))
    bands = (x.fill(value, [x.ndim - 1]) for x, value in ((lower, 0), (diagonal, 1), (upper, 0)))
    return equation.result(equation.bind(*bands, b.fill(0, [b.ndim - 2])))


def _beyond(bound: Any, x: Padded) -> Any:
    """Distinct numbers just above a bound, `(..., size)`."""
    bound = lax.stop_gradient(jnp.where(bound > 0, bound, 1))
    size = x.array.shape[-1]
    return bound[..., None] * (1 + jnp.arange(1, size + 1, dtype=bound.dtype) / size)


def _check_rank(equation: Equation, x: Padded, rank: Any) -> None:
    if equation.sizes.is_ragged(rank):
        rows, columns = x.shape[-2:]
        least = columns if equation.sizes.is_ragged(rows) else rows
        raise NotImplementedError(
            f"`jm.vmap`: `{equation.name}` of a matrix of shape ({rows}, {columns}), at {equation.line}, whose rank "
            f"depends on the length. If sequences have at least {least} steps, say so: "
            f'`jm.vmap(fn, constraints=["{rows if least is columns else columns} >= {least}"])`.'
        )
