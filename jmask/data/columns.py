"""Columns of a corpus: one flat array of values, and where the sequence of each row ends."""

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from typing import Any, SupportsIndex, overload

import numpy as np

from ..sources import as_host_array, host_array
from ..sources.conversion import OBJECT, convert_exactly, default_dtype
from ..sources.nested import ranges

_BLOCK = 2**20  # steps that are checked at once, so that no second copy of all the data is made

Index = slice | np.ndarray | Sequence[SupportsIndex]


@dataclasses.dataclass(frozen=True, eq=False, init=False, repr=False)
class Column:
    """One column of a corpus: a sequence in each row, or one value in each row.

    `data.Ragged` makes columns of almost anything. Make one yourself of values and offsets, or to have a vector in each
    row. Nothing is copied, and a memory map stays one: `np.load(path, mmap_mode="r")` or an `np.memmap`.

    Args:
        values: an array `(steps, ...)`, the steps of all rows one after another; without `offsets` an array
            `(rows, ...)`, one value or vector for each row.
        offsets: integers `(rows + 1,)`: where the sequence of each row begins, and where the last one ends. Of lengths
            they are `np.cumsum([0, *lengths])`. An offset that repeats is a row without steps. None: one value a row.
        real: bool `(steps,)`, False where a step is missing and its value only holds the place. None: all are real.

    Attributes:
        values: the flat array, read-only, from the first step of the first row to the last one of the last row.
        offsets: int64 `(rows + 1,)` from 0 to `len(values)`, or None.
        real: bool `(steps,)`, or None if all steps are real.

    Raises:
        TypeError: the values are no array, the offsets are not integers, or `real` is not bool.
        ValueError: the offsets decrease or leave the values, or `real` does not fit the values.

    >>> import numpy as np
    >>> from jmask import data
    >>> column = data.Column(np.array([3, 4, 5, 6]), offsets=[0, 3, 3, 4])
    >>> column, column.lengths.tolist(), column[0].tolist()
    (Column(int64, 3 sequences of 0 to 3 steps), [3, 0, 1], [3, 4, 5])
    """

    values: np.ndarray
    offsets: np.ndarray | None
    real: np.ndarray | None

    def __init__(self, values: Any, offsets: Any = None, real: Any = None):
        values = _array("values", values)
        if values.dtype.kind in "UST":
            values = values.astype(object)
        if offsets is None and real is not None:
            raise ValueError(
                "`real` says which steps of sequences are real, and there are no `offsets`. A column of one value a "
                "row has a value in every row: leave out the rows that have none."
            )
        if offsets is not None:
            offsets = _checked_offsets(_array("offsets", offsets), len(values))
            part = slice(int(offsets[0]), int(offsets[-1]))
            if real is not None:
                real = _checked_real(_array("real", real), len(values))[part]
            values, offsets = values[part], offsets - offsets[0] if offsets[0] else offsets
        object.__setattr__(self, "values", _read_only(values))
        object.__setattr__(self, "offsets", None if offsets is None else _read_only(offsets))
        object.__setattr__(self, "real", None if real is None or real.all() else _read_only(real))

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.values) if self.offsets is None else len(self.offsets) - 1

    @functools.cached_property
    def lengths(self) -> np.ndarray | None:
        """Number of steps of each row, int64 `(rows,)`; None for a column of one value a row."""
        return None if self.offsets is None else _read_only(np.diff(self.offsets))

    @functools.cached_property
    def dtype(self) -> np.dtype:
        """What a batch holds: int32 for int64 and float32 for float64 unless x64 is on; object for strings.

        Raises:
            OverflowError: a number does not fit that dtype. All are looked at once, block by block; where the dtype is
                that of the values, none are.
            TypeError: JAX has no such dtype.
        """
        try:
            dtype = default_dtype(self.values.dtype)
        except TypeError:
            raise TypeError(
                f"JAX has no dtype {self.values.dtype}. Convert the values first; times, for example, to numbers: "
                "`(times - times[0]) / np.timedelta64(1, 's')`."
            ) from None
        if dtype not in (OBJECT, self.values.dtype):
            for start in range(0, len(self.values), _BLOCK):
                convert_exactly(self.values[start : start + _BLOCK], dtype, "values")
        return dtype

    @overload
    def __getitem__(self, index: Index) -> "Column": ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    def __getitem__(self, index: Any) -> Any:
        """One row: an array `(steps, ...)`, a masked array if steps are missing, or a value. Or a `Column` of rows.

        A slice is a view; an array of row numbers, or of bool, copies these rows.
        """
        if isinstance(index, slice) and index.step in (None, 1):
            if self.offsets is None:
                return Column(self.values[index])
            start, stop, _ = index.indices(len(self))
            return Column(self.values, self.offsets[start : max(start, stop) + 1], self.real)
        rows = row_numbers(index, len(self))
        if self.offsets is None or self.lengths is None:
            return self.values[rows] if rows.ndim == 0 else Column(self.values[rows])
        if rows.ndim == 0:
            part = slice(int(self.offsets[rows]), int(self.offsets[rows + 1]))
            steps = self.values[part]
            return steps if self.real is None else _masked_array(steps, self.real[part])
        lengths = self.lengths[rows]
        steps = ranges(self.offsets[:-1][rows], lengths)
        return Column(self.values[steps], offsets_of(lengths), None if self.real is None else self.real[steps])

    def __repr__(self) -> str:
        return f"Column({self.summary()})"

    def summary(self) -> str:
        """The column in a few words: its dtype, number of rows, lengths, and shape of a step."""
        kind = "objects" if self.values.dtype == OBJECT else str(self.values.dtype)
        shape = f" of shape {self.values.shape[1:]}" if self.values.ndim > 1 else ""
        if self.lengths is None:
            return f"{kind}, {len(self)} values{shape}"
        extremes = sorted({int(self.lengths.min()), int(self.lengths.max())}) if len(self) else [0]
        missing = "" if self.real is None else f", {(~self.real).sum()} of them missing"
        return f"{kind}, {len(self)} sequences of {' to '.join(map(str, extremes))} steps{shape}{missing}"

    def as_vectors(self) -> "Column":
        """Sequences of one length, as one vector in each row: `(steps,)` of each row becomes one value.

        Raises:
            ValueError: the rows differ in length, or steps are missing.

        >>> import numpy as np
        >>> from jmask import data
        >>> data.Ragged(pixels=np.zeros((5, 3)))["pixels"].as_vectors()
        Column(float64, 5 values of shape (3,))
        """
        if self.lengths is None:
            return self
        size = int(self.lengths[0]) if len(self) else 0
        if self.real is not None or (self.lengths != size).any():
            raise ValueError(
                f"Vectors must have one length and no missing steps; this column holds {self.summary()}. "
                "Sequences that differ in length stay sequences."
            )
        return Column(self.values.reshape(len(self), size, *self.values.shape[1:]))

    def as_sequences(self) -> "Column":
        """One vector a row `(features, ...)` as a sequence of that many steps; one number a row as one step.

        >>> import numpy as np
        >>> from jmask import data
        >>> data.Column(np.zeros((5, 3))).as_sequences()
        Column(float64, 5 sequences of 3 steps)
        """
        return self if self.offsets is not None else sequences_of_array(self.values)


