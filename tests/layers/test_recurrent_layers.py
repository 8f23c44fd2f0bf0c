"""The options of LSTM, RNN and Bidirectional; `test_laws.py` holds what they compute to the laws."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.layers.recurrent import BaseRecurrent
from jmask.testing import assert_close
from tests.support import oracles

L = jm.layers
TIME, FEATURES, UNITS = 7, 3, 2
LAYOUTS = {
    "right": [[1, 1, 1, 0, 0, 0, 0], [0] * 7, [1] * 7],
    "left": [[0, 0, 0, 0, 1, 1, 1], [0] * 7, [1] * 7],
    "holes": [[0, 1, 0, 1, 1, 0, 0], [0] * 7, [1, 0, 1, 1, 1, 0, 1]],
}


class Counter(jm.Layer):
    """A cell with a nested state that does not begin with zeros, whose output is a dict and not the state."""

    def initial_state(self, inputs):
        return {"count": jnp.ones((), jnp.int32), "sums": [jnp.zeros(inputs.shape), jnp.full(inputs.shape, 0.5)]}

    def step(self, params, state, inputs):
        first, second = state["sums"]
        state = {"count": state["count"] + 1, "sums": [first + inputs, second * 0.5 + first]}
        return state, {"mean": state["sums"][0] / state["count"], "count": state["count"]}


@dataclasses.dataclass(frozen=True)
class LSTMCell:
    """An LSTM as a cell of one's own, which is no layer."""

    units: int

    def init(self, key, inputs):
        return L.LSTM(self.units, recurrent_initializer="normal").init(key, inputs)

    def initial_state(self, inputs):
        return jm.rnn.LSTMState(jnp.zeros(self.units, inputs.dtype), jnp.zeros(self.units, inputs.dtype))

    def step(self, params, state, inputs):
        projected = inputs @ params["kernel"] + params["bias"]
        state = jm.rnn.lstm_step(params["recurrent_kernel"], state, projected)
        return state, state.hidden


LSTM = functools.partial(L.LSTM, UNITS, recurrent_initializer="normal")


def batch(rng, layout="right", features=FEATURES):
    mask = np.array(LAYOUTS[layout], bool)
    values = rng.normal(size=(*mask.shape, features)).astype("float32")
    return jm.masked(jnp.asarray(np.where(mask[..., None], values, np.nan)), jnp.asarray(mask))


def real_rows(x):
    return [np.asarray(values)[np.asarray(mask)] for values, mask in zip(x.values, x.mask, strict=True)]


@pytest.fixture
def x(rng):
    return batch(rng)


@pytest.fixture
def params(x, getkey):
    return LSTM().init(getkey(), x)


# Parameters


def test_parameters_of_an_lstm(x, getkey):
    params = L.LSTM(UNITS).init(getkey(), x)
    assert jax.tree.map(lambda p: p.shape, params) == {
        "kernel": (FEATURES, 4 * UNITS),
        "recurrent_kernel": (UNITS, 4 * UNITS),
        "bias": (4 * UNITS,),
    }
    assert params["bias"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]  # input, forget, candidate, output
    recurrent = params["recurrent_kernel"]
    assert_close(recurrent @ recurrent.T, np.eye(UNITS))  # orthogonal
    assert set(L.LSTM(UNITS, use_bias=False).init(getkey(), x)) == {"kernel", "recurrent_kernel"}
    options = {"unit_forget_bias": False, "bias_initializer": "ones", "kernel_initializer": "zeros"}
    params = L.LSTM(UNITS, **options).init(getkey(), x)
    assert params["bias"].tolist() == [1] * 8
    assert not params["kernel"].any()


def test_parameters_of_both_directions_differ(x, getkey):
    params = L.Bidirectional(LSTM()).init(getkey(), x)
    assert set(params) == {"forward", "backward"}
    assert (params["forward"]["kernel"] != params["backward"]["kernel"]).all()
    other = L.Bidirectional(LSTM(), backward_layer=L.LSTM(5)).init(getkey(), x)
    assert other["backward"]["recurrent_kernel"].shape == (5, 20)
    assert (other["forward"]["kernel"].shape, L.RNN(Counter()).init(getkey(), x)) == ((3, 8), {})


