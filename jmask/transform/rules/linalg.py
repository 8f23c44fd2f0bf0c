"""Linear algebra: a ragged matrix becomes a block of a larger one, with the identity in the other corner."""

from typing import Any

import jax.numpy as jnp

from ..equation import Equation
from ..padded import Padded, select
from .registry import rule


def _factorises(equation: Equation) -> str | None:
    shape = equation.eqn.invars[0].aval.shape
    return "factorises a matrix of steps" if any(map(equation.sizes.is_ragged, shape[-2:])) else None


def _in_identity(x: Padded) -> Any:
    """A square matrix, 0 beside its padded part and 1 on the diagonal there."""
    eye = jnp.eye(x.array.shape[-1], dtype=x.dtype)
    axes = [axis for axis in (x.ndim - 2, x.ndim - 1) if axis in x.ragged_axes]
    return select(x.valid(axes), x.array, jnp.broadcast_to(eye, x.array.shape)) if axes else x.array


@rule("cholesky", effect=_factorises)
def cholesky(equation: Equation, x: Padded) -> Padded:
    """The factor of a block matrix is the block matrix of the factors."""
    x = x.safe()
    return equation.result(equation.bind(_in_identity(x)))


@rule("triangular_solve", effect=_factorises)
def triangular_solve(equation: Equation, a: Padded, b: Padded) -> Padded:
    """The unknowns of the identity's block are those of its right-hand side: zeros."""
    a, b = a.safe(), b.safe()
    axis = b.ndim - (2 if equation.params["left_side"] else 1)
    return equation.result(equation.bind(_in_identity(a), b.fill(0, [axis])))
