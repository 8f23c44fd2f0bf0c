"""Sums of probabilities stored as logarithms, impossible ones included."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array


def log_sum_exp(x: Array, axis: int = -1) -> Array:
    """`log(sum(exp(x)))` over an axis; if everything is -inf it is -inf, with a gradient of 0 where JAX has NaN."""
    peak = lax.stop_gradient(x.max(axis, keepdims=True))
    peak = jnp.where(jnp.isfinite(peak), peak, 0)
    total = jnp.exp(x - peak).sum(axis)
    return jnp.where(total == 0, -jnp.inf, jnp.log(jnp.where(total == 0, 1, total)) + peak.squeeze(axis))
