"""Ragged data on the host in lists and arrays, a row each, read into one flat array of steps."""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any, Literal

import numpy as np

from ..core.masked import Masked
from ..sources import Flat, FlatSteps, Leaf, Lists, find_lists, find_marks, flat_steps, flatten_lists, host_array
from ..sources.conversion import OBJECT, is_missing
from .loading import SLICEABLE, UnevenStepsError, load_arrays, load_lists, split_rows


@dataclasses.dataclass(frozen=True)
class RowLists:
    """Sequences in the caller's own lists and arrays, not yet copied.

    Attributes:
        rows: lists, tuples and NumPy arrays.
        lengths: number of steps of each row that count, int64.
        part: which steps of a row these are; None for all.
        places: the index of each row in the caller's data; None for the same index.
        marks: for each row that says which of its steps are real, these, by its index in `rows`.
    """

    rows: list[Any]
    lengths: np.ndarray
    part: slice | None = None
    places: Sequence[Any] | None = None
    marks: Mapping[int, np.ndarray] = dataclasses.field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def longest(self) -> int:
        """The largest number of steps; 0 without rows."""
        return int(self.lengths.max(initial=0))

    def truncated(self, maxlen: int, end: Literal["post", "pre"]) -> "RowLists":
        """At most `maxlen` steps of each row, the rest cut off its end or its beginning."""
        if self.longest <= maxlen:
            return self
        size = max(maxlen, 1)  # one step is read even for `maxlen=0`: it gives the dtype and the shape of a step
        part = slice(size) if end == "post" else slice(-size, None)
        return dataclasses.replace(self, lengths=np.minimum(self.lengths, maxlen), part=part)

    def taken(self, index: np.ndarray) -> "RowLists":
        """The sequences at these places."""
        numbers = index.tolist()
        places = numbers if self.places is None else [self.places[i] for i in numbers]
        marks = {k: self.marks[i] for k, i in enumerate(numbers) if i in self.marks} if self.marks else {}
        return RowLists([self.rows[i] for i in numbers], self.lengths[index], self.part, places, marks)

    @property
    def real(self) -> np.ndarray | None:
        """Which of all steps that count are real, rows concatenated; None if all are."""
        if not self.marks:
            return None
        part = slice(None) if self.part is None else self.part
        reals = (self.marks[i][part] if i in self.marks else np.ones(n, bool) for i, n in enumerate(self.lengths))
        return np.concatenate([real[:n] for real, n in zip(reals, self.lengths, strict=True)])

    def without_holes(self) -> "RowLists":
        """The same sequences without the steps that are not real."""
        if not self.marks:
            return self
        rows = [row[self.marks[i]] if i in self.marks else row for i, row in enumerate(self.rows)]
        return RowLists(rows, np.fromiter(map(len, rows), np.int64, len(rows)), self.part, self.places)

    def load(self, dtype: np.dtype | None) -> "FlatSteps | None":
        """The steps in one dtype.

        Args:
            dtype: the requested dtype; None takes it from the data.

        Returns:
            The `FlatSteps`, or None where neither a step nor an empty array says what a step is.

        Raises:
            TypeError, ValueError, OverflowError: the steps differ in shape, or do not fit the dtype (see `convert`).
        """
        rows = self.rows
        if not self.lengths.all():
            # Empty rows do not count: `np.array([])` is float64, and would turn its integer neighbours into floats.
            rows = [row for row in rows if len(row)] or [row for row in rows if isinstance(row, np.ndarray)]
        if not rows:
            return None
        has_arrays = np.ndarray in set(map(type, rows))
        try:
            steps = load_arrays(rows, self.part, dtype) if has_arrays else FlatSteps(load_lists(rows, self.part, dtype))
        except UnevenStepsError:
            raise ValueError(self._uneven_steps()) from None
        if dtype is None and steps.flat.dtype == OBJECT and any(map(is_missing, steps.flat.flat)):
            raise TypeError(
                "`sequences`: a step is missing, None or NA. Leave it out, or pass `dtype=object` to keep it as an "
                "object among others; columns of Arrow, polars or pandas and NumPy's masked arrays have a mask for it."
            )
        return steps

    def _uneven_steps(self) -> str:
        rows = [(i, row) for i, row in enumerate(self.rows) if len(row)] or list(enumerate(self.rows))
        shapes = ((i, shape) for i, row in rows for shape in _step_shapes(row if self.part is None else row[self.part]))
        first, expected = next(shapes)
        position, shape = next((found for found in shapes if found[1] != expected), (first, expected))
        rank = 2
        if self.places is not None:
            first, position = self.places[first], self.places[position]
            rank = np.size(position) + 1
        remedy = f" `jm.pad_sequences(..., ragged_rank={rank})` takes documents: lists of lists of steps."
        return (
            f"All steps of `sequences` must have the same shape; sequence {position} has steps of shape {shape}, "
            f"sequence {first} of shape {expected}.{remedy if shape and expected else ''}"
        )


def read_sequences(sequences: Any) -> RowLists | Flat:
    """The sequences, checked: a sized iterable of lists, tuples, arrays or objects that convert to arrays.

    Raises:
        TypeError: the whole, or one of the sequences, is not a sequence.
    """
    return read_nested(sequences, 1).items


