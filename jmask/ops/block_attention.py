"""Attention by the blockwise engine: when it applies, and what it is told about the padding."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core.masked import fill, values_of
from ..core.row_sharding import is_divisible, is_laid_out, on_each_device
from . import blockwise
from .visibility import Sight

# Measured on CPUs with `benchmarks/attention.py`:
_MIN_STEPS = 128  # with fewer queries or keys blocks are not faster
_MIN_SCORES = 2**19  # nor where there are fewer scores in all
_BLOCK, _LONG_BLOCK, _LONG = 64, 128, 1024  # the size of blocks, and from `_LONG` steps on


def in_blocks(
    query: Any, key: Any, value: Any, sight: Callable[[], Sight], *, scale: Any, is_plain: bool, implementation: str
) -> Array | None:
    """Attention by the blockwise engine.

    Args:
        query: a `Masked` or an array.
        key: the same.
        value: the same.
        sight: gives what decides which keys a query attends to.
        scale: the factor of the dot products.
        is_plain: whether there is no dropout, `attention_mask` or `bias`, and no weights are to be returned.
        implementation: of `attention`.

    Returns:
        `(*batch, queries, heads, value_features)` in the dtype of the values, 0 at padded steps; None where the engine
        does not apply, or `"auto"` does not expect it to be faster.

    Raises:
        ValueError: `implementation` is `"blocks"` and the call is not plain.
    """
    if implementation == "blocks" and not is_plain:
        raise ValueError(
            "`implementation='blocks'` is for attention without dropout, `attention_mask`, `bias` and "
            "`return_attention_scores`; received one of these. Leave it out."
        )
    sizes = [size for x in (query, key, value) for size in x.shape]
    has_sizes = all(isinstance(size, int) for size in sizes) and 0 not in sizes  # not symbolic, as in `jax.export`
    is_asked_for = implementation == "blocks" or (implementation == "auto" and jax.default_backend() == "cpu")
    if not (is_asked_for and is_plain and has_sizes and np.ndim(scale) == 0):
        return None
    is_auto = implementation == "auto"
    if is_auto and not _is_large(query, key):
        return None
    found = sight()
    if is_auto and all(x is None for x in found):  # nothing hides a key
        return None
    rows = _rows_of(query, key, value, found)
    if not is_laid_out(rows, ()) or (is_auto and not is_divisible(rows)):
        return None
    dtype = rows.value.dtype
    if isinstance(scale, jax.Array):
        rows, scale = _scaled(query, rows, scale), 1.0
    block = _BLOCK if max(rows.query.shape[1], rows.key.shape[1]) < _LONG else _LONG_BLOCK
    options = blockwise.AttentionOptions(float(scale), found.left, found.right, block)
    return _run(options, rows).astype(dtype).reshape(*query.shape[:-1], value.shape[-1])


def _is_large(query: Any, key: Any) -> bool:
    """Whether blocks are likely to be faster than all pairs at once."""
    *batch, queries, heads, _ = query.shape
    keys = key.shape[-3]
    return min(queries, keys) >= _MIN_STEPS and math.prod((*batch, heads, queries, keys)) >= _MIN_SCORES


def _rows_of(query: Any, key: Any, value: Any, sight: Sight) -> blockwise.AttentionRows:
    """The batch in the engine's form: one batch axis, and an id for each step."""
    masks = (sight.query_mask, sight.key_mask)
    ids = (None if mask is None else jnp.asarray(mask).astype(jnp.int32) for mask in masks)
    if sight.sequence is not None:
        ids = (jnp.where(mask, sight.sequence, 0) for mask in masks)
    *batch, queries, _, _ = query.shape
    times = (queries, key.shape[-3]) * 2

    def with_one_batch_axis(x: Any) -> Any:
        return x if len(batch) == 1 else x.reshape(-1, *x.shape[len(batch) :])

    def whole(x: Any, time: int) -> Any:
        return None if x is None else with_one_batch_axis(jnp.broadcast_to(x, (*batch, time)))

    values = (with_one_batch_axis(jnp.asarray(values_of(x))) for x in (query, key, value))
    return blockwise.AttentionRows(*values, *map(whole, (*ids, sight.query_places, sight.key_places), times))


def _scaled(query: Any, rows: blockwise.AttentionRows, scale: Any) -> blockwise.AttentionRows:
    """With the query scaled beforehand, so that a factor that is an array gets its gradient."""
    wide = jnp.promote_types(rows.query.dtype, jnp.float32)
    q = jnp.asarray(fill(query, 0)).astype(wide) * scale
    return rows._replace(query=q.reshape(rows.query.shape))


@functools.partial(jax.jit, static_argnums=0, inline=True)
def _run(options: blockwise.AttentionOptions, rows: blockwise.AttentionRows) -> Array:
    """The engine on every device's own rows; one program also outside `jax.jit`."""
    return on_each_device(functools.partial(blockwise.attend, options), rows)(rows, ())
