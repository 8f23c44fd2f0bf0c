"""Options of SimpleRNN, GRU, LSTM and their cells: parameters, dtypes, held outputs, ways of running, configs."""

import json
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
TIME, FEATURES, UNITS = 7, 3, 2
LAYERS: dict[str, Any] = {"simple_rnn": L.SimpleRNN, "gru": L.GRU, "lstm": L.LSTM}
CELLS: dict[str, Any] = {"simple_rnn": L.SimpleRNNCell, "gru": L.GRUCell, "lstm": L.LSTMCell}
EACH = pytest.mark.parametrize("name", LAYERS)
MASK = np.array([[0, 1, 0, 1, 1, 0, 0], [0] * 7, [1] * 7], bool)


@pytest.fixture
def x(rng):
    values = rng.normal(size=(*MASK.shape, FEATURES)).astype("float32")
    return jm.masked(jnp.asarray(np.where(MASK[..., None], values, np.nan)), jnp.asarray(MASK))


def randomise(params, rng):
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), params)


# Parameters


@pytest.mark.slow
def test_parameters(x, getkey):
    def shapes(layer):
        return {name: p.shape for name, p in layer.init(getkey(), x).items()}

    assert shapes(L.SimpleRNN(UNITS)) == {"kernel": (3, 2), "recurrent_kernel": (2, 2), "bias": (2,)}
    assert shapes(L.GRU(UNITS)) == {"kernel": (3, 6), "recurrent_kernel": (2, 6), "bias": (2, 6)}
    assert shapes(L.GRU(UNITS, reset_after=False))["bias"] == (6,)
    assert shapes(L.LSTM(UNITS))["bias"] == (8,)
    for kind in LAYERS.values():
        assert set(shapes(kind(UNITS, use_bias=False))) == {"kernel", "recurrent_kernel"}
        params = kind(UNITS, kernel_initializer="ones", bias_initializer="ones", param_dtype="float16").init(
            getkey(), x
        )
        assert {str(p.dtype) for p in params.values()} == {"float16"}
        assert (params["kernel"] == 1).all()
        assert (params["bias"] == 1).all()
        recurrent = kind(UNITS).init(getkey(), x)["recurrent_kernel"]
        assert_close(recurrent @ recurrent.T, np.eye(UNITS))


@pytest.mark.slow
@EACH
def test_a_cell_and_its_layer_have_the_same_parameters_and_outputs(name, x, getkey):
    layer, over_cell = LAYERS[name](UNITS, return_state=True), L.RNN(CELLS[name](UNITS), return_state=True)
    key = getkey()
    params = layer.init(key, x)
    jax.tree.map(np.testing.assert_array_equal, over_cell.init(key, x), params)
    for actual, expected in zip(over_cell.apply(params, x), layer.apply(params, x), strict=True):
        assert_close(actual, expected)


# Outputs at padded steps


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("backwards", [False, True])
def test_padded_outputs_repeat_the_last_real_one(name, backwards, x, rng):
    options = {"return_sequences": True, "go_backwards": backwards}
    zero, hold = (LAYERS[name](UNITS, **options, zero_output_for_mask=zero) for zero in (True, False))
    params = randomise(zero.init(jax.random.key(0), x), rng)
    outputs, held = zero.apply(params, x), hold.apply(params, x)
    np.testing.assert_array_equal(held.mask, outputs.mask)
    assert not outputs.values[~outputs.mask].any()
    for row, mask in enumerate(np.asarray(outputs.mask)):
        last = np.zeros(UNITS)
        for t in range(TIME):
            last = np.asarray(outputs.values[row, t]) if mask[t] else last
            np.testing.assert_array_equal(held.values[row, t], last)
    last_held, last = (LAYERS[name](UNITS, zero_output_for_mask=zero).apply(params, x) for zero in (False, True))
    np.testing.assert_array_equal(last_held.values, last.values)
    for one in (last_held, last):
        assert one.mask.tolist() == [True, False, True]


@pytest.mark.slow
def test_without_padding_or_steps_nothing_is_repeated(x, getkey):
    hold = L.LSTM(UNITS, return_sequences=True, zero_output_for_mask=False)
    params = hold.init(getkey(), x)
    full = x.fill(0)
    np.testing.assert_array_equal(hold.apply(params, full), L.LSTM(UNITS, return_sequences=True).apply(params, full))
    none = jm.from_lengths(jnp.ones((4, 0, FEATURES)), [0] * 4)
    assert hold.apply(params, none).shape == (4, 0, UNITS)


@pytest.mark.slow
def test_held_outputs_of_both_directions(x, getkey):
    layer = L.Bidirectional(L.GRU(UNITS, return_sequences=True, zero_output_for_mask=False))
    params = layer.init(getkey(), x)
    values = layer.apply(params, x).values
    assert not values[0, 0, :UNITS].any()  # forward: before the first step
    np.testing.assert_array_equal(values[0, 0, UNITS:], values[0, 1, UNITS:])  # backward: after it
    np.testing.assert_array_equal(values[0, 2, :UNITS], values[0, 1, :UNITS])
    np.testing.assert_array_equal(values[0, 2, UNITS:], values[0, 3, UNITS:])


