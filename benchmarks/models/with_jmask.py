"""jmask: a batch under its mask, rows packed beforehand, and a batch known to have no padding."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm

from .task import CLASSES, HEADS, VOCABULARY, WORKLOADS, Rival, Task, Workload, WorkloadName

_loss = jm.losses.softmax_cross_entropy_with_integer_labels


def encoder(workload: Workload) -> jm.Model:
    layers, width = jm.layers, workload.width
    ids = jm.Input((None,), "int32")
    h = layers.Embedding(VOCABULARY, width)(ids)
    h = h + layers.PositionEmbedding(workload.time)(h)
    y = layers.LayerNormalization(name="first_norm")(h)
    h = h + layers.MultiHeadAttention(HEADS, width // HEADS)(y, y)
    y = layers.LayerNormalization(name="second_norm")(h)
    h = h + layers.Dense(width, name="down")(layers.Dense(4 * width, activation="gelu", name="up")(y))
    return jm.Model(ids, layers.Dense(CLASSES)(layers.LayerNormalization(name="last_norm")(h)))


def convolutions(workload: Workload) -> jm.Sequential:
    return jm.Sequential(
        [
            jm.layers.Conv1D(workload.width, 5, padding="same", activation="relu", name="first"),
            jm.layers.Conv1D(workload.width, 4, strides=2, padding="same", activation="relu", name="second"),
            jm.layers.MaxPooling1D(2),
            jm.layers.Conv1D(2 * workload.width, 3, padding="same", activation="relu", name="third"),
            jm.layers.Conv1D(2 * workload.width, 3, padding="same", activation="relu", name="fourth"),
            jm.layers.GlobalAveragePooling1D(),
            jm.layers.Dense(CLASSES),
        ]
    )


def tagger(workload: Workload) -> jm.Sequential:
    return jm.Sequential(
        [
            jm.layers.Embedding(VOCABULARY, workload.width),
            jm.layers.Bidirectional(jm.layers.LSTM(workload.width, return_sequences=True)),
            jm.layers.LayerNormalization(),
            jm.layers.Dense(CLASSES),
        ]
    )


MODELS = {"encoder": encoder, "convolutions": convolutions, "tagger": tagger}


def make_params(name: WorkloadName) -> Any:
    """Parameters in the structure of jmask, from which all others take theirs; no bias is zero."""
    workload, rng = WORKLOADS[name], np.random.default_rng(1)
    step, dtype = ((workload.features,), "float32") if workload.features else ((), "int32")
    inputs = jax.ShapeDtypeStruct((workload.batch, workload.time, *step), dtype)
    params = MODELS[name](workload).init(jax.random.key(0), inputs)
    return jax.tree.map(lambda p: p + 0.05 * jnp.asarray(rng.normal(size=p.shape), p.dtype), params)


def rivals_at(task: Task) -> Iterator[Rival]:
    inputs, targets = jnp.asarray(task.inputs), jnp.asarray(task.targets)
    masked = jm.masked(inputs, jnp.asarray(task.mask))
    if task.is_full:
        yield _rival("jmask", task, (inputs, targets))
        yield _rival("jmask, mask of True", task, (masked, targets))
    else:
        yield _rival("jmask", task, (masked, targets))
        if task.workload.per_step:
            yield _packed(task)


def _rival(name: str, task: Task, batch: Any, read: Any = None) -> Rival:
    model = MODELS[task.name](task.workload)

    def logits(params: Any, batch: Any) -> Any:
        return jm.as_masked(model.apply(params, batch[0])).values

    def loss(params: Any, batch: Any) -> Any:
        inputs, targets = batch
        return _loss(model.apply(params, inputs), targets)

    return Rival(name, make_params(task.name), batch, logits, loss, read or task.only_real)


def _packed(task: Task) -> Rival:
    """Inputs and targets packed on the host; the same lengths put both into the same places."""
    inputs, targets = (
        jm.pack([row[:length] for row, length in zip(rows, task.lengths, strict=True)], row_length=task.workload.time)
        for rows in (task.inputs, task.targets)
    )
    segment_ids = np.asarray(inputs.segment_ids)
    np.testing.assert_array_equal(segment_ids, targets.segment_ids)

    def read(rows: np.ndarray) -> np.ndarray:
        batch = np.zeros((*task.mask.shape, *rows.shape[2:]), rows.dtype)
        for row, length in enumerate(task.lengths):
            batch[row, :length] = rows[segment_ids == 1 + row]
        return batch

    batch = jax.tree.map(jnp.asarray, (inputs, targets.fill(0)))
    return _rival("jmask packed", task, batch, read)
