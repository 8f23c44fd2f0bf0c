"""From sequence losses to one number, where a loss is not a sum over steps."""

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
    """Adds up the losses of rows and divides the sum.

    Args:
        name: the name of the loss.
        losses: one for each row.
        counts: the number of sequences in each row; a packed row may hold several.
        predictions: a `Masked` or an array; the loss has its dtype and, with `reduction=None`, its type.
        sample_weight: one weight for each row, as given to the loss.
        reduction: `"sequences"`, `"weights"`, `"sum"` or None, and `"steps"` if there are `num_steps`.
        divide: whether a mean is divided.
        num_steps: the number of real steps in each row.

    Returns:
        The result of the loss.
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
