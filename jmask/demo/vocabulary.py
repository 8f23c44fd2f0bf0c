"""Words and tags as numbers, and the split into sentences to train and to test on."""

import functools
import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from .errors import DemoError
from .text import Sentence

UNKNOWN = 0
OUTSIDE = "O"


class Split(NamedTuple):
    """Distinct sentences, each on one side only."""

    train: list[Sentence]
    test: list[Sentence]


@dataclass(frozen=True)
class Vocabulary:
    """The numbers of words and tags.

    Attributes:
        words: word number 1, 2, ...; number 0 is a word that is not here and whose shape is not here either.
        tags: tag number 0, 1, ...; number 0 is the tag of words that are nothing special.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]

    def __len__(self) -> int:
        """Number of word numbers, the unknown word's included."""
        return len(self.words) + 1

    @functools.cached_property
    def _word_numbers(self) -> dict[str, int]:
        return {word: number for number, word in enumerate(self.words, start=1)}

    @functools.cached_property
    def _tag_numbers(self) -> dict[str, int]:
        return {tag: number for number, tag in enumerate(self.tags)}

    def encode(self, words: Iterable[str]) -> list[int]:
        """Numbers for words; a word that training saw less than twice gets the number of its shape.

        Args:
            words: any words.

        Returns:
            As many integers in `range(len(self))`.

        >>> vocabulary = Vocabulary(words=("the", "<x>"), tags=("prose", "literal"))
        >>> vocabulary.encode(["the", "quixotic", "__init__"])
        [1, 2, 0]
        """
        numbers = self._word_numbers
        return [numbers.get(word) or numbers.get(shape(word), UNKNOWN) for word in words]

    def encode_tags(self, tags: Iterable[str]) -> list[int]:
        """Numbers for tags, which must all be known."""
        return [self._tag_numbers[tag] for tag in tags]

    def decode_tags(self, numbers: Iterable[int]) -> list[str]:
        """Tags for numbers."""
        return [self.tags[number] for number in numbers]


def shape(word: str) -> str:
    """What a word looks like: its runs of capitals, small letters and digits, in angle brackets.

    Args:
        word: any word.

    Returns:
        A short pattern; it is all that the model sees of a word it has no number for.

    >>> shape("ValueError"), shape("__init__"), shape("PEP484")
    ('<XxXx>', '<__x__>', '<X0>')
    """
    pattern = re.sub("[0-9]+", "0", word)
    for kind, letter in ((str.isupper, "X"), (str.islower, "x")):
        pattern = "".join(letter if kind(character) else character for character in pattern)
    return "<" + re.sub("([Xx])\\1+", "\\1", pattern) + ">"


def make_vocabulary(sentences: Sequence[Sentence], tags: Iterable[str]) -> Vocabulary:
    """Numbers for the words that occur at least twice, and for the shapes of the others.

    Args:
        sentences: the sentences to train on, and no others.
        tags: tags of all sentences, repetitions included. Number 0 goes to "O" if it occurs, else to the most
            frequent one.

    Returns:
        The vocabulary.
    """
    counts = Counter(word for sentence in sentences for word in sentence.words)
    words = [word for word, count in counts.items() if count > 1]
    shapes = dict.fromkeys(shape(word) for word, count in counts.items() if count == 1)
    tag_counts = Counter(tags)
    outside = OUTSIDE if OUTSIDE in tag_counts else tag_counts.most_common(1)[0][0]
    others = sorted(tag for tag in tag_counts if tag != outside)
    return Vocabulary(tuple(dict.fromkeys([*words, *shapes])), (outside, *others))


def split(sentences: Iterable[Sentence], seed: int, test_share: float = 0.2) -> Split:
    """Removes repetitions, shuffles, and keeps a share of the sentences to test on.

    Args:
        sentences: the sentences; one that repeats must not stand on both sides of the split.
        seed: the same seed gives the same split of the same sentences.
        test_share: the share to test on, at least one sentence.

    Returns:
        The two sides.

    Raises:
        DemoError: fewer than two distinct sentences, or only one tag.

    >>> sentence = Sentence(("a", "b"), ("O", "X"))
    >>> {side: len(rows) for side, rows in split([sentence, Sentence(("c",), ("O",)), sentence], 0)._asdict().items()}
    {'train': 1, 'test': 1}
    """
    distinct = list(dict.fromkeys(sentences))
    if len(distinct) < 2:
        raise DemoError(f"training needs at least two different sentences; received {len(distinct)}")
    tags = {tag for sentence in distinct for tag in sentence.tags}
    if len(tags) < 2:
        raise DemoError(f"training needs at least two different tags; every word has the tag {tags.pop()!r}")
    random.Random(seed).shuffle(distinct)
    num_test = max(1, round(test_share * len(distinct)))
    return Split(distinct[num_test:], distinct[:num_test])
