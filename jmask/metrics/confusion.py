"""Which classes are taken for which: the matrix, and precision, recall and F1 of its counts."""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from ..core.arithmetic import expand
from ..core.checks import check_one_of
from ..losses.accumulator import Sums, ratio
from ..losses.labels import poisoned
from ..losses.options import check_integer
from ..losses.steps import Steps
from .decisions import Decisions, are, decide
from .means import Numbers, Weight

Average = Literal["binary", "micro", "macro", "weighted"] | None
AVERAGES = ("binary", "micro", "macro", "weighted", None)


@functools.partial(jax.tree_util.register_dataclass, data_fields=("counts",), meta_fields=())
@dataclasses.dataclass(frozen=True)
class ConfusionSums(Sums):
    """How often each class (row) was taken for each class (column).

    Attributes:
        counts: floats, `(classes, classes)`.
    """

    counts: Any

    @property
    def is_empty(self) -> Bool[ArrayLike, "..."] | bool:
        """Never: a matrix of zeros says that nothing was counted."""
        return False

    def _value(self) -> Array:
        """The counts."""
        return jnp.asarray(self.counts)


@dataclasses.dataclass(frozen=True)
class ClassSums(Sums):
    """What precision, recall and F1 are made of, for each class; of single decisions for true alone.

    Attributes:
        hits: how often the class was predicted where it was the target.
        predicted: how often it was predicted.
        actual: how often it was the target.
        average: how the classes become one number.
    """

    hits: Any
    predicted: Any
    actual: Any
    average: Average = "binary"

    @property
    def is_empty(self) -> Bool[ArrayLike, "..."] | bool:
        """Whether no class was ever predicted, nor there; of two, whether class 1 was not."""
        return self.predicted.sum() + self.actual.sum() == 0

    def _value(self) -> Array:
        """The score, `(classes,)` if nothing is averaged; 0 where nothing was counted."""
        if self.average == "micro":
            return self.score(self.hits.sum(), self.predicted.sum(), self.actual.sum())
        scores = self.score(self.hits, self.predicted, self.actual)
        if self.average is None:
            return scores
        if self.average == "weighted":
            return ratio((scores * self.actual).sum(), self.actual.sum())
        seen = (self.predicted + self.actual) != 0  # of NaN, too, which must stay
        return ratio(scores.sum(), seen.sum())  # a score of what was not seen is 0

    @property
    def precision(self) -> Array:
        """The precision of the same counts."""
        return PrecisionSums(self.hits, self.predicted, self.actual, self.average).value_or(0.0)

    @property
    def recall(self) -> Array:
        """The recall of the same counts."""
        return RecallSums(self.hits, self.predicted, self.actual, self.average).value_or(0.0)

    def score(self, hits: Any, predicted: Any, actual: Any) -> Array:
        """The score of a class."""
        raise NotImplementedError


_counts = functools.partial(
    jax.tree_util.register_dataclass, data_fields=("hits", "predicted", "actual"), meta_fields=("average",)
)


@_counts
@dataclasses.dataclass(frozen=True)
class PrecisionSums(ClassSums):
    """Which part of what was predicted is right."""

    def score(self, hits: Any, predicted: Any, actual: Any) -> Array:
        """`hits / predicted`."""
        return ratio(hits, predicted)


@_counts
@dataclasses.dataclass(frozen=True)
class RecallSums(ClassSums):
    """Which part of what is there was found."""

    def score(self, hits: Any, predicted: Any, actual: Any) -> Array:
        """`hits / actual`."""
        return ratio(hits, actual)


@_counts
@dataclasses.dataclass(frozen=True)
class F1Sums(ClassSums):
    """The harmonic mean of precision and recall."""

    def score(self, hits: Any, predicted: Any, actual: Any) -> Array:
        """`2 hits / (predicted + actual)`."""
        return ratio(2 * hits, predicted + actual)


