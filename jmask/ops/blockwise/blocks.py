"""A time axis in blocks of one size, and the pairs of blocks that see one another."""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .rows import AttentionOptions, StepLabels


@dataclasses.dataclass(frozen=True)
class Blocks:
    """A time axis in blocks.

    Where the size does not divide the time, the last block begins earlier, so that it is whole, and repeats steps of
    the block before it; `fresh` tells which steps it does not repeat. So nothing is padded, and nothing copied.

    Attributes:
        time: the number of steps.
        size: of a block, at most `time`.
    """

    time: int
    size: int

    @property
    def num(self) -> int:
        """How many there are."""
        return -(-self.time // self.size)

    def cut(self, array: Any, row: Any, index: Any) -> Any:
        """The block of one row of `(rows, time, ...)`."""
        start = corner(row, self._start(index), array.ndim)
        return lax.dynamic_slice(array, start, (1, self.size, *array.shape[2:]))[0]

    def add(self, array: Any, new: Any, row: Any, index: Any) -> Any:
        """`(rows, time, ...)` with `new`, which is 0 at repeated steps, added to the block of one row."""
        start = corner(row, self._start(index), array.ndim)
        return lax.dynamic_update_slice(array, (self.cut(array, row, index) + new)[None], start)

    def fresh(self, steps: StepLabels, row: Any, index: Any) -> StepLabels:
        """The steps of the block; those that it repeats are hidden."""
        steps = jax.tree.map(lambda array: self.cut(array, row, index), steps)
        is_fresh = self._start(index) + jnp.arange(self.size) >= index * self.size
        return steps._replace(ids=jnp.where(is_fresh, steps.ids, 0))

    def ranges(self, steps: StepLabels) -> tuple[StepLabels, StepLabels]:
        """The smallest and the largest of what the real steps of each block have, arrays `(rows, num)`."""

        def split(array: Any) -> Any:
            missing = self.num * self.size - self.time
            return jnp.pad(array, ((0, 0), (0, missing))).reshape(-1, self.num, self.size)

        def extreme(reduce: Any, limit: str, array: Any) -> Any:
            info = jnp.iinfo if jnp.issubdtype(array.dtype, jnp.integer) else jnp.finfo
            initial = getattr(info(array.dtype), limit)
            return reduce(split(array), axis=-1, where=split(steps.ids > 0), initial=initial)

        lowest, highest = functools.partial(extreme, jnp.min, "max"), functools.partial(extreme, jnp.max, "min")
        return jax.tree.map(lowest, steps), jax.tree.map(highest, steps)

    def _start(self, index: Any) -> Any:
        return jnp.minimum(index * self.size, self.time - self.size)


def corner(row: Any, start: Any, ndim: int) -> tuple[Any, ...]:
    """The index `[row, start, 0, ...]` of an array: int32, as `lax` wants all its parts to have one dtype."""
    return (row, start, *(np.int32(0),) * (ndim - 2))


class Pairs(NamedTuple):
    """Blocks of queries that see any key, and the blocks of keys that each of them visits.

    Attributes:
        queries: int32 `(rows * blocks,)`, `row * blocks + index` of such blocks of queries, `count` of them.
        count: int32.
        keys: int32, indices of blocks of keys, one for each pair, those of a block of queries side by side.
        begin: int32 `(rows * blocks,)`, where those of a block of queries begin in `keys`.
        end: int32 `(rows * blocks,)`, where they end.
    """

    queries: Any
    count: Any
    keys: Any
    begin: Any
    end: Any


def find_pairs(options: AttentionOptions, sides: tuple[Blocks, Blocks], queries: StepLabels, keys: StepLabels) -> Pairs:
    """The pairs of blocks whose ranges of ids and positions let a query see a key.

    Args:
        options: the window.
        sides: the blocks of queries and of keys.
        queries: the steps, `(rows, queries)`.
        keys: the steps, `(rows, keys)`.

    Returns:
        All pairs in which any query sees any key; where ids rise and positions do within a sequence, few others.
    """
    low, high = jax.tree.map(lambda x: x[:, :, None], sides[0].ranges(queries))
    key_low, key_high = jax.tree.map(lambda x: x[:, None], sides[1].ranges(keys))
    meet = (low.ids <= key_high.ids) & (key_low.ids <= high.ids)
    if options.right is not None:
        meet &= key_low.places <= high.places + options.right
    if options.left is not None:
        meet &= key_high.places >= low.places - options.left
    rows, num_queries, num_keys = meet.shape
    visited = meet.sum(axis=-1, dtype=jnp.int32).reshape(-1)
    (pairs,) = jnp.nonzero(meet.reshape(-1), size=meet.size, fill_value=0)
    (blocks,) = jnp.nonzero(visited, size=rows * num_queries, fill_value=0)
    end = jnp.cumsum(visited, dtype=jnp.int32)
    count = jnp.sum(visited > 0, dtype=jnp.int32)
    return Pairs(blocks.astype(jnp.int32), count, (pairs % num_keys).astype(jnp.int32), end - visited, end)
