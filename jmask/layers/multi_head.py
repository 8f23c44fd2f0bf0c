"""Attention with several heads, which may share keys and values."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from .. import ops
from ..core.masked import Masked
from ..protocol.fields import Dtype, Rate, Size
from ..protocol.options import Initializer, initializer
from .attention import call_options, read_inputs
from .base import BaseMaskedLayer


class BaseMultiHead(BaseMaskedLayer):
    """What `MultiHeadAttention` and `GroupQueryAttention` share: projections, attention, and a projection back."""

    _: dataclasses.KW_ONLY
    dropout: Rate = 0.0
    use_bias: bool = True
    use_causal_mask: bool = False
    sliding_window: Size | None = None
    return_attention_scores: bool = False
    implementation: Literal["auto", "blocks", "xla", "cudnn"] = "auto"
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    use_gate: bool = False
    param_dtype: Dtype = "float32"

    def sizes(self) -> dict[str, tuple[int, int]]:
        """The number of heads and the features of a head, for `query`, `key` and `value`."""
        raise TypeError(f"`{type(self).__name__}` is what layers share; use one of them, such as `MultiHeadAttention`.")

    def features_out(self, query: Any) -> tuple[int, ...]:
        """The shape of a step of the outputs."""
        return (query.shape[-1],)

    def init(self, key: Any, query: Any, value: Any = None, key_: Any = None) -> dict[str, Any]:
        """`{"query": {"kernel": (features, heads, key_dim), "bias": ...}, "key", "value", "attention_output"}`.

        With `use_gate` also `"gate"`, its kernel `(features, heads, value_dim)`.
        """
        query, value, keys = read_inputs(self, query, value, key_)
        sizes = self.sizes()
        widths = {"query": query.shape[-1:], "key": keys.shape[-1:], "value": value.shape[-1:]}
        heads = (sizes["query"][0], sizes["value"][1])
        gate = [("gate", widths["query"], heads)] if self.use_gate else []
        shapes = [
            *((name, widths[name], sizes[name]) for name in widths),
            ("attention_output", heads, self.features_out(query)),
            *gate,
        ]
        params = {}
        for name, shape_in, shape_out in shapes:
            key, kernel_key, bias_key = jax.random.split(key, 3)
            kernel = initializer(self.kernel_initializer)(kernel_key, (*shape_in, *shape_out), self.param_dtype)
            params[name] = {"kernel": kernel}
            if self.use_bias:
                params[name]["bias"] = initializer(self.bias_initializer)(bias_key, shape_out, self.param_dtype)
        return params

    def call(
        self,
        params: Any,
        query: Any,
        value: Any = None,
        key_: Any = None,
        attention_mask: Any = None,
        query_offset: Any = None,
        query_positions: Any = None,
        key_positions: Any = None,
        cache: Any = None,
        training: bool = False,
        key: Any = None,
    ) -> Any:
        """`(batch, queries, ...)`, and with `return_attention_scores` weights `(batch, heads, queries, keys)`.

        With a `cache` from `init_cache`, also returns the cache with these steps added.
        """
        options = call_options(self, training, key)
        _ = params["gate"] if self.use_gate else None  # raises if it is missing; `jm.ops` would skip it
        _ = [projection["bias"] for projection in params.values()] if self.use_bias else None
        window = None if self.sliding_window is None else self.sliding_window - 1
        query, value, keys = read_inputs(self, query, value, key_)
        return ops.multi_head_attention(
            params,
            query,
            key=keys,
            value=value,
            window=window,
            query_offset=query_offset,
            query_positions=query_positions,
            key_positions=key_positions,
            attention_mask=attention_mask,
            cache=cache,
            implementation=self.implementation,
            **options,
        )

    def init_cache(self, batch_size: int, length: int, *, dtype: Any = None) -> dict[str, Masked]:
        """An empty cache for decoding.

        Args:
            batch_size: number of rows.
            length: the maximum number of real steps of a sequence, including the prompt.
            dtype: of the cache, `param_dtype` by default.

        Returns:
            `{"key": (batch_size, length, groups, key_dim), "value": (batch_size, length, groups, value_dim)}`, each a
            `Masked` of padding only.
        """
        dtype, mask, sizes = dtype or self.param_dtype, jnp.zeros((batch_size, length), bool), self.sizes()
        return {name: Masked(jnp.zeros((*mask.shape, *sizes[name]), dtype), mask) for name in ("key", "value")}


class MultiHeadAttention(BaseMultiHead):
    """Multi-head attention (see `jm.ops.multi_head_attention`).

    Inputs: `query` `(batch, queries, features)`, `value` `(batch, keys, features)`, `key_`, `value` by default, and
    `attention_mask`, bool, `(batch, queries, keys)`. In `apply`, `key=` is a PRNG key. Outputs:
    `(batch, queries, features)` with the mask of the query. A query that attends to no real key, as in an empty row,
    gives the bias of the output.

    For decoding: `y, cache = layer.apply(params, x, x, cache=cache)`, starting with a cache from
    `layer.init_cache(batch_size, length)`: `x` also attends to the steps in the cache, and is written after them.
    `query_offset`, `query_positions` and `key_positions` set the positions of steps (see `jm.ops.attention`).

    Attributes:
        num_heads: number of heads.
        key_dim: features per head of queries and keys.
        value_dim: features per head of values; `key_dim` by default.
        dropout: probability of dropping a weight in training.
        use_bias: whether all projections have a bias.
        output_shape: shape of a step of the outputs, a number or several; the features of the query by default.
        use_causal_mask: whether a query attends only to itself and earlier steps, by position among the real steps.
        sliding_window: if given, a query attends only to steps that are fewer real steps away than this.
        return_attention_scores: whether to return the weights as well, before dropout.
        implementation: see `jm.ops.attention`.
        kernel_initializer: by name or as `(key, shape, dtype)`.
        bias_initializer: the same for the biases.
        use_gate: whether the heads are multiplied by a gate, the sigmoid of another projection of the query.
        param_dtype: dtype of the parameters.

    References:
        Vaswani et al.: Attention Is All You Need, arXiv:1706.03762, section 3.2.2.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> layer, x = jm.layers.MultiHeadAttention(2, 3), jm.from_lengths(jnp.ones((1, 4, 5)), [3])
    >>> y = jm.layers.Add()([x, layer.apply(layer.init(jax.random.key(0), x, x), x, x)])
    >>> y.shape, y.lengths.tolist()
    ((1, 4, 5), [3])
    """

    num_heads: Size
    key_dim: Size
    _: dataclasses.KW_ONLY
    value_dim: Size | None = None
    dropout: Rate = 0.0
    use_bias: bool = True
    output_shape: Size | Sequence[Size] | None = None

    def sizes(self) -> dict[str, tuple[int, int]]:
        """As many heads of keys and values as of queries."""
        key_dim = (self.num_heads, self.key_dim)
        return {"query": key_dim, "key": key_dim, "value": (self.num_heads, self.value_dim or self.key_dim)}

    def features_out(self, query: Any) -> tuple[int, ...]:
        """`output_shape`, or the features of the query."""
        if self.output_shape is None:
            return (query.shape[-1],)
        return (self.output_shape,) if isinstance(self.output_shape, int) else tuple(self.output_shape)


class GroupQueryAttention(BaseMultiHead):
    """Multi-head attention in which groups of heads share keys and values (see `jm.ops.multi_head_attention`).

    Inputs and outputs are those of `MultiHeadAttention`.

    Attributes:
        head_dim: features per head.
        num_query_heads: number of heads of the queries.
        num_key_value_heads: number of heads of keys and values, a divisor of `num_query_heads`.

    The other attributes are those of `MultiHeadAttention`.

    References:
        Ainslie et al.: GQA: Training Generalized Multi-Query Transformer Models from Multi-Head Checkpoints,
        arXiv:2305.13245.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> layer, x = jm.layers.GroupQueryAttention(3, 4, 2), jnp.ones((1, 7, 5))
    >>> layer.init(jax.random.key(0), x, x)["key"]["kernel"].shape
    (5, 2, 3)
    """

    head_dim: Size
    num_query_heads: Size
    num_key_value_heads: Size

    def __post_init__(self) -> None:
        """Validates the options."""
        if self.num_query_heads % self.num_key_value_heads:
            raise ValueError(
                "`num_query_heads` of `GroupQueryAttention` is a multiple of `num_key_value_heads`; received "
                f"{self.num_query_heads} and {self.num_key_value_heads}."
            )

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Fewer heads of keys and values than of queries."""
        shared = (self.num_key_value_heads, self.head_dim)
        return {"query": (self.num_query_heads, self.head_dim), "key": shared, "value": shared}
