"""Recurrent layers beside Keras, with the same weights; Keras is no dependency, so this runs where it is installed."""

import os
import warnings
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

pytestmark = pytest.mark.slow

L = jm.layers
BATCH, TIME, FEATURES, UNITS = 4, 6, 3, 2
MASK = np.array([[1, 1, 1, 0, 0, 0], [1] * 6, [1, 0, 1, 1, 0, 0], [0, 0, 1, 1, 1, 0]], bool)
KINDS = {
    "SimpleRNN": {},
    "GRU": {},
    "GRU, reset before": {"reset_after": False},
    "LSTM": {},
}
EACH = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(scope="module")
def keras(tmp_path_factory) -> Any:
    """Keras on JAX. It writes a file of settings when it is imported."""
    os.environ.setdefault("KERAS_BACKEND", "jax")
    os.environ.setdefault("KERAS_HOME", str(tmp_path_factory.mktemp("keras")))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        keras = pytest.importorskip("keras", minversion="3.10", exc_type=ImportError)
    if keras.config.backend() != "jax":
        pytest.skip("Keras runs on another backend")
    return keras


@pytest.fixture
def values(rng):
    return rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")


@pytest.fixture
def x(values):
    return jm.masked(jnp.asarray(np.where(MASK[..., None], values, np.nan)), jnp.asarray(MASK))


def build(module, kind, **options):
    return getattr(module, kind.partition(",")[0])(UNITS, **KINDS[kind], **options)


def weights_of(params):
    """In the order of Keras, which is that of ours."""
    return [np.asarray(params[name]) for name in ("kernel", "recurrent_kernel", "bias")]


def randomise(params, rng):
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), params)


def call(layer, weights, *inputs, **options):
    """A Keras layer with these weights, as arrays."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of masks that Keras drops, and of its use of JAX
        layer.build(inputs[0].shape)
        layer.set_weights(weights)
        return jax.tree.map(np.asarray, layer(*inputs, **options))


@EACH
@pytest.mark.parametrize("options", [{}, {"return_sequences": True}, {"return_sequences": True, "go_backwards": True}])
def test_a_layer_without_padding(kind, options, keras, rng, values):
    ours = build(L, kind, **options, return_state=True)
    params = randomise(ours.init(jax.random.key(0), values), rng)
    expected = call(build(keras.layers, kind, **options, return_state=True), weights_of(params), values)
    for actual, other in zip(ours.apply(params, values), expected, strict=True):
        assert_close(actual, other)


@EACH
@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("backwards", [False, True])
def test_a_layer_with_a_mask(kind, zero, backwards, keras, rng, values, x):
    options = {"return_sequences": True, "zero_output_for_mask": zero, "go_backwards": backwards, "return_state": True}
    ours = build(L, kind, **options)
    params = randomise(ours.init(jax.random.key(0), values), rng)
    theirs = build(keras.layers, kind, **options)
    expected, *states = call(theirs, weights_of(params), values, mask=MASK)
    outputs, *actual = ours.apply(params, x)
    np.testing.assert_array_equal(outputs.mask, MASK[:, ::-1] if backwards else MASK)  # Keras does not flip it
    assert_close(outputs.values, expected)
    for state, other in zip(actual, states, strict=True):
        assert_close(state, other)


@EACH
def test_the_last_output(kind, keras, rng, values, x):
    """Keras gives that of the last step, real or not: 0, or if padded outputs repeat, that of the last real step."""
    ours, theirs = build(L, kind), build(keras.layers, kind, zero_output_for_mask=False)
    params = randomise(ours.init(jax.random.key(0), values), rng)
    assert_close(ours.apply(params, x), call(theirs, weights_of(params), values, mask=MASK))


@EACH
def test_an_initial_state(kind, keras, rng, values):
    """Without a mask, which Keras would drop beside an initial state."""
    ours, theirs = build(L, kind, return_sequences=True), build(keras.layers, kind, return_sequences=True)
    params = randomise(ours.init(jax.random.key(0), values), rng)
    state = [rng.normal(size=(BATCH, UNITS)).astype("float32") for _ in range(2 if kind == "LSTM" else 1)]
    expected = call(theirs, weights_of(params), values, initial_state=state)
    assert_close(ours.apply(params, values, state), expected)


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave"])
@pytest.mark.parametrize("kind", ["GRU", "LSTM"])
def test_bidirectional(mode, kind, keras, rng, values, x):
    ours = L.Bidirectional(build(L, kind, return_sequences=True), merge_mode=mode)
    params = randomise(ours.init(jax.random.key(0), values), rng)
    inner = build(keras.layers, kind, return_sequences=True, zero_output_for_mask=True)
    weights = weights_of(params["forward"]) + weights_of(params["backward"])
    expected = call(keras.layers.Bidirectional(inner, merge_mode=mode), weights, values, mask=MASK)
    assert_close(ours.apply(params, x).values, expected)


@pytest.mark.parametrize("zero", [True, False])
def test_stacked_cells(zero, keras, rng, values, x):
    options = {"return_sequences": True, "return_state": True, "zero_output_for_mask": zero}
    ours = L.RNN([L.GRUCell(UNITS), L.LSTMCell(5)], **options)
    params = randomise(ours.init(jax.random.key(0), values), rng)
    cells = keras.layers.StackedRNNCells([keras.layers.GRUCell(UNITS), keras.layers.LSTMCell(5)])
    weights = weights_of(params["gru_cell"]) + weights_of(params["lstm_cell"])
    expected, *states = call(keras.layers.RNN(cells, **options), weights, values, mask=MASK)
    outputs, *actual = ours.apply(params, x)
    assert_close(outputs.values, expected)
    for state, other in zip(actual, jax.tree.leaves(states), strict=True):
        assert_close(state, other)


CONVOLUTIONS = [{"strides": 2}, {"padding": "same", "dilation_rate": 2}, {"padding": "same", "go_backwards": True}]


@pytest.mark.parametrize("options", CONVOLUTIONS, ids=str)
def test_a_convolutional_lstm(options, keras, rng):
    """Without a mask, by which Keras would choose pixels, if there are as many as samples, or crash."""
    lines = rng.normal(size=(BATCH, TIME, 7, FEATURES)).astype("float32")
    options = {**options, "return_sequences": True, "return_state": True}
    ours, theirs = (module.ConvLSTM1D(UNITS, 4, **options) for module in (L, keras.layers))
    params = randomise(ours.init(jax.random.key(0), lines), rng)
    pixels = ours.apply(params, lines)[1].shape[1]
    state = [rng.normal(size=(BATCH, pixels, UNITS)).astype("float32") for _ in range(2)]
    for given in ({}, {"initial_state": state}):
        expected = call(theirs, weights_of(params), lines, **given)
        for actual, other in zip(ours.apply(params, lines, **given), expected, strict=True):
            assert_close(actual, other)
