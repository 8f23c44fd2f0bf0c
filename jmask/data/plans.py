"""The plans that users make: padded, buckets, packed."""

from collections.abc import Mapping
from typing import Any, SupportsIndex

from ..core.checks import checked_option, checked_size
from .plan_kinds import BucketPlan, PackedPlan, PaddedPlan, Plan

Size = int | Mapping[str, int]


def padded(
    *,
    rows: SupportsIndex,
    width: Size | None = None,
    pad_to_multiple_of: SupportsIndex | None = None,
    shuffle: bool = True,
    truncate: bool = False,
    drop: bool = False,
    split: bool = False,
) -> Plan:
    """A plan of batches with one sequence a row, all of one width: the simple one, for lengths that differ little.

    Args:
        rows: number of rows of a batch.
        width: number of steps of a row, or one for each column by name, `{"source": 64, "target": 80}`. None: that of
            the longest sequence of the corpus, for each column its own.
        pad_to_multiple_of: rounds the width up to a multiple of this; None for 1.
        shuffle: whether each epoch has another order, a uniform shuffle; False keeps that of the corpus, to evaluate.
        truncate: whether a sequence of more than `width` steps loses its end.
        drop: whether it is left out.
        split: whether it is cut into parts of `width` steps, each a sequence of its own with the same values a row.

    Returns:
        A frozen `Plan`. The last batch of an epoch is filled with rows that have no real step.

    Raises:
        TypeError: an option is not of its type.
        ValueError: an option is out of range, or two of `truncate`, `drop` and `split` are True. Without any of them, a
            sequence that is too long is an error where the plan meets the corpus; it counts them.

    >>> from jmask import data
    >>> plan = data.padded(rows=2)
    >>> next(iter(data.batches(data.Ragged(x=[[3, 4], [5], [6]]), plan, seed=0)))["x"].shape
    (2, 2)
    """
    return PaddedPlan(
        rows=checked_size("rows", rows, 1),
        width=None if width is None else _checked_sizes("width", width),
        pad_to_multiple_of=checked_option("pad_to_multiple_of", pad_to_multiple_of, 1),
        shuffle=shuffle,
        truncate=truncate,
        drop=drop,
        split=split,
    )


def buckets(
    number: SupportsIndex,
    *,
    tokens: SupportsIndex,
    rows_multiple_of: SupportsIndex = 1,
    pad_to_multiple_of: SupportsIndex | None = None,
    shuffle: bool = True,
    truncate: bool = False,
    drop: bool = False,
    split: bool = False,
) -> Plan:
    """A plan of batches of a few widths, one sequence a row, so that each batch has about as many steps.

    The widths are those with the least padding, by dynamic programming over the lengths of the corpus (exact for up to
    4,096 distinct lengths). Each epoch shuffles the sequences of a bucket, and then all batches. Sequences of one
    length still meet more often than in a uniform shuffle, which `plan.describe` shows; `data.packed` avoids that, and
    most of the padding.

    Args:
        number: how many widths at most; each costs a compilation of the training step.
        tokens: number of steps of a batch, padding included: the rows of a bucket are `tokens // width`. Where columns
            differ in length, the widest one counts.
        rows_multiple_of: rounds the rows down to a multiple of this, for example the number of devices.
        pad_to_multiple_of: rounds widths up to a multiple of this; None for 1.
        shuffle: whether each epoch has another order; False keeps that of the corpus within a bucket.
        truncate: whether a sequence that is longer than `tokens` loses its end.
        drop: whether it is left out.
        split: whether it is cut into several sequences.

    Returns:
        A frozen `Plan`. Every batch of a bucket has one shape: its last one is filled with rows without a real step.

    Raises:
        TypeError: an option is not of its type.
        ValueError: an option is out of range, or two of `truncate`, `drop` and `split` are True. Without any of them, a
            sequence that is too long is an error where the plan meets the corpus; it counts them.

    >>> from jmask import data
    >>> corpus = data.Ragged(x=[[1], [1, 2], [1, 2], [1, 2, 3, 4, 5, 6], [1, 2, 3, 4, 5, 6, 7]])
    >>> [shape for shape in data.buckets(2, tokens=14).describe(corpus).shapes]
    ['7 x 2', '2 x 7']
    """
    return BucketPlan(
        number=checked_size("number", number, 1),
        tokens=checked_size("tokens", tokens, 1),
        rows_multiple_of=checked_size("rows_multiple_of", rows_multiple_of, 1),
        pad_to_multiple_of=checked_option("pad_to_multiple_of", pad_to_multiple_of, 1),
        shuffle=shuffle,
        truncate=truncate,
        drop=drop,
        split=split,
    )


def packed(
    *,
    row_length: Size,
    rows: SupportsIndex,
    max_segments: SupportsIndex | None = None,
    open_rows: SupportsIndex = 32,
    shuffle: bool = True,
    truncate: bool = False,
    drop: bool = False,
    split: bool = False,
) -> Plan:
    """A plan of packed batches, several sequences a row: one shape, next to no padding, the order of a uniform shuffle.

    The shuffled sequences are packed in one pass: each goes into the open row that it fills best; if it fits into
    none, a new row is opened, and the fullest one closed if there are too many. Nothing is sorted, so sequences of one
    length meet no more often than others. (First-fit decreasing, as in `jm.pack`, is for one array, not for an epoch.)

    Args:
        row_length: number of steps of a row, or one for each column by name, `{"source": 256, "target": 320}`. A row
            takes a sequence if all columns fit. At least the longest sequence; a few times the mean length is best.
        rows: number of rows of a batch.
        max_segments: how many sequences a row has at most. It also sets how many results a batch has where there is
            one for each sequence, `rows * max_segments`. None: as many as fit, and room for as many results as the
            shortest sequences of the corpus could need.
        open_rows: how many rows are open at a time: more of them leave less padding and look further ahead.
        shuffle: whether each epoch has another order; False packs the corpus in its own order.
        truncate: whether a sequence of more than `row_length` steps loses its end.
        drop: whether it is left out.
        split: whether it is cut into parts of `row_length` steps, each a sequence of its own.

    Returns:
        A frozen `Plan`. The last batch of an epoch is filled with rows without a real step.

    Raises:
        TypeError: an option is not of its type.
        ValueError: an option is out of range, or two of `truncate`, `drop` and `split` are True. Without any of them, a
            sequence that is too long is an error where the plan meets the corpus; it counts them.

    >>> from jmask import data
    >>> corpus = data.Ragged(x=[[1, 2, 3], [4, 5], [6]])
    >>> next(iter(data.batches(corpus, data.packed(row_length=3, rows=2, shuffle=False), seed=0)))["x"]
    Masked(int32[2, 3], segments=3)
    [[1 2 3]
     [4 5|6]]
    """
    return PackedPlan(
        row_length=_checked_sizes("row_length", row_length),
        rows=checked_size("rows", rows, 1),
        max_segments=checked_option("max_segments", max_segments, 1),
        open_rows=checked_size("open_rows", open_rows, 1),
        shuffle=shuffle,
        truncate=truncate,
        drop=drop,
        split=split,
    )


def _checked_sizes(name: str, size: Any) -> int | tuple[tuple[str, int], ...]:
    """A size, or the sizes of columns as sorted pairs, so that equal plans are equal."""
    if isinstance(size, Mapping):
        return tuple(sorted((str(column), checked_size(f"{name}[{column!r}]", of, 1)) for column, of in size.items()))
    return checked_size(name, size, 1)
