"""What a user's editor knows of the results of jmask; pyright checks it."""

import functools
from typing import Any, assert_type

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm

# Recurrent networks

x = jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1])
array, on_host = jnp.ones((4, 5, 3)), np.ones((4, 5, 3), "float32")
lstm_params = jm.rnn.LSTMParams(jnp.ones((3, 8)), jnp.ones((2, 8)), jnp.zeros(8))
gru_params = jm.rnn.GRUParams(jnp.ones((3, 6)), jnp.ones((2, 6)), None)
simple_params = jm.rnn.SimpleRNNParams(jnp.ones((3, 2)), jnp.ones((2, 2)), None)

assert_type(jm.rnn.lstm(lstm_params, x), tuple[jm.Masked, jm.rnn.LSTMState])
assert_type(jm.rnn.lstm(lstm_params, x)[1].cell, jax.Array)
assert_type(jm.rnn.lstm(lstm_params, x, return_state=False), jm.Masked)
assert_type(jm.rnn.lstm(lstm_params, array), tuple[jax.Array, jm.rnn.LSTMState])
assert_type(jm.rnn.lstm(lstm_params, array, reverse=True, return_state=False), jax.Array)
assert_type(jm.rnn.lstm(lstm_params, on_host, implementation="scan", return_state=False), jax.Array)
assert_type(jm.rnn.gru(gru_params, x, reset_after=False), tuple[jm.Masked, jax.Array])
assert_type(jm.rnn.gru(gru_params, array, return_state=False), jax.Array)
assert_type(jm.rnn.simple_rnn(simple_params, x, activation=jax.nn.relu), tuple[jm.Masked, jax.Array])
assert_type(jm.rnn.simple_rnn(simple_params, array, return_state=False, remat=True), jax.Array)


class Leaky:
    """A cell of a user."""

    def initial_state(self, inputs: Any) -> jax.Array:
        return jnp.zeros(inputs.shape)

    def step(self, params: jax.Array, state: jax.Array, inputs: jax.Array) -> tuple[jax.Array, jax.Array]:
        state = params * state + inputs
        return state, state


assert_type(jm.rnn.scan(Leaky(), jnp.ones(3), x), tuple[jm.Masked, Any])
assert_type(jm.rnn.scan(Leaky(), jnp.ones(3), x, return_state=False, unroll=2), jm.Masked)
assert_type(jm.rnn.scan(Leaky(), jnp.ones(3), array, return_state=False), jax.Array)

both = (lstm_params, lstm_params)
assert_type(jm.rnn.bidirectional(jm.rnn.lstm, both, x), tuple[jm.Masked, tuple[jm.rnn.LSTMState, jm.rnn.LSTMState]])
assert_type(jm.rnn.bidirectional(jm.rnn.lstm, both, x, return_state=False), jm.Masked)
assert_type(jm.rnn.bidirectional(jm.rnn.lstm, both, array, merge_mode="sum", return_state=False), jax.Array)
assert_type(
    jm.rnn.bidirectional(jm.rnn.lstm, both, x, merge_mode=None, return_state=False), tuple[jm.Masked, jm.Masked]
)
leaky = functools.partial(jm.rnn.scan, Leaky())
assert_type(jm.rnn.bidirectional(leaky, (array, array), x, return_state=False), jm.Masked)
