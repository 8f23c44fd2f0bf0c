"""F1 of predicted tags, from counts alone, so that scores of batches add up."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int

Tags = Sequence[int] | Int[np.ndarray, " words"]


class Score(NamedTuple):
    """Precision, recall and their harmonic mean, in percent; 0 where nothing was predicted or nothing was there."""

    precision: float
    recall: float
    f1: float


def count_confusions(
    truths: Iterable[Tags], predictions: Iterable[Tags], num_tags: int
) -> Int[np.ndarray, "tags tags"]:
    """How often each true tag (row) got each predicted tag (column).

    Args:
        truths: one sequence of tag numbers for each sentence.
        predictions: the same for the predicted tags, equally long.
        num_tags: number of tags.

    Returns:
        Counts, `(num_tags, num_tags)`.
    """
    counts = np.zeros((num_tags, num_tags), int)
    for truth, prediction in zip(truths, predictions, strict=True):
        np.add.at(counts, (np.asarray(truth, int), np.asarray(prediction, int)), 1)
    return counts


def scores(confusions: Int[np.ndarray, "tags tags"]) -> list[Score]:
    """The score of each tag.

    Args:
        confusions: counts, true tags in rows and predicted tags in columns.

    Returns:
        One score for each tag.

    >>> scores(np.array([[90, 2], [4, 4]]))[1]
    Score(precision=66.66666666666667, recall=50.0, f1=57.142857142857146)
    """
    columns = np.diag(confusions), confusions.sum(axis=0), confusions.sum(axis=1)
    return [_score(*counts) for counts in zip(*(column.tolist() for column in columns), strict=True)]


def micro_score(confusions: Int[np.ndarray, "tags tags"]) -> Score:
    """The score of all tags but number 0 together: every word with such a tag counts alike.

    Args:
        confusions: counts, true tags in rows and predicted tags in columns.

    Returns:
        One score. With two tags it is the score of tag number 1.
    """
    return _score(int(np.diag(confusions)[1:].sum()), int(confusions[:, 1:].sum()), int(confusions[1:].sum()))


def macro_f1(confusions: Int[np.ndarray, "tags tags"]) -> float:
    """The mean F1 of all tags but number 0: every tag counts alike.

    Args:
        confusions: counts, true tags in rows and predicted tags in columns.

    Returns:
        F1 in percent. A tag that is neither there nor predicted is left out of the mean.
    """
    seen = (confusions.sum(axis=0) + confusions.sum(axis=1))[1:] > 0
    values = np.array([score.f1 for score in scores(confusions)[1:]])[seen]
    return float(values.mean()) if len(values) else 0.0


def _score(hits: int, predicted: int, actual: int) -> Score:
    return Score(
        100 * hits / max(predicted, 1),
        100 * hits / max(actual, 1),
        200 * hits / max(predicted + actual, 1),
    )
