"""Attention of all queries to all keys at once: scores `(batch, heads, queries, keys)`, a softmax, a mean."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ..core.masked import Masked, values_of
from .activations import softmax


def dot_products(q: Array, k: Array) -> Array:
    """`(batch, heads, queries, keys)`, in float32 at least."""
    *batch, queries, heads, features = q.shape
    keys, groups = k.shape[-3:-1]
    grouped = q.reshape(*batch, queries, groups, heads // groups, features)
    dtype = jnp.promote_types(jnp.result_type(q, k), jnp.float32)
    scores = jnp.einsum("...qgnf,...kgf->...gnqk", grouped, k, preferred_element_type=dtype)
    return scores.reshape(*batch, heads, queries, keys)


def weigh(scores: Array, seen: Any) -> Array:
    """The softmax over the visible keys; 0 for a query that sees none."""
    return values_of(softmax(scores if seen is None else Masked(scores, jnp.broadcast_to(seen, scores.shape))))


def weighted_mean(weights: Array, v: Array) -> Array:
    """The mean of the values by these weights, `(batch, queries, heads, value_features)`."""
    *batch, heads, queries, keys = weights.shape
    groups, features = v.shape[-2:]
    grouped = weights.reshape(*batch, groups, heads // groups, queries, keys)
    mean = jnp.einsum("...gnqk,...kgf->...qgnf", grouped, v)
    return mean.reshape(*batch, queries, heads, features)
