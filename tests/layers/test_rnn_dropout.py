"""Dropout of recurrent layers: one draw a sequence, the same at every step, whatever the padding."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import PartitionSpec

import jmask as jm
from jmask.testing import assert_close
from tests.support import oracles

L = jm.layers
BATCH, TIME, FEATURES, UNITS = 5, 7, 3, 2
LENGTHS = [3, 0, 7, 1, 5]
LAYERS: dict[str, Any] = {"simple_rnn": L.SimpleRNN, "gru": L.GRU, "lstm": L.LSTM}
EACH = pytest.mark.parametrize("name", LAYERS)


@pytest.fixture
def x(rng):
    values = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    return jm.from_lengths(jnp.asarray(values), LENGTHS)


def train(layer, params, x, key, **options):
    return layer.apply(params, x, training=True, key=key, **options)


def wide(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


@pytest.mark.slow
@EACH
def test_none_at_inference_nor_with_rate_zero(name, x, getkey):
    plain, dropping = LAYERS[name](UNITS), LAYERS[name](UNITS, dropout=0.5, recurrent_dropout=0.5)
    params = plain.init(getkey(), x)
    expected = plain.apply(params, x).values
    np.testing.assert_array_equal(dropping.apply(params, x).values, expected)
    np.testing.assert_array_equal(dropping.apply(params, x, key=getkey()).values, expected)
    np.testing.assert_array_equal(plain.apply(params, x, training=True).values, expected)  # needs no key
    assert np.abs(train(dropping, params, x, getkey()).values - expected).max() > 1e-2


@pytest.mark.slow
@EACH
def test_inputs_are_dropped_at_all_steps_of_a_sequence_or_at_none(name, x, getkey):
    layer = LAYERS[name](UNITS, dropout=0.5, return_sequences=True)
    params, key = layer.init(getkey(), x), getkey()
    outputs = train(layer, params, x, key)
    factors = np.asarray(layer.sample_dropout(key, x).inputs)
    assert factors.shape == (BATCH, FEATURES)
    assert set(np.unique(factors)) <= {0.0, 2.0}
    for row, length in enumerate(LENGTHS):
        data = np.asarray(x.values[row, :length]) * factors[row]
        expected, *_ = getattr(oracles, name)(wide(params), data)
        assert_close(outputs.values[row, :length], expected)


@pytest.mark.slow
@EACH
def test_the_hidden_state_is_dropped_before_its_product(name, x, getkey):
    layer = LAYERS[name](UNITS, recurrent_dropout=0.5, return_sequences=True)
    params, key = layer.init(getkey(), x), getkey()
    outputs = train(layer, params, x, key)
    factors = np.asarray(layer.sample_dropout(key, x).hidden)
    assert set(np.unique(factors)) <= {0.0, 2.0}
    for row, length in enumerate(LENGTHS):
        weights = wide(params)
        weights["recurrent_kernel"] = factors[row][:, None] * weights["recurrent_kernel"]
        expected, *_ = getattr(oracles, name)(weights, np.asarray(x.values[row, :length]))
        assert_close(outputs.values[row, :length], expected)


@pytest.mark.slow
def test_the_reset_gate_may_come_before_the_product(x, getkey):
    layer = L.GRU(UNITS, recurrent_dropout=0.5, reset_after=False, return_sequences=True)
    params, key = layer.init(getkey(), x), getkey()
    factors = np.asarray(layer.sample_dropout(key, x).hidden)
    weights = wide(params)
    weights["recurrent_kernel"] = factors[2][:, None] * weights["recurrent_kernel"]
    expected, _ = oracles.gru_reset_before(weights, np.asarray(x.values[2]))
    assert_close(train(layer, params, x, key).values[2], expected)


@pytest.mark.slow
def test_the_draw_of_a_row_depends_on_the_key_and_the_row_alone(x, getkey):
    layer = L.LSTM(64, dropout=0.3, recurrent_dropout=0.3)
    key = getkey()
    draws = layer.sample_dropout(key, x)
    longer = jm.from_lengths(jnp.pad(x.values, [(0, 2), (0, 4), (0, 0)]), [*LENGTHS, 2, 1])
    for actual, expected in zip(layer.sample_dropout(key, longer), draws, strict=True):
        np.testing.assert_array_equal(actual[:BATCH], expected)
    rows = np.asarray(draws.hidden)
    assert (rows[0] != rows[1]).any()
    assert (rows != np.asarray(layer.sample_dropout(getkey(), x).hidden)).any()
    assert 0.6 < (rows != 0).mean() < 0.8
    assert_close(rows[rows != 0], np.full((rows != 0).sum(), 1 / 0.7))


@pytest.mark.slow
def test_both_ways_of_running_make_the_same_draw(x, getkey):
    key = getkey()
    fused, unrolled = (L.LSTM(UNITS, dropout=0.5, unroll=unroll) for unroll in (False, True))
    params = fused.init(getkey(), x)
    assert_close(train(unrolled, params, x, key), train(fused, params, x, key))
    assert_close(train(L.RNN(L.LSTMCell(UNITS, dropout=0.5)), params, x, key), train(fused, params, x, key))


@pytest.mark.slow
def test_a_rate_of_one_drops_all(x, getkey):
    layer = L.GRU(UNITS, dropout=1.0, recurrent_dropout=1.0)
    params = layer.init(getkey(), x)
    zeros = x.with_values(jnp.zeros_like(x.values))
    alone = {**params, "recurrent_kernel": jnp.zeros_like(params["recurrent_kernel"])}
    assert_close(train(layer, params, x, getkey()), L.GRU(UNITS).apply(alone, zeros))


@pytest.mark.slow
def test_directions_and_stacked_cells_draw_apart(x, getkey):
    key = getkey()
    cell = L.StackedRNNCells([L.LSTMCell(16, recurrent_dropout=0.5), L.LSTMCell(16, recurrent_dropout=0.5)])
    first, second = L.RNN(cell).sample_dropout(key, x)
    assert (first.hidden != second.hidden).any()
    mixed = L.RNN([L.GRUCell(UNITS), L.GRUCell(UNITS, dropout=0.5)])
    first, second = mixed.sample_dropout(key, x)
    assert first == (None, None)
    assert second.inputs.shape == (BATCH, UNITS)
    params = mixed.init(getkey(), x)
    assert jm.ops.any(train(mixed, params, x, key) != mixed.apply(params, x), axis=None)
    both = L.Bidirectional(L.LSTM(16, dropout=0.5), merge_mode=None)
    params = both.init(getkey(), x)
    same = {"forward": params["forward"], "backward": params["forward"]}
    palindrome = x.with_values(jnp.broadcast_to(x.values[:, :1], x.shape))
    forward, backward = train(both, same, palindrome, key)
    assert jm.ops.any(forward != backward, axis=None)


@pytest.mark.slow
def test_a_cell_of_ones_own_may_draw(x, getkey):
    class Noisy(jm.Layer):
        def initial_state(self, inputs):
            return jnp.zeros(inputs.shape)

        def sample_dropout(self, key, inputs):
            return jax.random.normal(key, inputs.shape)

        def step(self, params, state, inputs, noise=None):
            state = state + inputs + (0 if noise is None else noise)
            return state, state

    key, layer = getkey(), L.RNN(Noisy())
    noise = layer.sample_dropout(key, x)
    expected = layer.apply({}, x) + noise * jnp.asarray(LENGTHS)[:, None]
    assert_close(train(layer, {}, x, key), expected)


@pytest.mark.slow
def test_a_model_hands_its_key_on(x, getkey):
    model = jm.Sequential(
        [L.GRU(UNITS, dropout=0.5, return_sequences=True), L.Bidirectional(L.LSTM(UNITS, dropout=0.5))]
    )
    params = model.init(getkey(), x)
    key = getkey()
    np.testing.assert_array_equal(train(model, params, x, key).values, train(model, params, x, key).values)
    assert jm.ops.any(train(model, params, x, key) != train(model, params, x, getkey()), axis=None)
    with pytest.raises(ValueError, match=r"gru: dropout in training draws at random; pass a key: `model\.apply\("):
        model.apply(params, x, training=True)


@pytest.mark.slow
def test_over_an_explicit_mesh(getkey, rng):
    x = jm.from_lengths(jnp.asarray(rng.normal(size=(8, TIME, FEATURES)), "float32"), np.arange(8))
    layer, key = L.LSTM(UNITS, dropout=0.5, recurrent_dropout=0.5), getkey()
    params = layer.init(getkey(), x)
    expected = train(layer, params, x, key)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, PartitionSpec("batch"))
        assert_close(jax.jit(lambda params, x: train(layer, params, x, key))(params, sharded), expected)


def test_errors(x, getkey):
    layer = L.LSTM(UNITS, dropout=0.5, name="encoder")
    params = layer.init(getkey(), x)
    with pytest.raises(ValueError, match="draws at random") as error:
        layer.apply(params, x, training=True)
    assert str(error.value) == (
        "encoder: dropout in training draws at random; pass a key: `model.apply(params, x, training=True, key=key)`."
    )
    both = L.Bidirectional(L.LSTM(UNITS, recurrent_dropout=0.5))
    with pytest.raises(ValueError, match=r"^bidirectional/forward: dropout in training draws at random"):
        both.apply({"forward": params, "backward": params}, x, training=True)
    with pytest.raises(ValueError, match=r"`dropout` of `GRU` is a probability in \[0, 1\]; received 1\.5\."):
        L.GRU(UNITS, dropout=1.5)
    with pytest.raises(
        ValueError, match=r"`recurrent_dropout` of `LSTMCell` is a probability in \[0, 1\]; received -1"
    ):
        L.LSTMCell(UNITS, recurrent_dropout=-1)
