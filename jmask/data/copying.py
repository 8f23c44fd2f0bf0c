"""Makes batches: of a block of them, one gather of the steps of each column, and one assignment into the rows.

For some thousand steps the calls of NumPy cost more than the steps do, so batches are made by the block. A batch is a
view of its block, and so keeps all of it in memory as long as it is kept itself: at most `_BLOCK_BYTES`, or one batch.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from ..core.masked import Masked
from ..core.pytree import kind_of, put
from ..sources.conversion import OBJECT
from ..sources.nested import ranges
from .columns import offsets_of
from .epochs import EpochPlan, Prepared
from .row_lengths import mask_of_lengths

Batch = dict[str, Masked]
_Arrays = tuple[np.ndarray, np.ndarray, np.ndarray | None]  # values, mask and segment ids

_BLOCK_BYTES = 2 << 20  # large enough that the calls cost little, small enough for the cache of a core
_WIDEST_TABLE = 256  # steps of a row up to which masks are looked up, which is faster than to compare


@dataclasses.dataclass(frozen=True)
class _Source:
    """A column as it is copied from: plain arrays, with the number of its group if it has sequences."""

    values: np.ndarray
    real: np.ndarray | None
    dtype: np.dtype
    group: int | None
    padding: Any

    @property
    def bytes_of_step(self) -> int:
        """Bytes of one step, or of one value a row, with its mask."""
        return self.dtype.itemsize * int(np.prod(self.values.shape[1:])) + 1

    def empty(self, *shape: int) -> np.ndarray:
        """Padding alone, of this leading shape."""
        shape = (*shape, *self.values.shape[1:])
        return np.zeros(shape, self.dtype) if self.dtype != OBJECT else np.full(shape, self.padding, object)


@dataclasses.dataclass(frozen=True)
class _Items:
    """The pieces of a block of batches of one shape, row by row.

    Attributes:
        pieces: which they are.
        rows: the row of each, counted through the batches; they ascend.
        batches: the batch of each, counted from 0.
        numbers: the number of each in its batch, from 0.
    """

    pieces: np.ndarray
    rows: np.ndarray
    batches: np.ndarray
    numbers: np.ndarray


@dataclasses.dataclass(frozen=True)
class _Places:
    """Where the steps of a group of columns come from, and where they go to; the same for all its columns.

    Attributes:
        begins: the first step of each piece in the flat values.
        steps: which steps of the flat values, piece by piece; a slice where the pieces follow one another there. For
            packed rows, those of whole rows `(rows * width,)`, with any at padding.
        mask: bool `(rows, width)`: where they go to, in this order.
        segment_ids: int32 of the mask's shape, or None for one sequence a row.
    """

    begins: np.ndarray
    steps: np.ndarray | slice
    mask: np.ndarray
    segment_ids: np.ndarray | None


class Copier:
    """Copies batches out of a corpus.

    Args:
        columns: of the corpus, by name.
        prepared: the plan for it.
        shard: which rows of each batch to make, `(index, count)`.
        num_shards: into how many equal parts the rows are divided in all, those of each process over its devices.

    Raises:
        ValueError: the rows of a batch cannot be divided by the number of shards.
    """

    def __init__(self, columns: Mapping[str, Any], prepared: Prepared, shard: tuple[int, int], num_shards: int) -> None:
        for shape in prepared.shapes:
            if shape.rows % num_shards:
                raise ValueError(
                    f"Each of {num_shards} shards takes an equal share of the rows of a batch, and there are "
                    f"{shape.rows}. Pass a multiple of {num_shards} as `rows=`, to `data.buckets` "
                    f"`rows_multiple_of={num_shards}`."
                )
        self.prepared, self.shard = prepared, shard
        self.num_sequences = prepared.num_sequences(shard[1])
        pieces = prepared.pieces
        self.sources = {name: _source(column, pieces.columns.group_of.get(name)) for name, column in columns.items()}
        inside = 0 if pieces.begins is None else pieces.begins
        self.begins = [offsets_of(lengths)[pieces.rows] + inside for lengths in pieces.columns.lengths]
        self.bytes = np.array([self._bytes(shape) for shape in range(len(prepared.shapes))], np.int64)
        widths = {width for shape in prepared.shapes for width in shape.widths if width <= _WIDEST_TABLE}
        self.masks = {width: mask_of_lengths(np.arange(width + 1), width) for width in widths}

    def block(self, epoch: EpochPlan, step: int) -> list[Batch]:
        """The batch of one step and those that follow, as many as a block holds; the same whatever block they are in.

        No array is handed out twice, and no two batches share any of their memory.
        """
        shapes = epoch.shapes[step : step + max(_BLOCK_BYTES // int(self.bytes.min()), 1)]
        size = max(int(np.searchsorted(self.bytes[shapes].cumsum(), _BLOCK_BYTES, side="right")), 1)
        made: list[Any] = [None] * size
        for shape in np.unique(shapes[:size]).tolist():
            places = np.flatnonzero(shapes[:size] == shape)
            items = self._items(epoch, step + places, self._rows(shape))
            for place, batch in zip(places.tolist(), self._copied(shape, items, len(places)), strict=True):
                made[place] = batch
        return made

    def filler(self, shape: int) -> Batch:
        """A batch of padding alone, of one of the shapes."""
        return self._copied(shape, _Items(*(np.zeros(0, np.int64) for _ in range(4))), 1)[0]

    def _rows(self, shape: int) -> int:
        return self.prepared.shapes[shape].rows // self.shard[1]

    def _num_values(self, shape: int) -> int:
        """How many values a batch has of a column of one value a row."""
        return self._rows(shape) if self.num_sequences is None else self.num_sequences

    def _bytes(self, shape: int) -> int:
        """Bytes of a batch."""
        rows, widths = self._rows(shape), self.prepared.shapes[shape].widths
        sizes = (
            self._num_values(shape) if of.group is None else rows * widths[of.group] for of in self.sources.values()
        )
        arrays = sum(size * of.bytes_of_step for size, of in zip(sizes, self.sources.values(), strict=True))
        return arrays + (0 if self.num_sequences is None else 4 * rows * sum(widths))

    def _items(self, epoch: EpochPlan, steps: np.ndarray, num_rows: int) -> _Items:
        """The pieces of some steps, in the rows of this shard."""
        begins, counts = epoch.begins[steps], epoch.ends[steps] - epoch.begins[steps]
        numbers, batches = ranges(np.zeros_like(counts), counts), np.arange(len(steps)).repeat(counts)
        places = numbers + begins.repeat(counts)
        rows = numbers if epoch.rows is None else epoch.rows[places]
        index, count = self.shard
        if count > 1:
            own = rows // num_rows == index
            batches, places, rows = batches[own], places[own], rows[own] - index * num_rows
            numbers = ranges(np.zeros_like(counts), np.bincount(batches, minlength=len(steps)))
        return _Items(epoch.items[places], rows + batches * num_rows, batches, numbers)

    def _copied(self, shape: int, items: _Items, num_batches: int) -> list[Batch]:
        """Batches of one shape."""
        num_rows, num_values = self._rows(shape), self._num_values(shape)
        widths = self.prepared.shapes[shape].widths
        places = [self._places(i, items, (num_batches * num_rows, width)) for i, width in enumerate(widths)]
        columns = []
        for source in self.sources.values():
            if source.group is None:
                arrays, num_sequences = self._values(source, items, num_batches, num_batches * num_values), None
            else:
                arrays, num_sequences = _sequences(source, places[source.group]), self.num_sequences
            columns.append(_cut(arrays, num_batches, num_sequences))
        return [dict(zip(self.sources, batch, strict=True)) for batch in zip(*columns, strict=True)]

    def _places(self, group: int, items: _Items, shape: tuple[int, int]) -> _Places:
        lengths, begins = self.prepared.pieces.lengths[group][items.pieces], self.begins[group][items.pieces]
        num_rows, width = shape
        if self.num_sequences is not None:
            steps, segment_ids = _runs(items, begins, lengths, shape)
            return _Places(begins, steps, segment_ids > 0, segment_ids)
        used = np.zeros(num_rows, np.int64)
        used[items.rows] = lengths
        mask = self.masks[width].take(used, axis=0) if width in self.masks else mask_of_lengths(used, width)
        return _Places(begins, _steps(begins, lengths), mask, None)

    def _values(self, source: _Source, items: _Items, num_batches: int, size: int) -> _Arrays:
        """One value a row; in packed rows, one a sequence."""
        values, mask = source.empty(size), np.zeros(size, bool)
        places = items.batches * (size // num_batches) + items.numbers
        values[places] = source.values[self.prepared.pieces.rows[items.pieces]]
        mask[places] = True
        return values, mask, None


def _steps(begins: np.ndarray, lengths: np.ndarray) -> np.ndarray | slice:
    """The steps of pieces, one piece after another."""
    if len(begins) and (begins[1:] == begins[:-1] + lengths[:-1]).all():
        return slice(int(begins[0]), int(begins[-1] + lengths[-1]))
    return ranges(begins, lengths)


def _runs(
    items: _Items, begins: np.ndarray, lengths: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    """Which steps packed rows hold `(rows * width,)`, and their ids `(rows, width)`.

    The padding of a row is a run behind those of its pieces, with the id 0 and steps from the first one on.
    """
    num_rows, width = shape
    pieces = np.arange(len(lengths)) + items.rows
    padding = np.bincount(items.rows, minlength=num_rows).cumsum() + np.arange(num_rows)
    ids, runs = np.zeros(len(lengths) + num_rows, np.int32), np.empty(len(lengths) + num_rows, np.int64)
    ids[pieces], runs[pieces] = items.numbers + 1, lengths
    runs[padding] = width - np.bincount(items.rows, lengths, num_rows)
    shifts = runs - runs.cumsum()
    shifts[pieces] += begins
    steps = shifts.repeat(runs)
    steps += np.arange(len(steps))
    return steps, ids.repeat(runs).reshape(shape)


def _sequences(source: _Source, places: _Places) -> _Arrays:
    """The values, mask and segment ids of one column, padded or packed."""
    if not len(source.values) or not len(places.begins):
        return source.empty(*places.mask.shape), places.mask, places.segment_ids
    if places.segment_ids is None:
        return _padded(source, places)
    return _packed(source, places, places.segment_ids)


def _padded(source: _Source, places: _Places) -> _Arrays:
    values, mask, taken = source.empty(*places.mask.shape), places.mask, _taken(source.values, places)
    if source.real is not None:
        real, mask = _taken(source.real, places), places.mask.copy()
        taken = taken[real]
        mask[places.mask] = real
    values[mask] = taken
    return values, mask, None


def _packed(source: _Source, places: _Places, segment_ids: np.ndarray) -> _Arrays:
    mask, taken = places.mask, _taken(source.values, places)
    values = taken.astype(source.dtype, copy=False).reshape(*mask.shape, *taken.shape[1:])
    if source.real is not None:
        mask = mask & _taken(source.real, places).reshape(mask.shape)
        segment_ids = np.where(mask, segment_ids, 0)
    values[~mask] = source.padding
    return values, mask, segment_ids


def _taken(flat: np.ndarray, places: _Places) -> np.ndarray:
    """The steps of a flat array, piece by piece."""
    if isinstance(places.steps, slice):
        return flat[places.steps]
    for ahead in (0, 16):  # pieces are far apart: so the processor fetches many at a time, which saves a tenth
        flat.take(places.begins + ahead, axis=0, mode="clip")
    return flat.take(places.steps, axis=0, mode="clip")  # all are within, or padding; other modes check it, slower


def _cut(arrays: _Arrays, num_batches: int, num_sequences: int | None) -> list[Masked]:
    """Arrays of all batches as one `Masked` for each; their parts are known to fit, so they are not checked."""
    kind = kind_of(arrays[2], num_sequences)
    parts = [
        [None] * num_batches if x is None else x.reshape(num_batches, len(x) // num_batches, *x.shape[1:])
        for x in arrays
    ]
    return [
        put(object.__new__(Masked), values, mask, segment_ids, kind)
        for values, mask, segment_ids in zip(*parts, strict=True)
    ]


def _source(column: Any, group: int | None) -> _Source:
    values = np.asarray(column.values)  # a memory map as a plain view of it, so that batches are plain arrays
    dtype = np.dtype(column.dtype)
    first = values.flat[0] if dtype == OBJECT and values.size else 0
    padding = type(first)() if isinstance(first, (str, bytes)) else 0
    return _Source(values, column.real, dtype, group, padding)