def read_nested(sequences: Any, ragged_rank: int | None) -> Lists:
    """The sequences as `read_sequences` returns them, inside the lists that contain them.

    Args:
        sequences: as for `jm.pad_sequences`.
        ragged_rank: how many levels of lists vary in length; None: 1 for Python's lists, for others what their type
            says.

    Returns:
        One `Lists` with a `RowLists` or `Flat` as its items, or `Lists` inside it for each additional level.

    Raises:
        TypeError: the whole, or one of the sequences, is not a sequence.
        ValueError: another library's lists are null, nested differently, or hold vectors of different sizes.
    """
    if isinstance(sequences, Masked):
        raise TypeError("`sequences` is a `Masked`, which is padded already; `jm.unpad(x)` makes a list of it.")
    lists = find_lists(sequences)
    if lists is not None:
        counts, leaf = flatten_lists(lists, ragged_rank)
        items: Any = Flat(leaf, counts.pop())
    else:
        _check_whole(sequences)
        counts, items = _read_rows(list(sequences), ragged_rank or 1)
    for lengths in (*reversed(counts), np.array([counts[0].size if counts else len(items)])):
        items = Lists(lengths, items)
    return items


def _check_whole(sequences: Any) -> None:
    if not _is_sequence(sequences):
        raise TypeError(
            f"`sequences` must be a list of sequences; received {_described(sequences)}. "
            "A generator becomes one by `list(...)`."
        )


def _read_rows(rows: list[Any], ragged_rank: int) -> tuple[list[np.ndarray], RowLists]:
    """The innermost sequences, and the lengths of the lists around them, the outermost first."""
    counts, places = [], None
    for _ in range(ragged_rank - 1):
        names = range(len(rows)) if places is None else places
        rows = [_as_list(place, row) for place, row in zip(names, rows, strict=True)]
        counts.append(_lengths(rows, names))
        paths = [place if isinstance(place, tuple) else (place,) for place in names]
        places = [(*path, i) for path, row in zip(paths, rows, strict=True) for i in range(len(row))]
        rows = list(itertools.chain.from_iterable(rows))
    marks: dict[int, np.ndarray] = {}
    names = range(len(rows)) if places is None else places
    if not set(map(type, rows)) <= SLICEABLE:
        rows = [_as_sequence(i, names[i], row, marks) for i, row in enumerate(rows)]
    return counts, RowLists(rows, _lengths(rows, names), None, places, marks)


def _lengths(rows: list[Any], places: Sequence[Any]) -> np.ndarray:
    try:
        return np.fromiter(map(len, rows), np.int64, len(rows))
    except TypeError:  # a NumPy array of rank 0 has `__len__`, but no length
        i = next(i for i, row in enumerate(rows) if isinstance(row, np.ndarray) and row.ndim == 0)
        raise _not_a_sequence(places[i], rows[i]) from None


def _as_list(place: Any, row: Any) -> Any:
    """A document as a list or array of sequences."""
    if type(row) in SLICEABLE:
        return row
    if isinstance(row, Masked) or not _is_sequence(row):
        raise _not_a_sequence(place, row)
    lists = find_lists(row)
    if lists is None:
        return list(row)
    (lengths,), leaf = flatten_lists(lists, 1)
    if leaf.real is not None:
        raise ValueError(f"`sequences`: document {place} has steps that are null; fill them, or pass the whole column.")
    return split_rows(leaf.values, lengths.tolist())


def _step_shapes(row: Any) -> Iterator[Any]:
    if isinstance(row, np.ndarray):
        yield row.shape[1:]
        return
    for step in row:
        try:
            yield np.shape(step)
        except ValueError:
            yield "(ragged)"  # a step of lists of different lengths


def _as_sequence(index: int, place: Any, row: Any, marks: dict[int, np.ndarray]) -> Any:
    """A row as a list, a tuple or an array; the validity of its steps, if it has any, is stored in `marks`."""
    if type(row) in SLICEABLE:
        return row
    if isinstance(row, Masked) or not _is_sequence(row):
        raise _not_a_sequence(place, row)
    found = find_marks(row)
    if found is not None:
        leaf = flat_steps(Leaf(found.values, found.real))
        if leaf.real is not None:
            marks[index] = leaf.real
        return leaf.values
    return host_array(row) if hasattr(row, "__array__") else list(row)


def _is_sequence(x: Any) -> bool:
    return hasattr(x, "__len__") and hasattr(x, "__iter__") and not isinstance(x, (str, bytes, Mapping, Set))


def _not_a_sequence(place: Any, row: Any) -> TypeError:
    remedy = "A single sequence goes into a list of its own; a string is split into steps first."
    if is_missing(row):
        remedy = "A sequence that is missing is left out, here and wherever the same rows appear, or made empty, `[]`."
    return TypeError(
        f"Each of `sequences` must be a list or an array of steps; sequence {place} is {_described(row)}. {remedy}"
    )


def _described(x: Any) -> str:
    shown = "" if isinstance(x, Masked) else f", {x!r}"
    return f"of type {type(x).__name__}{shown if len(shown) < 60 else ''}"
