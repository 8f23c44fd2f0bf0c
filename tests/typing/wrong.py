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


# Masked and data


def masked(x: jm.Masked, array: jax.Array) -> None:
    x.segments  # pyright: ignore[reportAttributeAccessIssue]
    x.values.fil  # pyright: ignore[reportAttributeAccessIssue]
    x.filled(0)  # pyright: ignore[reportAttributeAccessIssue]
    jm.Masked(array, segments=array)  # pyright: ignore[reportCallIssue]
    x.segment_ids.max()  # pyright: ignore[reportOptionalMemberAccess]
    total: jax.Array = x + 1  # pyright: ignore[reportAssignmentType]
    is_equal: bool = x == x  # pyright: ignore[reportAssignmentType]
    last: jax.Array = x[:, -1]  # pyright: ignore[reportAssignmentType]
    maximum: float = x.max(-1)  # pyright: ignore[reportAssignmentType]
    del total, is_equal, last, maximum


def data(x: jm.Masked) -> None:
    jm.pad_sequences([[1], [2, 3]], padding="left")  # pyright: ignore[reportArgumentType]
    jm.pad_sequences([[1], [2, 3]], max_len=3)  # pyright: ignore[reportCallIssue]
    jm.from_lengths(x.values, [1, 2], padding_side="post")  # pyright: ignore[reportArgumentType]
    jm.pack([[1], [2, 3]], row_length=2.5)  # pyright: ignore[reportArgumentType]
    jm.unpack_batch(x, 3)  # pyright: ignore[reportCallIssue]
    jm.left_align(x).values  # pyright: ignore[reportAttributeAccessIssue]