# Ways of running


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("options", [{"unroll": True}, {"implementation": "scan"}, {"implementation": "xla"}])
def test_ways_of_running_agree(name, options, x, rng):
    given = {"return_sequences": True, "return_state": True, "go_backwards": True}
    plain, other = LAYERS[name](UNITS, **given), LAYERS[name](UNITS, **given, **options)
    params = randomise(plain.init(jax.random.key(0), x), rng)
    state = [jnp.ones((3, UNITS))] * (2 if name == "lstm" else 1)

    def loss(layer, params):
        outputs, *parts = layer.apply(params, x, state)
        return (outputs.fill(0) ** 2).sum() + sum(part.values.sum() for part in parts)

    expected, actual = (jax.value_and_grad(lambda p, layer=layer: loss(layer, p))(params) for layer in (plain, other))
    jax.tree.map(assert_close, actual, expected)


@pytest.mark.slow
def test_unrolling_no_steps(getkey):
    layer = L.LSTM(UNITS, unroll=True)
    none = jm.from_lengths(jnp.ones((4, 0, FEATURES)), [0] * 4)
    assert_close(layer.apply(layer.init(getkey(), none), none), np.zeros((4, UNITS)))


@pytest.mark.slow
def test_other_activations_by_name_and_as_functions(x, rng):
    for name, kind in LAYERS.items():
        by_name, by_function = kind(UNITS, activation="relu"), kind(UNITS, activation=jax.nn.relu)
        params = randomise(by_name.init(jax.random.key(0), x), rng)
        np.testing.assert_array_equal(by_name.apply(params, x).values, by_function.apply(params, x).values)
        linear, plain = (layer.apply(params, x).values for layer in (kind(UNITS, activation=None), kind(UNITS)))
        assert np.abs(linear - plain).max() > 1e-3, name
    gates = L.GRU(UNITS, recurrent_activation="hard_sigmoid").apply(L.GRU(UNITS).init(jax.random.key(0), x), x)
    assert gates.shape == (3, UNITS)


# Dtypes


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("options", [{}, {"unroll": True}])
def test_a_dtype_for_the_products(name, options, x, rng):
    layer = LAYERS[name](UNITS, dtype="bfloat16", return_sequences=True, return_state=True, **options)
    params = randomise(layer.init(jax.random.key(0), x), rng)
    assert {str(p.dtype) for p in params.values()} == {"float32"}
    outputs, *state = layer.apply(params, x)
    assert outputs.dtype == jnp.bfloat16
    assert {str(s.dtype) for s in state} == {"float32"}
    expected = LAYERS[name](UNITS, return_sequences=True).apply(params, x)
    assert_close(outputs.fill(0), expected.fill(0))
    half = LAYERS[name](UNITS, return_sequences=True).apply(
        {key: p if key == "bias" else p.astype("bfloat16") for key, p in params.items()}, x.astype("bfloat16")
    )
    assert_close(outputs.fill(0), half.fill(0))
    array = np.nan_to_num(np.asarray(x.values))
    assert layer.apply(params, array)[0].dtype == jnp.bfloat16


@pytest.mark.slow
def test_integers_are_promoted(getkey, rng):
    ids = jm.from_lengths(jnp.asarray(rng.integers(0, 5, (3, TIME, FEATURES))), [3, 0, 7])
    for kind in (*LAYERS.values(), lambda units, **options: L.RNN(L.GRUCell(units), **options)):
        layer = kind(UNITS, return_state=True)
        params = layer.init(getkey(), ids)
        for actual, expected in zip(layer.apply(params, ids), layer.apply(params, ids.astype("float32")), strict=True):
            assert_close(actual, expected)
            assert actual.dtype == jnp.float32
    layer = L.LSTM(UNITS, dropout=0.5)
    assert layer.apply(layer.init(getkey(), ids), ids, training=True, key=getkey()).dtype == jnp.float32


# Configs


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer",
    [
        L.SimpleRNN(4, activation="relu", unroll=True),
        L.GRU(4, reset_after=False, dropout=0.25, recurrent_dropout=0.5, implementation="scan"),
        L.LSTM(4, dtype="bfloat16", unit_forget_bias=False, zero_output_for_mask=False, return_sequences=True),
        L.RNN([L.LSTMCell(4), L.GRUCell(5, dropout=0.5)], return_state=True),
        L.Bidirectional(L.RNN(L.SimpleRNNCell(4)), merge_mode="sum", backward_layer=L.GRU(4)),
    ],
    ids=repr,
)
def test_a_config_brings_a_layer_back(layer, x, getkey):
    loaded = jm.from_config(json.loads(json.dumps(layer.to_config())))
    assert repr(loaded) == repr(layer)
    params = layer.init(getkey(), x)
    for actual, expected in zip(*(jax.tree.leaves(one.apply(params, x)) for one in (loaded, layer)), strict=True):
        np.testing.assert_array_equal(actual, expected)


