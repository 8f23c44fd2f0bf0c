"""The coefficient of determination."""

import dataclasses
import functools
import sys
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from ..core.arithmetic import expand
from ..losses.accumulator import Leaf, Sums, ratio
from ..losses.options import check_number
from ..losses.steps import align, check_alike
from ..ops.linear import check_float
from .inputs import Floats, Numbers, Weight


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("residual", "squares", "total", "count"),
    meta_fields=("center",),
)
@dataclasses.dataclass(frozen=True)
class R2Sums(Sums):
    """The sums of `jm.metrics.r2_score`, `(outputs,)`.

    Attributes:
        residual: the sums of `(target - prediction)^2`.
        squares: the sums of `(target - center)^2`.
        total: the sums of `target - center`.
        count: the sum of the weights, a scalar.
        center: the number subtracted from the targets.
    """

    residual: Leaf
    squares: Leaf
    total: Leaf
    count: Leaf
    center: float = 0.0

    @property
    def of_outputs(self) -> Array:
        """The coefficient of each output; 0 if its targets are all equal or nothing was counted."""
        deviation = self.squares - ratio(self.total * self.total, self.count)
        varies = deviation > 0
        return jnp.where(varies, 1 - self.residual / jnp.where(varies, deviation, 1), 0)

    @property
    def is_empty(self) -> Bool[ArrayLike, "..."] | bool:
        """Whether the count is 0."""
        return self.count == 0

    def _value(self) -> Array:
        """The mean over the outputs."""
        return self.of_outputs.mean()


def r2_score(
    predictions: Floats,
    targets: Numbers,
    *,
    center: float = 0.0,
    sample_weight: Weight = None,
    mask: Any = None,
) -> R2Sums:
    """The coefficient of determination: the fraction of the targets' variance that the predictions explain.

    It is `1 - sum((y - p)^2) / (sum(y^2) - sum(y)^2 / n)` for each output, averaged over the outputs.

    Args:
        predictions: `(batch, time)`, or `(batch, time, outputs)`.
        targets: the same shape.
        center: a number near the mean of the targets, the same for all batches, which is subtracted from the targets.
            The denominator is a difference of sums and loses precision if the mean is far from 0: in float32, all of it
            if the mean is a few thousand standard deviations away. Otherwise `center` changes nothing.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any real step; `.of_outputs` has the coefficient of each output.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.from_lengths(jnp.array([[1.0, 2.0, 3.0, jnp.nan]]), [3])
    >>> float(jm.metrics.r2_score(jnp.array([[1.0, 2.0, 2.0, 9.0]]), targets).value)
    0.5
    """
    check_number("r2_score", "center", center, "a finite number", -sys.float_info.max, sys.float_info.max)
    steps = align("r2_score", (predictions, targets), sample_weight, mask)
    found, true = steps.values
    check_float(found, "r2_score")
    check_alike("r2_score", found, true)
    true = true.astype(found.dtype)
    rank = steps.rank(found)
    weights = steps.weights(found.shape[:rank], found.dtype)

    def summed(x: Array) -> Array:
        return (expand(weights, x.ndim) * x).sum(tuple(range(rank)))

    centred = true - center
    residual, squares, total = map(summed, ((true - found) ** 2, centred**2, centred))
    return R2Sums(residual, squares, total, weights.sum(), center)
