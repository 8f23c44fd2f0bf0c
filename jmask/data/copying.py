"""Makes a batch: one gather of the steps of each column, and one scatter into the rows."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.masked import Masked
from ..sources.conversion import OBJECT
from ..sources.nested import ranges
from .epochs import Epoch, Prepared
from .row_lengths import mask_of_lengths

Batch = dict[str, Masked]


@dataclasses.dataclass(frozen=True)
class _Source:
    """A column as it is copied from: plain arrays, with the number of its group if it has sequences."""

    values: np.ndarray
    offsets: np.ndarray | None
    real: np.ndarray | None
    dtype: np.dtype
    group: int | None
    padding: Any

    def empty(self, *shape: int) -> np.ndarray:
        """Padding alone, of this leading shape."""
        shape = (*shape, *self.values.shape[1:])
        return np.zeros(shape, self.dtype) if self.dtype != OBJECT else np.full(shape, self.padding, object)


@dataclasses.dataclass(frozen=True)
class _Part:
    """The pieces of a batch, or of the rows of one process.

    Attributes:
        items: the pieces, in each row by row.
        rows: the row of each.
        num_rows: number of rows.
    """

    items: np.ndarray
    rows: np.ndarray
    num_rows: int


class Copier:
    """Copies batches out of a corpus.

    Args:
        columns: of the corpus, by name.
        prepared: the plan for it.
        shard: which rows of each batch to make, `(index, count)`; their number is a multiple of `count`.
    """

    def __init__(self, columns: Mapping[str, Any], prepared: Prepared, shard: tuple[int, int]) -> None:
        self.prepared, self.shard = prepared, shard
        group_of = prepared.pieces.columns.group_of
        self.sources = {name: _source(column, group_of.get(name)) for name, column in columns.items()}

    @property
    def num_sequences(self) -> int | None:
        """How many sequences a batch has at most, if rows are packed."""
        total = self.prepared.num_sequences
        return None if total is None else self.prepared.of_shard(self.shard[1])

    def batch(self, epoch: Epoch, step: int) -> Batch:
        """The batch of one step."""
        begin, end = epoch.begins[step], epoch.ends[step]
        items = epoch.items[begin:end]
        rows = np.arange(len(items)) if epoch.rows is None else epoch.rows[begin:end]
        return self._copied(int(epoch.shapes[step]), items, rows)

    def filler(self, shape: int) -> Batch:
        """A batch of padding alone, of one of the shapes."""
        return self._copied(shape, np.zeros(0, np.int64), np.zeros(0, np.int64))

    def _copied(self, shape: int, items: np.ndarray, rows: np.ndarray) -> Batch:
        index, count = self.shard
        num_rows = self.prepared.shapes[shape].rows // count
        if count > 1:
            first, last = np.searchsorted(rows, [index * num_rows, (index + 1) * num_rows])
            items, rows = items[first:last], rows[first:last] - index * num_rows
        part = _Part(items, rows, num_rows)
        widths = self.prepared.shapes[shape].widths
        groups = [_Group(self.prepared, part, group, width) for group, width in enumerate(widths)]
        return {
            name: self._values(source, part) if source.group is None else groups[source.group].sequences(source)
            for name, source in self.sources.items()
        }

    def _values(self, source: _Source, part: _Part) -> Masked:
        """One value a row; in packed rows, one a sequence."""
        size = part.num_rows if self.num_sequences is None else self.num_sequences
        values, mask, count = source.empty(size), np.zeros(size, bool), len(part.items)
        values[:count] = source.values[self.prepared.pieces.rows[part.items]]
        mask[:count] = True
        return Masked(values, mask)


class _Group:
    """Where the steps of columns of equal lengths come from and go to; computed once for all of them."""

    def __init__(self, prepared: Prepared, part: _Part, group: int, width: int) -> None:
        pieces = prepared.pieces
        self.lengths = pieces.lengths[group][part.items]
        self.pieces = pieces.rows[part.items]
        self.begins = 0 if pieces.begins is None else pieces.begins[part.items]
        self.places: dict[int, np.ndarray] = {}
        used = self.lengths
        if prepared.num_sequences is not None:
            used = np.bincount(part.rows, self.lengths, part.num_rows).astype(np.int64)
        used = np.pad(used, (0, part.num_rows - len(used)))
        self.mask = mask_of_lengths(used, width)
        self.ids = None
        self.num_sequences = prepared.num_sequences
        if prepared.num_sequences is not None:
            self.ids = np.zeros(self.mask.shape, np.int32)
            self.ids[self.mask] = np.repeat(np.arange(1, len(part.items) + 1, dtype=np.int32), self.lengths)

    def sequences(self, source: _Source) -> Masked:
        """The sequences of one column, padded or packed."""
        steps = self._steps(source)
        taken = source.values[steps]
        mask, ids = self.mask, self.ids
        if source.real is not None:
            real = source.real[steps]
            taken[~real] = source.padding
            mask = mask.copy()
            mask[self.mask] = real
            ids = None if ids is None else np.where(mask, ids, 0)
        values = source.empty(*self.mask.shape)
        values[self.mask] = taken
        return Masked(values, mask) if ids is None else _packed(values, ids, self.num_sequences)

    def _steps(self, source: _Source) -> np.ndarray:
        """Which steps of the flat values; the same for columns that share their offsets."""
        offsets: Any = source.offsets
        if id(offsets) not in self.places:
            self.places[id(offsets)] = ranges(offsets[self.pieces] + self.begins, self.lengths)
        return self.places[id(offsets)]


def _source(column: Any, group: int | None) -> _Source:
    values = np.asarray(column.values)  # a memory map as a plain view of it, so that batches are plain arrays
    dtype = np.dtype(column.dtype)
    first = values.flat[0] if dtype == OBJECT and values.size else 0
    padding = type(first)() if isinstance(first, (str, bytes)) else 0
    return _Source(values, column.offsets, column.real, dtype, group, padding)


def _packed(values: np.ndarray, segment_ids: np.ndarray, num_sequences: int | None) -> Masked:
    """Packed rows whose ids count from 1; the one place that knows how `Masked` takes them."""
    del num_sequences  # until `Masked` has it
    return Masked(values, segment_ids=segment_ids)
