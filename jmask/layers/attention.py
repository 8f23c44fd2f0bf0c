"""Attention with one head: Luong's, by dot products, and Bahdanau's, by sums."""

import dataclasses
from typing import Any, Literal

import jax.numpy as jnp

from .. import ops
from ..core.masked import Masked
from ..protocol import path
from ..protocol.fields import Dtype, Rate
from ..protocol.layer import Layer
from ..protocol.options import initializer
from ..protocol.row_masks import with_steps
from .base import BaseMaskedLayer, missing_key


class BaseAttention(BaseMaskedLayer):
    """What `Attention` and `AdditiveAttention` share.

    Inputs: `query` `(batch, queries, features)`, `value` `(batch, keys, value_features)` and `key_`
    `(batch, keys, features)`, `value` by default; or a single list, `[query, value]` or `[query, value, key]`.
    Outputs: `(batch, queries, value_features)` with the mask of the query; 0 where a query is padding, or attends to
    no real key.
    """

    _: dataclasses.KW_ONLY
    dropout: Rate = 0.0
    use_causal_mask: bool = False
    return_attention_scores: bool = False
    param_dtype: Dtype = "float32"

    def score(self, params: Any, query: Any, value: Any, key: Any, **options: Any) -> Any:
        """The attention of one head `(batch, time, 1, features)`."""
        raise TypeError(f"`{type(self).__name__}` is what layers share; use one of them, such as `Attention`.")

    def call(
        self,
        params: Any,
        query: Any,
        value: Any = None,
        key_: Any = None,
        query_offset: Any = None,
        query_positions: Any = None,
        key_positions: Any = None,
        training: bool = False,
        key: Any = None,
    ) -> Any:
        """`(batch, queries, value_features)`, and with `return_attention_scores` weights `(batch, queries, keys)`."""
        inputs = read_inputs(self, query, value, key_)
        places = {"query_offset": query_offset, "query_positions": query_positions, "key_positions": key_positions}
        heads = (x[..., None, :] for x in inputs)
        y = self.score(params, *heads, **places, **call_options(self, training, key))
        if not self.return_attention_scores:
            return y[..., 0, :]
        return y[0][..., 0, :], y[1][..., 0, :, :]


class Attention(BaseAttention):
    """Luong's attention: the score of a query and a key is their dot product (see `jm.ops.attention`).

    Inputs: `query` `(batch, queries, features)`, `value` `(batch, keys, value_features)` and `key_`
    `(batch, keys, features)`, `value` by default; or a single list, `[query, value]` or `[query, value, key]`. In
    `apply`, `key=` is a PRNG key. Outputs: `(batch, queries, value_features)` with the mask of the query; 0 where a
    query is padding, or attends to no real key, as in an empty row.

    Attributes:
        use_scale: whether there is a factor on the dot products, `scale`.
        score_mode: `"dot"`, or `"concat"`: `concat_score_weight * sum(tanh(scale * (query + key)))`.
        dropout: probability of dropping a weight in training.
        use_causal_mask: whether a query attends only to itself and earlier steps, by position among the real steps.
        return_attention_scores: whether to return the weights as well, before dropout.
        param_dtype: dtype of the parameters.

    References:
        Luong et al.: Effective Approaches to Attention-based Neural Machine Translation, arXiv:1508.04025, equation 8.

    >>> import jax.numpy as jnp, jmask as jm
    >>> value = jm.from_lengths(jnp.array([[[1.0], [3.0], [9.0]]]), [2])
    >>> jm.layers.Attention().apply({}, jnp.zeros((1, 1, 1)), value).tolist()
    [[[2.0]]]
    """

    _: dataclasses.KW_ONLY
    use_scale: bool = False
    score_mode: Literal["dot", "concat"] = "dot"

    def init(self, key: Any, *inputs: Any) -> dict[str, Any]:
        """`{"scale": (), "concat_score_weight": ()}`, each where it is used."""
        names = {"scale": self.use_scale, "concat_score_weight": self.score_mode == "concat"}
        return {name: jnp.ones((), self.param_dtype) for name, is_used in names.items() if is_used}

    def score(self, params: Any, query: Any, value: Any, key: Any, **options: Any) -> Any:
        """The attention with dot products, or with sums for `"concat"`."""
        scale = params["scale"] if self.use_scale else 1.0
        if self.score_mode == "dot":
            return ops.attention(query, key=key, value=value, scale=scale, **options)
        weight = params["concat_score_weight"]
        return ops.additive_attention(query, key=key, value=value, weight=weight, scale=scale, **options)


