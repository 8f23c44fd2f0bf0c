"""The scan and the LSTM beside Flax and a NumPy loop, on several devices, for other platforms, and over long times."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jmask as jm
from jmask.testing import assert_close
from tests.support import oracles

BATCH, TIME, FEATURES, UNITS = 8, 7, 3, 2
LENGTHS = np.array([4, 0, 7, 1, 7, 2, 3, 5])


class Leaky(jm.Layer):
    """A cell whose output is not its state."""

    def initial_state(self, inputs):
        return {"level": jnp.full(inputs.shape, 0.25, inputs.dtype), "count": jnp.zeros((), inputs.dtype)}

    def step(self, params, state, inputs):
        level = 0.5 * state["level"] + jnp.tanh(params * inputs)
        return {"level": level, "count": state["count"] + 1}, level * state["count"]


@pytest.fixture
def values(rng):
    values = rng.normal(size=(BATCH, TIME, FEATURES)).astype("float32")
    values[np.arange(TIME) >= LENGTHS[:, None]] = np.nan
    return jnp.asarray(values)


@pytest.fixture
def x(values):
    return jm.from_lengths(values, LENGTHS)


@pytest.fixture
def params(rng):
    shapes = {"kernel": (FEATURES, 4 * UNITS), "recurrent_kernel": (UNITS, 4 * UNITS), "bias": (4 * UNITS,)}
    return {name: jnp.asarray(rng.normal(size=shape).astype("float32")) for name, shape in shapes.items()}


def lstm(params, x, **options):
    return jm.rnn.lstm(jm.rnn.LSTMParams(**params), x, **options)


def loss(params, x, **options):
    outputs, state = lstm(params, x, **options)
    leaves = [outputs.fill(0), *state]
    return sum((leaf * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape)).sum() for leaf in leaves)


def assert_trees_close(actual, expected):
    assert jax.tree.structure(actual) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert_close(a, b)


# Beside other implementations


def flax_params(params):
    """The weights of `flax.linen.LSTMCell`, which has them gate by gate."""
    cell = {}
    for i, gate in enumerate("ifgo"):
        part = slice(i * UNITS, (i + 1) * UNITS)
        cell[f"i{gate}"] = {"kernel": params["kernel"][:, part]}
        cell[f"h{gate}"] = {"kernel": params["recurrent_kernel"][:, part], "bias": params["bias"][part]}
    return {"params": {"cell": cell}}


@pytest.mark.parametrize("reverse", [False, True])
def test_it_is_the_lstm_of_flax(reverse, params, values):
    model = nn.RNN(nn.LSTMCell(UNITS), return_carry=True, reverse=reverse, keep_order=True)
    full = jnp.nan_to_num(values)
    (cell, hidden), expected = model.apply(flax_params(params), full)
    outputs, state = lstm(params, full, reverse=reverse)
    assert_close(outputs, expected)
    assert_close(state.hidden, hidden)
    assert_close(state.cell, cell)


@pytest.mark.slow
def test_it_is_the_lstm_of_flax_with_lengths(params, x):
    some = np.flatnonzero(LENGTHS)  # Flax gives rows without steps the state after the padding
    model = nn.RNN(nn.LSTMCell(UNITS), return_carry=True)

    def flax_loss(weights):
        (cell, hidden), outputs = model.apply(flax_params(weights), x.fill(0)[some], seq_lengths=x.lengths[some])
        return (hidden**2).sum() + cell.sum() + jnp.where(x.mask[some][..., None], outputs, 0).sum(), (hidden, cell)

    def own_loss(weights):
        outputs, (hidden, cell) = lstm(weights, x)
        return (hidden**2).sum() + cell.sum() + outputs.fill(0).sum(), (hidden[some], cell[some])

    expected = jax.value_and_grad(flax_loss, has_aux=True)(params)
    assert_trees_close(jax.value_and_grad(own_loss, has_aux=True)(params), expected)


@pytest.mark.parametrize("reverse", [False, True])
def test_it_is_a_loop_over_the_steps_of_each_row(reverse, params, x):
    weights = jax.tree.map(np.asarray, params)
    outputs, state = lstm(params, x, reverse=reverse)
    assert outputs.mask is x.mask
    assert not outputs.values[~x.mask].any()
    for row, length in enumerate(LENGTHS):
        data = np.asarray(x.values[row, :length])
        oracle = oracles.backward(oracles.lstm) if reverse else oracles.lstm
        expected, hidden, cell = oracle(weights, data)
        assert_close(outputs.values[row, :length], expected)
        assert_close(state.hidden[row], hidden)
        assert_close(state.cell[row], cell)


def test_an_initial_state_of_another_dtype_is_converted(params, x):
    ones = jnp.ones((BATCH, UNITS))
    expected = lstm(params, x, initial_state=jm.rnn.LSTMState(ones, ones))
    for dtype in ("int32", "bfloat16"):
        given = jm.rnn.LSTMState(ones.astype(dtype), np.ones((BATCH, UNITS), "float32"))
        assert_trees_close(lstm(params, x, initial_state=given)[1], expected[1])


# Under the transforms of JAX


def test_vmap_over_a_leading_axis(params, x):
    stacked = jax.tree.map(lambda v: jnp.stack([v, v[::-1], jnp.roll(v, 1, 0)]), x)
    outputs, state = jax.vmap(lambda v: lstm(params, v))(stacked)
    assert outputs.values.shape == (3, BATCH, TIME, UNITS)
    for i, one in enumerate([x, x[::-1], jax.tree.map(lambda v: jnp.roll(v, 1, 0), x)]):
        expected, last = lstm(params, one)
        assert_close(outputs.values[i], expected.values)
        assert_trees_close(jax.tree.map(lambda v, i=i: v[i], state), last)


def test_vmap_over_parameters(params, x):
    several = jax.tree.map(lambda p: jnp.stack([p, -p]), params)
    outputs, _ = jax.vmap(lstm, in_axes=(0, None))(several, x)
    assert_close(outputs.values[1], lstm(jax.tree.map(jnp.negative, params), x)[0].values)


def test_new_lengths_compile_nothing(params, values):
    num_traces = 0

    @jax.jit
    def run(params, x):
        nonlocal num_traces
        num_traces += 1
        return lstm(params, x)[1]

    for lengths in (LENGTHS, LENGTHS[::-1], np.zeros_like(LENGTHS)):
        run(params, jm.from_lengths(values, lengths))
    assert num_traces == 1


def test_an_eager_call_compiles_once(params, x, caplog):
    other = x.with_values(x.values * 2)
    lstm(params, x)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        lstm(params, other)
    assert not caplog.records


@pytest.mark.slow
def test_hessians_and_forward_mode(params, x):
    """Of the plain scan; the fused engine has reverse mode alone (see `test_transforms.py`)."""
    scan_loss = functools.partial(loss, implementation="scan")
    hessian = jax.hessian(lambda bias: scan_loss({**params, "bias": bias}, x))(params["bias"])
    assert jnp.isfinite(hessian).all()
    assert_close(hessian, hessian.T)
    _, tangent = jax.jvp(lambda p: scan_loss(p, x), (params,), (params,))
    gradients = jax.grad(loss)(params, x)
    assert_close(tangent, sum((gradients[name] * params[name]).sum() for name in params))


@pytest.mark.slow
def test_checkpointing_changes_nothing(params, x):
    expected = jax.grad(loss)(params, x)
    assert_trees_close(jax.grad(jax.checkpoint(loss))(params, x), expected)


def test_thousands_of_steps_stay_finite(params, rng):
    time = 3000
    long = jm.from_lengths(jnp.asarray(rng.normal(size=(2, time, FEATURES)).astype("float32")), [time, 17])
    short = jm.from_lengths(long.values[1:, :17], [17])
    value, gradients = jax.jit(jax.value_and_grad(loss))(params, long)
    assert jnp.isfinite(value)
    assert all(jnp.isfinite(g).all() for g in gradients.values())
    _, state = lstm(params, long)
    assert_trees_close(jax.tree.map(lambda s: s[1:], state), lstm(params, short)[1])


def test_no_nan_is_computed_on_the_way(params, x):
    clean = x.with_values(x.fill(1.0))
    with jax.debug_nans(True):
        jax.grad(loss)(params, clean)
        jax.jit(jax.grad(loss))(params, clean)
        jm.rnn.scan(Leaky(), 2.0, clean)


# On several devices


def scan_loss(weight, x):
    outputs, state = jm.rnn.scan(Leaky(), weight, x)
    return (outputs.fill(0) ** 2).sum() + state["level"].sum() + state["count"].sum()


LOSSES = {"lstm": (loss, lambda params: params), "scan": (scan_loss, lambda params: jnp.float32(1.5))}


def expected_and(name, params, x):
    """The loss of a name, its parameters, and its value and gradient on one device."""
    function, parameters = LOSSES[name][0], LOSSES[name][1](params)
    return function, parameters, jax.value_and_grad(function)(parameters, x)


@pytest.mark.parametrize("name", LOSSES)
def test_sharded_over_the_batch(name, params, x):
    function, parameters, expected = expected_and(name, params, x)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
    compiled = jax.jit(jax.value_and_grad(function)).lower(parameters, sharded).compile()
    assert_trees_close(compiled(parameters, sharded), expected)
    outputs, _ = jax.jit(lstm)(params, sharded)
    assert outputs.values.sharding.is_equivalent_to(sharded.values.sharding, 3)


@pytest.mark.parametrize("name", LOSSES)
def test_sharded_over_an_explicit_mesh(name, params, x):
    function, parameters = LOSSES[name][0], LOSSES[name][1](params)
    # Before 0.10, JAX itself cannot differentiate `x @ w` for a weight where the batch axis of `x` is sharded.
    argnums = (0, 1) if jax.__version_info__ >= (0, 10) else (1,)

    def gradients(parameters, x):
        return jax.value_and_grad(lambda p, v: function(p, x.with_values(v)), argnums)(parameters, x.values)

    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Explicit,))
    expected = gradients(parameters, x)
    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, PartitionSpec("batch"))
        assert_trees_close(jax.jit(gradients)(parameters, sharded), expected)


@pytest.mark.parametrize("name", LOSSES)
def test_inside_shard_map(name, params, x):
    parameters = LOSSES[name][1](params)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = PartitionSpec("batch")

    def outputs_of(parameters, x):
        outputs, state = lstm(parameters, x) if name == "lstm" else jm.rnn.scan(Leaky(), parameters, x)
        return outputs.values, state

    run = jax.jit(jax.shard_map(outputs_of, mesh=mesh, in_specs=(PartitionSpec(), spec), out_specs=spec))
    assert_trees_close(run(parameters, x), outputs_of(parameters, x))


# For other platforms


@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@pytest.mark.parametrize("name", LOSSES)
def test_it_lowers_for_other_platforms(platform, name, params, x):
    function, parameters = LOSSES[name][0], LOSSES[name][1](params)
    for program in (function, jax.grad(function)):
        text = jax.jit(program).trace(parameters, x).lower(lowering_platforms=(platform,)).as_text()
        assert "stablehlo.while" in text


# Refusals


def test_what_the_scan_refuses(params):
    with pytest.raises(ValueError, match="A recurrent layer") as error:
        jm.rnn.scan(Leaky(), 1.0, jm.masked(jnp.ones((2, 3)), jnp.ones(2, bool)))
    assert str(error.value) == (
        "A recurrent layer runs over values (batch, time, ...) with a mask (batch, time); received values (2, 3) with "
        "mask (2,)."
    )
    with pytest.raises(ValueError, match=r"received values \(3,\)\.$"):
        jm.rnn.scan(Leaky(), 1.0, jnp.ones(3))
    with pytest.raises(ValueError, match=r"`lstm` takes values \(batch, time, features\); received \(2, 3\)\."):
        lstm(params, jnp.ones((2, 3)))


class Attends:
    """A cell that adds what it finds in a sequence of its row's own."""

    def initial_state(self, inputs):
        return jnp.zeros((3,), inputs.dtype)

    def step(self, params, state, inputs, constants):
        scale, memory = constants["scale"], constants["memory"]
        state = jnp.tanh(state + inputs * scale + jm.ops.mean(memory, axis=0))
        return state, state


