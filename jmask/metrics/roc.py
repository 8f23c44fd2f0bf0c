"""The area under the ROC curve, from histograms of scores."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from ..core.arithmetic import expand
from ..losses.accumulator import Leaf, Sums, ratio
from ..losses.labels import check_ignore_index, outside, poisoned
from ..losses.options import check_bool, check_integer
from ..losses.steps import align, check_alike
from ..ops.linear import check_float
from .decisions import are
from .inputs import Floats, Numbers, Weight


@functools.partial(jax.tree_util.register_dataclass, data_fields=("positives", "negatives"), meta_fields=())
@dataclasses.dataclass(frozen=True)
class AUCSums(Sums):
    """Histograms of scores: how many are between each threshold and the next.

    Attributes:
        positives: counts of steps whose target is positive, `(num_thresholds - 1,)`.
        negatives: counts of the other steps.
    """

    positives: Leaf
    negatives: Leaf

    @property
    def is_empty(self) -> Bool[ArrayLike, "..."] | bool:
        """Whether there are only positive steps, only negative ones, or none."""
        return (self.positives.sum() == 0) | (self.negatives.sum() == 0)

    def _value(self) -> Array:
        """The probability that a positive step has a higher score than a negative one; 0 unless there are both.

        A pair of scores between the same two thresholds counts half, which is the trapezoidal rule along the ROC curve.
        """
        positives, negatives = self._shares
        below = jnp.cumsum(negatives) - negatives
        return jnp.sum(positives * (below + negatives / 2))

    @property
    def error(self) -> Array:
        """A bound on the distance from the exact area: half the probability that two scores share an interval."""
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
    """The area under the ROC curve, from equally spaced thresholds as in Keras.

    Args:
        predictions: scores from 0 to 1, `(batch, time, ...)`; scores outside are clipped to 0 or 1.
        targets: 0 and 1, the same shape. A number outside `[0, 1]` raises an error if it is concrete; if it is traced,
            the area is NaN.
        num_thresholds: at least 2; more thresholds make the error smaller.
        from_logits: whether the scores are logits, to which the sigmoid is applied first.
        ignore_index: a target with this number does not count.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any real step, and whose `.error` bounds its distance from the exact area.
        They pass no gradient.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: `num_thresholds` is below 2, a target is outside `[0, 1]`, or the shapes differ.

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
        # XLA fuses comparison and sum into one loop; a scatter is slower, and does not work on sharded arrays.
        hits = jnp.where(which, weights, 0)[..., None] * are(bins, jnp.arange(num_bins))
        return hits.sum(tuple(range(scores.ndim)))

    return poisoned(AUCSums(histogram(true > 0.5), histogram(true <= 0.5)), wrong)
