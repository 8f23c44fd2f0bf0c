"""The steps of the cells: beside Flax, and what each option of a step does."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support import oracles

FEATURES, UNITS = 3, 2


def draw(rng, *shape):
    return jnp.asarray(rng.normal(size=shape).astype("float32"))


@pytest.fixture
def x(rng):
    return draw(rng, FEATURES)


@pytest.fixture
def hidden(rng):
    return draw(rng, UNITS)


def parts(weights):
    return np.split(np.asarray(weights), weights.shape[-1] // UNITS, axis=-1)


def test_lstm_step_is_that_of_flax(rng, x, hidden):
    kernel, recurrent, bias = draw(rng, FEATURES, 8), draw(rng, UNITS, 8), draw(rng, 8)
    cell = draw(rng, UNITS)
    params = {}
    for gate, w, u, b in zip("ifgo", parts(kernel), parts(recurrent), parts(bias), strict=True):
        params |= {f"i{gate}": {"kernel": w}, f"h{gate}": {"kernel": u, "bias": b}}
    (new_cell, new_hidden), _ = nn.LSTMCell(UNITS).apply({"params": params}, (cell, hidden), x)
    state = jm.rnn.lstm_step(recurrent, jm.rnn.LSTMState(hidden, cell), x @ kernel + bias)
    assert_close(state.hidden, new_hidden)
    assert_close(state.cell, new_cell)


def test_gru_step_is_that_of_flax(rng, x, hidden):
    kernel, recurrent, bias, candidate_bias = (
        draw(rng, FEATURES, 6),
        draw(rng, UNITS, 6),
        draw(rng, 6),
        draw(rng, UNITS),
    )
    params = {}
    for gate, w, u, b in zip("zrn", parts(kernel), parts(recurrent), parts(bias), strict=True):
        params |= {f"i{gate}": {"kernel": w, "bias": b}, f"h{gate}": {"kernel": u}}
    params["hn"]["bias"] = candidate_bias  # Flax has a recurrent bias for the candidate only
    expected, _ = nn.GRUCell(UNITS).apply({"params": params}, hidden, x)
    recurrent_bias = jnp.concatenate([jnp.zeros(2 * UNITS), candidate_bias])
    assert_close(jm.rnn.gru_step(recurrent, hidden, x @ kernel + bias, recurrent_bias=recurrent_bias), expected)


def test_gru_step_with_the_reset_gate_before_the_product(rng, x, hidden):
    kernel, recurrent, bias = draw(rng, FEATURES, 6), draw(rng, UNITS, 6), draw(rng, 6)
    weights = {"kernel": kernel, "recurrent_kernel": recurrent, "bias": bias}
    expected, _ = oracles.gru_reset_before(jax.tree.map(np.asarray, weights), np.asarray(x)[None], np.asarray(hidden))
    step = jm.rnn.gru_step(recurrent, hidden, x @ kernel + bias, reset_after=False)
    assert_close(step, expected[0])
    assert np.abs(step - jm.rnn.gru_step(recurrent, hidden, x @ kernel + bias)).max() > 1e-3
    with pytest.raises(ValueError, match="`recurrent_bias` is added before the reset gate; without `reset_after`, add"):
        jm.rnn.gru_step(recurrent, hidden, x @ kernel, recurrent_bias=bias, reset_after=False)


def test_simple_rnn_step(rng, x, hidden):
    kernel, recurrent = draw(rng, FEATURES, UNITS), draw(rng, UNITS, UNITS)
    assert_close(
        jm.rnn.simple_rnn_step(recurrent, hidden, x @ kernel, jax.nn.softplus),
        np.log1p(np.exp(np.asarray(x @ kernel + hidden @ recurrent))),
    )


STEPS = {
    "simple_rnn": (jm.rnn.simple_rnn_step, 1),
    "gru": (jm.rnn.gru_step, 3),
    "gru, reset before": (lambda *args, **options: jm.rnn.gru_step(*args, **options, reset_after=False), 3),
    "lstm": (jm.rnn.lstm_step, 4),
}


def state_of(name, hidden):
    return jm.rnn.LSTMState(hidden, 2 * hidden) if name == "lstm" else hidden


@pytest.mark.parametrize("name", STEPS)
def test_a_scale_of_the_hidden_state_is_one_of_the_rows_of_the_recurrent_kernel(name, rng, hidden):
    step, gates = STEPS[name]
    recurrent, projected = draw(rng, UNITS, gates * UNITS), draw(rng, gates * UNITS)
    scale = jnp.array([0.0, 2.0])
    state = state_of(name, hidden)
    scaled = step(recurrent, state, projected, scale=scale)
    expected = step(scale[:, None] * recurrent, state, projected)
    for actual, other in zip(jax.tree.leaves(scaled), jax.tree.leaves(expected), strict=True):
        assert_close(actual, other)


@pytest.mark.parametrize("name", STEPS)
def test_products_of_half_precision_are_summed_in_the_dtype_of_the_state(name, rng, hidden):
    step, gates = STEPS[name]
    recurrent = draw(rng, UNITS, gates * UNITS).astype("bfloat16")
    state = jax.tree.map(lambda leaf: leaf.astype("bfloat16").astype("float32"), state_of(name, hidden))
    projected = draw(rng, gates * UNITS)
    new = step(recurrent, state, projected)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(new)} == {"float32"}
    if name != "gru, reset before":  # whose second product has an operand that bfloat16 does not hold
        expected = step(recurrent.astype("float32"), state, projected)
        for actual, other in zip(jax.tree.leaves(new), jax.tree.leaves(expected), strict=True):
            assert_close(actual, other)
