"""Activity penalties, to be added to a loss."""

from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.arithmetic import still_bool
from ..core.masked import Masked, fill
from ..core.segment_ids import ids_of, sequence_starts
from .linear import AnyArray, check_float


def activity_penalty(
    x: Masked | Float[AnyArray, "..."],
    *,
    l1: float = 0.0,
    l2: float = 0.0,
    reduction: Literal["sum", "sequences"] = "sum",
) -> Float[Array, ""]:
    """The penalty `l1 * sum(abs(x)) + l2 * sum(x**2)` over all real steps, to be added to a loss.

    Like the regularizers of Keras, it is a sum over the whole batch. `reduction="sequences"` divides it by the number
    of sequences, as Keras does with the penalties of its layers; divide it by `x.mask.sum()` for a mean over real
    steps. For an activity inside a model, use `jm.layers.ActivityRegularization`.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        l1: factor of the absolute values, 0 or more.
        l2: factor of the squares, 0 or more.
        reduction: `"sum"`, or `"sequences"` for the mean over the sequences of the batch that have a real step: its
            rows, or the sequences within packed rows. With a mask `(batch,)` the real rows count, and in an array all
            rows.

    Returns:
        One number for the batch in the dtype of `x`. An empty row adds 0, is not counted and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: a factor is negative, or `reduction` is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> float(jm.ops.activity_penalty(jm.from_lengths(jnp.array([[-1.0, 2.0, 9.0]]), [2]), l1=1.0, l2=0.5))
    5.5
    """
    check_factors("activity_penalty", l1, l2)
    if reduction not in ("sum", "sequences"):
        raise ValueError(
            f"`reduction` of `activity_penalty` must be 'sum' or 'sequences'; received {reduction!r}. A mean over real "
            "steps is the sum divided by `x.mask.sum()`."
        )
    check_float(x, "activity_penalty")
    values = jnp.abs(jnp.asarray(fill(x, 0)))
    wide = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    terms = [factor * power.sum() for factor, power in ((l1, wide), (l2, jnp.square(wide))) if factor]
    total = jnp.asarray(sum(terms), wide.dtype)
    if reduction == "sequences":
        total /= jnp.maximum(_num_sequences(x), 1)
    return total.astype(values.dtype)


def check_factors(name: str, l1: float, l2: float) -> None:
    """Raises for a negative factor or NaN."""
    if not (l1 >= 0 and l2 >= 0):
        raise ValueError(f"`l1` and `l2` of `{name}` must not be negative; received {l1} and {l2}.")


def _num_sequences(x: Any) -> Any:
    """The number of sequences that have a real step; under a mask of rank 1, and in an array, each row is one."""
    if not isinstance(x, Masked):
        return x.shape[0] if x.ndim else 1
    mask = jnp.asarray(still_bool(x.mask))
    if x.segment_ids is not None:
        return sequence_starts(mask, ids_of(x)).sum()
    return mask.any(axis=tuple(range(1, mask.ndim))).sum() if mask.ndim else mask
