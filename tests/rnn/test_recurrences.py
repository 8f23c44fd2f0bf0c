"""The options of `jm.rnn.lstm`, `gru`, `simple_rnn`, `scan` and `bidirectional`; `test_laws.py` has the laws."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jmask as jm
from jmask.testing import assert_close
from tests.support import oracles

BATCH, TIME, FEATURES, UNITS = 4, 7, 3, 2
PARAMS: dict[str, Any] = {"simple_rnn": jm.rnn.SimpleRNNParams, "gru": jm.rnn.GRUParams, "lstm": jm.rnn.LSTMParams}
RUNS: dict[str, Any] = {name: getattr(jm.rnn, name) for name in PARAMS}
GATES = {"simple_rnn": 1, "gru": 3, "lstm": 4}
EACH = pytest.mark.parametrize("name", RUNS)


def draw_params(rng, name, features=FEATURES, units=UNITS, dtype="float32"):
    width = GATES[name] * units
    shapes = (features, width), (units, width), (2, width) if name == "gru" else (width,)
    return PARAMS[name](*(jnp.asarray(rng.normal(size=shape), dtype) for shape in shapes))


def draw_batch(rng, dtype="float32"):
    """Holes, an empty row, a row without padding."""
    mask = rng.random((BATCH, TIME)) < 0.5
    mask[1], mask[2] = False, True
    values = np.where(mask[..., None], rng.normal(size=(BATCH, TIME, FEATURES)), np.nan)
    return jm.masked(jnp.asarray(values, dtype), jnp.asarray(mask))


def oracle_of(name):
    return getattr(oracles, name)


def wide(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def real_rows(x):
    return [np.asarray(v, np.float64)[np.asarray(m)] for v, m in zip(x.values, x.mask, strict=True)]


def assert_is_the_oracle(name, params, x, outputs, state, *, reverse=False, initial=None, precision=None):
    oracle = oracles.backward(oracle_of(name)) if reverse else oracle_of(name)
    for row, data in enumerate(real_rows(x)):
        given = [np.asarray(leaf, np.float64)[row] for leaf in jax.tree.leaves(initial)]
        expected, *parts = oracle(wide(params._asdict()), data, *given)
        assert_close(np.asarray(outputs.values)[row][np.asarray(x.mask[row])], expected, precision=precision)
        for leaf, part in zip(jax.tree.leaves(state), parts, strict=True):
            assert_close(leaf[row], part, precision=precision)


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("reverse", [False, True])
def test_both_directions_with_holes_and_an_initial_state(name, reverse, rng):
    params, x = draw_params(rng, name), draw_batch(rng)
    initial = tuple(jnp.asarray(rng.normal(size=(BATCH, UNITS)), "float32") for _ in range(2 if name == "lstm" else 1))
    outputs, state = RUNS[name](params, x, initial_state=initial, reverse=reverse)
    assert_is_the_oracle(name, params, x, outputs, state, reverse=reverse, initial=initial)
    assert not outputs.values[~x.mask].any()
    assert outputs.mask is x.mask
    assert type(state) is (jm.rnn.LSTMState if name == "lstm" else type(outputs.values))


@pytest.mark.slow
@EACH
def test_without_the_state(name, rng):
    params, x = draw_params(rng, name), draw_batch(rng)
    outputs = RUNS[name](params, x, return_state=False)
    np.testing.assert_array_equal(outputs.fill(0), RUNS[name](params, x)[0].fill(0))


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("implementation", ["xla", "scan"])
def test_implementations_agree(name, implementation, rng):
    params, x = draw_params(rng, name), draw_batch(rng)
    outputs, state = RUNS[name](params, x, implementation=implementation)
    assert_is_the_oracle(name, params, x, outputs, state)


@pytest.mark.slow
@EACH
def test_another_activation(name, rng):
    params, x = draw_params(rng, name), draw_batch(rng)
    same, _ = RUNS[name](params, x, activation=lambda z: jnp.tanh(z))  # not by name: the general way
    assert_close(same.fill(0), RUNS[name](params, x)[0].fill(0))
    other, _ = RUNS[name](params, x, activation=jax.nn.relu)
    assert not (np.asarray(other.fill(0)) < 0).any() or name == "lstm"
    assert np.abs(other.fill(0) - same.fill(0)).max() > 1e-2


# Dtypes


@pytest.mark.slow
@EACH
def test_half_precision_in_products_only(name, rng):
    params, x = draw_params(rng, name, dtype="bfloat16"), draw_batch(rng, dtype="bfloat16")
    outputs, state = RUNS[name](params, x)
    assert outputs.dtype == jnp.bfloat16
    assert {leaf.dtype for leaf in jax.tree.leaves(state)} == {jnp.dtype("float32")}
    assert_is_the_oracle(name, params, x, outputs, state, precision="bfloat16")
    gradients = jax.grad(lambda p: RUNS[name](p, x)[0].fill(0).astype("float32").sum())(params)
    assert {leaf.dtype for leaf in gradients} == {jnp.dtype("bfloat16")}
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in gradients)


@pytest.mark.slow
def test_a_cell_that_counts_in_half_precision_keeps_counting():
    """To 400: a state in bfloat16, which has 8 bits, would stay at 256."""
    steps = jm.as_masked(jnp.ones((1, 400, 1), "bfloat16"))
    kernel, recurrent_kernel = jnp.ones((1, 4), "bfloat16"), jnp.zeros((1, 4), "bfloat16")
    params = jm.rnn.LSTMParams(kernel, recurrent_kernel, None)
    _, state = jm.rnn.lstm(params, steps, activation=lambda z: z, recurrent_activation=jnp.ones_like)
    assert state.cell.tolist() == [[400.0]]


@pytest.mark.slow
@EACH
def test_the_common_dtype_of_inputs_and_kernel(name, rng, x64):
    params = draw_params(rng, name)
    for x_dtype, kernel_dtype, expected in [
        ("bfloat16", "float32", "float32"),
        ("float32", "bfloat16", "float32"),
        ("float64", "float32", "float64"),
        ("float16", "float16", "float16"),
        ("int32", "float32", "float32"),
        ("int32", "bfloat16", "bfloat16"),
    ]:
        x = jm.from_lengths(jnp.asarray(rng.integers(-2, 3, (2, 3, FEATURES)), x_dtype), [3, 0])
        cast = jax.tree.map(lambda leaf, dtype=kernel_dtype: leaf.astype(dtype), params)
        outputs, state = RUNS[name](cast, x)
        assert outputs.dtype == expected
        assert {str(leaf.dtype) for leaf in jax.tree.leaves(state)} == {
            "float64" if expected == "float64" else "float32"
        }
        assert_is_the_oracle(name, cast, x, outputs, state, precision=expected)


# Bidirectional


@pytest.mark.parametrize("mode", ["concat", "sum", "mul", "ave", None])
def test_bidirectional_merges(mode, rng):
    params, x = (draw_params(rng, "gru"), draw_params(rng, "gru")), draw_batch(rng)
    initial = (jnp.ones((BATCH, UNITS)), None)
    forward, forward_state = jm.rnn.gru(params[0], x, initial_state=initial[0])
    backward, backward_state = jm.rnn.gru(params[1], x, reverse=True)
    merged, states = jm.rnn.bidirectional(jm.rnn.gru, params, x, initial_state=initial, merge_mode=mode)
    np.testing.assert_array_equal(states[0], forward_state)
    np.testing.assert_array_equal(states[1], backward_state)
    a, b = np.asarray(forward.values), np.asarray(backward.values)
    if mode is None:
        np.testing.assert_array_equal(merged[0].values, a)
        np.testing.assert_array_equal(merged[1].values, b)
        return
    expected = {"concat": np.concatenate([a, b], -1), "sum": a + b, "mul": a * b, "ave": (a + b) / 2}[mode]
    assert_close(merged.values, expected)
    assert merged.mask is x.mask
    alone = jm.rnn.bidirectional(jm.rnn.gru, params, x, initial_state=initial, merge_mode=mode, return_state=False)
    np.testing.assert_array_equal(alone.values, merged.values)


@pytest.mark.slow
def test_bidirectional_hands_options_on(rng):
    params, x = (draw_params(rng, "gru"),) * 2, draw_batch(rng)
    before = tuple(p._replace(bias=p.bias[0]) for p in params)
    outputs = jm.rnn.bidirectional(jm.rnn.gru, before, x, reset_after=False, return_state=False)
    expected = jm.rnn.gru(before[0], x, reset_after=False, return_state=False)
    assert_close(outputs.values[..., :UNITS], expected.values)


@pytest.mark.slow
def test_bidirectional_over_a_cell_whose_outputs_are_a_dict(rng):
    class Two:
        def initial_state(self, inputs):
            return jnp.zeros(inputs.shape)

        def step(self, params, state, inputs):
            return state + inputs, {"sum": state + inputs, "last": inputs}

    x = draw_batch(rng)
    outputs, _ = jm.rnn.bidirectional(functools.partial(jm.rnn.scan, Two()), ({}, {}), x, merge_mode="sum")
    totals = x.fill(0).sum(1, keepdims=True) + x.fill(0)  # both directions count the step itself
    assert_close(outputs["sum"].fill(0), jnp.where(x.mask[..., None], totals, 0))
    assert_close(outputs["last"].fill(0), 2 * x.fill(0))


# The scan


@pytest.mark.slow
def test_unrolling_changes_no_result(rng):
    x, cell = draw_batch(rng), jm.layers.LSTMCell(UNITS)
    params = cell.init(jax.random.key(0), x.values[0, 0])
    expected = jm.rnn.scan(cell, params, x)
    for unroll in (3, TIME):
        for reverse in (False, True):
            expected = jm.rnn.scan(cell, params, x, reverse=reverse)
            outputs = jm.rnn.scan(cell, params, x, reverse=reverse, unroll=unroll)
            jax.tree.map(assert_close, outputs, expected)


@pytest.mark.slow
@EACH
def test_over_an_explicit_mesh(name, rng):
    params = draw_params(rng, name)
    x = jm.from_lengths(jnp.asarray(rng.normal(size=(8, TIME, FEATURES)), "float32"), np.arange(8))

    def loss(params, x):
        outputs, state = RUNS[name](params, x)
        return (outputs.fill(0) ** 2).sum() + sum(leaf.sum() for leaf in jax.tree.leaves(state))

    expected = loss(params, x)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        assert_close(jax.jit(loss)(params, jax.device_put(x, PartitionSpec("batch"))), expected)


@pytest.mark.slow
def test_sharded_outputs_stay_sharded(rng):
    params = draw_params(rng, "gru")
    x = jm.from_lengths(jnp.asarray(rng.normal(size=(8, TIME, FEATURES)), "float32"), np.arange(8))
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Auto,))
    sharded = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
    outputs, _ = jax.jit(jm.rnn.gru)(params, sharded)
    assert outputs.values.sharding.is_equivalent_to(sharded.values.sharding, 3)


# Refusals


def test_an_implementation_that_there_is_not(rng):
    params, x = draw_params(rng, "lstm"), draw_batch(rng)
    for name in ("cudnn", "fast"):
        with pytest.raises(ValueError, match="`implementation` must be") as error:
            jm.rnn.lstm(params, x, implementation=name)
        assert str(error.value) == f"`implementation` must be 'auto', 'xla' or 'scan'; received '{name}'."


@pytest.mark.parametrize(
    ("name", "state", "text"),
    [
        ("lstm", [(4, 2)], r"`lstm` is two arrays, hidden and cell, of shape \(4, 2\); received \[\(4, 2\)\]\."),
        ("lstm", [(4, 2), (2,)], r"received \[\(4, 2\), \(2,\)\]"),
        ("gru", [(2,)], r"`initial_state` of `gru` is an array of shape \(4, 2\); received \[\(2,\)\]\."),
        ("simple_rnn", [(4, 2)] * 2, r"`simple_rnn` is an array of shape \(4, 2\); received"),
    ],
)
def test_an_initial_state_that_does_not_fit(name, state, text, rng):
    given = tuple(map(jnp.zeros, state))
    with pytest.raises(ValueError, match=text):
        RUNS[name](draw_params(rng, name), draw_batch(rng), initial_state=given)


def test_weights_that_do_not_fit(rng):
    x = draw_batch(rng)
    lstm, gru = draw_params(rng, "lstm"), draw_params(rng, "gru")
    with pytest.raises(ValueError, match="takes for") as error:
        jm.rnn.lstm(lstm._replace(kernel=jnp.ones((5, 8))), x)
    assert str(error.value) == "`lstm` over 3 features takes for 2 units a kernel of shape (3, 8); received (5, 8)."
    with pytest.raises(ValueError, match=r"a recurrent_kernel of shape \(2, 8\); received \(2, 6\)"):
        jm.rnn.lstm(lstm._replace(recurrent_kernel=jnp.ones((2, 6))), x)
    with pytest.raises(
        ValueError, match=r"`gru` with `reset_after` over 3 .* a bias of shape \(2, 6\); received \(6,\)"
    ):
        jm.rnn.gru(gru._replace(bias=jnp.ones(6)), x)
    with pytest.raises(ValueError, match=r"`gru` without `reset_after` over .* of shape \(6,\); received \(2, 6\)"):
        jm.rnn.gru(gru, x, reset_after=False)
    with pytest.raises(ValueError, match=r"`gru` takes values \(batch, time, features\); received \(2, 3\)\."):
        jm.rnn.gru(gru, jnp.ones((2, 3)), reset_after=False)


def test_what_bidirectional_refuses(rng):
    params, x = draw_params(rng, "lstm"), draw_batch(rng)
    with pytest.raises(ValueError, match=r"`params` of `bidirectional` is a pair, .*; received LSTMParams\."):
        jm.rnn.bidirectional(jm.rnn.lstm, params, x)
    state: Any = jm.rnn.LSTMState(jnp.zeros((4, 2)), jnp.zeros((4, 2)))
    with pytest.raises(ValueError, match=r"`initial_state` of `bidirectional` is a pair, .* received LSTMState\."):
        jm.rnn.bidirectional(jm.rnn.lstm, (params, params), x, initial_state=state)
    with pytest.raises(ValueError, match=r"`merge_mode` must be 'concat', 'sum', 'mul', 'ave' or None; received 'max'"):
        jm.rnn.bidirectional(jm.rnn.lstm, (params, params), x, merge_mode="max")