# Refusals


def test_what_is_refused(x, getkey):
    with pytest.raises(
        ValueError, match=r"`implementation` of `LSTM` is 'auto' or 'xla' or 'scan'; received 'cudnn'\."
    ):
        L.LSTM(UNITS, implementation="cudnn")
    with pytest.raises(ValueError, match=r"`GRU` takes values \(batch, time, features\); received \(2, 3\)\."):
        L.GRU(UNITS).init(getkey(), jnp.ones((2, 3)))
    params = L.GRU(UNITS).init(getkey(), x)
    text = r"^encoder: the parameters are not those of `GRU` with inputs of shape \(2, 4, 5\): "
    reason = r"\(ValueError: `gru` with `reset_after` over 5 features takes for 2 units a kernel of shape \(5, 6\);"
    with pytest.raises(ValueError, match=rf"{text}`kernel` has shape \(3, 6\), not \(5, 6\)\. .*{reason}"):
        L.GRU(UNITS, name="encoder").apply(params, jnp.ones((2, 4, 5)))
    with pytest.raises(ValueError, match=r"`gru` without `reset_after` .* a bias of shape \(6,\); received \(2, 6\)"):
        L.GRU(UNITS, reset_after=False).apply(params, x)
    with pytest.raises(TypeError, match=r"`BaseUnitsCell` is what cells share; use one of them, such as `LSTMCell`"):
        L.cells.BaseUnitsCell(UNITS).init(getkey(), jnp.ones(3))


@pytest.mark.slow
@pytest.mark.parametrize("make", [lambda cell: L.RNN(cell), lambda cell: L.SimpleRNN(1, activation=cell.activation)])
def test_a_state_that_grows_does_not_overflow_in_the_padding(make):
    """One more step of the last state, `exp(4 + 1.5 h)` with `h = exp(1 + 1.5 e)`, would be infinite."""
    layer = make(L.SimpleRNNCell(1, activation="exponential"))
    params = {"kernel": jnp.full((1, 1), -3.0), "recurrent_kernel": jnp.full((1, 1), 1.5), "bias": jnp.full(1, 4.0)}
    x = jm.from_lengths(jnp.ones((3, 5, 1)), [2, 0, 1])
    gradient = jax.grad(lambda params: layer.apply(params, x).values.sum())(params)
    rows = [jnp.ones((1, 2, 1)), jnp.ones((1, 1, 1))]
    expected = jax.grad(lambda params: sum(layer.apply(params, row).sum() for row in rows))(params)
    jax.tree.map(assert_close, gradient, expected)


class AttendingCell(jm.Layer):
    """Adds to its state what it finds in the constants, weighted."""

    def init(self, key, inputs, constants):
        memory, _ = constants
        return {"kernel": jax.random.normal(key, (memory.shape[-1], *inputs.shape))}

    def initial_state(self, inputs):
        return jnp.zeros(inputs.shape, inputs.dtype)

    def step(self, params, state, inputs, constants):
        memory, scale = constants
        found = jm.ops.mean(memory, axis=0) @ params["kernel"]
        state = jnp.tanh(state * scale + inputs + found)
        return state, state


@pytest.mark.slow
@pytest.mark.parametrize("options", [{}, {"return_sequences": True, "go_backwards": True}], ids=str)
def test_constants_of_a_cell_of_ones_own(options, getkey):
    x = jm.from_lengths(jax.random.normal(getkey(), (3, 5, 2)).at[1, 2:].set(jnp.nan), [5, 2, 0])
    memory = jm.from_lengths(jax.random.normal(getkey(), (3, 4, 7)), [1, 4, 3])
    scale = jnp.asarray([1.0, 0.5, 2.0])
    layer = jm.layers.RNN(AttendingCell(), **options)
    params = layer.init(getkey(), x, constants=[memory, scale])
    assert params["kernel"].shape == (7, 2)
    outputs = layer.apply(params, x, constants=[memory, scale])
    for i, length in enumerate([5, 2]):
        constants = [memory.values[i : i + 1, : memory.lengths[i]], scale[i : i + 1]]
        alone = layer.apply(params, x.values[i : i + 1, :length], constants=constants)
        real = outputs.values[i][outputs.mask[i]] if options else outputs.values[i]
        assert_close(real, alone[0])
    inputs, kept, factor = jm.Input((None, 2)), jm.Input((None, 7)), jm.Input(())
    model = jm.Model([inputs, kept, factor], layer(inputs, constants=[kept, factor]))
    assert_close(model.apply({"rnn": params}, [x, memory, scale]).values, outputs.values)