def check_numbers(columns: Mapping[str, Column]) -> None:
    """Raises for columns of strings or other objects, with the way to numbers."""
    for name, column in columns.items():
        if column.dtype == OBJECT:
            shown = name if name.isidentifier() else "column"
            raise TypeError(
                f"Column {name!r} holds strings or other objects, where numbers are needed. Give each string one, "
                f"`{shown} = data.Vocabulary.of(corpus[{name!r}])` and `corpus.replace(**{{{name!r}: "
                f"{shown}.encode(corpus[{name!r}])}})`, or leave it out, `corpus.replace(**{{{name!r}: None}})`."
            )


def sequences_of_array(values: np.ndarray) -> Column:
    """The rows of an array `(rows, time, ...)` as sequences of one length; numbers `(rows,)` as one step each."""
    if values.ndim == 1:
        values = values[:, None]
    rows, time = values.shape[:2]
    return Column(values.reshape(rows * time, *values.shape[2:]), np.arange(rows + 1, dtype=np.int64) * time)


def offsets_of(lengths: np.ndarray) -> np.ndarray:
    """Where each of the concatenated sequences begins, and where the last one ends."""
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets


def row_numbers(index: Any, num_rows: int) -> np.ndarray:
    """An index of rows as numbers from 0 on: of rank 0 for one row, of rank 1 for several.

    Raises:
        IndexError: there is no such row.
        TypeError: it is no integer, slice, or array of integers or bool.
    """
    if isinstance(index, slice):
        return np.arange(num_rows)[index]
    numbers = np.asarray(index)
    if numbers.size == 0 and numbers.ndim == 1:
        return np.zeros(0, np.int64)
    if numbers.dtype == bool and numbers.shape == (num_rows,):
        return np.flatnonzero(numbers)
    if numbers.dtype.kind not in "iu" or numbers.ndim > 1:
        raise TypeError(
            f"Rows are chosen by an integer, a slice, an array of integers, or one of bool ({num_rows},); received "
            f"{index!r}."
        )
    if ((numbers < -num_rows) | (numbers >= num_rows)).any():
        wrong = numbers[(numbers < -num_rows) | (numbers >= num_rows)].flat[0]
        raise IndexError(f"There are {num_rows} rows, numbered from 0; received {wrong}.")
    return np.where(numbers < 0, numbers + num_rows, numbers)


