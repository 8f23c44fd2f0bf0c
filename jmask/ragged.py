"""Ragged host data: sequences of different lengths, read into one flat array of steps."""

import array
import dataclasses
import itertools
import operator
from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any, Literal

import numpy as np

from .conversion import OBJECT, are_integers, common_dtype, convert, default_dtype
from .masked import Masked

_SLICEABLE = {list, tuple, np.ndarray}
_BLOCK = 64  # rows that are converted at once: few enough to stay in the cache


@dataclasses.dataclass(frozen=True)
class Ragged:
    """Sequences as their owner holds them, nothing copied yet.

    Attributes:
        rows: lists, tuples and NumPy arrays.
        lengths: number of steps of each row that count, int64.
        part: which steps of a row these are; None for all.
        places: where each row stands in the list of its owner; None for the same place.
    """

    rows: list[Any]
    lengths: np.ndarray
    part: slice | None = None
    places: np.ndarray | None = None

    @property
    def longest(self) -> int:
        """The largest number of steps; 0 without rows."""
        return int(self.lengths.max(initial=0))

    def truncated(self, maxlen: int, end: Literal["post", "pre"]) -> "Ragged":
        """At most `maxlen` steps of each row, the rest cut off its end or its beginning."""
        if self.longest <= maxlen:
            return self
        size = max(maxlen, 1)  # one step is read even for `maxlen=0`: it tells the dtype and the shape of a step
        part = slice(size) if end == "post" else slice(-size, None)
        return Ragged(self.rows, np.minimum(self.lengths, maxlen), part, self.places)

    def reordered(self, order: np.ndarray) -> "Ragged":
        """The same sequences in another order."""
        return Ragged([self.rows[i] for i in order.tolist()], self.lengths[order], self.part, order)

    def load(self, dtype: np.dtype | None) -> "Steps | None":
        """The steps in one dtype.

        Args:
            dtype: what is asked for; None takes it from the data.

        Returns:
            The `Steps`, or None where neither a step nor an empty array says what a step is.

        Raises:
            TypeError, ValueError, OverflowError: the steps differ in shape, or do not fit the dtype (see `convert`).
        """
        rows = self.rows
        if not self.lengths.all():
            # Empty rows have no say: `np.array([])` is float64, and would make floats of its integer neighbours.
            rows = [row for row in rows if len(row)] or [row for row in rows if isinstance(row, np.ndarray)]
        if not rows:
            return None
        has_arrays = np.ndarray in set(map(type, rows))
        try:
            return _load_arrays(rows, self.part, dtype) if has_arrays else Steps(_load_lists(rows, self.part, dtype))
        except _UnevenStepsError:
            raise ValueError(self._uneven_steps()) from None

    def _uneven_steps(self) -> str:
        rows = [(i, row) for i, row in enumerate(self.rows) if len(row)] or list(enumerate(self.rows))
        shapes = ((i, shape) for i, row in rows for shape in _step_shapes(row if self.part is None else row[self.part]))
        first, expected = next(shapes)
        position, shape = next((found for found in shapes if found[1] != expected), (first, expected))
        if self.places is not None:
            first, position = self.places[first], self.places[position]
        return (
            f"All steps of `sequences` must have the same shape; sequence {position} has steps of shape {shape}, "
            f"sequence {first} of shape {expected}."
        )


@dataclasses.dataclass(frozen=True)
class Steps:
    """All steps of all rows, one behind the other.

    Attributes:
        flat: `(steps, ...)`; or its beginning only, which tells the dtype and the shape of a step.
        rows: if given, the steps of each row that has any.
    """

    flat: np.ndarray
    rows: Iterable[np.ndarray] | None = None

    def write(self, values: np.ndarray, mask: np.ndarray, starts: np.ndarray) -> None:
        """Puts the steps where the mask is True, in order.

        Args:
            values: `(rows, width, ...)`, C-contiguous; changed in place.
            mask: `(rows, width)`.
            starts: of each sequence that has steps, where the first one stands, counted over all rows.
        """
        if self.rows is None:
            values[mask] = self.flat
            return
        slots = values.reshape(-1, *values.shape[2:])
        for start, steps in zip(starts.tolist(), self.rows, strict=True):
            slots[start : start + len(steps)] = steps


def read(sequences: Any) -> Ragged:
    """The sequences, checked: a list or another sized iterable, of lists, tuples, arrays or what turns into them.

    Raises:
        TypeError: the whole, or one of the sequences, is not a sequence.
    """
    if isinstance(sequences, Masked):
        raise TypeError("`sequences` is a `Masked`, which is padded already; `jm.unpad(x)` makes a list of it.")
    if not _is_sequence(sequences):
        raise TypeError(
            f"`sequences` must be a list of sequences; received {_described(sequences)}. "
            "A generator becomes one by `list(...)`."
        )
    rows = list(sequences)
    if not set(map(type, rows)) <= _SLICEABLE:
        rows = [_as_sequence(position, row) for position, row in enumerate(rows)]
    try:
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
    except TypeError:  # a NumPy array of rank 0 has `__len__`, but no length
        position = next(i for i, row in enumerate(rows) if isinstance(row, np.ndarray) and row.ndim == 0)
        raise _not_a_sequence(position, rows[position]) from None
    return Ragged(rows, lengths)


