"""Attention: each query takes a weighted mean of the values at the real steps that it attends to."""

import functools
from typing import Any, Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ..core.checks import check_one_of, check_probability
from ..core.masked import Masked, fill, like
from .block_attention import in_blocks
from .dense_attention import dot_products, weigh, weighted_mean
from .fused_attention import as_lengths, fused, is_fused
from .linear import AnyArray, check_float
from .step_positions import Offset, Places, steps_before
from .visibility import Window, check_shared_segment_ids, joint_keys, per_head, sight, visible

Implementation = Literal["auto", "blocks", "xla", "cudnn"]
Queries = Masked | Float[AnyArray, "... queries heads features"]
Keys = Masked | Float[AnyArray, "... keys groups features"]
Values = Masked | Float[AnyArray, "... keys groups value_features"]
Result = Masked | Float[Array, "... queries heads value_features"]
Scores = Float[Array, "... heads queries keys"]


def attention(
    query: Queries,
    *,
    key: Keys | None = None,
    value: Values | None = None,
    causal: bool = False,
    window: Window = None,
    query_offset: Offset = None,
    query_positions: Places = None,
    key_positions: Places = None,
    attention_mask: Bool[AnyArray, "..."] | None = None,
    bias: Float[AnyArray, "..."] | None = None,
    scale: Any = None,
    dropout: float = 0.0,
    dropout_key: Any = None,
    return_attention_scores: bool = False,
    implementation: Implementation = "auto",
) -> Result | tuple[Result, Scores]:
    """Scaled dot-product attention, `softmax(scale * query @ key.T + bias) @ value` over the real steps of the keys.

    The masks are taken from the inputs. A step of the keys is real where both key and value are. In packed rows each
    sequence attends only to itself. `causal` and `window` go by position among the real steps, so padding on the left
    or in between shifts nothing; `attention_mask` and `bias` go by index, padding included. Queries and keys both count
    from 0 unless positions are given: a query that follows a cache of keys needs `query_offset`.

    Args:
        query: values `(batch, queries, heads, features)`, mask `(batch, queries)`, or an array. The batch may have any
            number of axes, all under the mask.
        key: `(batch, keys, groups, features)`, mask `(batch, keys)`, or an array; `query` by default. `heads` is a
            multiple of `groups`: neighbouring heads share a group.
        value: `(batch, keys, groups, value_features)`, mask `(batch, keys)`, or an array; `key` by default.
        causal: whether a query attends to no step after it.
        window: how many real steps away a query attends to, `(left, right)` or one number for both sides; None instead
            of a number means no limit.
        query_offset: the position of the first real query of each sequence, an integer or one for each row,
            `(batch,)`: the number of real keys that came before it.
        query_positions: the positions of the queries, instead of an offset: numbers that broadcast to
            `(batch, queries)`, or a `Masked` of them.
        key_positions: the positions of the keys, if they are not in order, as in a cache that wraps around.
        attention_mask: bool, True where a query may attend to a key: `(queries, keys)`, `(batch, queries, keys)` or
            `(batch, heads, queries, keys)`, sizes of 1 included.
        bias: floats in one of these shapes, added to the scores; -inf forbids, as False does in `attention_mask`.
        scale: the factor of the dot products, `1 / sqrt(features)` by default.
        dropout: probability of dropping a weight; the rest are scaled up. The draw of a weight depends on the key,
            the row, the head and the numbers of real steps before query and key, not on padding.
        dropout_key: a PRNG key for the dropout.
        return_attention_scores: whether to return the weights as well.
        implementation: `"blocks"` visits only blocks of queries and keys that can see each other, and never holds more
            than one block of scores; not for dropout, `attention_mask`, `bias`, returned weights or forward-mode
            derivatives (`docs/attention.md`). `"xla"` and `"cudnn"` are those of `jax.nn.dot_product_attention`, for
            what it can compute: no dropout, no returned weights, one dtype, `value_features` equal to `features`, at
            most one batch axis. `"cudnn"`, on a GPU and in half precision, gets lengths instead of a mask if all
            padding is on the right and nothing else hides a key, so that it skips the padding. `"auto"` on a CPU
            takes blocks from 128 queries and keys on, unless nothing hides a key or there is little to compute, and
            else jmask's own attention of all pairs; on other devices it takes `"xla"` where that is exact: not for
            float64, whose weights it rounds to float32.

    Returns:
        `(batch, queries, heads, value_features)` with the mask of `query`, 0 at its padded steps. A query that attends
        to no real key, as in an empty row, gives 0 and passes no gradient. With `return_attention_scores` also the
        weights before dropout, `(batch, heads, queries, keys)`, 0 where query or key is padding.

    Raises:
        TypeError: values are not floats, `attention_mask` is not bool, or an offset is not an integer.
        ValueError: shapes do not fit, there is a value without a key, rows are packed differently, the dropout rate is
            outside `[0, 1]`, dropout has no key, both an offset and positions are given, or the `implementation` cannot
            compute this.

    References:
        Vaswani et al.: Attention Is All You Need, arXiv:1706.03762, equation 1. Ainslie et al.: GQA, arXiv:2305.13245,
        for groups.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.masked(jnp.array([[[[9.0]], [[1.0]], [[1.0]]]]), jnp.array([[False, True, True]]))
    >>> jm.ops.attention(x, key=x, value=x, causal=True).fill(0).ravel().tolist()
    [0.0, 1.0, 1.0]
    """
    check_one_of("implementation", implementation, get_args(Implementation))
    key, value = _keys_and_values(query, key, value, "attention")
    keys, bias = joint_keys(key, value), None if bias is None else per_head("bias", bias, query, value)
    given = {"query_offset": query_offset, "query_positions": query_positions, "key_positions": key_positions}
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    needs_weights = return_attention_scores or dropout != 0
    is_plain = not needs_weights and attention_mask is None and bias is None
    look = functools.partial(sight, query, keys, causal=causal, window=window, **given)
    y = in_blocks(query, key, value, look, scale=scale, is_plain=is_plain, implementation=implementation)
    if y is not None:
        return like(query, y)
    seen = visible(query, keys, causal=causal, window=window, attention_mask=attention_mask, bias=bias, **given)
    q, k, v = (jnp.asarray(fill(x, 0)) for x in (query, key, value))
    if is_fused(q, k, v, needs_weights, implementation):
        is_told_lengths = implementation == "cudnn" and all(x is None for x in (attention_mask, bias, *given.values()))
        lengths = as_lengths(query, keys, causal, window) if is_told_lengths else None
        return like(query, fused(q, k, v, bias, seen, lengths, scale=scale, implementation=implementation))
    scores = dot_products(q, k, scale)
    scores = scores if bias is None else scores + bias.astype(scores.dtype)
    weights = weigh(scores, seen).astype(v.dtype)
    y = like(query, weighted_mean(_drop(weights, dropout, dropout_key, query, keys), v))
    y = like(query, fill(y, 0))
    return (y, weights) if return_attention_scores else y