def _array(name: str, x: Any) -> np.ndarray:
    found = x if type(x) is np.ndarray else as_host_array(x)  # which refuses masked entries
    array = np.asarray(host_array(x) if found is None else found)
    if array.ndim == 0:
        raise TypeError(f"`{name}` of a column must be an array; received {x!r}.")
    return array


def _checked_offsets(offsets: np.ndarray, num_steps: int) -> np.ndarray:
    if offsets.dtype.kind not in "iu":
        raise TypeError(f"`offsets` must be integers; received dtype {offsets.dtype}.")
    offsets = offsets.astype(np.int64, copy=False)
    fits = offsets.ndim == 1 and len(offsets) and offsets[0] >= 0 and offsets[-1] <= num_steps
    if not fits or (np.diff(offsets) < 0).any():
        shown = (
            f"{offsets.tolist()}" if offsets.size <= 8 else f"{offsets.size} from {offsets.min()} to {offsets.max()}"
        )
        raise ValueError(
            f"`offsets` (rows + 1,) say where each row begins and where the last one ends: from 0 to the number of "
            f"steps, {num_steps}, and never less than the one before; received {shown}. Of lengths they are "
            "`np.cumsum([0, *lengths])`."
        )
    return offsets


def _checked_real(real: np.ndarray, num_steps: int) -> np.ndarray:
    if real.dtype != bool:
        raise TypeError(f"`real` must be bool, True at real steps; received dtype {real.dtype}.")
    if real.shape != (num_steps,):
        raise ValueError(f"`real` must have one entry for each step, ({num_steps},); received {real.shape}.")
    return real


def _read_only(array: np.ndarray) -> np.ndarray:
    view = array.view()
    view.flags.writeable = False
    return view


def _masked_array(steps: np.ndarray, real: np.ndarray) -> np.ma.MaskedArray:
    missing = np.broadcast_to(~real.reshape(-1, *(1,) * (steps.ndim - 1)), steps.shape)
    return np.ma.MaskedArray(steps, missing)
