"""The area under the ROC curve, from histograms of scores."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from ..core.arithmetic import expand
from ..losses.accumulator import Sums, ratio
from ..losses.labels import check_ignore_index, outside, poisoned
from ..losses.options import check_bool, check_integer
from ..losses.steps import align, check_alike
from ..ops.linear import check_float
from .decisions import are
from .means import Floats, Numbers, Weight


@functools.partial(jax.tree_util.register_dataclass, data_fields=("positives", "negatives"), meta_fields=())
@dataclasses.dataclass(frozen=True)
class AUCSums(Sums):
    """How often scores fell between two neighbouring thresholds, from the lowest to the highest.

    Attributes:
        positives: of steps whose target is true, `(num_thresholds - 1,)`.
        negatives: of the others.
    """

    positives: Any
    negatives: Any

    @property
    def is_empty(self) -> Bool[ArrayLike, "..."] | bool:
        """Whether there are only true steps, only others, or none."""
        return (self.positives.sum() == 0) | (self.negatives.sum() == 0)

    def _value(self) -> Array:
        """The probability that a true step has a higher score than another one; 0 unless there are both.

        Two scores between the same thresholds count half. That is the trapezoidal rule along the ROC curve.
        """
        positives, negatives = self._shares
        below = jnp.cumsum(negatives) - negatives
        return jnp.sum(positives * (below + negatives / 2))

    @property
    def error(self) -> Array:
        """A bound of the distance from the exact area: half the probability of two scores between two thresholds."""
        positives, negatives = self._shares
        return jnp.sum(positives * negatives) / 2

    @property
    def _shares(self) -> tuple[Array, Array]:
        return ratio(self.positives, self.positives.sum()), ratio(self.negatives, self.negatives.sum())


def auc(
    predictions: Floats,
    targets: Numbers,
    *,
    num_thresholds: int = 200,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> AUCSums:
    """The area under the ROC curve, by thresholds at equal distances as in Keras.

    Args:
        predictions: scores from 0 to 1, `(batch, time, ...)`; those outside count as 0 or 1.
        targets: 0 and 1, the same shape. What is outside of `[0, 1]` is an error where it is concrete; where it is
            traced, the area is NaN.
        num_thresholds: at least 2. The result's `.error` says how far the value can be from the exact area; more
            thresholds make it smaller.
        from_logits: whether the scores are logits, of which the sigmoid is taken first.
        ignore_index: a target that is this number does not count.
        sample_weight: `(batch,)` or `(batch, time)`; each step counts as often as its weight says.
        mask: overrides the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any real step. It passes no gradient.

    Raises:
        TypeError: predictions that are not floats.
        ValueError: `num_thresholds` is below 2, a target is outside of `[0, 1]`, or shapes do not fit one another.

    References:
        Fawcett: An introduction to ROC analysis, Pattern Recognition Letters 27 (2006), sections 7 and 8.

    >>> import jax.numpy as jnp, jmask as jm
    >>> scores = jm.from_lengths(jnp.array([[0.9, 0.4, 0.6, jnp.nan]]), [3])
    >>> float(jm.metrics.auc(scores, jnp.array([[1, 1, 0, 0]])).value)
    0.5
    """
    num_thresholds = check_integer("auc", "num_thresholds", num_thresholds, 2)
    check_bool("auc", "from_logits", from_logits)
    ignore_index = check_ignore_index("auc", ignore_index)
    steps = align("auc", (predictions, targets), sample_weight, mask, labels=True, ignore_index=ignore_index)
    scores, true = steps.values
    check_float(scores, "auc")
    check_alike("auc", scores, true)
    wrong = outside("auc", steps.labels, steps.mask, 0, 1)
    scores = jax.nn.sigmoid(scores) if from_logits else scores
    num_bins = num_thresholds - 1
    bins = jnp.clip(jnp.ceil(scores * num_bins).astype(jnp.int32) - 1, 0, num_bins - 1)
    weights = expand(steps.weights(scores.shape[: steps.rank(scores)], scores.dtype), scores.ndim)

    def histogram(which: Array) -> Array:
        # A comparison and a sum, which XLA makes one loop: scattering is slower, and not for sharded arrays.
        hits = jnp.where(which, weights, 0)[..., None] * are(bins, jnp.arange(num_bins))
        return hits.sum(tuple(range(scores.ndim)))

    return poisoned(AUCSums(histogram(true > 0.5), histogram(true <= 0.5)), wrong)