class AdditiveAttention(BaseAttention):
    """Bahdanau's attention: the score is `sum(scale * tanh(query + key))` (see `jm.ops.additive_attention`).

    Inputs and outputs are those of `Attention`.

    Attributes:
        use_scale: whether the features have weights, `scale`.
        dropout: probability of dropping a weight in training.
        use_causal_mask: whether a query attends only to itself and earlier steps, by position among the real steps.
        return_attention_scores: whether to return the weights as well, before dropout.
        param_dtype: dtype of the parameters.

    References:
        Bahdanau et al.: Neural Machine Translation by Jointly Learning to Align and Translate, arXiv:1409.0473,
        appendix A.1.2.

    >>> import jax.numpy as jnp, jmask as jm
    >>> value = jm.from_lengths(jnp.array([[[1.0], [1.0], [9.0]]]), [2])
    >>> jm.layers.AdditiveAttention(use_scale=False).apply({}, jnp.zeros((1, 1, 1)), value).tolist()
    [[[1.0]]]
    """

    _: dataclasses.KW_ONLY
    use_scale: bool = True

    def init(self, key: Any, query: Any, value: Any = None, key_: Any = None) -> dict[str, Any]:
        """`{"scale": (features,)}`."""
        if not self.use_scale:
            return {}
        query, *_ = read_inputs(self, query, value, key_)
        # Keras' Glorot initialisation of a vector, with as many inputs as outputs, equals LeCun's of a column.
        return {"scale": initializer("lecun_uniform")(key, (query.shape[-1], 1), self.param_dtype)[:, 0]}

    def score(self, params: Any, query: Any, value: Any, key: Any, **options: Any) -> Any:
        """The attention with sums."""
        return ops.additive_attention(
            query, key=key, value=value, weight=params["scale"] if self.use_scale else None, **options
        )


def read_inputs(layer: Layer, query: Any, value: Any, key: Any) -> tuple[Any, Any, Any]:
    """Query, value and key, which may come as one list; the key is the value unless it is given."""
    if isinstance(query, (list, tuple)) and value is None and key is None and len(query) in (2, 3):
        query, value, key = (*query, None)[:3]
    if isinstance(query, (list, tuple)) or value is None:
        raise ValueError(
            f"{path.current()}: `{type(layer).__name__}` takes `(query, value)` or `(query, value, key)`, or one list "
            "of these; for self-attention `(x, x)`."
        )
    query, value, key = (with_steps(x) for x in (query, value, value if key is None else key))
    return query, value, key


def call_options(layer: Any, training: bool, key: Any) -> dict[str, Any]:
    """The options of `jm.ops.attention` that all attention layers have; raises if `key` is not a PRNG key."""
    if isinstance(key, Masked) or (key is not None and jnp.issubdtype(key.dtype, jnp.inexact)):
        raise TypeError(
            f"{path.current()}: `key=` is the PRNG key, for dropout. The keys of attention are the third input, "
            "`layer.apply(params, query, value, keys)`, by name `key_=`."
        )
    dropout = layer.dropout if training else 0.0
    if dropout > 0 and key is None:
        raise missing_key("dropout")
    return {
        "causal": layer.use_causal_mask,
        "dropout": dropout,
        "dropout_key": key,
        "return_attention_scores": layer.return_attention_scores,
    }
