"""Sequences whose steps are already concatenated in one array."""

import dataclasses
from collections.abc import Iterable
from typing import Literal

import numpy as np

from .conversion import convert_exactly, default_dtype
from .nested import Leaf, ranges


@dataclasses.dataclass(frozen=True)
class FlatSteps:
    """All steps of all rows, concatenated.

    Attributes:
        flat: `(steps, ...)`; or only its beginning, which gives the dtype and the shape of a step.
        rows: if given, the steps of each row that has any.
    """

    flat: np.ndarray
    rows: Iterable[np.ndarray] | None = None

    def write(self, values: np.ndarray, mask: np.ndarray, starts: np.ndarray) -> None:
        """Puts the steps where the mask is True, in order.

        Args:
            values: `(rows, width, ...)`, C-contiguous; changed in place.
            mask: `(rows, width)`.
            starts: for each sequence that has steps, the position of the first one, counted over all rows.
        """
        if self.rows is None:
            values[mask] = self.flat
            return
        slots = values.reshape(-1, *values.shape[2:])
        for start, steps in zip(starts.tolist(), self.rows, strict=True):
            slots[start : start + len(steps)] = steps


@dataclasses.dataclass(frozen=True)
class Flat:
    """Sequences of other libraries, with the same interface as `jmask.data.row_lists.RowLists`, which holds lists.

    Attributes:
        leaf: the steps of all sequences.
        lengths: number of steps of each sequence, int64.
    """

    leaf: Leaf
    lengths: np.ndarray

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def longest(self) -> int:
        """The largest number of steps; 0 without rows."""
        return int(self.lengths.max(initial=0))

    @property
    def real(self) -> np.ndarray | None:
        """Which of all steps are real; None if all are."""
        return self.leaf.real

    def truncated(self, maxlen: int, end: Literal["post", "pre"]) -> "Flat":
        """At most `maxlen` steps of each sequence, the rest cut off its end or its beginning."""
        if self.longest <= maxlen:
            return self
        lengths = np.minimum(self.lengths, maxlen)
        starts = np.cumsum(self.lengths) - self.lengths
        if end == "pre":
            starts = starts + self.lengths - lengths
        return Flat(self.leaf.taken(ranges(starts, lengths)), lengths)

    def taken(self, index: np.ndarray) -> "Flat":
        """The sequences at these places."""
        lengths = self.lengths[index]
        return Flat(self.leaf.taken(ranges((np.cumsum(self.lengths) - self.lengths)[index], lengths)), lengths)

    def without_holes(self) -> "Flat":
        """The same sequences without the steps that are not real."""
        if self.real is None:
            return self
        row_of_step = np.repeat(np.arange(len(self.lengths)), self.lengths)
        lengths = np.bincount(row_of_step[self.real], minlength=len(self.lengths))
        return Flat(Leaf(self.leaf.values[self.real]), lengths)

    def load(self, dtype: np.dtype | None) -> FlatSteps | None:
        """The steps in one dtype; see `jmask.data.row_lists.RowLists.load`."""
        if self.leaf.typeless:
            return None
        values = self.leaf.values
        return FlatSteps(convert_exactly(values, default_dtype(values.dtype) if dtype is None else dtype, "sequences"))
