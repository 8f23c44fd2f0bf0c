"""From losses of sequences to one number, where a loss is not a sum over steps."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ..core.masked import Masked
from .accumulator import Mean
from .steps import Steps
from .wrapping import divided


def reduce_sequences(
    name: str,
    losses: Array,
    counts: Array,
    predictions: Any,
    *,
    sample_weight: Any,
    reduction: Any,
    divide: bool,
    num_steps: Any = None,
) -> Any:
    """Sums losses of rows and divides them.

    Args:
        name: of the loss.
        losses: one for each row.
        counts: how many sequences each row holds; one of packed rows may hold several.
        predictions: a `Masked` or an array; the loss comes in its dtype, and of `reduction=None` as the same kind.
        sample_weight: as the loss has received it, one for each row.
        reduction: `"sequences"`, `"weights"`, `"sum"` or None, and `"steps"` where there are `num_steps`.
        divide: whether a mean is divided.
        num_steps: how many real steps each row holds.

    Returns:
        What the loss returns.
    """
    mask = counts > 0
    if isinstance(sample_weight, Masked):
        mask, sample_weight = mask & sample_weight.mask, sample_weight.values
    if getattr(sample_weight, "dtype", None) == bool:
        mask, sample_weight = mask & sample_weight, None
    weights = Steps(name, (), losses.dtype, mask, sample_weight=sample_weight).weights(mask.shape, losses.dtype)
    weighted = jnp.where(weights == 0, 0, losses) * weights  # a loss may be infinite
    if reduction is None:
        each = weighted.astype(predictions.dtype)
        return Masked(each, mask) if isinstance(predictions, Masked) else each
    if reduction == "sum":
        return divided(name, weighted.sum(), predictions.dtype)
    if reduction == "weights":
        return divided(name, Mean(weighted.sum(), (weights * counts).sum()), predictions.dtype, divide)
    number = jnp.where(mask, counts if reduction == "sequences" else num_steps, 0)
    count = number.sum(dtype=jnp.int32).astype(losses.dtype)
    return divided(name, Mean(weighted.sum(), count), predictions.dtype, divide)