def additive_attention(
    query: Queries,
    *,
    key: Keys | None = None,
    value: Values | None = None,
    weight: Any = None,
    scale: Any = 1.0,
    causal: bool = False,
    window: Window = None,
    query_offset: Offset = None,
    query_positions: Places = None,
    key_positions: Places = None,
    attention_mask: Bool[AnyArray, "..."] | None = None,
    dropout: float = 0.0,
    dropout_key: Any = None,
    return_attention_scores: bool = False,
) -> Result | tuple[Result, Scores]:
    """Additive attention: the score of a query and a key is `sum(weight * tanh(scale * (query + key)))`.

    Args:
        query: as in `attention`, like all arguments unless stated otherwise.
        key: `(batch, keys, groups, features)`, mask `(batch, keys)`, or an array; `query` by default.
        value: `(batch, keys, groups, value_features)`; `key` by default.
        weight: the weights of the features, `(features,)` or a number; ones by default.
        scale: the factor of the sums of query and key.
        causal: whether a query attends to no step after it.
        window: how many real steps away a query attends to.
        query_offset: the position of the first real query of each sequence.
        query_positions: the positions of the queries, instead of an offset.
        key_positions: the positions of the keys.
        attention_mask: bool, True where a query may attend to a key.
        dropout: probability of dropping a weight.
        dropout_key: a PRNG key for the dropout.
        return_attention_scores: whether to return the weights as well.

    Returns:
        As for `attention`. Memory grows with `queries * keys * features`.

    Raises:
        TypeError: as for `attention`.
        ValueError: as for `attention`.

    References:
        Bahdanau et al.: Neural Machine Translation by Jointly Learning to Align and Translate, arXiv:1409.0473,
        appendix A.1.2.

    >>> import jax.numpy as jnp, jmask as jm
    >>> query, keys = jnp.zeros((1, 1, 1, 2)), jm.from_lengths(jnp.array([[[[1.0, 3.0]], [[9.0, 9.0]]]]), [1])
    >>> jm.ops.additive_attention(query, key=keys).tolist()
    [[[[1.0, 3.0]]]]
    """
    key, value = _keys_and_values(query, key, value, "additive_attention")
    keys = joint_keys(key, value)
    given = {"query_offset": query_offset, "query_positions": query_positions, "key_positions": key_positions}
    seen = visible(query, keys, causal=causal, window=window, attention_mask=attention_mask, **given)
    q, k, v = (jnp.asarray(fill(x, 0)) for x in (query, key, value))
    weights = weigh(_additive_scores(q, k, weight, scale), seen).astype(v.dtype)
    y = like(query, weighted_mean(_drop(weights, dropout, dropout_key, query, keys), v))
    return (y, weights) if return_attention_scores else y


