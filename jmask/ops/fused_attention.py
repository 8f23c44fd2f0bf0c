"""Attention by `jax.nn.dot_product_attention`: when it can compute it, and what it is told of the padding."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..masked import Masked


def is_fused(q: Array, k: Array, v: Array, needs_weights: bool, implementation: Any) -> bool:
    """Whether `jax.nn.dot_product_attention` computes it; refuses an `implementation` that it cannot choose from."""
    can = not needs_weights and q.dtype == k.dtype == v.dtype and k.shape == v.shape and q.ndim <= 4
    if implementation is None:
        return can and q.dtype != jnp.float64
    if not can:
        raise ValueError(
            f"`implementation={implementation!r}` is for what `jax.nn.dot_product_attention` computes: no dropout, no "
            "attention scores, one dtype, values with as many features as keys, and one batch axis at most; received "
            f"{q.dtype} {q.shape}, {k.dtype} {k.shape} and {v.dtype} {v.shape}. Leave it out."
        )
    return True


class Lengths(NamedTuple):
    """What `visible` says, in the words of cuDNN.

    Attributes:
        told: arguments of `jax.nn.dot_product_attention`: numbers of steps, and whether no query sees what is after it.
        sees_any: which queries see a key, `(batch, queries)`, or an array that broadcasts to that.
    """

    told: dict[str, Any]
    sees_any: Any


def as_lengths(query: Any, keys: Any, causal: bool, window: Any) -> Lengths | None:
    """The visibility by lengths, where lengths say all.

    Args:
        query: values `(batch, queries, heads, features)` with a mask `(batch, queries)`, or an array.
        keys: the same for the keys.
        causal: none after the query.
        window: none farther away than this.

    Returns:
        None if there is more to be said: padding that is not known to be on the right, packed rows, a window, or no
        batch axis.
    """
    masked = {name: x for name, x in (("query", query), ("key_value", keys)) if isinstance(x, Masked)}
    if window is not None or not masked or not all(map(_is_told_by_length, masked.values())):
        return None
    lengths = {f"{name}_seq_lengths": _length(x) for name, x in masked.items()}
    is_real = query.mask if isinstance(query, Masked) else jnp.ones((1, 1), bool)
    has_keys = keys.mask.any(axis=-1, keepdims=True) if isinstance(keys, Masked) else jnp.ones((1, 1), bool)
    return Lengths({"is_causal": causal, **lengths}, is_real & has_keys)


def _is_told_by_length(x: Masked) -> bool:
    return x.is_right_padded and x.segments is None and x.mask.ndim == 2


def _length(x: Masked) -> Array:
    """The number of real steps, and 1 for an empty row, of which no query keeps what it sees."""
    return jnp.maximum(jnp.sum(x.mask, axis=-1, dtype=jnp.int32), 1)


def fused(q: Array, k: Array, v: Array, bias: Any, seen: Any, *, scale: Any, implementation: Any) -> Array:
    """By `jax.nn.dot_product_attention`, which lets a query that sees no key attend to all.

    Args:
        q: the query, `(batch, queries, heads, features)`, without NaN.
        k: the keys, `(batch, keys, groups, features)`.
        v: the values, in the shape of the keys.
        bias: added to the scores, or None.
        seen: which keys each query attends to, from `visible` or `as_lengths`; None for all.
        scale: of the dot products.
        implementation: as in `jm.ops.attention`.

    Returns:
        `(batch, queries, heads, features)`, 0 where a query sees nothing.
    """
    told: dict[str, Any] = {"scale": scale, "implementation": implementation}
    if seen is None:
        return jax.nn.dot_product_attention(q, k, v, bias, **told)
    if isinstance(seen, Lengths):
        y = jax.nn.dot_product_attention(q, k, v, bias, **told, **seen.told)
        return jnp.where(seen.sees_any[..., None, None], y, 0)
    seen = seen.reshape(*(1,) * (q.ndim - seen.ndim), *seen.shape)
    mask = jnp.broadcast_to(seen, (*seen.shape[:-2], q.shape[-3], k.shape[-3]))
    y = jax.nn.dot_product_attention(q, k, v, bias, mask, **told)
    sees_any = jnp.swapaxes(seen.any(axis=-1), -1, -2)[..., None]
    return jnp.where(sees_any, y, 0)