def precision(
    predictions: Numbers,
    targets: Numbers,
    *,
    average: Average = "binary",
    num_classes: int | None = None,
    threshold: float = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> PrecisionSums:
    """Which part of the predictions of a class is right.

    Args:
        predictions: scores of classes, `(batch, time, classes)`, the largest of which decides; ids, `(batch, time)`,
            integer or bool; or floats `(batch, time)` or `(batch, time, labels)`, scores of one decision each.
        targets: ids, `(batch, time)`; of single decisions 0 and 1 in the shape of the predictions. What is no class
            is an error where it is concrete; where it is traced, the score is NaN.
        average: `"binary"`: the score of class 1, of two; `"macro"`: the mean over the classes that were predicted or
            are there; `"weighted"`: the same, weighted by how often each is there; `"micro"`: from the counts of all
            classes together; None: one score for each class.
        num_classes: of ids, which do not tell; not needed for `"binary"`.
        threshold: a single decision is true if its score is above it.
        from_logits: whether these scores are logits, of which the sigmoid is taken first.
        ignore_index: a target that is this id does not count, as if its step were padding; -100 as a rule.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps; each step counts as often as it says.
        mask: overrides the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any real step. It passes no gradient.

    Raises:
        TypeError: targets for scores of classes that are not integers.
        ValueError: another word for `average`, a number of classes that is missing or does not fit, an id that is no
            class, or shapes that do not fit one another.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.pad_sequences([[1, 0, 1], [0]])
    >>> float(jm.metrics.precision(jnp.array([[1, 1, 0], [0, 1, 1]]), targets).value)
    0.5
    """
    decisions = decide(
        "precision",
        predictions,
        targets,
        threshold=threshold,
        from_logits=from_logits,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    return PrecisionSums(*_count(decisions, average, num_classes), average)


def recall(
    predictions: Numbers,
    targets: Numbers,
    *,
    average: Average = "binary",
    num_classes: int | None = None,
    threshold: float = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> RecallSums:
    """Which part of the targets of a class was found; arguments as in `jm.metrics.precision`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.pad_sequences([[1, 0, 1], [1]])
    >>> float(jm.metrics.recall(jnp.array([[1, 1, 0], [0, 1, 1]]), targets).value)
    0.3333333432674408
    """
    decisions = decide(
        "recall",
        predictions,
        targets,
        threshold=threshold,
        from_logits=from_logits,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    return RecallSums(*_count(decisions, average, num_classes), average)


def f1_score(
    predictions: Numbers,
    targets: Numbers,
    *,
    average: Average = "binary",
    num_classes: int | None = None,
    threshold: float = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> F1Sums:
    """The harmonic mean of precision and recall; arguments as in `jm.metrics.precision`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.pad_sequences([[1, 0, 1], [1]])
    >>> float(jm.metrics.f1_score(jnp.array([[1, 0, 0], [0, 1, 1]]), targets).value)
    0.5
    """
    decisions = decide(
        "f1_score",
        predictions,
        targets,
        threshold=threshold,
        from_logits=from_logits,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    return F1Sums(*_count(decisions, average, num_classes), average)


def confusion_matrix(
    predictions: Numbers,
    targets: Numbers,
    *,
    num_classes: int | None = None,
    threshold: float = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> ConfusionSums:
    """How often each class (row) was taken for each class (column); arguments as in `jm.metrics.precision`.

    Returns:
        Sums, whose `.value` is `(classes, classes)`, zeros without any real step.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.pad_sequences([[1, 0, 1], [1]])
    >>> jm.metrics.confusion_matrix(jnp.array([[1, 0, 0], [1, 1, 1]]), targets, num_classes=2).value.tolist()
    [[1.0, 0.0], [1.0, 2.0]]
    """
    decisions = decide(
        "confusion_matrix",
        predictions,
        targets,
        threshold=threshold,
        from_logits=from_logits,
        ignore_index=ignore_index,
        sample_weight=sample_weight,
        mask=mask,
    )
    size = _num_classes(decisions, num_classes)
    decisions = decisions.check_classes(size)
    weights = _weights(decisions.steps, decisions.true)[..., None]
    rows = jnp.where(are(decisions.true, jnp.arange(size)), weights, 0)
    columns = are(decisions.found, jnp.arange(size)).astype(weights.dtype)
    axes = tuple(range(decisions.true.ndim))
    counts = jnp.tensordot(rows, columns, (axes, axes), precision="highest")
    return ConfusionSums(poisoned(counts, decisions.wrong))


def _count(decisions: Decisions, average: Average, num_classes: int | None) -> tuple[Array, Array, Array]:
    """For each class how often it was predicted and right, predicted, and there."""
    name, known = decisions.steps.name, decisions.num_classes
    check_one_of("average", average, AVERAGES, caller=name)
    if average == "binary":
        size = _num_classes(decisions, 2 if num_classes is None and known is None else num_classes)
        if size != 2:
            raise ValueError(
                f"`{name}`: `average='binary'` is the score of class 1 of two; here are {size} classes. Use 'macro', "
                "'micro', 'weighted' or None."
            )
        classes = jnp.array([1])
    else:
        size = _num_classes(decisions, num_classes)
        classes = jnp.arange(size)
    decisions = decisions.check_classes(size)
    weights = _weights(decisions.steps, decisions.true)[..., None]
    predicted, actual = are(decisions.found, classes), are(decisions.true, classes)
    axes = tuple(range(decisions.true.ndim))
    counts = tuple(jnp.where(which, weights, 0).sum(axes) for which in (predicted & actual, predicted, actual))
    return poisoned(counts, decisions.wrong)


def _weights(steps: Steps, ids: Array) -> Array:
    """For how much each id counts."""
    weights = steps.weights(ids.shape[: steps.rank(ids)], steps.wide)
    return jnp.broadcast_to(expand(weights, ids.ndim), ids.shape)


def _num_classes(decisions: Decisions, num_classes: int | None) -> int:
    name, known = decisions.steps.name, decisions.num_classes
    if num_classes is not None:
        num_classes = check_integer(name, "num_classes", num_classes, 1)
    if num_classes is None and known is None:
        raise ValueError(f"`{name}`: ids do not tell how many classes there are; pass `num_classes`.")
    if num_classes is not None and known is not None and num_classes != known:
        raise ValueError(
            f"`{name}`: there are scores of {known} classes, and `num_classes={num_classes}`. Leave it out."
        )
    return num_classes or known or 0
