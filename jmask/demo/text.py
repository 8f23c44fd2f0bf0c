"""Tagged sentences from the documentation inside the running Python.

The documentation marks code by double quotes: `The "assert" statement`. With the quotes removed, the task is to find
the words that stood between them. That needs context: "the assert statement" is about code, "we assert" is prose.
"""

import re
from collections.abc import Mapping
from typing import NamedTuple

from ..data import Ragged
from .errors import DemoError

LITERAL = "literal"
PROSE = "prose"
LENGTHS = range(4, 401)

_TOKEN = re.compile(r"\w+|([^\w\s])\1*")
_PARAGRAPH_BREAK = re.compile(r"\n\s*\n")
_NOT_PROSE = ("::=", ">>>")


class Sentence(NamedTuple):
    """Words, and one tag for each."""

    words: tuple[str, ...]
    tags: tuple[str, ...]


def split_gaps(text: str) -> tuple[list[str], list[str]]:
    """Splits a text into words and runs of one punctuation mark, and keeps what is between them.

    Args:
        text: any text.

    Returns:
        The tokens, and as many gaps: the text before each token.

    >>> split_gaps("is  so()")
    (['is', 'so', '(', ')'], ['', '  ', '', ''])
    >>> split_gaps("obj.__len__() is **not** magic...")[0]
    ['obj', '.', '__len__', '(', ')', 'is', '**', 'not', '**', 'magic', '...']
    """
    matches = list(_TOKEN.finditer(text))
    ends = [0, *(match.end() for match in matches)]
    gaps = [text[end : match.start()] for end, match in zip(ends, matches, strict=False)]
    return [match.group() for match in matches], gaps


def tag_paragraph(paragraph: str) -> Sentence | None:
    """Removes the double quotes of a paragraph and tags every word that stood between two of them.

    Args:
        paragraph: a paragraph of the documentation.

    Returns:
        The tagged words, or None for what teaches nothing: no quotes, an odd number of them (nobody can say which two
        belong together), grammars and interpreter sessions (their quotes are Python's own), and paragraphs that are
        shorter or longer than `LENGTHS`.

    >>> tag_paragraph('Use the "assert" statement.')
    Sentence(words=('Use', 'the', 'assert', 'statement', '.'), tags=('prose', 'prose', 'literal', 'prose', 'prose'))
    """
    pieces = paragraph.split('"')
    if len(pieces) == 1 or len(pieces) % 2 == 0 or any(mark in paragraph for mark in _NOT_PROSE):
        return None
    inside = [number % 2 == 1 for number, piece in enumerate(pieces) for _ in piece]
    tokens = list(_TOKEN.finditer("".join(pieces)))
    if len(tokens) not in LENGTHS:
        return None
    tags = tuple(LITERAL if inside[token.start()] else PROSE for token in tokens)
    return Sentence(tuple(token.group() for token in tokens), tags)


def read_topics(topics: Mapping[str, str] | None = None) -> Ragged:
    """The tagged paragraphs of the documentation, repetitions included.

    Args:
        topics: texts by name; default `pydoc_data.topics` of the running Python. The text differs in every release.

    Returns:
        A corpus of `words` and `tags`, a row for each paragraph that `tag_paragraph` accepts.

    Raises:
        DemoError: this Python has no `pydoc_data` (some minimal builds leave it out).
    """
    texts = (_documentation() if topics is None else topics).values()
    paragraphs = (part for text in texts for part in _PARAGRAPH_BREAK.split(text))
    sentences = [sentence for sentence in map(tag_paragraph, paragraphs) if sentence is not None]
    return Ragged(words=[sentence.words for sentence in sentences], tags=[sentence.tags for sentence in sentences])


def _documentation() -> Mapping[str, str]:
    try:
        from pydoc_data.topics import topics
    except ImportError as error:
        raise DemoError("this Python comes without `pydoc_data.topics`; train on a file with --data FILE") from error
    return topics
