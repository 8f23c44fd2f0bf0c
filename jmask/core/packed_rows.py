"""From packed rows to a row for each sequence and back, by gathers within static shapes."""

import functools
from typing import Any

import jax.numpy as jnp

from .explicit_axes import as_whole, rows_at
from .masked import Masked
from .segment_ids import ids_of, index_in_sequence


def sequence_rows(x: Masked, num_rows: int, width: int) -> Masked:
    """A row for each sequence of packed rows.

    Args:
        x: packed rows. Padding may be anywhere; holes are closed.
        num_rows: the sequence with id `k` becomes row `k - 1`; other ids are dropped.
        width: number of steps of a row; later ones are dropped.

    Returns:
        Values `(num_rows, width, ...)`, zero at padding, which is on the right.
    """
    ids, steps = ids_of(x), index_in_sequence(x)
    fits = (ids > 0) & (ids <= num_rows) & (steps < width)
    targets = jnp.where(fits, (ids - 1) * width + steps, num_rows * width)
    put = functools.partial(_put_in_rows, num_rows=num_rows, width=width)
    return Masked(*as_whole(put, jnp.asarray(x.values), targets))


def _put_in_rows(values: Any, targets: Any, *, num_rows: int, width: int) -> tuple[Any, Any]:
    """The steps that have a place among `num_rows * width`, and which places have one."""
    # Only indices are scattered; values are gathered, and their gradients flow back the same way.
    size = targets.size
    sources = jnp.full(num_rows * width, size, jnp.int32)
    sources = sources.at[targets.ravel()].set(jnp.arange(size, dtype=jnp.int32), mode="drop")
    sources = sources.reshape(num_rows, width)
    slots = values.reshape(size, *values.shape[targets.ndim :])
    if size == 0:
        slots = jnp.zeros((1, *slots.shape[1:]), slots.dtype)  # JAX cannot gather from an empty axis
    return slots.at[sources].get(mode="fill", fill_value=0), sources < size


def steps_of(rows: Any, x: Masked) -> Any:
    """The steps of packed rows from a row for each sequence, the inverse of `sequence_rows`.

    Args:
        rows: an array `(num_sequences, width, ...)`, with the steps of each sequence at the front.
        x: the packed rows that say where each step stands.

    Returns:
        An array `(*rows of x, time, ...)`, anything at padding.
    """
    width, ids = rows.shape[1], jnp.asarray(ids_of(x))
    flat = rows.reshape(rows.shape[0] * width, *rows.shape[2:])
    places = jnp.where(ids > 0, (ids - 1) * width + index_in_sequence(x), 0)
    return _taken(flat, places)


def entries_at_steps(entries: Any, x: Masked) -> Any:
    """The entry of its sequence at each step: `(num_sequences, ...)` to `(*rows of x, time, ...)`."""
    return _taken(entries, jnp.maximum(jnp.asarray(ids_of(x)) - 1, 0))


def _taken(entries: Any, places: Any) -> Any:
    if entries.shape[0] == 0:
        return jnp.zeros((*places.shape, *entries.shape[1:]), entries.dtype)
    return rows_at(entries, places, mode="clip")
