"""The sentences: read, split into those to train and those to test on, and turned into numbers."""

import random
import re
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from ..data import Ragged, Vocabulary, read_conll
from .errors import DemoError
from .text import read_topics

OUTSIDE = "O"


class Vocabularies(NamedTuple):
    """Numbers of words and tags.

    Attributes:
        words: number 0 is a word that is not here and whose shape is not here either.
        tags: number 0 is the tag of words that are nothing special.
    """

    words: Vocabulary
    tags: Vocabulary

    def encode(self, corpus: Ragged) -> Ragged:
        """The corpus in numbers; its tags must all be known."""
        words = self.words.encode(corpus["words"], fallback=shape)
        return Ragged(words=words, tags=self.tags.encode(corpus["tags"]))


class Split(NamedTuple):
    """Distinct sentences, each on one side only."""

    train: Ragged
    test: Ragged


def read_sentences(path: str | Path | None) -> Ragged:
    """Reads tagged sentences.

    Args:
        path: a file as `jm.data.read_conll` takes it, or None for the documentation of the running Python. Of CoNLL-U
            the form of a word and its UPOS tag are taken, of others the first column and the last one.

    Returns:
        A corpus of `words` and `tags`, strings.

    Raises:
        DemoError: there is no such file, it is not text, it holds no sentence, or a line (named by its number) has not
            the columns that it should have.
    """
    if path is None:
        return read_topics()
    try:
        corpus = read_conll(path)
    except FileNotFoundError as error:
        raise DemoError(f"{path}: there is no such file") from error
    except OSError as error:
        raise DemoError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DemoError(str(error)) from error
    words, *_, tags = corpus.columns
    if "upos" in corpus.columns:
        words, tags = "form", "upos"
    return Ragged(words=corpus[words], tags=corpus[tags])


def train_test_split(corpus: Ragged, seed: int, test_share: float = 0.2) -> Split:
    """Removes repetitions, shuffles, and keeps a share of the sentences to test on.

    Args:
        corpus: the sentences; one that repeats must not stand on both sides of the split.
        seed: the same seed gives the same split of the same sentences.
        test_share: the share to test on, at least one sentence.

    Returns:
        The two sides.

    Raises:
        DemoError: fewer than two distinct sentences, or only one tag.

    >>> sentences = Ragged(words=[["a", "b"], ["c"], ["a", "b"]], tags=[["O", "X"], ["O"], ["O", "X"]])
    >>> {side: len(rows) for side, rows in train_test_split(sentences, seed=0)._asdict().items()}
    {'train': 1, 'test': 1}
    """
    distinct: dict[object, int] = {}
    for number, row in enumerate(corpus):
        distinct.setdefault((tuple(row["words"]), tuple(row["tags"])), number)
    if len(distinct) < 2:
        raise DemoError(f"training needs at least two different sentences; received {len(distinct)}")
    if len(tags := set(corpus["tags"].values)) < 2:
        raise DemoError(f"training needs at least two different tags; every word has the tag {tags.pop()!r}")
    rows = list(distinct.values())
    random.Random(seed).shuffle(rows)
    num_test = max(1, round(test_share * len(rows)))
    return Split(corpus[rows[num_test:]], corpus[rows[:num_test]])


def make_vocabularies(train: Ragged, corpus: Ragged) -> Vocabularies:
    """Numbers for the words that occur at least twice, for the shapes of the others, and for tags.

    Args:
        train: the sentences to train on, and no others.
        corpus: all sentences, with their tags. Tag 0 is "O" if it occurs, else the most frequent one.

    Returns:
        The vocabularies.
    """
    counts = Counter(corpus["tags"].values)
    outside = OUTSIDE if OUTSIDE in counts else counts.most_common(1)[0][0]
    words = Vocabulary.of(train["words"], minimum=2, fallback=shape)
    return Vocabularies(words, Vocabulary.of(corpus["tags"], unknown=None, first=(outside,)))


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