def test_a_cell_that_is_no_layer_needs_no_init(x):
    class Bare:
        def initial_state(self, inputs):
            return jnp.zeros(inputs.shape)

        def step(self, params, state, inputs):
            return state + inputs, state

    assert L.RNN(Bare()).init(jax.random.key(0), x) == {}
    total = L.RNN(Bare(), return_state=True).apply({}, x)[1]
    assert_close(total, np.stack([row.sum(0) for row in real_rows(x)]))


# LSTM


@pytest.mark.slow
def test_activations_of_an_lstm(params, rng):
    x = batch(rng)
    layer = L.LSTM(UNITS, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True)
    output = layer.apply(params, x)
    state = jm.rnn.LSTMState(jnp.zeros(UNITS), jnp.zeros(UNITS))
    for t in range(3):
        projected = x.values[0, t] @ params["kernel"] + params["bias"]
        state = jm.rnn.lstm_step(params["recurrent_kernel"], state, projected, jax.nn.relu, jax.nn.hard_sigmoid)
        assert_close(output.values[0, t], state.hidden)


@pytest.mark.slow
def test_a_cell_of_ones_own_equals_the_layer(params, x):
    options = {"return_sequences": True, "return_state": True}
    for extra in ({}, {"go_backwards": True}):
        own = L.RNN(LSTMCell(UNITS), **options, **extra).apply(params, x)
        built_in = LSTM(**options, **extra).apply(params, x)
        assert_close(own[0].fill(0), built_in[0].fill(0))
        for a, b in zip(own[1:], built_in[1:], strict=True):
            assert_close(a, b)


@pytest.mark.slow
def test_outputs_state_and_their_order(params, x):
    outputs, hidden, cell = LSTM(return_sequences=True, return_state=True).apply(params, x)
    assert outputs.mask is x.mask
    assert not outputs.values[~x.mask].any()
    for row, data in enumerate(real_rows(x)):
        expected, last_hidden, last_cell = oracles.lstm(jax.tree.map(np.asarray, params), data)
        assert_close(outputs.values[row, : len(data)], expected)
        assert_close(hidden[row], last_hidden)
        assert_close(cell[row], last_cell)
    last, again, _ = LSTM(return_state=True).apply(params, x)
    assert_close(last, hidden)
    assert_close(again, hidden)
    for once_a_row in (hidden, cell, last, again):
        np.testing.assert_array_equal(once_a_row.mask, x.mask.any(1))
    array = LSTM(return_state=True).apply(params, x.fill(0))
    assert all(isinstance(once_a_row, jax.Array) for once_a_row in array)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_go_backwards_returns_outputs_in_its_own_order_and_their_mask_with_them(layout, params, rng):
    x = batch(rng, layout)
    outputs = LSTM(return_sequences=True, go_backwards=True).apply(params, x)
    np.testing.assert_array_equal(outputs.mask, x.mask[:, ::-1])
    for row, data in enumerate(real_rows(x)):
        expected, *_ = oracles.lstm(jax.tree.map(np.asarray, params), data[::-1])
        assert_close(np.asarray(outputs.values)[row][np.asarray(outputs.mask)[row]], expected)


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("backwards", [False, True])
def test_the_last_output_is_that_of_the_last_real_step_in_its_direction(layout, backwards, rng):
    x = batch(rng, layout)
    outputs = L.RNN(Counter(), go_backwards=backwards).apply({}, x)
    for row, data in enumerate(real_rows(x)):
        expected = data.sum(0) / (1 + len(data)) if len(data) else np.zeros(FEATURES)
        assert_close(outputs["mean"][row], expected)
        assert outputs["count"].values[row] == (1 + len(data) if len(data) else 0)
    assert outputs["mean"].mask.tolist() == outputs["count"].mask.tolist() == [True, False, True]


@pytest.mark.slow
def test_no_steps_at_all(params):
    for x in (jm.from_lengths(jnp.ones((4, 0, FEATURES)), [0] * 4), jnp.ones((4, 0, FEATURES))):
        for reverse in (False, True):
            last, *state = LSTM(return_state=True, go_backwards=reverse).apply(params, x)
            assert_close(last, np.zeros((4, UNITS)))
            assert len(state) == 2
            for part in state:
                assert_close(part, np.zeros((4, UNITS)))
            steps, *state = LSTM(return_sequences=True, return_state=True, go_backwards=reverse).apply(params, x)
            assert steps.shape == (4, 0, UNITS)
        assert L.Bidirectional(LSTM()).apply({"forward": params, "backward": params}, x).shape == (4, 2 * UNITS)
        assert L.RNN(Counter()).apply({}, x)["mean"].shape == (4, FEATURES)
        given = [jnp.ones((4, UNITS)), jnp.full((4, UNITS), 2.0)]
        assert_close(LSTM(return_state=True).apply(params, x, given)[2], given[1])


