"""Lists of lists as flat arrays: the concatenated items, and the lengths of the lists that hold them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Leaf:
    """What the innermost lists hold.

    Attributes:
        values: `(items, ...)`.
        real: bool `(items, ...)`, False where an item is null, so far as nulls are marked; None if none is null.
        typeless: whether there is no item, and nothing says what type one would have.
    """

    values: np.ndarray
    real: np.ndarray | None = None
    typeless: bool = False

    def __len__(self) -> int:
        return len(self.values)

    def taken(self, index: Any) -> "Leaf":
        """The items at these places."""
        return Leaf(self.values[index], None if self.real is None else self.real[index], self.typeless)


@dataclasses.dataclass(frozen=True)
class Lists:
    """Concatenated lists.

    Attributes:
        lengths: int64, the number of items of each list.
        items: what the lists hold: a `Leaf`, `Lists`, or anything else that has `taken`.
        size: the length that the type fixes for all lists; None if it fixes none.
        certain: whether the type says that these lists vary in length and are not vectors, as TensorFlow's does.
    """

    lengths: np.ndarray
    items: Any
    size: int | None = None
    certain: bool = False

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def depth(self) -> int:
        """How many levels of lists there are."""
        return 1 + (self.items.depth if isinstance(self.items, Lists) else 0)

    def taken(self, index: Any) -> "Lists":
        """The lists at these places."""
        starts, lengths = np.cumsum(self.lengths) - self.lengths, self.lengths[index]
        return dataclasses.replace(self, lengths=lengths, items=self.items.taken(ranges(starts[index], lengths)))


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The concatenated numbers of all ranges that begin at `starts` and have these lengths."""
    return np.arange(lengths.sum()) + np.repeat(starts - (np.cumsum(lengths) - lengths), lengths)


def joined(parts: Sequence[Any]) -> Any:
    """Concatenates several `Leaf` or `Lists` of one type."""
    first = parts[0]
    if len(parts) == 1:
        return first
    if isinstance(first, Lists):
        lengths = np.concatenate([part.lengths for part in parts])
        return dataclasses.replace(first, lengths=lengths, items=joined([part.items for part in parts]))
    values = np.concatenate([part.values for part in parts])
    if all(part.real is None for part in parts):
        return Leaf(values, None, first.typeless)
    reals = [np.ones(len(part.values), bool) if part.real is None else part.real for part in parts]
    return Leaf(values, np.concatenate(reals), first.typeless)


def flatten_lists(lists: Lists, ragged_rank: int | None) -> tuple[list[np.ndarray], Leaf]:
    """The lengths of the lists that vary in length, and their steps.

    Args:
        lists: lists of steps, of vectors, or of lists.
        ragged_rank: how many levels of lists vary in length; None: as many as the types say, if that is certain.

    Returns:
        The lengths of each such level, the outermost first; and a `Leaf` of the steps, values `(steps, ...)`, with a
        `real` of rank 1.

    Raises:
        ValueError: vectors and lists cannot be told apart, lists that should be vectors differ in length, or part of a
            vector is null.
    """
    levels, leaf = [lists], lists.items
    while isinstance(leaf, Lists):
        levels.append(leaf)
        leaf = leaf.items
    varying = max((i + 1 for i, level in enumerate(levels) if level.size is None), default=1)
    if ragged_rank is None:
        ragged_rank = varying
        if any(level.size is None and not level.certain for level in levels[1:varying]):
            raise ValueError(
                f"`sequences` nests lists, {varying} deep, and its type does not say whether the inner ones are "
                f"vectors or sequences. Pass `ragged_rank={varying}` for documents of sentences, which differ in "
                f"length, or `ragged_rank={varying - 1}` for sequences of vectors."
            )
    if ragged_rank > len(levels):
        raise ValueError(f"`sequences` nests lists, {len(levels)} deep; received `ragged_rank={ragged_rank}`.")
    sizes = tuple(_common_length(level, ragged_rank + i + 1) for i, level in enumerate(levels[ragged_rank:]))
    counts = [level.lengths for level in levels[:ragged_rank]]
    return counts, _steps(leaf, int(counts[-1].sum()), sizes)


def _common_length(level: Lists, depth: int) -> int:
    """The length of lists that are vectors."""
    if level.size is not None or len(level) == 0:
        return level.size or 0
    length = int(level.lengths[0])
    if (level.lengths != length).any():
        raise ValueError(
            f"All steps of `sequences` must have the same shape; there are steps of {level.lengths.min()} and of "
            f"{level.lengths.max()} items. `jm.pad_sequences(..., ragged_rank={depth})` takes documents: "
            "lists of lists of steps."
        )
    return length


def _steps(leaf: Leaf, num_steps: int, sizes: tuple[int, ...]) -> Leaf:
    shape = (num_steps, *sizes, *leaf.values.shape[1:])
    real = None if leaf.real is None else leaf.real.reshape(*shape[: leaf.real.ndim + len(sizes)])
    return flat_steps(Leaf(leaf.values.reshape(shape), real, leaf.typeless))


def flat_steps(leaf: Leaf) -> Leaf:
    """Steps that are real or missing as a whole, with entries that fit any dtype where they are missing.

    Raises:
        ValueError: part of a step is missing.
    """
    if leaf.real is None or leaf.real.all():
        return Leaf(leaf.values, None, leaf.typeless)
    over = tuple(range(1, leaf.real.ndim))
    real = np.asarray(leaf.real.all(over))
    partly = leaf.real.any(over) & ~real
    if partly.any():
        step = int(partly.argmax())
        raise ValueError(
            f"A part of a step is missing: of step {step} of all, {leaf.values[step].tolist()}, some entries are null "
            "or masked and others are not. A mask says which steps are real, not which entries; fill them, and add the "
            "information as a feature if it matters."
        )
    return Leaf(_harmless(leaf.values, real), real, leaf.typeless)


def _harmless(values: np.ndarray, real: np.ndarray) -> np.ndarray:
    """Replaces the entries that are not real, which may not fit the dtype."""
    values = values.copy()
    values[~real] = 0 if values.dtype != object else values[real][0] if real.any() else ""
    return values
