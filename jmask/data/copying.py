"""Makes a batch: one gather of the steps of each column, and one scatter into the rows."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.masked import Masked
from ..sources.conversion import OBJECT
from .columns import offsets_of
from .epochs import EpochPlan, Prepared
from .row_lengths import mask_of_lengths

Batch = dict[str, Masked]


@dataclasses.dataclass(frozen=True)
class _Source:
    """A column as it is copied from: plain arrays, with the number of its group if it has sequences."""

    values: np.ndarray
    real: np.ndarray | None
    dtype: np.dtype
    group: int | None
    padding: Any

    def empty(self, *shape: int) -> np.ndarray:
        """Padding alone, of this leading shape."""
        shape = (*shape, *self.values.shape[1:])
        return np.zeros(shape, self.dtype) if self.dtype != OBJECT else np.full(shape, self.padding, object)


@dataclasses.dataclass(frozen=True)
class _Places:
    """Where the steps of a group of columns come from, and where they go to; the same for all its columns.

    Attributes:
        steps: which steps of the flat values, sequence by sequence.
        slots: where each goes, counted over all rows; or, faster if rows are full, the mask of all rows.
        mask: bool `(rows, width)`.
        segment_ids: int32 of the mask's shape, or None for one sequence a row.
    """

    steps: np.ndarray
    slots: np.ndarray
    mask: np.ndarray
    segment_ids: np.ndarray | None


class Copier:
    """Copies batches out of a corpus.

    Args:
        columns: of the corpus, by name.
        prepared: the plan for it.
        shard: which rows of each batch to make, `(index, count)`.

    Raises:
        ValueError: the rows of a batch cannot be divided by the number of shards.
    """

    def __init__(self, columns: Mapping[str, Any], prepared: Prepared, shard: tuple[int, int]) -> None:
        for shape in prepared.shapes:
            if shape.rows % shard[1]:
                raise ValueError(
                    f"Each of {shard[1]} shards takes an equal share of the rows of a batch, and there are "
                    f"{shape.rows}. Pass a multiple of {shard[1]} as `rows=`, to `data.buckets` "
                    f"`rows_multiple_of={shard[1]}`."
                )
        self.prepared, self.shard = prepared, shard
        self.num_sequences = prepared.num_sequences(shard[1])
        pieces = prepared.pieces
        self.sources = {name: _source(column, pieces.columns.group_of.get(name)) for name, column in columns.items()}
        inside = 0 if pieces.begins is None else pieces.begins
        self.begins = [offsets_of(lengths)[pieces.rows] + inside for lengths in pieces.columns.lengths]

    def batch(self, epoch: EpochPlan, step: int) -> Batch:
        """The batch of one step."""
        begin, end = epoch.begins[step], epoch.ends[step]
        items = epoch.items[begin:end]
        rows = np.arange(len(items)) if epoch.rows is None else epoch.rows[begin:end]
        return self._copied(int(epoch.shapes[step]), items, rows)

    def filler(self, shape: int) -> Batch:
        """A batch of padding alone, of one of the shapes."""
        return self._copied(shape, np.zeros(0, np.int64), np.zeros(0, np.int64))

    def _copied(self, shape: int, items: np.ndarray, rows: np.ndarray) -> Batch:
        """The pieces `items`, each in its row; the rows ascend."""
        (index, count), widths = self.shard, self.prepared.shapes[shape].widths
        num_rows = self.prepared.shapes[shape].rows // count
        if count > 1:
            first, last = np.searchsorted(rows, [index * num_rows, (index + 1) * num_rows])
            items, rows = items[first:last], rows[first:last] - index * num_rows
        places = [self._places(group, items, rows, (num_rows, width)) for group, width in enumerate(widths)]
        num_values = num_rows if self.num_sequences is None else self.num_sequences
        return {
            name: self._values(source, items, num_values)
            if source.group is None
            else self._sequences(source, places[source.group])
            for name, source in self.sources.items()
        }

    def _places(self, group: int, items: np.ndarray, rows: np.ndarray, shape: tuple[int, int]) -> _Places:
        lengths = self.prepared.pieces.lengths[group][items]
        ends = lengths.cumsum()
        within = np.arange(ends[-1] if len(items) else 0)
        steps = within + (self.begins[group][items] - (ends - lengths)).repeat(lengths)
        used = np.zeros(shape[0], np.int64)
        if self.num_sequences is None:
            used[: len(items)] = lengths
            slots = within + (rows * shape[1] - (ends - lengths)).repeat(lengths)
            return _Places(steps, slots, mask_of_lengths(used, shape[1]), None)
        used[:] = np.bincount(rows, lengths, shape[0])
        mask, segment_ids = mask_of_lengths(used, shape[1]), np.zeros(shape, np.int32)
        segment_ids[mask] = np.arange(1, len(items) + 1, dtype=np.int32).repeat(lengths)
        return _Places(steps, mask.reshape(-1), mask, segment_ids)

    def _sequences(self, source: _Source, places: _Places) -> Masked:
        """The sequences of one column, padded or packed."""
        taken = source.values[places.steps]
        mask, segment_ids = places.mask, places.segment_ids
        if source.real is not None:
            real = source.real[places.steps]
            taken[~real] = source.padding
            mask = mask.copy()
            mask.reshape(-1)[places.slots] = real
            segment_ids = None if segment_ids is None else np.where(mask, segment_ids, 0)
        values = source.empty(*mask.shape)
        values.reshape(-1, *values.shape[2:])[places.slots] = taken
        return Masked(values, mask, segment_ids, self.num_sequences)

    def _values(self, source: _Source, items: np.ndarray, size: int) -> Masked:
        """One value a row; in packed rows, one a sequence."""
        values, mask = source.empty(size), np.zeros(size, bool)
        values[: len(items)] = source.values[self.prepared.pieces.rows[items]]
        mask[: len(items)] = True
        return Masked(values, mask)


def _source(column: Any, group: int | None) -> _Source:
    values = np.asarray(column.values)  # a memory map as a plain view of it, so that batches are plain arrays
    dtype = np.dtype(column.dtype)
    first = values.flat[0] if dtype == OBJECT and values.size else 0
    padding = type(first)() if isinstance(first, (str, bytes)) else 0
    return _Source(values, column.real, dtype, group, padding)
