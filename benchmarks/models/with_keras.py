"""Keras on JAX, through `stateless_call`: its own masks of embeddings, and masks by hand for convolutions."""

import os

os.environ["KERAS_BACKEND"] = "jax"

from collections.abc import Iterator
from typing import Any

import jax.numpy as jnp
import keras

from .task import CLASSES, HEADS, VOCABULARY, Rival, Task, Workload
from .with_jmask import make_params

layers = keras.layers


class PositionEmbedding(layers.Layer):
    """Adds a learned vector to each step; Keras has no such layer."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.position_embeddings = self.add_weight(shape=input_shape[1:], name="position_embeddings")

    def call(self, inputs: Any) -> Any:
        return inputs + self.position_embeddings


def encoder(workload: Workload, *, is_masked: bool) -> keras.Model:
    """The mask of the embedding reaches the attention, and is lost in the first sum, which needs none."""
    width = workload.width
    ids = keras.Input((workload.time,), dtype="int32")
    h = layers.Embedding(VOCABULARY, width, mask_zero=is_masked, name="embedding")(ids)
    h = PositionEmbedding(name="position_embedding")(h)
    y = layers.LayerNormalization(name="first_norm")(h)
    attention = layers.MultiHeadAttention(HEADS, width // HEADS, name="multi_head_attention")
    h = layers.Add()([h, attention(y, y)])
    y = layers.LayerNormalization(name="second_norm")(h)
    y = layers.Dense(4 * width, activation="gelu", name="up")(y)
    h = layers.Add()([h, layers.Dense(width, name="down")(y)])
    return keras.Model(ids, layers.Dense(CLASSES, name="dense")(layers.LayerNormalization(name="last_norm")(h)))


def convolutions(workload: Workload, *, is_masked: bool) -> keras.Model:
    """Keras drops a mask at a convolution: by hand, zeros are put where the next one reads, and the mask shortened."""
    x, mask = keras.Input((workload.time, workload.features)), keras.Input((workload.time,), dtype="bool")
    quarter = mask[:, ::2][:, 1::2]

    def convolve(h: Any, name: str, filters: int, width: int, **options: Any) -> Any:
        return layers.Conv1D(filters, width, padding="same", activation="relu", name=name, **options)(h)

    def only_real(h: Any, mask: Any) -> Any:
        return keras.ops.where(mask[..., None], h, 0.0) if is_masked else h

    h = only_real(convolve(x, "first", workload.width, 5), mask)
    h = layers.MaxPooling1D(2)(convolve(h, "second", workload.width, 4, strides=2))
    h = only_real(convolve(only_real(h, quarter), "third", 2 * workload.width, 3), quarter)
    h = convolve(h, "fourth", 2 * workload.width, 3)
    h = layers.GlobalAveragePooling1D()(h, mask=quarter if is_masked else None)
    return keras.Model([x, mask], layers.Dense(CLASSES, name="dense")(h))


def tagger(workload: Workload, *, is_masked: bool) -> keras.Model:
    ids = keras.Input((workload.time,), dtype="int32")
    h = layers.Embedding(VOCABULARY, workload.width, mask_zero=is_masked, name="embedding")(ids)
    h = layers.Bidirectional(layers.LSTM(workload.width, return_sequences=True, name="lstm"), name="bidirectional")(h)
    return keras.Model(
        ids, layers.Dense(CLASSES, name="dense")(layers.LayerNormalization(name="layer_normalization")(h))
    )


MODELS = {"encoder": encoder, "convolutions": convolutions, "tagger": tagger}


def rivals_at(task: Task) -> Iterator[Rival]:
    """Keras' own loss takes the mask as weights, because the encoder has lost it."""
    is_masked = not task.is_full
    model = MODELS[task.name](task.workload, is_masked=is_masked)
    other_variables = [variable.value for variable in model.non_trainable_variables]
    reduction = "mean_with_sample_weight" if is_masked and task.workload.per_step else "sum_over_batch_size"
    cross_entropy = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=reduction)
    inputs, mask, targets = map(jnp.asarray, (task.inputs, task.mask, task.targets))

    def logits(params: Any, batch: Any) -> Any:
        return model.stateless_call(params, other_variables, batch[0])[0]

    def loss(params: Any, batch: Any) -> Any:
        return cross_entropy(batch[1], logits(params, batch), sample_weight=batch[2])

    params = [_of(make_params(task.name), variable.path) for variable in model.trainable_variables]
    seen = inputs if task.workload.features is None else [inputs, mask]
    weights = mask if is_masked and task.workload.per_step else None
    yield Rival("Keras", params, (seen, targets, weights), logits, loss, task.only_real)


def _of(params: Any, path: str) -> Any:
    """The parameter of jmask with this path in Keras."""
    for part in path.replace("_lstm/lstm_cell", "").split("/"):
        params = params[part]
    return params
