"""The largest and the smallest step of each sequence of packed rows."""

import jax
import jax.numpy as jnp

from ..core.arithmetic import expand
from ..core.masked import Masked
from ..core.packed_rows import each_once
from ..core.segment_ids import ids_of, number_of_sequences, positions


def extreme_steps(x: Masked, name: str, *, largest: bool, keepdims: bool) -> Masked:
    """The index of the largest or the smallest real step of each sequence, feature by feature; ties give the first.

    Args:
        x: packed rows.
        name: the caller, for the error.
        largest: whether it is the largest; NaN counts as one either way.
        keepdims: whether the time axis stays, with size 1.

    Returns:
        Indices within the sequences, int32 `(num_sequences, ...)`, 0 for those without steps.
    """
    number, ids = number_of_sequences(x, f"`{name}` over time"), jnp.asarray(ids_of(x))
    values = jnp.asarray(x.fill(0)).reshape(ids.size, *x.shape[ids.ndim :])
    values = values.astype(jnp.int32) if values.dtype == bool else values
    owners = jnp.where(ids > 0, ids - 1, number).ravel()
    best_of = jax.ops.segment_max if largest else jax.ops.segment_min
    best = best_of(values, owners, number + 1)[owners]
    is_best = values == best
    if jnp.issubdtype(values.dtype, jnp.inexact):
        is_best |= jnp.isnan(values)  # then the best is NaN too
    steps = expand(positions(x).ravel(), values.ndim)
    none = jnp.iinfo(jnp.int32).max
    found = jax.ops.segment_min(jnp.where(is_best, steps, none), owners, number + 1)[:number]
    has_steps = each_once(x)
    index = jnp.where(expand(has_steps, found.ndim), found, 0)
    return Masked(index[:, None], has_steps[:, None]) if keepdims else Masked(index, has_steps)
