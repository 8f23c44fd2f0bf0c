"""Tagged sentences as text with marks, so that tags can be read without colors too."""

from collections.abc import Sequence
from itertools import groupby

from rich.text import Text

_STYLES = {"right": ("`", "bold green"), "missed": ("?", "bold yellow"), "wrong": ("!", "bold red")}
LEGEND = Text.assemble(
    ("`right`", _STYLES["right"][1]), "  ", ("?missed?", _STYLES["missed"][1]), "  ", ("!wrong!", _STYLES["wrong"][1])
)


def mark(
    words: Sequence[str],
    tags: Sequence[str],
    outside: str,
    *,
    truth: Sequence[str] | None = None,
    show_tags: bool = False,
    gaps: Sequence[str] | None = None,
) -> Text:
    """Sets marks around words with a tag.

    Args:
        words: the words of a sentence.
        tags: their predicted tags.
        outside: the tag that gets no mark.
        truth: the true tags, if they are known.
        show_tags: whether to write the tag behind the mark; of use with more than two tags.
        gaps: what stands before each word, e.g. as in the text it came from; default: a space.

    Returns:
        The sentence: `word` where tag and truth agree, !word! where they do not, ?word? where a tag is missing.

    >>> mark(["use", "the", "if", "now"], ["O", "O", "X", "X"], "O", truth=["X", "O", "X", "O"]).plain
    '?use? the `if` !now!'
    """
    truth = tags if truth is None else truth
    gaps = ["", *[" "] * len(words)][: len(words)] if gaps is None else gaps
    named = [true if tag == outside else tag for tag, true in zip(tags, truth, strict=True)]
    rows = zip(words, gaps, named, map(_kind, tags, truth, [outside] * len(words)), strict=True)
    text = Text()
    for (kind, tag), group in groupby(rows, key=lambda row: (row[3], row[2])):
        pieces = list(group)
        first_gap, inside = pieces[0][1], "".join(gap + word for word, gap, _, _ in pieces)
        text.append(first_gap)
        if kind is None:
            text.append(inside[len(first_gap) :])
            continue
        sign, style = _STYLES[kind]
        text.append(f"{sign}{inside[len(first_gap) :]}{sign}" + (f"/{tag}" if show_tags else ""), style=style)
    return text


def _kind(tag: str, truth: str, outside: str) -> str | None:
    """How a word is to be shown; None for a word that is nothing special."""
    if tag == truth:
        return None if tag == outside else "right"
    return "missed" if tag == outside else "wrong"
