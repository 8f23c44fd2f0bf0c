"""The forward algorithm of connectionist temporal classification, for a row and for packed rows.

States are labels with blanks around each of them. A path stays in its state, or moves on by one, or by two past a blank
that is not between equal labels.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ..core.segment_ids import sequence_starts
from ..ops.log_space import log_sum_exp


def log_probability(log_probs: Array, real: Array, labels: Array, length: Array, *, blank_id: int) -> Array:
    """For one sequence: `(time, classes)`, `(time,)`, `(labels,)` with the `length` real labels first."""
    states, skips = _states(labels, blank_id)
    first = _first_paths(log_probs, states.shape[0])

    def step(paths: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        emitted, is_real = inputs
        return jnp.where(is_real, _moved(paths, skips) + emitted[states], paths), None

    paths, _ = lax.scan(step, first, (log_probs, real))
    return _ended(paths, length)


def log_probabilities_of_packed(log_probs: Array, ids: Array, labels: Array, lengths: Array, *, blank_id: int) -> Array:
    """For each sequence of packed rows, without a row of its own; anything for those without steps.

    Args:
        log_probs: `(rows, time, classes)`.
        ids: segment ids, `(rows, time)`.
        labels: `(num_sequences, labels)`, the real ones first.
        lengths: number of labels of each, `(num_sequences,)`.
        blank_id: the id of the blank.

    Returns:
        `(num_sequences,)`.
    """
    number, real = labels.shape[0], ids > 0
    states, skips = jax.vmap(lambda row: _states(row, blank_id))(labels)
    first = _first_paths(log_probs[0] if log_probs.shape[0] else log_probs.sum(0), states.shape[-1])

    def step(paths: Array, inputs: tuple[Array, ...]) -> tuple[Array, Array]:
        emitted, owner, is_real, begins = inputs
        own = jnp.where(begins, first, paths)
        new = jnp.where(is_real, _moved(own, skips[owner]) + emitted[states[owner]], paths)
        return new, _ended(new, lengths[owner])

    def row(log_probs: Array, owners: Array, real: Array, begins: Array) -> Array:
        start = first + jnp.zeros_like(log_probs.sum())  # which varies over the mesh axes of the row
        return lax.scan(step, start, (log_probs, owners, real, begins))[1]

    owners = jnp.clip(ids - 1, 0, max(number - 1, 0))
    found = jax.vmap(row)(log_probs, owners, real, sequence_starts(real, ids))
    ends = sequence_starts(real, ids, reverse=True)
    places = jnp.where(ends, ids - 1, number)
    return jnp.zeros(number, found.dtype).at[places.ravel()].set(found.ravel(), mode="drop")


def _states(labels: Array, blank_id: int) -> tuple[Array, Array]:
    """The class of each state, and whether a path may come to it past a blank."""
    num_states = 2 * labels.shape[0] + 1
    states = jnp.full(num_states, blank_id, labels.dtype).at[1::2].set(labels)
    before = jnp.concatenate([jnp.full(2, blank_id, labels.dtype), states])[:num_states]
    return states, (states != blank_id) & (states != before)


def _first_paths(log_probs: Array, num_states: int) -> Array:
    return jnp.zeros_like(log_probs.sum(0), shape=(num_states,)).at[1:].set(-jnp.inf)


def _moved(paths: Array, skips: Array) -> Array:
    behind = jnp.concatenate([jnp.full(2, -jnp.inf, paths.dtype), paths])
    ways = jnp.stack([paths, behind[1:-1], jnp.where(skips, behind[:-2], -jnp.inf)])
    return log_sum_exp(ways, 0)


def _ended(paths: Array, length: Any) -> Array:
    """The log-probability of the paths that end in the last label or in the blank behind it."""
    last = paths[2 * length]
    return log_sum_exp(jnp.stack([last, jnp.where(length > 0, paths[jnp.maximum(2 * length - 1, 0)], -jnp.inf)]))
