"""From step losses to one number: the sum, and what it is divided by."""

from typing import Any, Literal

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ..core.checks import check_one_of
from ..core.masked import Masked
from ..core.segment_ids import sequence_starts
from .accumulator import Mean
from .options import check_bool
from .steps import Steps

Reduction = Literal["steps", "sequences", "weights", "sum"] | None

REDUCTIONS = ("steps", "sequences", "weights", "sum", None)


def check_reduction(name: str, reduction: Any, divide: bool, known: tuple[Any, ...] = REDUCTIONS) -> None:
    """Raises for an unknown reduction, or for `divide=False` where nothing is divided."""
    check_bool(name, "divide", divide)
    check_one_of("reduction", reduction, known, caller=name)
    if not divide and reduction in ("sum", None):
        raise ValueError(
            f"`{name}`: `divide=False` leaves a division to the caller, and `reduction={reduction!r}` has none. Use "
            "'steps', 'sequences' or 'weights', or leave it out."
        )


def reduce(steps: Steps, losses: Array, reduction: Reduction) -> Any:
    """Sums losses.

    Args:
        steps: which steps count.
        losses: one for each step, 0 where the step does not count.
        reduction: see `jm.losses.masked_loss`.

    Returns:
        A `Mean` if there is something to divide by; the sum; or, for None, the weighted losses, a `Masked` if an input
        was one.
    """
    real, weights = steps.real(losses.shape), steps.weights(losses.shape, losses.dtype)
    weighted = losses * weights
    if reduction is None:
        return weighted if steps.mask is None else Masked(weighted, real, steps.segment_ids, steps.num_sequences)
    if reduction == "sum":
        return weighted.sum()
    if reduction == "weights":
        return Mean(weighted.sum(), weights.sum())
    if reduction == "steps":
        return Mean(weighted.sum(), _count(real, losses.dtype))
    if real.ndim == 0:
        raise ValueError(
            f"`{steps.name}`: the mean over sequences needs a time axis, and this is one step. Use 'steps'."
        )
    lengths, begins = _sequences(real, steps.segment_ids)
    return Mean((weighted / lengths.astype(losses.dtype)).sum(), _count(begins, losses.dtype))


def _count(mask: Array, dtype: Any) -> Array:
    return jnp.sum(mask, dtype=jnp.int32).astype(dtype)


def _sequences(mask: Array, ids: Any) -> tuple[Array, Array]:
    """For each step the length of its sequence, 1 at padding; and a mask with one True for each sequence.

    With a single axis, of rows or of the steps of one sequence, each entry counts: the quotient is the same, and the
    sums of batches add up to those of all rows.

    Packed rows have several sequences each: step `t` of a row is in the sequence that began at the last start up to
    `t`, and ends before the next one.
    """
    if ids is None and mask.ndim == 1:
        return jnp.ones_like(mask, jnp.int32), mask
    if ids is None:
        return jnp.maximum(mask.sum(-1, keepdims=True), 1), mask.any(-1)
    time, axis = mask.shape[-1], mask.ndim - 1
    begins = sequence_starts(mask, ids)
    index = jnp.cumsum(mask, axis, dtype=jnp.int32) - 1
    first = lax.cummax(jnp.where(begins, index, 0), axis)
    total = index[..., -1:] + 1
    following = lax.cummin(jnp.where(begins, index, jnp.broadcast_to(total, mask.shape)), axis, reverse=True)
    end = jnp.concatenate([following[..., 1:], total], axis)[..., :time]
    return jnp.where(mask, end - first, 1), begins
