"""The plan of one epoch, as arrays: a function of what was prepared once, a seed, and the number of the epoch."""

import dataclasses
from collections.abc import Callable

import numpy as np

from .best_fit import most_segments, pack_in_order
from .pieces import Pieces


@dataclasses.dataclass(frozen=True)
class Shape:
    """The shape of a batch: its rows, and for each group of columns the steps of a row."""

    rows: int
    widths: list[int]

    @property
    def num_steps(self) -> int:
        """Steps of all groups of columns, padding included."""
        return self.rows * sum(self.widths)

    def __str__(self) -> str:
        return f"{self.rows} x {' + '.join(map(str, self.widths)) or 'values'}"


@dataclasses.dataclass(frozen=True)
class EpochPlan:
    """The batches of an epoch; batch `step` has the pieces `items[begins[step] : ends[step]]`.

    Attributes:
        items: which piece, int `(pieces,)`, batch by batch and in each row by row.
        begins: where each batch begins in `items`, int `(steps,)`.
        ends: where it ends.
        shapes: which shape each batch has, int `(steps,)`.
        rows: the row of each of `items` in its batch, int `(pieces,)`; None: one a row, in their order.
    """

    items: np.ndarray
    begins: np.ndarray
    ends: np.ndarray
    shapes: np.ndarray
    rows: np.ndarray | None = None

    def __len__(self) -> int:
        """Number of steps."""
        return len(self.begins)

    @property
    def batch_of_item(self) -> np.ndarray:
        """The batch of each piece, int `(pieces,)`."""
        batches = np.zeros(len(self.items), np.int64)
        order = np.argsort(self.begins, kind="stable")
        batches[self.items] = np.repeat(order, (self.ends - self.begins)[order])
        return batches


# Makes the order of an epoch out of random numbers.
Order = Callable[[Pieces, list[Shape], np.random.Generator], EpochPlan]


@dataclasses.dataclass(frozen=True)
class Prepared:
    """A plan for one corpus: what holds for all epochs.

    Attributes:
        pieces: the sequences.
        shapes: of the batches.
        order: makes the order of an epoch.
        is_packed: whether rows have several sequences.
        max_segments: how many at most; None: any number.
    """

    pieces: Pieces
    shapes: list[Shape]
    order: Order
    is_packed: bool = False
    max_segments: int | None = None

    def num_sequences(self, shards: int = 1) -> int | None:
        """How many sequences a packed batch has at most, in the rows of one process; None for one sequence a row."""
        if not self.is_packed:
            return None
        rows = self.shapes[0].rows // shards
        if self.max_segments is not None:
            return self.max_segments * rows
        return most_segments(self.pieces.lengths, [width * rows for width in self.shapes[0].widths])

    def epoch(self, seed: int, epoch: int) -> EpochPlan:
        """The plan of an epoch, counted from 0."""
        return self.order(self.pieces, self.shapes, np.random.default_rng((seed, epoch)))


@dataclasses.dataclass(frozen=True)
class PaddedOrder:
    """A shuffle, cut into batches."""

    shuffle: bool

    def __call__(self, pieces: Pieces, shapes: list[Shape], generator: np.random.Generator) -> EpochPlan:
        """The order of an epoch."""
        items = _shuffled(len(pieces), self.shuffle, generator)
        begins = np.arange(0, len(items), shapes[0].rows)
        ends = np.minimum(begins + shapes[0].rows, len(items))
        return EpochPlan(items, begins, ends, np.zeros(len(begins), np.int64))


@dataclasses.dataclass(frozen=True)
class BucketedOrder:
    """A shuffle, sorted by bucket and cut into batches, and these shuffled in turn."""

    shuffle: bool
    bucket: np.ndarray

    def __call__(self, pieces: Pieces, shapes: list[Shape], generator: np.random.Generator) -> EpochPlan:
        """The order of an epoch."""
        items = _shuffled(len(pieces), self.shuffle, generator)
        items = items[np.argsort(self.bucket[items], kind="stable")]
        begins, ends, of_batches, start = [], [], [], 0
        for i, count in enumerate(np.bincount(self.bucket, minlength=len(shapes)).tolist()):
            begins.append(np.arange(start, start + count, shapes[i].rows))
            ends.append(np.minimum(begins[i] + shapes[i].rows, start + count))
            of_batches.append(np.full(len(begins[i]), i))
            start += count
        if not shapes:
            return EpochPlan(items, *(np.zeros(0, np.int64) for _ in range(3)))
        all_begins = np.concatenate(begins)
        batches = generator.permutation(len(all_begins)) if self.shuffle else np.argsort(items[all_begins])
        return EpochPlan(items, all_begins[batches], np.concatenate(ends)[batches], np.concatenate(of_batches)[batches])


@dataclasses.dataclass(frozen=True)
class PackedOrder:
    """A shuffle, packed in one pass."""

    shuffle: bool
    open_rows: int
    max_segments: int | None

    def __call__(self, pieces: Pieces, shapes: list[Shape], generator: np.random.Generator) -> EpochPlan:
        """The order of an epoch."""
        items = _shuffled(len(pieces), self.shuffle, generator)
        lengths = [of[items] for of in pieces.lengths]
        rows, num_rows = pack_in_order(
            lengths, shapes[0].widths, open_rows=self.open_rows, max_segments=self.max_segments
        )
        in_rows = np.argsort(rows, kind="stable")
        items, rows, size = items[in_rows], rows[in_rows], shapes[0].rows
        bounds = np.searchsorted(rows, np.arange(0, num_rows + size, size))
        steps = len(bounds) - 1
        return EpochPlan(items, bounds[:-1], bounds[1:], np.zeros(steps, np.int64), rows % size)


def _shuffled(count: int, shuffle: bool, generator: np.random.Generator) -> np.ndarray:
    return generator.permutation(count) if shuffle else np.arange(count)
