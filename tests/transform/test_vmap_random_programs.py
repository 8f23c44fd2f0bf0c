"""Random programs of functions of the table, on padded batches and on each sequence alone."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

from tests.support.one_sequence.functions import Case, attention, conv, params, pool, rnn
from tests.support.one_sequence.row_by_row import check

# From (time, 3) to (time, 3), or to another time; smooth, or with kinks where random numbers never are.
STEPS = {
    "dense": lambda w, x: jnp.tanh(x @ w["u"]),
    "cumsum": lambda w, x: lax.cumsum(0.1 * x, axis=0),
    "cumsum, reverse": lambda w, x: lax.cumsum(0.1 * x, axis=0, reverse=True),
    "flip": lambda w, x: jnp.flip(x, 0),
    "roll": lambda w, x: jnp.roll(x, 2, axis=0) - x,
    "softmax": lambda w, x: jax.nn.softmax(x, axis=0),
    "centre": lambda w, x: x - x.mean(0),
    "standardize": lambda w, x: jax.nn.standardize(x, axis=0, epsilon=0.1),
    "norm": lambda w, x: x / jnp.sqrt((x**2).sum(0) + 0.1),
    "attention": lambda w, x: attention(w, x)[:, :3],
    "causal attention": lambda w, x: x + attention(w, x, causal=True)[:, :3],
    "conv": lambda w, x: jnp.tanh(conv()(w, x))[:, :3],
    "strided conv": lambda w, x: jnp.tanh(conv(stride=2)(w, x))[:, :3],
    "max pool": lambda w, x: pool(-np.inf, lax.max, 3, 1, "SAME")(x),
    "rnn": lambda w, x: rnn(w, x)[1],
    "rnn, reverse": lambda w, x: rnn(w, x, reverse=True)[1],
    "sort": lambda w, x: jnp.sort(x, axis=0),
    "from the first": lambda w, x: x - x[0],
    "to the last": lambda w, x: x * x[-1],
    "without the first": lambda w, x: jnp.concatenate([x[1:], x[:1]]),
    "longer": lambda w, x: jnp.concatenate([w["b"][None], x, -x]),
    "pairs": lambda w, x: jnp.tanh(x @ x.T) @ x,
    "positions": lambda w, x: x * jnp.arange(x.shape[0])[:, None] / x.shape[0],
    "checkpoint": lambda w, x: jax.checkpoint(lambda x: jnp.sin(x) * x.max(0))(x),
    "branch": lambda w, x: lax.cond(x[0, 0] > 0, lambda x: jnp.flip(x, 0), lambda x: 2 * x, x),
    "gradient": lambda w, x: jax.grad(lambda x: (jax.nn.logsumexp(x, axis=0) ** 2).sum())(x),
}


@pytest.fixture(autouse=True, scope="module")
def float64():
    """So that sums that nearly cancel say nothing."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@pytest.mark.slow
@settings(max_examples=20)
@given(st.lists(st.sampled_from(sorted(STEPS)), min_size=2, max_size=4))
def test_they_are_the_loop_over_sequences_alone(names):
    check_program(names)


def test_one_of_them_is_the_loop_over_sequences_alone():
    check_program(sorted(STEPS)[:2])


def check_program(names):
    def fn(w, x):
        return functools.reduce(lambda x, name: STEPS[name](w, x), names, x)

    check(", ".join(names), Case(fn, dtype="float64"), jax.tree.map(np.float64, params()))
