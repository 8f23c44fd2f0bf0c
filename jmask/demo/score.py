"""F1 of tags, and the baseline: each word gets the tag that it had most often in training, whatever is around it."""

import dataclasses
from collections import Counter
from typing import Any

import numpy as np

import jmask as jm

from ..data import Ragged
from .corpus import Vocabularies


def score_tags(predictions: Any, truth: Any, num_tags: int) -> Any:
    """The counts for the F1 of all tags but number 0, as sums that add up over batches.

    Args:
        predictions: logits `(batch, time, num_tags)`, or tag numbers `(batch, time)`.
        truth: tag numbers `(batch, time)`.
        num_tags: number of tags.

    Returns:
        Sums whose `.value`, `.precision` and `.recall` have one number a tag, `(num_tags - 1,)`; `averaged` gives those
        whose value is one number.
    """
    return jm.metrics.f1_score(predictions, truth, average=None, num_classes=num_tags, labels=range(1, num_tags))


def averaged(sums: Any, average: str = "micro") -> Any:
    """The same counts, for one number: "micro", every word with a tag counts alike, or "macro", every tag does."""
    return dataclasses.replace(sums, average=average)


def score_baselines(train: Ragged, test: Ragged, vocabularies: Vocabularies) -> dict[str, Any]:
    """Scores of what needs no model: always the same tag, and the lookup.

    Args:
        train: the sentences to train on.
        test: the held-out sentences.
        vocabularies: the numbers of the tags.

    Returns:
        What `score_tags` returns, by the name of the baseline.
    """
    tags = vocabularies.tags
    table, outside = majority_tags(train), tags.tokens[0]
    truth = tags.encode(test["tags"]).values[None]
    looked_up = tags.encode([table.get(word, outside) for word in test["words"].values])[None]
    return {
        f"always {outside}": score_tags(np.zeros_like(truth), truth, len(tags)),
        "lookup of each word": score_tags(looked_up, truth, len(tags)),
    }


def majority_tags(train: Ragged) -> dict[str, str]:
    """For every word, its most frequent tag; of equally frequent ones, the one that came first.

    Args:
        train: the sentences to train on.

    Returns:
        Tags by word.

    >>> majority_tags(Ragged(words=[["if", "if", "only"]], tags=[["literal", "literal", "prose"]]))
    {'only': 'prose', 'if': 'literal'}
    """
    counts = Counter(zip(train["words"].values, train["tags"].values, strict=True))
    return {word: tag for (word, tag), _ in reversed(counts.most_common())}
