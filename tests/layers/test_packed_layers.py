"""Layers on packed rows, whose sequences each get what they get alone."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.packed_rows import check_packed

L = jm.layers

FAMILIES = {
    "conv": {
        "valid": L.Conv1D(4, 3),
        "same": L.Conv1D(3, 4, padding="same", groups=3),
        "causal": L.Conv1D(2, 2, padding="causal", dilation_rate=2),
        "valid strides": L.Conv1D(2, 3, strides=2),
        "same strides": L.Conv1D(2, 5, padding="same", strides=3),
        "causal strides": L.Conv1D(2, 2, padding="causal", strides=2),
        "wider than a row": L.Conv1D(2, 12, padding="same"),
        "far apart": L.Conv1D(2, 1, strides=2),
    },
    "further convolutions": {
        "depthwise": L.DepthwiseConv1D(3, depth_multiplier=2, padding="same"),
        "separable": L.SeparableConv1D(2, 3, strides=2),
        "transposed": L.Conv1DTranspose(2, 3, strides=2, padding="same"),
        "transposed without overlap": L.Conv1DTranspose(2, 2, strides=3),
        "transposed in place": L.Conv1DTranspose(2, 3, padding="same"),
        "upsampling": L.UpSampling1D(2),
    },
    "pooling": {
        "max": L.MaxPooling1D(2),
        "max same": L.MaxPooling1D(3, strides=1, padding="same"),
        "max same strides": L.MaxPooling1D(3, strides=2, padding="same"),
        "average": L.AveragePooling1D(2, strides=1),
        "average same": L.AveragePooling1D(3, strides=2, padding="same"),
        "a stack": jm.Sequential([L.Conv1D(3, 2), L.MaxPooling1D(2), L.Conv1D(2, 2, padding="same")]),
    },
    "gru": {
        "last": L.GRU(2),
        "backwards": L.GRU(2, go_backwards=True),
        "state": L.GRU(2, return_sequences=True, return_state=True),
        "bidirectional": L.Bidirectional(L.GRU(2)),
    },
    "lstm": {
        "state": L.LSTM(2, return_state=True),
        "bidirectional state": L.Bidirectional(L.LSTM(2, return_state=True), merge_mode="sum"),
    },
    "cells": {
        "stacked": L.RNN([L.SimpleRNNCell(2), L.LSTMCell(2)], return_state=True),
        "simple": L.SimpleRNN(2, unroll=True, go_backwards=True, return_state=True),
    },
}


SLOW = {"further convolutions", "lstm", "cells"}


@pytest.mark.parametrize("family", [pytest.param(f, marks=pytest.mark.slow if f in SLOW else ()) for f in FAMILIES])
def test_each_sequence_as_if_alone(family, rng, getkey):
    layers = FAMILIES[family]
    spec = jax.ShapeDtypeStruct((2, 5, 3), "float32")
    params = jax.jit(lambda keys: {n: jax.tree.map(jnp.cos, layers[n].init(k, spec)) for n, k in keys.items()})(
        {name: getkey() for name in layers}
    )
    check_packed({name: layer.apply for name, layer in layers.items()}, params, rng)


@pytest.mark.slow
def test_ids_that_recur_in_a_row_stand_for_another_sequence(rng, getkey):
    values = jnp.asarray(rng.normal(size=(1, 8, 3)).astype("float32"))
    layers = [
        L.LSTM(2, return_sequences=True),
        L.GRU(2, return_sequences=True, go_backwards=True),
        L.Conv1D(2, 3, padding="same"),
        L.MaxPooling1D(2),
        L.GroupNormalization(1),
        L.MultiHeadAttention(2, 2),
    ]
    params = [layer.init(getkey(), *[values] * (1 + (layer is layers[-1]))) for layer in layers]

    @jax.jit
    def run(ids):
        x = jm.from_segment_ids(values, ids, num_sequences=3)
        found = [layer.apply(p, *[x] * (1 + (layer is layers[-1]))) for layer, p in zip(layers, params, strict=True)]
        found += [jm.ops.shift(x), jm.ops.reverse(x), jm.ops.softmax(x, axis=1), jm.ops.crop(x, (1, 0))]
        return x.positions, [y.fill(0) for y in found]

    once, again = np.array([[1, 1, 2, 2, 2, 3, 3, 0]]), np.array([[1, 1, 2, 2, 2, 1, 1, 0]])
    jax.tree.map(assert_close, run(again), run(once))
    with pytest.raises(ValueError, match="needs an id for each sequence of the batch; id 1 stands for 2"):
        jm.from_segment_ids(values, again, num_sequences=3)


@pytest.mark.slow
def test_a_classifier_trains_packed_as_it_does_padded(rng, getkey):
    sequences = [rng.integers(1, 9, n).tolist() for n in (5, 1, 3, 0, 7, 2, 4, 6)]
    given = jm.masked(jnp.asarray(rng.integers(0, 3, 8)), jnp.asarray([bool(s) for s in sequences]))
    padded, packed = jm.pad_sequences(sequences), jm.pack(sequences, row_length=10)
    model = jm.Sequential(
        [
            L.Embedding(9, 4, mask_zero=True),
            L.Conv1D(5, 3, padding="same", use_bias=False),
            L.BatchNormalization(),
            L.GRU(4),
            L.Dense(3),
        ]
    )
    params, state = jax.jit(model.init)(getkey(), padded), model.init_state(padded)
    optimizer = optax.adam(0.05)

    def loss(params, state, x):
        logits, state = model.apply_with_state(params, state, x, training=True)
        assert logits.mask.ndim == 1
        total = jm.losses.softmax_cross_entropy_with_integer_labels(logits, given)
        return total, (state, jm.metrics.accuracy(logits, given).value)

    @jax.jit
    def step(params, state, moments, x):
        (found, (state, accuracy)), gradients = jax.value_and_grad(loss, has_aux=True)(params, state, x)
        updates, moments = optimizer.update(gradients, moments)
        return optax.apply_updates(params, updates), state, moments, (found, accuracy, gradients)

    runs = []
    for x in (padded, packed):
        values, weights, statistics, moments = [], params, state, optimizer.init(params)
        for _ in range(3):
            weights, statistics, moments, found = step(weights, statistics, moments, x)
            values.append(found)
        runs.append((values, statistics))
    jax.tree.map(assert_close, *runs)
    assert runs[1][0][-1][0] < runs[1][0][0][0]


LOSSES = {
    "cross-entropy": lambda z, y: jm.losses.softmax_cross_entropy_with_integer_labels(z, y, reduction="sequences"),
    "each": lambda z, y: jm.losses.softmax_cross_entropy_with_integer_labels(z, y, reduction=None).fill(0).sum(),
    "squared": lambda z, y: jm.losses.squared_error(z[..., 0], y.astype("float32")),
    "accuracy": lambda z, y: jm.metrics.accuracy(z, y).value,
    "f1": lambda z, y: jm.metrics.f1_score(z, y, num_classes=3, average="macro").value,
    "auc": lambda z, y: jm.metrics.auc(z[..., 0], y > 0).value,
}


@pytest.mark.slow
def test_losses_and_metrics_of_one_entry_a_sequence(rng):
    logits, labels = rng.normal(size=(5, 3)).astype("float32"), rng.integers(0, 3, 5)
    real = np.array([True, True, False, True, True])
    x = jm.masked(jnp.where(real[:, None], logits, jnp.nan), jnp.asarray(real))
    y = jm.masked(jnp.asarray(labels), jnp.asarray(real))
    z = jm.masked(jnp.asarray(logits[real]), jnp.ones(4, bool))
    w = jm.masked(jnp.asarray(labels[real]), jnp.ones(4, bool))
    for name, function in LOSSES.items():
        assert_close(function(x, y), function(z, w))
        assert np.isfinite(np.asarray(function(x, y))).all(), name
