"""Stacked cells: names, states, and what they refuse; `test_laws.py` has the values."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
FEATURES = 3


class Sum(jm.Layer):
    """A cell without parameters whose output is not its state."""

    def initial_state(self, inputs):
        return {"sum": jnp.zeros(inputs.shape)}

    def step(self, params, state, inputs):
        return {"sum": state["sum"] + inputs}, jnp.concatenate([state["sum"], inputs])


@pytest.fixture
def x(rng):
    values = rng.normal(size=(4, 5, FEATURES)).astype("float32")
    return jm.from_lengths(jnp.asarray(values), [5, 2, 0, 3])


@pytest.mark.slow
def test_each_cell_takes_what_the_one_before_gives(x, getkey):
    cell = L.StackedRNNCells([Sum(), L.GRUCell(2), L.LSTMCell(4), L.GRUCell(5)])
    layer = L.RNN(cell, return_sequences=True, return_state=True)
    params = layer.init(getkey(), x)
    assert jax.tree.map(lambda p: p.shape[0], params) == {
        "sum": {},
        "gru_cell": {"kernel": 2 * FEATURES, "recurrent_kernel": 2, "bias": 2},
        "lstm_cell": {"kernel": 2, "recurrent_kernel": 4, "bias": 16},
        "gru_cell_1": {"kernel": 4, "recurrent_kernel": 5, "bias": 2},
    }
    outputs, *states = layer.apply(params, x)
    assert [s.shape for s in states] == [(4, FEATURES), (4, 2), (4, 4), (4, 4), (4, 5)]
    expected, given = x, []
    options = {"return_sequences": True, "return_state": True}
    for name, one in zip(params, (Sum(), L.GRUCell(2), L.LSTMCell(4), L.GRUCell(5)), strict=True):
        expected, *state = L.RNN(one, **options).apply(params[name], expected)
        given += state
    assert_close(outputs.fill(0), expected.fill(0))
    for actual, state in zip(states, given, strict=True):
        assert_close(actual, state)
    again = layer.apply(params, x, states)  # the parts are taken back in the order in which they came
    assert_close(again[1], 2 * states[0].values)


@pytest.mark.slow
def test_one_cell_twice_shares_its_parameters(x, getkey):
    cell = L.SimpleRNNCell(FEATURES)
    shared, apart = L.StackedRNNCells([cell, cell]), L.StackedRNNCells([cell, L.SimpleRNNCell(FEATURES)])
    params = L.RNN(shared).init(getkey(), x)
    assert list(params) == ["simple_rnn_cell"]
    twice = {"simple_rnn_cell": params["simple_rnn_cell"], "simple_rnn_cell_1": params["simple_rnn_cell"]}
    assert_close(L.RNN(shared).apply(params, x), L.RNN(apart).apply(twice, x))


def test_names(x, getkey):
    class Bare:
        def initial_state(self, inputs):
            return jnp.zeros(inputs.shape)

        def step(self, params, state, inputs):
            return state, inputs

    cells = [L.GRUCell(2), L.GRUCell(2, name="gru_cell_1"), L.GRUCell(2), Bare(), L.GRUCell(2, name="top")]
    assert list(L.RNN(cells).init(getkey(), x)) == ["gru_cell", "gru_cell_1", "gru_cell_2", "bare", "top"]


@pytest.mark.slow
def test_a_list_of_cells_is_a_stack_of_them(x, getkey):
    cells = [L.LSTMCell(2), L.LSTMCell(4)]
    layer = L.RNN(cells)
    assert isinstance(layer.cell, L.StackedRNNCells)
    params = layer.init(getkey(), x)
    assert_close(layer.apply(params, x), L.RNN(L.StackedRNNCells(cells)).apply(params, x))
    loaded = jm.from_config(layer.to_config())
    assert_close(loaded.apply(params, x), layer.apply(params, x))


@pytest.mark.slow
def test_bidirectional_over_a_stack(x, getkey):
    layer = L.Bidirectional(
        L.RNN([L.LSTMCell(2), L.GRUCell(4)], return_state=True), backward_layer=L.LSTM(3, return_state=True)
    )
    params = layer.init(getkey(), x)
    outputs, *states = layer.apply(params, x)
    assert outputs.shape == (4, 7)
    assert [s.shape[1] for s in states] == [2, 2, 4, 3, 3]
    given = [jnp.ones_like(s) for s in states]
    _, *from_given = layer.apply(params, x, given)
    _, *forward = L.RNN([L.LSTMCell(2), L.GRUCell(4)], return_state=True).apply(params["forward"], x, given[:3])
    for actual, expected in zip(from_given[:3], forward, strict=True):
        assert_close(actual, expected)
    np.testing.assert_array_equal(from_given[3].values[2], np.ones(3))  # the empty row


@pytest.mark.slow
def test_half_precision_inside_a_stack(x, getkey):
    layer = L.RNN([L.LSTMCell(2, dtype="bfloat16"), L.GRUCell(4)], return_state=True)
    params = layer.init(getkey(), x)
    outputs, *states = layer.apply(params, x)
    assert outputs.dtype == jnp.float32
    assert {str(s.dtype) for s in states} == {"float32"}


def test_what_is_refused():
    with pytest.raises(ValueError, match=r"`StackedRNNCells` takes a list of cells, .*; received \[\]\."):
        L.StackedRNNCells([])
    with pytest.raises(ValueError, match=r"takes a list of cells, the first for the inputs; received LSTMCell\."):
        L.StackedRNNCells(L.LSTMCell(2))
    with pytest.raises(ValueError, match=r"`StackedRNNCells` takes cells, .* received LSTM\(units=2\)\."):
        L.StackedRNNCells([L.LSTM(2)])
    with pytest.raises(ValueError, match=r"`RNN` takes cells, with `initial_state.* received Dense\(units=2\)\."):
        L.RNN(L.Dense(2))
    names = [L.GRUCell(2, name="a"), L.GRUCell(2, name="a")]
    with pytest.raises(ValueError, match=r"Two cells of `StackedRNNCells` have one name, of \['a', 'a'\]; their"):
        L.StackedRNNCells(names)
    broken: Any = L.LSTMCell(2)
    with pytest.raises(
        ValueError, match=r"`LSTMCell` takes values .* one step \(features,\) at a time; received a step"
    ):
        L.RNN(broken).apply(broken.init(jax.random.key(0), jnp.ones(3)), jnp.ones((2, 5, 4, 3)))
