"""Sentences as padded batches of a few fixed shapes, so that few programs are compiled."""

import random
from collections.abc import Sequence
from typing import NamedTuple

import jmask as jm

from .text import Sentence
from .vocabulary import Vocabulary

SHORTEST = 64


class Example(NamedTuple):
    """A sentence in numbers."""

    words: list[int]
    tags: list[int]


class Batch(NamedTuple):
    """Sentences side by side; a pytree.

    Attributes:
        words: word numbers `(batch, time)`.
        tags: tag numbers `(batch, time)` under the same mask.
    """

    words: jm.Masked
    tags: jm.Masked


def encode(sentences: Sequence[Sentence], vocabulary: Vocabulary) -> list[Example]:
    """Sentences in numbers.

    Args:
        sentences: tagged sentences; their tags must all be in the vocabulary.
        vocabulary: the numbers.

    Returns:
        One example for each sentence.
    """
    return [Example(vocabulary.encode(words), vocabulary.encode_tags(tags)) for words, tags in sentences]


class Data(NamedTuple):
    """All that training needs to know about the text."""

    train: list[Example]
    test: list[Example]
    vocabulary: Vocabulary


def padded_time(longest: int) -> int:
    """A number of steps that holds `longest` ones, out of few: each of them is compiled once."""
    time = SHORTEST
    while time < longest:
        time *= 2
    return time


def pad(examples: Sequence[Example], num_rows: int | None = None, *, time: int | None = None) -> Batch:
    """Pads examples to one shape.

    Args:
        examples: at most `num_rows` of them; missing rows become empty sentences, which are legal and change nothing.
        num_rows: number of rows; default: as many as examples.
        time: number of steps; default: the longest example's, rounded up to `SHORTEST` times a power of two.

    Returns:
        The batch, words and tags `(num_rows, time)`.
    """
    time = time or padded_time(max((len(example.words) for example in examples), default=0))
    missing = [Example([], [])] * ((num_rows or len(examples)) - len(examples))
    words, tags = zip(*examples, *missing, strict=True)
    return Batch(*(jm.pad_sequences(rows, maxlen=time, dtype="int32") for rows in (words, tags)))


def bucket(examples: Sequence[Example], num_rows: int, shuffle: random.Random | None = None) -> list[list[int]]:
    """Groups examples of similar length, so that little is padded.

    Args:
        examples: the examples.
        num_rows: how many belong in a group; the last one may be smaller.
        shuffle: if given, groups and their order differ from call to call; else both follow the length.

    Returns:
        Groups of positions in `examples`.
    """
    noise = shuffle.uniform if shuffle else lambda low, high: 1.0
    order = sorted(range(len(examples)), key=lambda row: len(examples[row].words) * noise(0.85, 1.15))
    groups = [order[start : start + num_rows] for start in range(0, len(order), num_rows)]
    if shuffle:
        shuffle.shuffle(groups)
    return groups


def batches(examples: Sequence[Example], num_rows: int, shuffle: random.Random | None = None) -> list[Batch]:
    """All examples once, in padded batches of `num_rows` rows.

    Args:
        examples: the examples.
        num_rows: rows of every batch; the last one is filled up with empty sentences.
        shuffle: if given, batches and their order differ from call to call.

    Returns:
        The batches.
    """
    groups = bucket(examples, num_rows, shuffle)
    return [pad([examples[row] for row in group], num_rows) for group in groups]