# Initial states


@pytest.mark.slow
def test_an_initial_state_is_used_with_the_mask(params, x, rng):
    state = [jnp.asarray(rng.normal(size=(3, UNITS)).astype("float32")) for _ in range(2)]
    for given in (state, tuple(state), jm.rnn.LSTMState(*state), [np.asarray(s) for s in state]):
        _, hidden, cell = LSTM(return_state=True).apply(params, x, given)
        for row, data in enumerate(real_rows(x)):
            _, last_hidden, last_cell = oracles.lstm(
                jax.tree.map(np.asarray, params), data, state[0][row], state[1][row]
            )
            assert_close(hidden[row], last_hidden)
            assert_close(cell[row], last_cell)
    assert_close(LSTM(return_state=True).apply(params, x, initial_state=state)[1], hidden)
    gradient = jax.grad(lambda s: LSTM(return_state=True).apply(params, x, s)[2].values.sum())(state)
    assert_close(gradient[1][1], np.ones(UNITS))  # an empty row hands its state through


@pytest.mark.slow
def test_a_state_of_a_cell_may_be_given_in_its_structure_or_as_its_parts(x):
    layer = L.RNN(Counter(), return_state=True)
    nested = {"count": jnp.asarray([5, 6, 7]), "sums": [jnp.ones((3, FEATURES)), jnp.full((3, FEATURES), 2.0)]}
    for given in (nested, jax.tree.leaves(nested)):
        _, count, first, second = layer.apply({}, x, given)
        assert count.values.tolist() == [8, 6, 14]
        assert count.dtype == jnp.int32
        assert_close(first, 1 + np.stack([row.sum(0) for row in real_rows(x)]))
        assert_close(second[1], np.full(FEATURES, 2.0))


@pytest.mark.slow
def test_a_state_of_another_dtype_is_converted(params, x):
    expected = LSTM().apply(params, x, [jnp.ones((3, UNITS))] * 2)
    for dtype in ("bfloat16", "int32"):
        assert_close(LSTM().apply(params, x, [jnp.ones((3, UNITS), dtype)] * 2), expected)
    half = jax.tree.map(lambda p: p.astype("bfloat16"), params)
    last, *state = LSTM(return_state=True).apply(half, x.astype("bfloat16"), [jnp.ones((3, UNITS))] * 2)
    assert [str(v.dtype) for v in (last, *state)] == ["bfloat16", "float32", "float32"]


@pytest.mark.slow
def test_a_float64_state_keeps_its_digits(x64, rng):
    x = jm.masked(jnp.asarray(rng.normal(size=(3, 2, FEATURES))), jnp.zeros((3, 2), bool))
    given = [jnp.asarray(rng.normal(size=(3, UNITS)))] * 2
    params = LSTM().init(jax.random.key(0), x)
    np.testing.assert_array_equal(LSTM(return_state=True).apply(params, x, given)[2].values, given[1])


@pytest.mark.parametrize(
    "state",
    [
        [(3, UNITS)],
        [(3, UNITS)] * 3,
        [(3, UNITS), (3, UNITS + 1)],
        [(2, UNITS)] * 2,
        [(UNITS,)] * 2,
        [],
    ],
    ids=str,
)
def test_a_state_that_does_not_fit_is_refused(state, params, x):
    with pytest.raises(ValueError, match="`initial_state` is") as error:
        LSTM(name="encoder").apply(params, x, [jnp.zeros(shape) for shape in state])
    assert str(error.value) == (
        f"encoder: `initial_state` is a list of the parts of the state, with shapes [(3, 2), (3, 2)]; received {state}."
    )
    with pytest.raises(ValueError, match=r"^rnn: `initial_state` .* shapes \[\(3,\), \(3, 3\), \(3, 3\)\]; received"):
        L.RNN(Counter()).apply({}, x, [jnp.zeros(shape) for shape in state])


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (jnp.ones((2, 3)), r"received \(2, 3\)"),
        (jnp.ones((2, 3, 4, 5)), r"received \(2, 3, 4, 5\)"),
        (jm.from_lengths(jnp.ones((2, 3)), [1, 3]), r"received \(2, 3\)"),
        (jm.masked(jnp.ones((2, 3, 3)), jnp.ones((2, 3, 3), bool)), r"values \(2, 3, 3\) with mask \(2, 3, 3\)"),
        (jnp.ones(3), r"values \(3,\)"),
    ],
    ids=str,
)
def test_inputs_of_another_rank_are_refused(values, text, params):
    with pytest.raises(ValueError, match=text) as error:
        LSTM(name="encoder").apply(params, values)
    assert "(batch, time" in str(error.value)
    assert "In layer `encoder`." in error.value.__notes__


