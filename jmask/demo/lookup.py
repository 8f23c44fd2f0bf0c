"""The baseline: give each word the tag that it had most often in training, whatever stands around it."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int

from .score import count_confusions
from .text import Sentence
from .vocabulary import Vocabulary


def majority_tag_of_words(sentences: Iterable[Sentence]) -> dict[str, str]:
    """For every word, its most frequent tag; of equally frequent ones, the one that came first.

    Args:
        sentences: the sentences to train on.

    Returns:
        Tags by word.

    >>> majority_tag_of_words([Sentence(("if", "if", "only"), ("literal", "literal", "prose"))])
    {'if': 'literal', 'only': 'prose'}
    """
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for sentence in sentences:
        for word, tag in zip(sentence.words, sentence.tags, strict=True):
            counts[word][tag] += 1
    return {word: tags.most_common(1)[0][0] for word, tags in counts.items()}


def look_up(table: dict[str, str], words: Sequence[str], outside: str) -> list[str]:
    """Tags words by a table alone.

    Args:
        table: what `majority_tag_of_words` returns.
        words: any words.
        outside: the tag of words that the table lacks.

    Returns:
        As many tags as words.
    """
    return [table.get(word, outside) for word in words]


def confusions_of_baselines(
    table: dict[str, str], sentences: Sequence[Sentence], vocabulary: Vocabulary
) -> dict[str, Int[np.ndarray, "tags tags"]]:
    """Confusions of what needs no model: always the same tag, and the lookup.

    Args:
        table: the most frequent tag of each word.
        sentences: the held-out sentences.
        vocabulary: the numbers of the tags.

    Returns:
        True tags in rows, predicted tags in columns, by the name of the baseline.
    """
    outside, num_tags = vocabulary.tags[0], len(vocabulary.tags)
    truths = [vocabulary.encode_tags(sentence.tags) for sentence in sentences]
    looked_up = [vocabulary.encode_tags(look_up(table, sentence.words, outside)) for sentence in sentences]
    return {
        f"always {outside}": count_confusions(truths, [[0] * len(truth) for truth in truths], num_tags),
        "lookup of each word": count_confusions(truths, looked_up, num_tags),
    }
