"""What both passes share: the blocks of a batch as matrices of each group of heads."""

import dataclasses
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ...core.row_sharding import anchor
from .blocks import Blocks, Pairs, corner, find_pairs
from .rows import AttentionOptions, AttentionRows, StepLabels, sides_of


class Block(NamedTuple):
    """One block of one row.

    Attributes:
        row: its row.
        index: its number within the row.
        steps: its ids and positions; the id of a step that it repeats is 0.
    """

    row: Any
    index: Any
    steps: StepLabels


@dataclasses.dataclass(frozen=True)
class Tiles:
    """A batch in blocks.

    Attributes:
        options: what is known when the program is traced.
        rows: the batch.
    """

    options: AttentionOptions
    rows: AttentionRows

    @property
    def sides(self) -> tuple[Blocks, Blocks]:
        """The blocks of queries and of keys."""
        queries, keys = (Blocks(x.shape[1], min(self.options.block, x.shape[1])) for x in self.rows[:2])
        return queries, keys

    @property
    def groups(self) -> int:
        """Heads of the keys."""
        return self.rows.key.shape[2]

    @property
    def height(self) -> int:
        """Rows of the matrix of a block of queries: those of all heads of a group."""
        return self.sides[0].size * self.rows.query.shape[2] // self.groups

    @property
    def dtype(self) -> Any:
        """Of scores, sums and results: float32 at least."""
        return jnp.promote_types(jnp.result_type(*self.rows[:3]), jnp.float32)

    def zeros(self, *shape: int) -> Array:
        """Zeros that a loop may carry under `jax.shard_map`."""
        return jnp.zeros(shape, self.dtype) + anchor(self.dtype, self.rows)

    def load(self, blocks: Blocks, array: Any, block: Block) -> Array:
        """A block of `(rows, time, heads, features)` as `(groups, heads in a group * steps, features)`.

        Padded and repeated steps are 0.
        """
        x = blocks.cut(array, block.row, block.index)
        x = jnp.where((block.steps.ids > 0)[:, None, None], x.astype(self.dtype), 0)
        x = x.reshape(blocks.size, self.groups, -1, x.shape[-1]).transpose(1, 2, 0, 3)
        return x.reshape(self.groups, -1, x.shape[-1])

    def add(self, blocks: Blocks, array: Any, new: Any, block: Block) -> Array:
        """The inverse of `load`: adds `(groups, heads in a group * steps, features)`."""
        new = new.reshape(self.groups, -1, blocks.size, new.shape[-1]).transpose(2, 0, 1, 3)
        return blocks.add(array, new.reshape(blocks.size, *array.shape[2:]), block.row, block.index)

    def at(self, array: Any, block: Block) -> Array:
        """The entry of a block of `(rows, blocks, ...)`."""
        start = corner(block.row, block.index, array.ndim)
        return lax.dynamic_slice(array, start, (1, 1, *array.shape[2:]))[0, 0]

    def for_each_block(self, body: Any, carry: Any) -> Any:
        """Runs `body(queries, for_each_key, carry) -> carry` for all blocks of queries that see any key.

        `for_each_key(inner, carry)` runs `inner(keys, carry) -> carry` for all blocks of keys that they see.
        """
        (of_queries, of_keys), (queries, keys) = self.sides, sides_of(self.options, self.rows)
        pairs: Pairs = find_pairs(self.options, self.sides, queries, keys)

        def run(n: Any, carry: Any) -> Any:
            place = _at(pairs.queries, n)
            row, index = place // of_queries.num, place % of_queries.num

            def for_each_key(inner: Any, carry: Any) -> Any:
                def visit(pair: Any, carry: Any) -> Any:
                    other = _at(pairs.keys, pair)
                    return inner(Block(row, other, of_keys.fresh(keys, row, other)), carry)

                return lax.fori_loop(_at(pairs.begin, place), _at(pairs.end, place), visit, carry)

            return body(Block(row, index, of_queries.fresh(queries, row, index)), for_each_key, carry)

        return lax.fori_loop(0, pairs.count, run, carry)


def _at(array: Any, index: Any) -> Any:
    """`array[index]`, which is within bounds."""
    return lax.dynamic_index_in_dim(array, index, 0, keepdims=False)