@pytest.mark.slow
@pytest.mark.parametrize("backwards", [False, True])
def test_under_a_mask_of_rows_every_step_of_a_row_is_real(backwards, params, rng):
    values = jnp.asarray(rng.normal(size=(2, TIME, FEATURES)).astype("float32"))
    rows = jnp.array([True, False])
    layer = LSTM(return_sequences=True, return_state=True, go_backwards=backwards)
    results = layer.apply(params, jm.masked(values.at[1].set(jnp.nan), rows))
    for actual, alone in zip(results, layer.apply(params, values[:1]), strict=True):
        np.testing.assert_array_equal(actual.mask, rows)
        assert_close(actual.values[:1], alone)


@pytest.mark.slow
def test_a_cell_may_run_over_steps_of_any_rank(rng):
    class Total:
        def initial_state(self, inputs):
            return jnp.zeros(inputs.shape)

        def step(self, params, state, inputs):
            return state + inputs, state + inputs

    for shape in ((), (2,), (2, 5)):
        x = jm.from_lengths(jnp.asarray(rng.normal(size=(3, TIME, *shape)).astype("float32")), [2, 0, 7])
        assert_close(L.RNN(Total()).apply({}, x), np.stack([row.sum(0) for row in real_rows(x)]))


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_cell_that_is_not_finite_at_zero_has_exact_gradients(layout, rng):
    class Logs:
        def initial_state(self, inputs):
            return jnp.ones(inputs.shape)

        def step(self, params, state, inputs):
            state = 0.5 * state + params * jnp.log(inputs)
            return state, jnp.sqrt(inputs) * state

    x = batch(rng, layout)
    x = x.with_values(jnp.abs(x.values) + 0.1)
    weights = jnp.ones(FEATURES)

    def alone(weights, rows):
        total = 0.0
        for row in rows:
            state = jnp.ones(FEATURES)
            for step in row:
                state, output = Logs().step(weights, state, step)
                total = total + (output**2).sum()
        return total

    def masked(weights, values):
        return (L.RNN(Logs(), return_sequences=True).apply(weights, x.with_values(values)).fill(0) ** 2).sum()

    expected, (weight_gradient, row_gradients) = jax.value_and_grad(alone, argnums=(0, 1))(weights, real_rows(x))
    actual, gradients = jax.value_and_grad(masked, argnums=(0, 1))(weights, x.values)
    assert_close(actual, expected)
    assert_close(gradients[0], weight_gradient)
    mask = np.asarray(x.mask)
    for gradient, steps, row in zip(np.asarray(gradients[1]), mask, row_gradients, strict=True):
        assert_close(gradient[steps], row)
        assert (gradient[~steps] == 0).all()


# Bidirectional


def both(params, x, **options):
    forward = LSTM(**options).apply(params["forward"], x)
    backward = LSTM(**options, go_backwards=True).apply(params["backward"], x)
    return forward, backward


MERGES: dict[str, Any] = {
    "concat": lambda a, b: np.concatenate([a, b], -1),
    "sum": lambda a, b: a + b,
    "mul": lambda a, b: a * b,
    "ave": lambda a, b: (a + b) / 2,
}


@pytest.mark.parametrize("mode", MERGES)
def test_merge_modes(mode, rng, getkey):
    x = batch(rng, "left")
    params = L.Bidirectional(LSTM()).init(getkey(), x)
    forward, backward = both(params, x, return_sequences=True)
    steps = L.Bidirectional(LSTM(return_sequences=True), merge_mode=mode).apply(params, x)
    assert steps.mask is x.mask
    assert_close(steps.values, MERGES[mode](forward.fill(0), jm.ops.flip(backward).fill(0)))  # zero at padding
    last = L.Bidirectional(LSTM(), merge_mode=mode).apply(params, x)
    assert_close(last, MERGES[mode](*(np.asarray(v.values) for v in both(params, x))))
    np.testing.assert_array_equal(last.mask, x.mask.any(1))
    array = jnp.asarray(np.nan_to_num(x.values))
    alone = L.Bidirectional(LSTM(), merge_mode=mode).apply(params, array)
    assert_close(alone, MERGES[mode](*(np.asarray(v) for v in both(params, array))))


