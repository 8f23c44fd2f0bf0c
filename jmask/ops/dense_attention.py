"""Attention of all queries to all keys at once: scores `(batch, heads, queries, keys)`, a softmax, a mean.

Heads are moved in front of the steps once, before the products. On a CPU, XLA else does so for each product, those of
the backward pass included.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array


def dot_products(q: Array, k: Array, scale: Any) -> Array:
    """`scale` times the dot products, `(batch, heads, queries, keys)`, in float32 at least."""
    dtype, groups = jnp.promote_types(jnp.result_type(q, k), jnp.float32), k.shape[-2]
    is_early = np.ndim(scale) == 0 and q.dtype == dtype  # there are fewer queries than pairs
    q = q * jnp.asarray(scale, dtype) if is_early else q
    q, k = _by_group(q, groups), _by_group(k, groups)[..., 0, :, :]
    scores = _by_head(jnp.einsum("...gnqf,...gkf->...gnqk", q, k, preferred_element_type=dtype))
    return scores if is_early else scale * scores


def weigh(scores: Array, seen: Any) -> Array:
    """The softmax over the visible keys; 0 for a query that sees none."""
    return _softmax(scores, seen)


def weighted_mean(weights: Array, v: Array) -> Array:
    """The mean of the values by these weights, `(batch, queries, heads, value_features)`."""
    *batch, heads, queries, keys = weights.shape
    groups = v.shape[-2]
    grouped = weights.reshape(*batch, groups, heads // groups, queries, keys)
    mean = jnp.einsum("...gnqk,...gkf->...gnqf", grouped, _by_group(v, groups)[..., 0, :, :])
    return jnp.swapaxes(_by_head(mean), -2, -3)


@jax.custom_jvp
def _softmax(scores: Array, seen: Any) -> Array:
    return _weights(scores, seen)


@_softmax.defjvp
def _softmax_jvp(primals: Any, tangents: Any) -> Any:
    """Hidden keys need no test of their own: their weights are 0."""
    weights = _softmax(*primals)
    weighted = weights * tangents[0]
    return weights, weighted - weights * jnp.sum(weighted, axis=-1, keepdims=True)


@functools.partial(jax.jit, inline=True)
def _weights(scores: Array, seen: Any) -> Array:
    # Outside jit, `jax.debug_infs` would find the infinities.
    scores = scores if seen is None else jnp.where(jnp.broadcast_to(seen, scores.shape), scores, -jnp.inf)
    lowest = jnp.finfo(scores.dtype).min  # so that no infinity is subtracted from one
    highest = lax.reduce(scores, lowest, lax.max, [scores.ndim - 1])
    weights = jnp.exp(scores - highest[..., None])
    total = weights.sum(axis=-1, keepdims=True)
    return weights / jnp.where(total > 0, total, 1)


def _by_group(x: Array, groups: int) -> Array:
    """`(batch, time, heads, features)` as `(batch, groups, heads in a group, time, features)`."""
    *batch, time, heads, features = x.shape
    return jnp.moveaxis(x.reshape(*batch, time, groups, heads // groups, features), -4, -2)


def _by_head(x: Array) -> Array:
    """`(batch, groups, heads in a group, ...)`, two more axes following, as `(batch, heads, ...)`."""
    *batch, groups, heads, rows, columns = x.shape
    return x.reshape(*batch, groups * heads, rows, columns)
