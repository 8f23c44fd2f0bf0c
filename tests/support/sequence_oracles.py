"""Entities and edit distances in Python, one sequence at a time."""

from collections.abc import Sequence

import numpy as np


def entities(tags: Sequence[str], mode: str, has_ends: bool) -> set[tuple[str, int, int]]:
    """Type, first and last step of each entity; written as a walk that keeps the open entity."""
    found, opened = set(), None
    for i, tag in enumerate([*tags, "O"]):
        letter, _, kind = tag.partition("-")
        before = tags[i - 1] if i else "O"
        closed = before[0] in "OES"
        same = opened is not None and opened[0] == kind
        goes_on = letter in "IE" and not closed and same
        if opened is not None and not goes_on:
            well_formed = mode == "lenient" or not has_ends or before[0] in "ES"
            found |= {(*opened, i - 1)} if well_formed else set()
            opened = None
        if opened is None and (letter in "BS" or (mode == "lenient" and letter in "IE")):
            opened = (kind, i)
    return found


def entity_counts(rows: list, types: Sequence[str], mode: str, has_ends: bool) -> np.ndarray:
    """For each type: right, predicted, there; `rows` of predicted and true names of tags."""
    counts = np.zeros((3, len(types)))
    for predicted, true in rows:
        a, b = (entities(tags, mode, has_ends) for tags in (predicted, true))
        for i, found in enumerate((a & b, a, b)):
            for kind, *_ in found:
                counts[i, types.index(kind)] += 1
    return counts


def edit_distance(x: Sequence, y: Sequence) -> int:
    """The fewest insertions, deletions and substitutions that turn one into the other."""
    table = np.zeros((len(x) + 1, len(y) + 1), int)
    table[:, 0], table[0] = np.arange(len(x) + 1), np.arange(len(y) + 1)
    for i in range(len(x)):
        for j in range(len(y)):
            table[i + 1, j + 1] = min(table[i, j] + (x[i] != y[j]), table[i, j + 1] + 1, table[i + 1, j] + 1)
    return int(table[-1, -1])