@pytest.mark.slow
def test_constants_are_those_of_the_row(getkey):
    x = jm.from_lengths(jax.random.normal(getkey(), (3, 5, 3)).at[0, 3:].set(jnp.nan), [3, 5, 0])
    memory = jm.from_lengths(jax.random.normal(getkey(), (3, 4, 3)), [4, 1, 2])
    scale = jnp.asarray([1.0, -2.0, 3.0])
    outputs, state = jm.rnn.scan(Attends(), {}, x, constants={"scale": scale, "memory": memory})
    for i, length in enumerate([3, 5, 0]):
        constants = {"scale": scale[i : i + 1], "memory": jm.as_masked(memory.values[i : i + 1, : memory.lengths[i]])}
        alone, last = jm.rnn.scan(Attends(), {}, x.values[i : i + 1, :length], constants=constants)
        assert_close(outputs.values[i, :length], alone[0])
        assert_close(state[i], last[0])


def test_constants_that_are_not_one_a_row_are_refused():
    x = jm.from_lengths(jnp.ones((2, 3, 3)), [3, 1])
    with pytest.raises(ValueError, match=r"`constants` hold one for each of the 2 rows.*shape \(3,\)"):
        jm.rnn.scan(Attends(), {}, x, constants={"scale": jnp.ones(3), "memory": x})
    packed = jm.from_segment_ids(jnp.ones((2, 3, 3)), [[1, 1, 2], [3, 0, 0]])
    with pytest.raises(ValueError, match=r"`constants` are those of a row, but these rows are packed.*unpack_batch"):
        jm.rnn.scan(Attends(), {}, packed, constants=x)


