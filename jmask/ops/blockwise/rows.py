"""What the engine computes: a batch, its options, and which steps of it see one another."""

from typing import Any, NamedTuple

import jax.numpy as jnp

from ..visibility import is_near


class AttentionOptions(NamedTuple):
    """What is known when the program is traced.

    Attributes:
        scale: the factor of the dot products.
        left: how far before its query a key may be, or None: as far as it likes.
        right: how far after it.
        block: the number of steps of a block.
    """

    scale: float
    left: int | None = None
    right: int | None = None
    block: int = 128

    @property
    def has_window(self) -> bool:
        """Whether positions matter."""
        return self.left is not None or self.right is not None


class AttentionRows(NamedTuple):
    """A batch: arrays whose first axis is that of the rows.

    Attributes:
        query: `(rows, queries, heads, features)`, anything at padded steps.
        key: `(rows, keys, groups, features)`; `heads` is a multiple of `groups`.
        value: `(rows, keys, groups, value_features)`.
        query_ids: `(rows, queries)`, the number of the sequence of each step, rising along the row, 0 at padded steps;
            None: all steps are of sequence 1.
        key_ids: the same for the keys.
        query_places: `(rows, queries)`, the position of each step; None: its index.
        key_places: the same for the keys.
    """

    query: Any
    key: Any
    value: Any
    query_ids: Any = None
    key_ids: Any = None
    query_places: Any = None
    key_places: Any = None


class StepLabels(NamedTuple):
    """What decides which steps see one another: ids and positions, arrays of one shape; the latter may be None."""

    ids: Any
    places: Any


def sides_of(options: AttentionOptions, rows: AttentionRows) -> tuple[StepLabels, StepLabels]:
    """The steps of the queries and of the keys, `(rows, time)`."""

    def steps(x: Any, ids: Any, places: Any) -> StepLabels:
        shape = x.shape[:2]
        ids = jnp.ones(shape, jnp.int32) if ids is None else ids
        if not options.has_window:
            return StepLabels(ids, None)
        return StepLabels(
            ids, jnp.broadcast_to(jnp.arange(shape[1], dtype=jnp.int32), shape) if places is None else places
        )

    queries = steps(rows.query, rows.query_ids, rows.query_places)
    return queries, steps(rows.key, rows.key_ids, rows.key_places)


def sees(options: AttentionOptions, queries: StepLabels, keys: StepLabels) -> Any:
    """bool: whether queries see keys, whose arrays broadcast."""
    seen = (queries.ids == keys.ids) & (queries.ids > 0)
    if options.has_window:
        seen &= is_near(queries.places, keys.places, options.left, options.right)
    return seen
