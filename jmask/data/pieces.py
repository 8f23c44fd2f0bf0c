"""What an epoch is made of: the sequences of each row, or what is left of those that are too long."""

import dataclasses
from collections.abc import Iterable
from typing import Any, Literal

import numpy as np

from ..sources.nested import ranges

TooLong = Literal["truncate", "drop", "split"]


@dataclasses.dataclass(frozen=True)
class Columns:
    """The columns of sequences of a corpus, those of equal lengths in one group.

    Attributes:
        group_of: for each column, the number of its group.
        lengths: for each group, the number of steps of each row, int64 `(rows,)`.
        num_rows: number of rows of the corpus.
    """

    group_of: dict[str, int]
    lengths: list[np.ndarray]
    num_rows: int

    def names(self, group: int) -> str:
        """The columns of a group, for an error."""
        return " and ".join(f"`{name}`" for name, of in self.group_of.items() if of == group)

    def differing(self, *, at_most: float = 1.0) -> str:
        """Which columns differ in length, and in how many rows, in words; "" if none does.

        Args:
            at_most: tells only of columns that differ in at most this share of the rows.
        """
        found = []
        for group in range(1, len(self.lengths)):
            count = int((self.lengths[group] != self.lengths[0]).sum())
            if count <= at_most * self.num_rows:
                found.append(f"{self.names(group)}: other than {self.names(0)} in {count:,} of {self.num_rows:,} rows")
        return "; ".join(found)


def grouped(corpus: Any) -> Columns:
    """The lengths of a corpus, once for all columns that agree in them."""
    group_of, lengths = {}, []
    for name, of_column in corpus.lengths.items():
        equal = (i for i, other in enumerate(lengths) if of_column is other or np.array_equal(of_column, other))
        group_of[name] = next(equal, len(lengths))
        if group_of[name] == len(lengths):
            lengths.append(np.asarray(of_column, np.int64))
    return Columns(group_of, lengths, len(corpus))


def per_group(columns: Columns, name: str, size: int | tuple[tuple[str, int], ...]) -> list[int]:
    """An option that is a number for all columns, or one for each by name, as a number for each group.

    A column that is not named has the number of one of its group.
    """
    if isinstance(size, int):
        return [size] * len(columns.lengths)
    sizes = [0] * len(columns.lengths)
    for column, of_column in size:
        if column in columns.group_of:
            group = columns.group_of[column]
            sizes[group] = max(sizes[group], of_column)
    if not all(sizes) or not {column for column, _ in size} <= set(columns.group_of):
        raise ValueError(
            f"`{name}` needs a number for each column of sequences, {_listed(columns.group_of)} (those of equal "
            f"lengths may share one); received one for {_listed(column for column, _ in size)}."
        )
    return sizes


@dataclasses.dataclass(frozen=True)
class Pieces:
    """Sequences, or parts of them: what is shuffled, and put into rows.

    Attributes:
        columns: the columns that they are of.
        rows: the row of the corpus that each is of, int64 `(pieces,)`.
        begins: the first step of each within its row, int64 `(pieces,)`; None for 0.
        lengths: for each group of columns, the number of steps of each piece.
        note: what became of sequences that were too long, in words; "" if there were none.
    """

    columns: Columns
    rows: np.ndarray
    begins: np.ndarray | None
    lengths: list[np.ndarray]
    note: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def longest(self) -> list[int]:
        """Of each group, the steps of the longest piece."""
        return [int(lengths.max(initial=0)) for lengths in self.lengths]


def within_limits(columns: Columns, limits: list[int], too_long: TooLong | None, option: str) -> Pieces:
    """The pieces of all rows, each within the limits.

    Args:
        columns: of the corpus.
        limits: for each group, how many steps a row of a batch has.
        too_long: what becomes of a sequence that is longer; None raises.
        option: how to say the limit, for errors, with `{}` for the number.

    Raises:
        ValueError: a sequence is too long, and nothing was said about that; or columns that differ in length would be
            split.
    """
    over = np.zeros(columns.num_rows, bool)
    for lengths, limit in zip(columns.lengths, limits, strict=True):
        over |= lengths > limit
    num_over, all_rows = int(over.sum()), np.arange(columns.num_rows)
    if not num_over:
        return Pieces(columns, all_rows, None, columns.lengths)
    if too_long is None:
        raise ValueError(_too_long(columns, limits, option))
    counted = f"{num_over:,} of {columns.num_rows:,} sequences"
    lost = sum(int(np.maximum(of - limit, 0).sum()) for of, limit in zip(columns.lengths, limits, strict=True))
    if too_long == "drop":
        kept = all_rows[~over]
        return Pieces(columns, kept, None, [of[kept] for of in columns.lengths], f"{counted} are dropped, too long")
    if too_long == "truncate":
        lengths = [np.minimum(of, limit) for of, limit in zip(columns.lengths, limits, strict=True)]
        return Pieces(columns, all_rows, None, lengths, f"{counted} are truncated, by {lost:,} steps in all")
    if len(limits) > 1:
        raise ValueError(
            f"`split=True` cuts columns at the same steps, and {columns.names(0)} and {columns.names(1)} differ in "
            "length. Pass `truncate=True` or `drop=True` instead."
        )
    return _split(columns, limits[0], counted)


def _split(columns: Columns, limit: int, counted: str) -> Pieces:
    lengths = columns.lengths[0]
    parts = np.maximum(-(-lengths // limit), 1)
    begins = ranges(np.zeros_like(parts), parts) * limit
    rows = np.repeat(np.arange(columns.num_rows), parts)
    of_parts = np.minimum(lengths[rows] - begins, limit)
    note = f"{counted} are split into {int(parts[parts > 1].sum()):,} parts"
    return Pieces(columns, rows, begins, [of_parts], note)


def _too_long(columns: Columns, limits: list[int], option: str) -> str:
    """The error that counts the sequences that are too long, of the first group that has any."""
    group = next(i for i, limit in enumerate(limits) if columns.lengths[i].max(initial=0) > limit)
    lengths, limit = columns.lengths[group], limits[group]
    over, longest = int((lengths > limit).sum()), int(lengths.max())
    return (
        f"{over} of {len(lengths)} sequences of {columns.names(group)} have more than {limit} steps, the longest "
        f"{longest} (row {int(lengths.argmax())}). Pass `{option.format(longest)}`, or `truncate=True` (which cuts "
        f"{int(np.maximum(lengths - limit, 0).sum())} of {int(lengths.sum())} steps off the ends), `drop=True` (leaves "
        f"these {over} out) or `split=True` (makes several sequences of each)."
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(map(repr, names)) or "none"
