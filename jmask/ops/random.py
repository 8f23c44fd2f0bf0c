"""Random numbers by real step, so that more padding changes no draw."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..core.arithmetic import expand
from ..core.masked import Masked, fill, like
from ..core.segment_ids import ids_of, sequence_starts
from .time_axis import time_axis

Sampler = Callable[[Any, tuple[int, ...]], Array]


def with_draws(x: Any, function: Callable[[Array], Array], *, is_identity: bool) -> Any:
    """Applies a function to the values, with zeros at padding, and keeps their dtype and mask."""
    if is_identity:
        return x if isinstance(x, Masked) else jnp.asarray(x)
    values = jnp.asarray(fill(x, 0))
    noisy = function(values).astype(values.dtype)
    return like(x, noisy)


def bernoulli(keep: float) -> Sampler:
    """True with probability `keep`."""
    return lambda key, shape: jax.random.bernoulli(key, keep, shape)


def normal(values: Array) -> Sampler:
    """Normal draws in float32 at least, so that half precision sees the same draws."""
    dtype = jnp.promote_types(jnp.finfo(values.dtype).dtype, jnp.float32)
    return lambda key, shape: jax.random.normal(key, shape, dtype)


def draw_for_entries(x: Any, sample: Sampler, key: Any) -> Array:
    """One draw for every entry."""
    axis = time_axis(x)
    if axis < 0:
        return sample(key, x.shape)
    drawn = _time_major(sample, key, x.shape, axis, x.shape[axis])
    if not isinstance(x, Masked):
        return drawn
    position = jnp.maximum(jnp.cumsum(x.mask, axis, dtype=jnp.int32) - 1, 0)
    return jnp.take_along_axis(drawn, expand(position, x.ndim), axis)


def draw_for_sequences(x: Any, sample: Sampler, key: Any) -> Array:
    """One draw for every feature of every sequence; only packed rows hold several sequences."""
    axis, ids = time_axis(x), ids_of(x) if isinstance(x, Masked) else None
    if ids is None:
        return _time_major(sample, key, x.shape, axis, 1)
    number = jnp.maximum(jnp.cumsum(sequence_starts(jnp.asarray(x.mask), ids), axis, dtype=jnp.int32) - 1, 0)
    drawn = _time_major(sample, key, x.shape, axis, x.shape[axis])
    return jnp.take_along_axis(drawn, expand(number, x.ndim), axis)


def _time_major(sample: Sampler, key: Any, shape: tuple[int, ...], axis: int, time: int) -> Array:
    """Draws whose prefix does not change when time grows."""
    return jnp.moveaxis(sample(key, (time, *shape[:axis], *shape[axis + 1 :])), 0, axis)