@pytest.mark.slow
def test_merge_mode_none_gives_both(x, getkey):
    layer = L.Bidirectional(LSTM(return_sequences=True), merge_mode=None)
    forward, backward = layer.apply(layer.init(getkey(), x), x)
    assert forward.mask is backward.mask is x.mask


@pytest.mark.slow
def test_the_states_of_both_directions_follow_the_outputs(x, getkey, rng):
    layer = L.Bidirectional(LSTM(return_state=True))
    params = layer.init(getkey(), x)
    outputs, *states = layer.apply(params, x)
    (_, *forward), (_, *backward) = both(params, x, return_state=True)
    assert outputs.shape == (3, 2 * UNITS)
    for actual, expected in zip(states, [*forward, *backward], strict=True):
        assert_close(actual, expected)

    given = [jnp.asarray(rng.normal(size=(3, UNITS)).astype("float32")) for _ in range(4)]
    _, *states = layer.apply(params, x, given)
    _, *expected = LSTM(return_state=True, go_backwards=True).apply(params["backward"], x, given[2:])
    assert_close(states[3], expected[1])
    assert_close(states[1], LSTM(return_state=True).apply(params["forward"], x, given[:2])[2])
    with pytest.raises(ValueError, match=r"^bidirectional/backward: `initial_state` is a list"):
        layer.apply(params, x, given[:3])


@pytest.mark.slow
def test_another_layer_for_the_backward_direction(x, getkey):
    layer = L.Bidirectional(LSTM(return_sequences=True), backward_layer=L.LSTM(5, return_sequences=True))
    assert layer.apply(layer.init(getkey(), x), x).shape == (3, TIME, UNITS + 5)
    with pytest.raises(TypeError, match="add got incompatible shapes"):
        dataclasses.replace(layer, merge_mode="sum").apply(layer.init(getkey(), x), x)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"layer": L.LSTM(2, go_backwards=True)}, r"received LSTM\(units=2, go_backwards=True\). Leave out"),
        ({"backward_layer": L.LSTM(2, return_state=True)}, "must agree in `return_sequences` and `return_state`"),
        ({"backward_layer": L.LSTM(2, return_sequences=True)}, "must agree in `return_sequences` and `return_state`"),
        (
            {"merge_mode": "max"},
            r"`merge_mode` of `Bidirectional` is 'concat' or 'sum' or 'mul' or 'ave' or None; received 'max'\.",
        ),
    ],
)
def test_what_bidirectional_refuses(options, text):
    with pytest.raises(ValueError, match=text):
        L.Bidirectional(**{"layer": LSTM(), **options})


def test_bidirectional_is_for_recurrent_layers():
    layer: Any = L.Dense(3)
    with pytest.raises(ValueError, match=r"runs a recurrent layer \(LSTM, GRU, RNN\) .* received Dense\(units=3\)"):
        L.Bidirectional(layer)


def test_a_recurrent_layer_of_ones_own_says_what_it_scans(x):
    class Empty(BaseRecurrent):
        pass

    with pytest.raises(TypeError, match=r"`Empty` has no `get_cell\(self\)`, which says what is scanned"):
        Empty().apply({}, x)


@pytest.mark.parametrize(
    ("layer", "cell"),
    [
        (L.SimpleRNN(3, activation="relu"), L.SimpleRNNCell),
        (L.GRU(3, reset_after=False), L.GRUCell),
        (L.LSTM(3, unit_forget_bias=False), L.LSTMCell),
        (L.ConvLSTM1D(3, 5, padding="same"), L.ConvLSTM1DCell),
    ],
)
def test_a_layer_has_a_cell_with_its_options_and_is_none_itself(layer, cell):
    assert type(layer.cell) is cell
    assert not isinstance(layer, cell)
    assert not hasattr(layer, "step")
    of_layer = {field.name: field.default for field in dataclasses.fields(layer)}
    for field in dataclasses.fields(cell):
        assert getattr(layer.cell, field.name) == getattr(layer, field.name), field.name
        assert field.default == of_layer[field.name], field.name
    with pytest.raises(ValueError, match="`RNN` takes cells"):
        L.RNN(layer)
