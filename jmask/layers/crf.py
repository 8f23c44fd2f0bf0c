"""The conditional random field as a layer: it holds the transitions and decodes."""

import dataclasses
from typing import Any

import jax

from .. import ops
from ..protocol.fields import Dtype
from ..protocol.options import Initializer, initializer
from ..protocol.row_masks import over_time
from .base import BaseMaskedLayer


class CRF(BaseMaskedLayer):
    """The most probable sequence of tags in a linear-chain conditional random field (see `jm.ops.crf_decode`).

    Inputs: logits, `(batch, time, tags)`, for example from `Dense(tags)`. Outputs: tag ids, int32 `(batch, time)`, with
    the mask of the logits, and 0 at padded steps. Steps on either side of padding are neighbours; each sequence of
    packed rows is decoded separately. An empty row holds no real step, and the layer passes no gradient: a model is
    trained on its logits and these parameters with
    `jm.losses.crf_negative_log_likelihood(params["crf"], logits, targets)`. So it returns both logits and tags:

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> words = jm.Input((None,), "int32")
    >>> logits = jm.layers.Dense(5)(jm.layers.Embedding(100, 8, mask_zero=True)(words))
    >>> model = jm.Model(words, (logits, jm.layers.CRF()(logits)))
    >>> x = jm.pad_sequences([[3, 4, 5], [6]])
    >>> params = model.init(jax.random.key(0), x)
    >>> logits, tags = model.apply(params, x)
    >>> tags.shape, jm.losses.crf_negative_log_likelihood(params["crf"], logits, x % 5).shape
    ((2, 3), ())

    Attributes:
        transitions_initializer: by name or as `(key, shape, dtype)`. -inf in the parameters forbids a transition.
        param_dtype: dtype of the parameters.
    """

    _uses_mask = True

    _: dataclasses.KW_ONLY
    transitions_initializer: Initializer = "uniform"
    param_dtype: Dtype = "float32"

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"transitions": (tags, tags), "start_transitions": (tags,), "end_transitions": (tags,)}`."""
        tags = inputs.shape[-1]
        draw = initializer(self.transitions_initializer)
        shapes = {"transitions": (tags, tags), "start_transitions": (tags,), "end_transitions": (tags,)}
        keys = jax.random.split(key, len(shapes))
        return {name: draw(k, shape, self.param_dtype) for k, (name, shape) in zip(keys, shapes.items(), strict=True)}

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, tags)` -> `(batch, time)`."""
        return ops.crf_decode(inputs, params["transitions"], params["start_transitions"], params["end_transitions"])
