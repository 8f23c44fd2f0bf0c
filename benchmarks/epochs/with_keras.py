"""Keras on JAX, by `fit`: arrays padded to the longest, and a `PyDataset` of four widths."""

import os

os.environ["KERAS_BACKEND"] = "jax"

import functools
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np

from .task import BLOCKS, EPSILON, HEADS, Padded, Rival, Task, padded
from .with_jmask import make_params

L = keras.layers


class PositionEmbedding(L.Layer):
    """Adds a learned vector to each step; Keras has no such layer."""

    def __init__(self, longest: int, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking, self.longest = True, longest

    def build(self, input_shape: Any) -> None:
        self.position_embeddings = self.add_weight(shape=(self.longest, input_shape[-1]), name="position_embeddings")

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape

    def call(self, inputs: Any) -> Any:
        return inputs + self.position_embeddings[: inputs.shape[1]]


def make_model(task: Task, *, by_hand: bool = True) -> keras.Model:
    """The mask is that of the embedding.

    Args:
        task: the task.
        by_hand: whether the classifier is given the mask again, which Keras drops at the convolution.
    """
    width, norm = task.workload.width, functools.partial(L.LayerNormalization, epsilon=EPSILON)
    ids = keras.Input((None,), dtype="int32")
    h = L.Embedding(task.vocabulary, width, mask_zero=True, name="embedding")(ids)
    if task.name == "bilstm":
        h = L.Bidirectional(L.LSTM(width, return_sequences=True, name="lstm"), name="bidirectional")(h)
        h = norm(name="last_norm")(h)
    elif task.name == "transformer":
        h = PositionEmbedding(task.longest, name="position_embedding")(h)
        for block in range(BLOCKS):
            y = norm(name=f"first_norm_{block}")(h)
            h = L.Add()([h, L.MultiHeadAttention(HEADS, width // HEADS, name=f"attention_{block}")(y, y)])
            y = norm(name=f"second_norm_{block}")(h)
            y = L.Dense(4 * width, activation="gelu", name=f"up_{block}")(y)
            h = L.Add()([h, L.Dense(width, name=f"down_{block}")(y)])
        h = norm(name="last_norm")(h)
    else:
        mask = keras.ops.not_equal(ids, 0)
        options = {"mask": mask} if by_hand else {}
        if by_hand:
            h = h * keras.ops.expand_dims(keras.ops.cast(mask, "float32"), -1)
        h = L.Conv1D(width, 3, padding="same", activation="relu", name="conv")(h)
        h = L.BatchNormalization(momentum=0.9, name="batch_norm")(h, **options)
        h = L.GRU(width, name="gru")(h, **options)
    model = keras.Model(ids, L.Dense(task.classes, name="dense")(h))
    params = make_params(task)
    for variable in model.trainable_variables:
        variable.assign(_of(params, variable.path))
    return model


class Batches(keras.utils.PyDataset):
    """Batches of a few fixed shapes, in another order in each epoch."""

    def __init__(self, rows: Padded) -> None:
        super().__init__()
        self.rows, self.epoch = rows, 0
        self.on_epoch_end()

    def __len__(self) -> int:
        return self.rows.steps

    def __getitem__(self, index: int) -> Any:
        return _with_weights(*self.rows.batch(self.order[index]))

    def on_epoch_end(self) -> None:
        self.order, self.epoch = self.rows.order(self.epoch), self.epoch + 1


def make_rival(task: Task, name: str, rows: Padded, rate: float, *, by_hand: bool = True) -> Rival:
    model = make_model(task, by_hand=by_hand)
    model.compile(
        keras.optimizers.Adam(rate, epsilon=1e-8),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction="mean_with_sample_weight"),
    )
    if len(rows.buckets) == 1:
        inputs, targets, weights = _with_weights(*rows.buckets[0])
        data = {"x": inputs, "y": targets, "sample_weight": weights, "batch_size": task.workload.batch}
    else:
        data = {"x": Batches(rows)}

    def run(epoch: int) -> float:
        model.optimizer.learning_rate.assign(rate if epoch else 0.0)
        history = model.fit(**data, initial_epoch=epoch, epochs=epoch + 1, verbose=0)
        return history.history["loss"][0]

    return Rival(name, run, lambda: model, rows.steps, len(rows.rows), is_exact=False)


def makers_at(task: Task, rate: float) -> Iterator[tuple[str, Callable[[], Rival]]]:
    for name, number in (("Keras `fit`, longest", 1), ("Keras `fit`, 4 buckets", 4)):
        yield name, functools.partial(make_rival, task, name, padded(task, number), rate)


def _with_weights(inputs: Any, targets: Any, mask: Any) -> tuple[Any, Any, Any]:
    """Steps, or sequences where each has one class, weigh 1 if they are real."""
    return inputs, targets, (mask if targets.ndim == 2 else mask.any(axis=1)).astype(np.float32)


def _of(params: Any, path: str) -> Any:
    """The parameter of jmask with this path in Keras."""
    for part in path.replace("_lstm/lstm_cell", "").replace("gru/gru_cell", "gru").split("/"):
        params = params[part]
    return params
