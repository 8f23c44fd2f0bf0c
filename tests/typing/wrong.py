"""What a user's editor must mark: pyright reports each line here, and any `ignore` that is not needed."""

import jax
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

# Ops

array, targets = jnp.ones((4, 5, 3)), jnp.ones((4, 5, 3))

jm.ops.dense(x, array, bais=None)  # pyright: ignore[reportCallIssue]
jm.ops.dense("text", array)  # pyright: ignore[reportCallIssue, reportArgumentType]
mask = jm.ops.dense(array, array).mask  # pyright: ignore[reportAttributeAccessIssue]
jm.ops.conv(x, array, padding="full")  # pyright: ignore[reportCallIssue, reportArgumentType]
jm.ops.mean(x, axes=1)  # pyright: ignore[reportCallIssue]
lengths = jm.ops.mean(x).lengths  # pyright: ignore[reportAttributeAccessIssue]
jm.ops.add([x, x], merge="or")  # pyright: ignore[reportCallIssue, reportArgumentType]
jm.ops.cumsum(x, revers=True)  # pyright: ignore[reportCallIssue]

# Losses and metrics

jm.losses.huber_loss(x, targets, dleta=2.0)  # pyright: ignore[reportCallIssue]
jm.losses.squared_error(x, targets, delta=2.0)  # pyright: ignore[reportCallIssue]
jm.losses.squared_error(x, targets, reduction="mean")  # pyright: ignore[reportCallIssue, reportArgumentType]
jm.losses.squared_error(x, targets, reduction="sum", divide=False)  # pyright: ignore[reportCallIssue, reportArgumentType]
count = jm.losses.squared_error(x, targets).count  # pyright: ignore[reportAttributeAccessIssue]
jm.losses.ctc_loss(x, targets, reduction="steps")  # pyright: ignore[reportCallIssue, reportArgumentType]
jm.metrics.f1_score(x, targets, average="mean")  # pyright: ignore[reportArgumentType]
total = jm.metrics.accuracy(x, targets) + jm.metrics.auc(x, targets)  # pyright: ignore[reportOperatorIssue]


def vmapped() -> None:
    jm.vmap(3)  # pyright: ignore[reportArgumentType]
    jm.vmap(jax.nn.relu, length="t")  # pyright: ignore[reportCallIssue]