def split(flat: np.ndarray, lengths: Iterable[int]) -> list[np.ndarray]:
    """The rows that stand one behind the other in `flat`; `np.split` would take four times as long."""
    ends = itertools.accumulate(lengths, initial=0)
    return [flat[start:end] for start, end in itertools.pairwise(ends)]


class _UnevenStepsError(ValueError):
    """The steps differ in shape; `Ragged`, which knows all sequences, says which."""


def _load_arrays(rows: list[Any], part: slice | None, dtype: np.dtype | None) -> Steps:
    arrays = [row if isinstance(row, np.ndarray) else _load_lists([row], None, dtype) for row in rows]
    if part is not None:
        arrays = [row[part] for row in arrays]
    has_vectors = set(map(operator.attrgetter("ndim"), arrays)) != {1}
    if has_vectors and len({row.shape[1:] for row in arrays}) > 1:
        raise _UnevenStepsError
    dtypes = {row.dtype for row in arrays}
    if dtype is None:
        dtype = common_dtype(dtypes)
    if len(dtypes) > 1:
        arrays = [convert(row, dtype, "sequences") for row in arrays]
    if has_vectors and dtype != OBJECT:
        # A loop over rows: they are long, and joining them first would copy all data once more.
        return Steps(convert(arrays[0][:1], dtype, "sequences"), _converted(arrays, dtype))
    return Steps(convert(np.concatenate(arrays), dtype, "sequences"))


def _converted(arrays: list[np.ndarray], dtype: np.dtype) -> Iterator[np.ndarray]:
    """Each array in `dtype`; several at once, since a call of `convert` costs more than a short array."""
    if arrays[0].dtype == dtype:
        yield from arrays
        return
    for start in range(0, len(arrays), _BLOCK):
        block = arrays[start : start + _BLOCK]
        yield from split(convert(np.concatenate(block), dtype, "sequences"), [len(row) for row in block])


def _load_lists(rows: list[Any], part: slice | None, dtype: np.dtype | None) -> np.ndarray:
    flat = _packed(_parts(rows, part), type(rows[0][0]), dtype)
    if flat is None:
        steps = list(itertools.chain.from_iterable(_parts(rows, part)))
        try:
            flat = _discovered(steps, dtype)
        except ValueError:
            raise _UnevenStepsError from None
    if dtype is None:
        dtype = default_dtype(np.dtype(int) if are_integers(flat) else flat.dtype)
    return convert(flat, dtype, "sequences")


def _parts(rows: list[Any], part: slice | None) -> Iterable[Any]:
    # Lazily: a list of 100,000 new lists would set off the garbage collector, which takes longer than all the rest.
    return rows if part is None else map(operator.itemgetter(part), rows)


def _packed(rows: Iterable[Any], number: type, dtype: np.dtype | None) -> np.ndarray | None:
    """Lists of Python numbers through the `array` module, or None where it will not have them.

    It is twice as fast as `np.array`, which looks at every number twice, and stricter than `np.fromiter`, which cuts
    off fractions: whatever does not fit the type of the first number is an error here.
    """
    if number not in (int, float) or dtype == OBJECT:
        return None
    target = default_dtype(np.dtype(number)) if dtype is None else dtype
    packed = array.array(target.char if number is int and target.kind in "iu" else "d")
    try:
        for row in rows:
            packed.fromlist(row if type(row) is list else list(row))
    except (TypeError, OverflowError):
        return None
    return np.asarray(packed)


def _discovered(steps: list[Any], dtype: np.dtype | None) -> np.ndarray:
    """The steps in the dtype that NumPy finds for them, as objects where that would change them."""
    if dtype == OBJECT:
        return _objects(steps)
    found = np.array(steps)
    if found.dtype.kind in "US":  # NumPy turns a number beside a string into a string
        return _objects(steps)
    if found.dtype == np.uint64 or (found.dtype == np.float64 and (np.abs(found) >= 2.0**63).any()):
        exact = _objects(steps)  # and Python integers beyond int64 into uint64 or float64
        return exact if are_integers(exact) else found
    return found


def _objects(steps: list[Any]) -> np.ndarray:
    objects = np.array(steps, object)
    if not _SLICEABLE.isdisjoint(map(type, objects.flat)):
        raise ValueError("vectors of different lengths")  # which NumPy would keep as objects, but does not elsewhere
    return objects


def _step_shapes(row: Any) -> Iterator[Any]:
    if isinstance(row, np.ndarray):
        yield row.shape[1:]
        return
    for step in row:
        try:
            yield np.shape(step)
        except ValueError:
            yield "(ragged)"  # a step of lists of different lengths


def _as_sequence(position: int, row: Any) -> Any:
    if isinstance(row, Masked) or not _is_sequence(row):
        raise _not_a_sequence(position, row)
    if type(row) in _SLICEABLE:
        return row
    return np.asarray(row) if hasattr(row, "__array__") else list(row)


def _is_sequence(x: Any) -> bool:
    return hasattr(x, "__len__") and hasattr(x, "__iter__") and not isinstance(x, (str, bytes, Mapping, Set))


def _not_a_sequence(position: int, row: Any) -> TypeError:
    return TypeError(
        f"Each of `sequences` must be a list or an array of steps; sequence {position} is {_described(row)}. "
        "A single sequence goes into a list of its own; a string is split into steps first."
    )


def _described(x: Any) -> str:
    shown = "" if isinstance(x, Masked) else f", {x!r}"
    return f"of type {type(x).__name__}{shown if len(shown) < 60 else ''}"
