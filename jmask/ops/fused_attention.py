"""Attention by `jax.nn.dot_product_attention`: when it applies, and how it is told about the padding."""

import functools
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.core import Tracer
from jaxtyping import Array

from ..core.masked import Masked
from ..core.step_order import is_right_padded


def is_fused(q: Array, k: Array, v: Array, needs_weights: bool, implementation: Any) -> bool:
    """Whether to use `jax.nn.dot_product_attention`; raises for an `implementation` that does not apply.

    On a CPU it has to be asked for: `dense_attention` is faster.
    """
    can = not needs_weights and q.dtype == k.dtype == v.dtype and k.shape == v.shape and q.ndim <= 4
    if implementation in ("auto", "blocks") or (implementation == "xla" and q.dtype == jnp.float16):
        # It asks for an accumulation of float64, and on a CPU of float16, that does not exist.
        is_slower = implementation != "xla" and jax.default_backend() == "cpu"
        return can and not is_slower and q.dtype not in (jnp.float64, jnp.float16)
    if not can:
        raise ValueError(
            f"`implementation={implementation!r}` is for what `jax.nn.dot_product_attention` computes: no dropout, no "
            "attention scores, one dtype, values with as many features as keys, and one batch axis at most; received "
            f"{q.dtype} {q.shape}, {k.dtype} {k.shape} and {v.dtype} {v.shape}. Leave it out."
        )
    return True


class Lengths(NamedTuple):
    """What `visible` says, as arguments for cuDNN.

    Attributes:
        told: arguments of `jax.nn.dot_product_attention`: numbers of steps, and whether attention is causal.
        sees_any: which queries see a key, `(batch, queries)`, or an array that broadcasts to that.
        hold: bool of rank 0: whether lengths are enough, since all padding is on the right.
    """

    told: dict[str, Any]
    sees_any: Any
    hold: Any


def as_lengths(query: Any, keys: Any, causal: bool, window: Any) -> Lengths | None:
    """The visibility as lengths, where lengths are enough.

    Args:
        query: values `(batch, queries, heads, features)` with a mask `(batch, queries)`, or an array.
        keys: the same for the keys.
        causal: whether keys after the query are hidden.
        window: keys farther away than this are hidden.

    Returns:
        None if lengths are not enough: packed rows, a window, or no batch axis.
    """
    masked = {name: x for name, x in (("query", query), ("key_value", keys)) if isinstance(x, Masked)}
    if window is not None or not masked or not all(map(_is_told_by_length, masked.values())):
        return None
    lengths = {f"{name}_seq_lengths": _length(x) for name, x in masked.items()}
    is_real = query.mask if isinstance(query, Masked) else jnp.ones((1, 1), bool)
    has_keys = keys.mask.any(axis=-1, keepdims=True) if isinstance(keys, Masked) else jnp.ones((1, 1), bool)
    are_all = functools.reduce(operator.and_, (is_right_padded(x.mask) for x in masked.values()))
    return Lengths({"is_causal": causal, **lengths}, is_real & has_keys, are_all)


def _is_told_by_length(x: Masked) -> bool:
    return x.segment_ids is None and x.mask.ndim == 2


def _length(x: Masked) -> Array:
    """The number of real steps, and 1 for an empty row, whose results are discarded."""
    return jnp.maximum(jnp.sum(x.mask, axis=-1, dtype=jnp.int32), 1)


def fused(
    q: Array, k: Array, v: Array, bias: Any, seen: Any, lengths: Lengths | None, *, scale: Any, implementation: Any
) -> Array:
    """Attention by `jax.nn.dot_product_attention`, which lets a query that sees no key attend to all.

    Args:
        q: the query, `(batch, queries, heads, features)`, without NaN.
        k: the keys, `(batch, keys, groups, features)`.
        v: the values, in the shape of the keys.
        bias: added to the scores, or None.
        seen: which keys each query attends to, from `visible`; None for all.
        lengths: the same from `as_lengths`, or None. Which of the two is used is decided at run time.
        scale: the factor of the dot products.
        implementation: `"xla"` or `"cudnn"`; others leave the choice to JAX.

    Returns:
        `(batch, queries, heads, features)`, 0 where a query sees nothing.
    """
    by = implementation if implementation in ("xla", "cudnn") else None
    told: dict[str, Any] = {"scale": scale, "implementation": by}
    if seen is None:
        return jax.nn.dot_product_attention(q, k, v, bias, **told)
    seen = seen.reshape(*(1,) * (q.ndim - seen.ndim), *seen.shape)

    def by_mask() -> Array:
        mask = jnp.broadcast_to(seen, (*seen.shape[:-2], q.shape[-3], k.shape[-3]))
        y = jax.nn.dot_product_attention(q, k, v, bias, mask, **told)
        sees_any = jnp.swapaxes(seen.any(axis=-1), -1, -2)[..., None]
        return jnp.where(sees_any, y, 0)

    if lengths is None:
        return by_mask()

    def by_lengths() -> Array:
        y = jax.nn.dot_product_attention(q, k, v, bias, **told, **lengths.told)
        return jnp.where(lengths.sees_any[..., None, None], y, 0)

    if isinstance(lengths.hold, Tracer):
        return lax.cond(lengths.hold, by_lengths, by_mask)
    return by_lengths() if lengths.hold else by_mask()
