"""A last batch that is filled up with empty rows: what depends on rows is that of the real ones, with nothing to do."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from jmask.testing import assert_close

LENGTHS = [4, 2, 5]
FILLER = 5
CLASSES = 3
LABELS = jnp.asarray([2, 0, 1] + [1] * FILLER)
EXTRA = jnp.asarray(np.random.default_rng(1).normal(size=(len(LABELS), 2)), "float32")


def sequences(rng, features=4):
    """Three sequences, and the same with five rows of padding behind them, all of them NaN there."""
    values = rng.normal(size=(len(LABELS), 5, features)).astype("float32")
    lengths = np.asarray(LENGTHS + [0] * FILLER)
    values[np.arange(5) >= lengths[:, None]] = np.nan
    filled = jm.from_lengths(jnp.asarray(values), lengths)
    return filled[: len(LENGTHS)], filled


def words(x):
    """Documents of two sentences of words, of which the second is shorter by a word."""
    mask = jnp.stack([x.mask, jnp.roll(x.mask, -1, axis=1) & x.mask], axis=1)
    return jm.masked(jnp.stack([x.values, x.values * 2], axis=1), mask)


def functional(build):
    inputs = jm.Input((None, 4), masked=True)
    return jm.Model(inputs, build(inputs))


def with_features(pooling):
    inputs, extra = jm.Input((None, 4), masked=True), jm.Input((2,))
    h = L.Concatenate()([pooling(inputs), extra])
    return jm.Model([inputs, extra], L.Dense(CLASSES)(L.Dense(5, activation="relu")(h)))


def autoencoder(inputs):
    return L.Dense(CLASSES)(L.GRU(3, return_sequences=True)(L.RepeatVector(2)(L.LSTM(3)(inputs))))


def seq2seq(inputs):
    _, hidden, cell = L.LSTM(3, return_state=True)(inputs)
    decoded = L.LSTM(3, return_sequences=True)(L.Dense(4)(inputs), initial_state=[hidden, cell])
    return L.Dense(CLASSES)(L.GlobalMaxPooling1D()(decoded))


def reshaped(inputs):
    h = L.Conv1D(3, 2, padding="same")(L.Reshape((3, 2))(L.Dense(6)(L.GlobalAveragePooling1D()(inputs))))
    return L.Dense(CLASSES)(L.GroupNormalization(2)(L.Dense(4)(L.Flatten()(h))))


MODELS = {
    "average": jm.Sequential([L.GlobalAveragePooling1D(), L.Dense(CLASSES)]),
    "max, kept": jm.Sequential([L.GlobalMaxPooling1D(keepdims=True), L.Flatten(), L.Dense(CLASSES)]),
    "last output": jm.Sequential([L.LSTM(3), L.LayerNormalization(), L.Dense(CLASSES)]),
    "bidirectional": jm.Sequential([L.Bidirectional(L.GRU(3)), L.Dense(CLASSES)]),
    "batch normalisation": jm.Sequential([L.SimpleRNN(3), L.BatchNormalization(), L.Dense(CLASSES)]),
    "penalty": jm.Sequential([L.LSTM(3), L.ActivityRegularization(l2=0.3), L.Dense(CLASSES)]),
    "per sequence": jm.Sequential([L.PerSequence(lambda x: x.max(0)), L.BatchNormalization(), L.Dense(CLASSES)]),
    "autoencoder": functional(autoencoder),
    "states": functional(seq2seq),
    "reshaped": functional(reshaped),
    "documents": jm.Sequential([L.TimeDistributed(L.LSTM(3)), L.GRU(3), L.BatchNormalization(), L.Dense(CLASSES)]),
    "with features": with_features(L.GlobalAveragePooling1D()),
    "last output with features": with_features(L.LSTM(3)),
}


def inputs_of(name, x):
    if "features" in name:
        return [x, EXTRA[: len(x)]]
    return words(x) if name == "documents" else x


def step(model, params, state, inputs, labels, axis_name=None):
    """Loss, accuracy and statistics of a step of training; over `axis_name`, as sums that are divided once."""
    y, state = model.apply_with_state(params, state, inputs, training=True)
    if y.ndim == 3:
        labels = jnp.stack([labels, labels], axis=1)
    loss = jm.losses.softmax_cross_entropy_with_integer_labels(y, labels, divide=False)
    accuracy = jm.metrics.accuracy(y, labels)
    if axis_name is not None:
        loss, accuracy = loss.psum(axis_name), accuracy.psum(axis_name)
    return loss.value + jm.losses.penalties(state), (accuracy.value, state, y)


QUICK = ("average", "batch normalisation", "states", "documents")


@pytest.mark.parametrize("name", [n if n in QUICK else pytest.param(n, marks=pytest.mark.slow) for n in MODELS])
def test_a_batch_that_is_filled_up_trains_as_its_real_rows_do(name, rng, getkey):
    model = MODELS[name]
    alone, filled = (inputs_of(name, x) for x in sequences(rng))
    params, state = model.init(getkey(), filled), model.init_state(filled)
    with jm.strict():
        run = jax.jit(jax.value_and_grad(functools.partial(step, model), has_aux=True))
        (loss, (accuracy, after, y)), gradients = run(params, state, alone, LABELS[:3])
        (loss_filled, (accuracy_filled, after_filled, y_filled)), of_filled = run(params, state, filled, LABELS)
    assert y_filled.mask.reshape(len(LABELS), -1).all(1).tolist() == [True] * 3 + [False] * FILLER
    assert_close(y_filled.values[:3], y.values)
    assert_close(loss_filled, loss)
    assert_close(accuracy_filled, accuracy)
    jax.tree.map(assert_close, after_filled, after)
    jax.tree.map(assert_close, of_filled, gradients)
