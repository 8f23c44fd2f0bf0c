"""The class counts from which precision, recall, F1 and the confusion matrix are computed."""

import dataclasses
import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool

from ..losses.accumulator import Leaf, Sums, ratio

Average = Literal["binary", "micro", "macro", "weighted"] | None


@functools.partial(jax.tree_util.register_dataclass, data_fields=("counts",), meta_fields=())
@dataclasses.dataclass(frozen=True)
class ConfusionSums(Sums):
    """How often each class (row) was predicted as each class (column).

    Attributes:
        counts: floats, `(classes, classes)`.
    """

    counts: Leaf

    @property
    def is_empty(self) -> Bool[ArrayLike, "..."] | bool:
        """Never: a matrix of zeros is the documented result if nothing was counted."""
        return False

    def _value(self) -> Array:
        """The counts."""
        return jnp.asarray(self.counts)


@dataclasses.dataclass(frozen=True)
class ClassSums(Sums):
    """The counts for precision, recall and F1, one per class; for binary decisions, for the positive class only.

    Attributes:
        hits: how often the class was predicted where it was the target.
        predicted: how often it was predicted.
        actual: how often it was the target.
        average: how the scores of the classes are averaged.
    """

    hits: Leaf
    predicted: Leaf
    actual: Leaf
    average: Average = "binary"

    @property
    def is_empty(self) -> Bool[ArrayLike, "..."] | bool:
        """Whether no class was ever predicted or a target; for binary decisions, only the positive class matters."""
        return self.predicted.sum() + self.actual.sum() == 0

    def _value(self) -> Array:
        """The score, `(classes,)` if `average` is None; 0 if nothing was counted."""
        if self.average == "micro":
            return self.score(self.hits.sum(), self.predicted.sum(), self.actual.sum())
        scores = self.score(self.hits, self.predicted, self.actual)
        if self.average is None:
            return scores
        if self.average == "weighted":
            return ratio((scores * self.actual).sum(), self.actual.sum())
        seen = (self.predicted + self.actual) != 0  # NaN counts as seen, so that it stays
        return ratio(scores.sum(), seen.sum())  # the score of a class that was not seen is 0

    @property
    def precision(self) -> Array:
        """The precision, from the same counts."""
        return PrecisionSums(self.hits, self.predicted, self.actual, self.average).value_or(0.0)

    @property
    def recall(self) -> Array:
        """The recall, from the same counts."""
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
    """The counts for precision, the fraction of predictions that are right."""

    def score(self, hits: Any, predicted: Any, actual: Any) -> Array:
        """`hits / predicted`."""
        return ratio(hits, predicted)


@_counts
@dataclasses.dataclass(frozen=True)
class RecallSums(ClassSums):
    """The counts for recall, the fraction of targets that were found."""

    def score(self, hits: Any, predicted: Any, actual: Any) -> Array:
        """`hits / actual`."""
        return ratio(hits, actual)


@_counts
@dataclasses.dataclass(frozen=True)
class F1Sums(ClassSums):
    """The counts for F1, the harmonic mean of precision and recall."""

    def score(self, hits: Any, predicted: Any, actual: Any) -> Array:
        """`2 hits / (predicted + actual)`."""
        return ratio(2 * hits, predicted + actual)
