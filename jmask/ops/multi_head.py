"""Multi-head attention: a projection for each head, attention, and a projection of all heads to the outputs."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp

from ..core.arithmetic import in_front
from ..core.masked import Masked, fill, like, values_of
from .cache import append
from .single_head import attention
from .visibility import joint_keys


def multi_head_attention(
    params: Mapping[str, Mapping[str, Any]],
    query: Any,
    *,
    key: Any = None,
    value: Any = None,
    cache: Mapping[str, Masked] | None = None,
    **options: Any,
) -> Any:
    """Attention with several heads, each with its own projections.

    Args:
        params: `query`, `key`, `value` and `attention_output`, each with a `kernel` and perhaps a `bias`: kernels
            `(features, heads, key_dim)` for queries, `(features, groups, key_dim)` for keys, `(features, groups,
            value_dim)` for values and `(heads, value_dim, ...)` for the output. Biases have the kernel's axes except
            those summed over. With a `gate`, its kernel `(features, heads, value_dim)`, the heads are multiplied by
            `sigmoid(query @ gate)` before the projection to the output.
        query: values `(batch, queries, features)`, mask `(batch, queries)`, or an array.
        key: `(batch, keys, features)`, mask `(batch, keys)`, or an array; `query` by default.
        value: the same, `key` by default; a padded value hides its key too.
        cache: keys and values of earlier steps, `{"key": (batch, room, groups, key_dim), "value": (batch,
            room, groups, value_dim)}`, each a `Masked`. The new keys and values are appended to them (`jm.ops.append`),
            the query attends to all, and its positions continue from the steps in the cache.
        **options: the options of `jm.ops.attention`.

    Returns:
        `(batch, queries, ...)` with the mask of `query`. A query that attends to no real key gives the output bias and
        passes a gradient to it alone. With `return_attention_scores=True` also the weights
        `(batch, heads, queries, keys)`, and with a cache, last, the cache with these steps in it.

    Raises:
        TypeError: the values are not floats, or an option is unknown.
        ValueError: shapes do not fit, or `jm.ops.attention` raises.

    References:
        Vaswani et al.: Attention Is All You Need, arXiv:1706.03762, section 3.2.2. Qiu et al.: Gated Attention for
        Large Language Models, arXiv:2505.06708, for the gate.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = {name: {"kernel": jnp.ones((2, 1, 2))} for name in ("query", "key", "value")}
    >>> params["attention_output"] = {"kernel": jnp.ones((1, 2, 3))}
    >>> x = jm.from_lengths(jnp.ones((1, 4, 2)), [3])
    >>> jm.ops.multi_head_attention(params, x).shape
    (1, 4, 3)
    """
    if key is None and value is not None:
        raise ValueError("`multi_head_attention` has a value and no key; pass `key=` too, or alone where one is both.")
    key = query if key is None else key
    value = key if value is None else value
    q, k, v = (_project(x, params[n], n) for n, x in {"query": query, "key": key, "value": value}.items())
    if cache is not None:
        if options.get("query_offset") is None and options.get("query_positions") is None:
            options["query_offset"] = cache["key"].lengths
        cache = _with_steps(cache, k, v)
        k, v = cache["key"], cache["value"]
    attended = attention(q, key=k, value=v, **options)
    y, *weights = attended if isinstance(attended, tuple) else (attended,)
    if "gate" in params:
        y = y * jax.nn.sigmoid(values_of(_project(query, params["gate"], "gate")))
    y = _project(y, params["attention_output"], "attention_output")
    rest = [*weights, *([] if cache is None else [cache])]
    return (y, *rest) if rest else y


def _with_steps(cache: Mapping[str, Masked], key: Any, value: Any) -> dict[str, Masked]:
    """The cache with the steps appended at which both key and value are real, so that the two stay aligned."""
    key = joint_keys(key, value)
    value = Masked(values_of(value), key.mask) if isinstance(key, Masked) else value
    return {"key": append(cache["key"], key), "value": append(cache["value"], value)}


def _project(x: Any, params: Mapping[str, Any], name: str) -> Any:
    """The product over the last axis, or over heads and features for the output, plus the bias."""
    kernel = jnp.asarray(params["kernel"])
    num_axes = 2 if name == "attention_output" else 1
    if tuple(x.shape[-num_axes:]) != kernel.shape[:num_axes] or (
        isinstance(x, Masked) and x.mask.ndim > x.ndim - num_axes
    ):
        raise ValueError(
            f"`multi_head_attention`: the kernel of `{name}` has shape {kernel.shape}, and its first {num_axes} axes "
            f"are the last of the values, behind the mask; received values {tuple(x.shape)}."
        )
    y = jnp.tensordot(jnp.asarray(fill(x, 0)), kernel, num_axes)
    y = y if params.get("bias") is None else y + in_front(params["bias"], y.ndim)
    return like(x, y)