def _additive_scores(q: Array, k: Array, weight: Any, scale: Any) -> Array:
    """`(batch, heads, queries, keys)`, in float32 at least."""
    dtype = jnp.promote_types(jnp.result_type(q, k), jnp.float32)
    k = jnp.repeat(k, q.shape[-2] // k.shape[-2], axis=-2)
    q, k = (jnp.swapaxes(x, -2, -3).astype(dtype) for x in (q, k))
    hidden = jnp.tanh(scale * (q[..., :, None, :] + k[..., None, :, :]))
    hidden = hidden if weight is None else jnp.broadcast_to(weight, hidden.shape) * hidden
    return jnp.sum(hidden, axis=-1).astype(dtype)


def _drop(weights: Array, rate: float, key: Any, query: Any, keys: Any) -> Array:
    """The weights with some set to 0 and the rest scaled up.

    Each key has its own draws, made time-major over the queries, so that more padding only appends; where there is
    padding elsewhere, draws follow the real steps.
    """
    check_probability("dropout", rate)
    if rate in (0, 1):
        return weights if rate == 0 else jnp.zeros_like(weights)
    if key is None:
        raise ValueError("`dropout` draws at random; pass a PRNG key, `dropout_key`, or `dropout=0.0`.")
    *rest, num_queries, num_keys = weights.shape
    of_key = jax.vmap(lambda i: jax.random.bernoulli(jax.random.fold_in(key, i), 1 - rate, (num_queries, *rest)))
    kept = jnp.moveaxis(of_key(jnp.arange(num_keys)), (0, 1), (-1, -2))
    for x, axis in ((query, -2), (keys, -1)):
        if isinstance(x, Masked):
            index = jnp.expand_dims(steps_before(x, -3), (-3, -3 - axis))
            kept = jnp.take_along_axis(kept, index, axis, mode="promise_in_bounds")
    return jnp.where(kept, weights / (1 - rate), 0).astype(weights.dtype)


def _keys_and_values(query: Any, key: Any, value: Any, name: str) -> tuple[Any, Any]:
    """The keys, by default the query, and the values, by default the keys."""
    if key is None and value is not None:
        raise ValueError(
            f"`{name}` has a value and no key, and without one the keys are the query: pass `key=` too, or `key=` "
            "alone where one array is both."
        )
    key = query if key is None else key
    value = key if value is None else value
    _check_inputs(query, key, value, name)
    return key, value


def _check_inputs(query: Any, key: Any, value: Any, name: str) -> None:
    """Raises if values, masks or packings do not fit one another."""
    shapes = [tuple(x.shape) for x in (query, key, value)]
    masks = [x.mask.ndim if isinstance(x, Masked) else x.ndim - 2 for x in (query, key, value)]
    for x in (query, key, value):
        check_float(x, name)
    if any(len(shape) < 3 or len(shape) - 2 != rank for shape, rank in zip(shapes, masks, strict=True)):
        raise ValueError(
            f"`{name}` takes values (batch, time, heads, features) with masks (batch, time); received values {shapes} "
            f"and masks of rank {masks}. For one head add an axis, `x[..., None, :]`."
        )
    (*batch, _, heads, features), (*_, groups, _) = shapes[0], shapes[1]
    if (
        any(list(shape[:-3]) != batch for shape in shapes)
        or shapes[1][-3:-1] != shapes[2][-3:-1]
        or shapes[1][-1] != features
        or heads % groups
    ):
        raise ValueError(
            f"`{name}` takes a query (batch, queries, heads, features), a key (batch, keys, groups, features) and a "
            "value (batch, keys, groups, value_features), with heads a multiple of groups; received "
            f"{shapes[0]}, {shapes[1]} and {shapes[2]}."
        )
    check_shared_segment_ids(query, key, value, name)
