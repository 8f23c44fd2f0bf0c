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

# Ops

tags, weight = jm.pad_sequences([[1, 0], [2]]), np.ones((3, 2), "float32")

assert_type(jm.ops.dense(x, weight), jm.Masked)
assert_type(jm.ops.dense(array, weight), jax.Array)
assert_type(jm.ops.dense(on_host, weight, bias=None), jax.Array)
assert_type(jm.ops.embed(tags, weight), jm.Masked)
assert_type(jm.ops.softmax(x, axis=1), jm.Masked)
assert_type(jm.ops.cumsum(array, reverse=True), jax.Array)
assert_type(jm.ops.conv(x, np.ones((2, 3, 7)), padding="causal"), jm.Masked)
assert_type(jm.ops.layer_norm(on_host, epsilon=1e-5), jax.Array)
assert_type(jm.ops.dropout(x, 0.5, jax.random.key(0)), jm.Masked)
assert_type(jm.ops.flip(jm.ops.reverse(x)), jm.Masked)
assert_type(jm.ops.shift(array), jm.Masked)
assert_type(jm.ops.shift(array, fill_value=0.0), jax.Array)
assert_type(jm.ops.top_k(x, 2, axis=1), tuple[jm.Masked, jm.Masked])
assert_type(jm.ops.where(array > 0, x, 0.0), jm.Masked)
assert_type(jm.ops.where(array > 0, array, 0.0), jax.Array)
assert_type(jm.ops.add([x, x], merge="union"), jm.Masked)
assert_type(jm.ops.add([array, on_host]), jax.Array)
assert_type(jm.ops.linear_recurrence(0.5, x, initial_state=8.0), jm.Masked)

assert_type(jm.ops.mean(x), jax.Array)
assert_type(jm.ops.mean(x, weights=x, keepdims=True), jax.Array)
assert_type(jm.ops.mean(array, 1), jax.Array)
assert_type(jm.ops.mean(x, axis=1), jm.Masked | jax.Array)
assert_type(jm.ops.var(x, ddof=1), jax.Array)
assert_type(jm.ops.max(on_host, axis=(0, 1)), jax.Array)
assert_type(jm.ops.last(array), jax.Array)


def penalty(values: jm.Masked) -> jax.Array:
    return jm.ops.mean(values)


# Losses and metrics

assert_type(jm.losses.squared_error(x, array), jax.Array)
assert_type(jm.losses.squared_error(x, on_host, sample_weight=np.ones(4), mask=jm.NO_MASK), jax.Array)
assert_type(jm.losses.huber_loss(x, array, delta=2.0, reduction="weights"), jax.Array)
assert_type(jm.losses.huber_loss(x, array, divide=False), jm.losses.Mean)
assert_type(jm.losses.huber_loss(x, array, divide=False).value, jax.Array)
assert_type(jm.losses.huber_loss(x, array, reduction=None), jm.Masked | jax.Array)
assert_type(jm.losses.hinge_loss(x, array, ignore_index=-100), jax.Array)
assert_type(jm.losses.softmax_cross_entropy_with_integer_labels(x, tags, label_smoothing=0.1), jax.Array)
assert_type(jm.losses.ctc_loss(x, tags, blank_id=2, divide=False), jm.losses.Mean)
assert_type(jm.losses.masked_loss(jnp.subtract)(x, array, own_option=1), jax.Array)
assert_type(jm.losses.masked_loss(jnp.subtract)(x, array, divide=False), jm.losses.Mean)

accuracy = jm.metrics.accuracy(x, tags)
assert_type(accuracy, jm.losses.Mean)
assert_type(accuracy + accuracy, jm.losses.Mean)
assert_type(accuracy.psum("batch").value_or(jnp.nan), jax.Array)
assert_type(jm.metrics.f1_score(x, tags, average="macro").precision, jax.Array)
assert_type(jm.metrics.r2_score(x, array).of_outputs, jax.Array)
assert_type((jm.metrics.auc(x, array) + 0).error, jax.Array)


def slope(x: jax.Array, scale: float = 1.0) -> jax.Array:
    return (x[1:] - x[:-1]) * scale


def vmapped(x: jm.Masked, array: jax.Array) -> None:
    assert_type(jm.vmap(slope)(x), Any)  # a `Masked`, although the function of one sequence takes an array
    assert_type(jm.vmap(slope)(array, scale=2.0), Any)
    assert_type(jm.vmap(jm.vmap(slope))(x), Any)
    assert_type(jax.jit(jm.vmap(slope, in_axes=(0, None), lengths="t"))(x, 2.0), Any)


# A corpus

corpus = jm.data.Ragged(words=[["a", "b"], ["c"]], label=np.array([0, 1]))
vocabulary = jm.data.Vocabulary.of(corpus["words"], minimum=2)
assert_type(corpus["words"], jm.data.Column)
assert_type(corpus[1:], jm.data.Ragged)
assert_type(corpus[np.array([1, 0])], jm.data.Ragged)
assert_type(corpus[["words"]], jm.data.Ragged)
assert_type(corpus[0], dict[str, Any])
assert_type(corpus.lengths["words"], np.ndarray)
assert_type(vocabulary.encode(corpus["words"]), jm.data.Column)
assert_type(vocabulary.encode(["a", "b"]), np.ndarray)
assert_type(jm.data.read_conll("train.txt")["words"].offsets, np.ndarray | None)