@pytest.mark.parametrize("name", ["lstm", "gru", "simple_rnn", "scan"])
def test_a_state_that_a_layer_has_left_begins_another_one(name, params, x, rng):
    """Such a state is a `Masked` with a mask of rows, of which NaN in empty ones goes nowhere."""
    kernel, recurrent_kernel = params["kernel"], params["recurrent_kernel"]
    hidden = jnp.asarray(rng.normal(size=(BATCH, UNITS)), "float32")
    array = hidden.at[0].set(0)
    masked = jm.masked(hidden.at[0].set(jnp.nan), jnp.arange(BATCH) > 0)
    run, states = {
        "lstm": (functools.partial(lstm, params), [(array, array + 1), (masked, array + 1)]),
        "gru": (
            functools.partial(jm.rnn.gru, jm.rnn.GRUParams(kernel[:, :6], recurrent_kernel[:, :6], None)),
            [array, masked],
        ),
        "simple_rnn": (
            functools.partial(jm.rnn.simple_rnn, jm.rnn.SimpleRNNParams(kernel[:, :2], recurrent_kernel[:, :2], None)),
            [array, masked],
        ),
        "scan": (
            functools.partial(jm.rnn.scan, Leaky(), 1.0),
            [{"level": array[:, :1], "count": array[:, 0]}, {"level": masked[:, :1], "count": masked[:, 0]}],
        ),
    }[name]
    expected, found = (run(x[..., :1] if name == "scan" else x, initial_state=state) for state in states)
    jax.tree.map(np.testing.assert_array_equal, found, expected)
