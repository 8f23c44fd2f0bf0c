"""Options that change no result change the program: `remat` what a forward pass saves, `unroll` the loop."""

import re

import jax
import jax.numpy as jnp
import pytest

import jmask as jm

L = jm.layers
BATCH, TIME, FEATURES, UNITS = 3, 6, 5, 7
PARAMS = {"lstm": jm.rnn.LSTMParams, "gru": jm.rnn.GRUParams}
GATES = {"lstm": 4, "gru": 3}
EACH = pytest.mark.parametrize("name", PARAMS)


@pytest.fixture
def x():
    return jm.from_lengths(jnp.ones((BATCH, TIME, FEATURES)), [TIME, 0, 2])


def params_of(name):
    width = GATES[name] * UNITS
    bias = jnp.zeros((2, width) if name == "gru" else width)
    return PARAMS[name](jnp.ones((FEATURES, width)), jnp.ones((UNITS, width)), bias)


def saved_bytes(function, *args):
    """The size of what the forward pass of a gradient saves; nothing is computed."""
    pull_back = jax.eval_shape(lambda *args: jax.vjp(function, *args)[1], *args)
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(pull_back))


def saved_by(name, x, **options):
    def run(params):
        return getattr(jm.rnn, name)(params, x, return_state=False, **options).values

    return saved_bytes(run, params_of(name))


@EACH
def test_a_scan_with_remat_saves_no_gates(name, x):
    """What a plain scan saves of a step without `remat`, all gates among it, is more than what is left of it with."""
    without = saved_by(name, x, implementation="scan")
    assert without == saved_by(name, x, implementation="scan", remat=False)
    with_remat = saved_by(name, x, implementation="scan", remat=True)
    assert without - with_remat >= 4 * BATCH * TIME * GATES[name] * UNITS


@EACH
def test_the_engine_with_remat_saves_no_gates(name, x):
    """Four arrays of units a step, of the GRU those of its three gates and a product; steps run in blocks of four."""
    slots = BATCH * 8
    less = saved_by(name, x, implementation="xla", remat=False) - saved_by(name, x, implementation="xla", remat=True)
    assert less == 4 * slots * 4 * UNITS


@EACH
def test_by_default_large_gates_are_recomputed(name):
    """More than 16 MiB, that is; nothing is computed here."""
    for time, choice in ((TIME, False), (2**16, True)):
        x = jm.from_lengths(jnp.ones((BATCH, time, FEATURES)), [time, 0, 2])
        expected = saved_by(name, x, implementation="xla", remat=choice)
        assert saved_by(name, x, implementation="xla") == expected
        assert saved_by(name, x, implementation="xla", remat=not choice) != expected


@pytest.mark.parametrize("implementation", ["xla", "scan"])
@pytest.mark.parametrize("layer", [L.LSTM, L.GRU])
def test_layers_pass_remat_on(layer, implementation, x):
    def saved(**options):
        own = layer(UNITS, implementation=implementation, **options)
        return saved_bytes(lambda params: own.apply(params, x), own.init(jax.random.key(0), x))

    assert saved(remat=True) < saved(remat=False)


class Leaky:
    """One tanh a step."""

    def initial_state(self, inputs):
        return jnp.zeros(inputs.shape, inputs.dtype)

    def step(self, params, state, inputs):
        state = jnp.tanh(params * state + inputs)
        return state, state


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("unroll", [1, 2, 3])
def test_one_turn_of_an_unrolled_loop_runs_so_many_steps(unroll, reverse, x):
    def run(values):
        outputs, _ = jm.rnn.scan(Leaky(), jnp.ones(()), x.with_values(values), unroll=unroll, reverse=reverse)
        return outputs.values

    text = jax.jit(run).lower(x.values).compile().as_text()
    assert len(re.findall(r" tanh\(", text)) == unroll
    assert re.findall(r"known_trip_count\W+n\W+(\d+)", text) == [str(TIME // unroll)]


LAYERS = {
    "SimpleRNN": lambda **options: L.SimpleRNN(UNITS, **options),
    "GRU": lambda **options: L.GRU(UNITS, **options),
    "LSTM": lambda **options: L.LSTM(UNITS, **options),
    "RNN": lambda **options: L.RNN(L.LSTMCell(UNITS), **options),
    "ConvLSTM1D": lambda **options: L.ConvLSTM1D(UNITS, 3, **options),
    "Bidirectional": lambda **options: L.Bidirectional(L.LSTM(UNITS, **options)),
}


def num_loops(layer, x):
    params = layer.init(jax.random.key(0), x)
    return jax.jit(layer.apply).lower(params, x).as_text().count("stablehlo.while")


@pytest.mark.parametrize("name", LAYERS)
def test_an_unrolled_layer_has_no_loop(name, x):
    if name == "ConvLSTM1D":
        x = x.with_values(jnp.ones((BATCH, TIME, 4, FEATURES)))
    assert num_loops(LAYERS[name](), x) > 0
    assert num_loops(LAYERS[name](unroll=True), x) == 0
