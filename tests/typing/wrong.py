"""What a user's editor must mark: pyright reports each line here, and any `ignore` that is not needed."""

import jax.numpy as jnp

import jmask as jm

# Recurrent networks

x = jm.from_lengths(jnp.ones((4, 5, 3)), [5, 2, 0, 1])
lstm_params = jm.rnn.LSTMParams(jnp.ones((3, 8)), jnp.ones((2, 8)), jnp.zeros(8))

jm.rnn.lstm(lstm_params, x, implementation="fast")  # pyright: ignore[reportCallIssue, reportArgumentType]
jm.rnn.lstm(lstm_params, x, revers=True)  # pyright: ignore[reportCallIssue]
jm.rnn.lstm(lstm_params, x, reset_after=False)  # pyright: ignore[reportCallIssue]
jm.rnn.gru(lstm_params, x)  # pyright: ignore[reportCallIssue, reportArgumentType]
jm.rnn.scan(object(), {}, x)  # pyright: ignore[reportCallIssue, reportArgumentType]
jm.rnn.bidirectional(jm.rnn.lstm, (lstm_params, lstm_params), x, merge_mode="max")  # pyright: ignore[reportCallIssue, reportArgumentType]
hidden = jm.rnn.lstm(lstm_params, x, return_state=False).hidden  # pyright: ignore[reportAttributeAccessIssue]
