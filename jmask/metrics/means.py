"""Metrics that are means over steps, or functions of such means."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..losses.accumulator import Mean
from ..losses.classification import softmax_cross_entropy_with_integer_labels
from ..losses.labels import check_ignore_index, outside, poisoned
from ..losses.options import check_integer
from ..losses.reduce import reduce
from ..losses.regression import absolute_error, squared_error
from ..losses.steps import Steps, align, check_labels
from ..ops.linear import check_float
from .decisions import decide
from .inputs import Floats, Ids, Numbers, Weight

_sums = functools.partial(jax.tree_util.register_dataclass, data_fields=("total", "count"), meta_fields=())


@_sums
@dataclasses.dataclass(frozen=True)
class RootMeanSums(Mean):
    """The sum and count of a mean whose square root is the value."""

    def _value(self) -> Array:
        """The square root of `total / count`; 0 if nothing was counted. A root of 0 passes no gradient."""
        mean = super()._value()
        return jnp.where(mean == 0, 0, jnp.sqrt(jnp.where(mean == 0, 1, mean)))


@_sums
@dataclasses.dataclass(frozen=True)
class PerplexitySums(Mean):
    """The sum and count of a mean cross-entropy whose exponential is the value."""

    def _value(self) -> Array:
        """`exp(total / count)`; 1 if nothing was counted."""
        return jnp.exp(super()._value())


def mean(values: Numbers, *, sample_weight: Weight = None, mask: Any = None) -> Mean:
    """The mean of numbers, such as losses, over the real steps.

    Args:
        values: `(batch, time, ...)`, a `Masked`, or an array, whose steps are all real; the entries of a step are
            averaged first.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says: the weighted sum is divided by the sum of the weights. Bools act as a mask.
        mask: replaces the mask of `values`; `jm.NO_MASK` removes it.

    Returns:
        A `jm.losses.Mean`, whose `.value` is 0 without any real step.

    Raises:
        ValueError: shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2])
    >>> float(jm.metrics.mean(x).value)
    2.0
    """
    steps = align("mean", (values,), sample_weight, mask)
    return _mean_of(steps, steps.values[0])


def accuracy(
    predictions: Numbers,
    targets: Numbers,
    *,
    threshold: float = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> Mean:
    """The fraction of the predictions that are right.

    Args:
        predictions: scores of classes, `(batch, time, classes)`, logits or probabilities, where the largest decides;
            ids, `(batch, time)`, integer or bool; or scores of binary decisions, floats `(batch, time)` or
            `(batch, time, labels)`.
        targets: ids, `(batch, time)`; for binary decisions 0 and 1, in the shape of the predictions. Another target,
            such as -100, raises an error if it is concrete; if it is traced, the accuracy is NaN.
        threshold: a binary decision is positive if its score is above this.
        from_logits: whether these scores are logits, to which the sigmoid is applied first.
        ignore_index: a target with this id does not count, as if its step were padding; usually -100.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        A `jm.losses.Mean`, whose `.value` is 0 without any real step. It passes no gradient.

    Raises:
        TypeError: the targets for scores of classes are not integers.
        ValueError: a target is not a class, or shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.pad_sequences([[1, 2, 3], [4]])
    >>> float(jm.metrics.accuracy(jnp.array([[1, 2, 0], [4, 0, 0]]), targets).value)
    0.75
    """
    decisions = decide("accuracy", predictions, targets, threshold, from_logits, ignore_index, sample_weight, mask)
    return poisoned(_mean_of(decisions.steps, decisions.found == decisions.true), decisions.wrong)


def top_k_accuracy(
    predictions: Floats,
    targets: Ids,
    *,
    k: int = 5,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> Mean:
    """The fraction of the targets among the `k` classes with the largest scores; equal scores rank equally.

    Args:
        predictions: scores, `(batch, time, classes)`.
        targets: ids, `(batch, time)`. An id that is not a class raises an error if it is concrete; if it is traced, the
            accuracy is NaN.
        k: the number of classes, at least 1.
        ignore_index: a target with this id does not count, as if its step were padding; usually -100.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        A `jm.losses.Mean`, whose `.value` is 0 without any real step. It passes no gradient.

    Raises:
        TypeError: the scores are not floats, or the targets are not integers.
        ValueError: `k` is below 1, a target is not a class, or shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> float(jm.metrics.top_k_accuracy(jnp.array([[[0.1, 0.5, 0.4]]]), jnp.array([[2]]), k=2).value)
    1.0
    """
    name = "top_k_accuracy"
    k, ignore_index = check_integer(name, "k", k, 1), check_ignore_index(name, ignore_index)
    steps = align(name, (predictions, targets), sample_weight, mask, labels=True, ignore_index=ignore_index)
    scores, labels = steps.values
    check_float(scores, name)
    check_labels(name, scores, labels)
    wrong = outside(name, steps.labels, steps.mask, 0, scores.shape[-1] - 1)
    own = jnp.take_along_axis(scores, labels[..., None], axis=-1)
    return poisoned(_mean_of(steps, ((scores > own).sum(-1) < k) & ~jnp.isnan(own[..., 0])), wrong)


def mean_squared_error(
    predictions: Floats, targets: Numbers, *, sample_weight: Weight = None, mask: Any = None
) -> Mean:
    """The mean squared difference.

    Args:
        predictions: floats, `(batch, time, ...)`; the entries of a step are averaged.
        targets: numbers in the same shape.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        A `jm.losses.Mean`, whose `.value` is 0 without any real step.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ.

    >>> import jax.numpy as jnp, jmask as jm
    >>> float(jm.metrics.mean_squared_error(jnp.array([[1.0, 3.0]]), jnp.zeros((1, 2))).value)
    5.0
    """
    return squared_error(
        predictions, targets, sample_weight=sample_weight, mask=mask, reduction="weights", divide=False
    )


def mean_absolute_error(
    predictions: Floats, targets: Numbers, *, sample_weight: Weight = None, mask: Any = None
) -> Mean:
    """The mean absolute difference.

    Args:
        predictions: floats, `(batch, time, ...)`; the entries of a step are averaged.
        targets: numbers in the same shape.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        A `jm.losses.Mean`, whose `.value` is 0 without any real step.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ.

    >>> import jax.numpy as jnp, jmask as jm
    >>> float(jm.metrics.mean_absolute_error(jnp.array([[1.0, -3.0]]), jnp.zeros((1, 2))).value)
    2.0
    """
    return absolute_error(
        predictions, targets, sample_weight=sample_weight, mask=mask, reduction="weights", divide=False
    )


def root_mean_squared_error(
    predictions: Floats, targets: Numbers, *, sample_weight: Weight = None, mask: Any = None
) -> RootMeanSums:
    """The square root of the mean squared difference.

    Args:
        predictions: floats, `(batch, time, ...)`; the entries of a step are averaged.
        targets: numbers in the same shape.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any real step.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ.

    >>> import jax.numpy as jnp, jmask as jm
    >>> float(jm.metrics.root_mean_squared_error(jnp.array([[1.0, 7.0]]), jnp.zeros((1, 2))).value)
    5.0
    """
    squares = mean_squared_error(predictions, targets, sample_weight=sample_weight, mask=mask)
    return RootMeanSums(squares.total, squares.count)


def perplexity(
    predictions: Floats,
    targets: Ids,
    *,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> PerplexitySums:
    """The exponential of the mean cross-entropy: the number of equally likely classes with the same cross-entropy.

    Args:
        predictions: logits, `(batch, time, classes)`.
        targets: ids, `(batch, time)`. An id that is not a class raises an error if it is concrete; if it is traced, the
            perplexity is NaN.
        ignore_index: a target with this id does not count, as if its step were padding; usually -100.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 1 without any real step.

    Raises:
        TypeError: the logits are not floats, or the targets are not integers.
        ValueError: a target is not a class, or shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> round(float(jm.metrics.perplexity(jnp.zeros((1, 2, 7)), jnp.array([[3, 5]])).value), 3)
    7.0
    """
    losses = softmax_cross_entropy_with_integer_labels(
        predictions,
        targets,
        ignore_index=check_ignore_index("perplexity", ignore_index),
        sample_weight=sample_weight,
        mask=mask,
        reduction="weights",
        divide=False,
    )
    return PerplexitySums(losses.total, losses.count)


def _mean_of(steps: Steps, values: Any) -> Mean:
    return reduce(steps, steps.per_step(values), "weights")
