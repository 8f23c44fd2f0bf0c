"""What Keras' own tests assert of recurrence and attention under masks, in jmask's terms; the figures are theirs."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
T, F = True, False
SEQUENCE = np.arange(24, dtype="float32").reshape(2, 4, 3)
TAIL = np.array([[T, T, T, F], [T, T, F, F]])
HOLES = np.array([[T, T, F, T], [T, F, F, T]])


def constant(value):
    return lambda key, shape, dtype: jnp.full(shape, value, dtype)


CONSTANTS = {
    "kernel_initializer": constant(0.01),
    "recurrent_initializer": constant(0.02),
    "bias_initializer": constant(0.03),
}
LSTM, GRU, SimpleRNN = (functools.partial(layer, **CONSTANTS) for layer in (L.LSTM, L.GRU, L.SimpleRNN))


def run(layer, mask, values=SEQUENCE):
    """The outputs, with NaN in the padding of the inputs."""
    x = jm.masked(jnp.where(mask[..., None], values, jnp.nan), mask)
    return layer.apply(layer.init(jax.random.key(0), x), x)


# Each: layer, mask, and the first unit's output at every step, where the last real one repeats.
SEQUENCES = {
    "LSTM": (LSTM, TAIL, [[0.0158891, 0.05552048, 0.11755939, 0.11755939], [0.14185596, *[0.28556206] * 3]]),
    "GRU": (GRU, HOLES, [[0.03606692, *[0.09497581] * 2, 0.19393763], [*[0.16051409] * 3, 0.30818558]]),
    "SimpleRNN": (SimpleRNN, HOLES, [[0.0599281, *[0.15122814] * 2, 0.32394567], [*[0.3969304] * 3, 0.608085]]),
}


@pytest.mark.slow
@pytest.mark.parametrize("unroll", [False, True])
@pytest.mark.parametrize("kind", SEQUENCES)
def test_outputs_of_every_step(kind, unroll):
    """Repeated at masked steps, which is Keras' default, or zero, which is ours; both under the mask of the inputs."""
    layer, mask, expected = SEQUENCES[kind]
    expected = np.broadcast_to(np.float32(expected)[..., None], (2, 4, 2))
    options = {"return_sequences": True, "unroll": unroll}
    held, zero = (run(layer(2, **options, zero_output_for_mask=zero), mask) for zero in (False, True))
    assert_close(held.values, expected)
    assert_close(zero.values, np.where(mask[..., None], expected, 0))
    np.testing.assert_array_equal(held.mask, mask)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layer", "mask", "expected"),
    [
        (LSTM(2), TAIL, [0.11755939, 0.28556206]),
        (GRU(2), HOLES, [0.19393763, 0.30818558]),
        (GRU(2, go_backwards=True), HOLES, [0.11669192, 0.28380975]),
        (SimpleRNN(4), HOLES, [0.32951632, 0.61799484]),
        (SimpleRNN(4, go_backwards=True), HOLES, [0.07376196, 0.43645123]),
    ],
    ids=["LSTM", "GRU", "GRU backwards", "SimpleRNN", "SimpleRNN backwards"],
)
def test_the_last_output(layer, mask, expected):
    output = run(layer, mask)
    assert_close(output, np.broadcast_to(np.float32(expected)[:, None], output.shape))


def test_bidirectional():
    """The backward direction begins at the last real step."""
    expected = [[0.19393763, 0.19393763, 0.11669192, 0.11669192], [0.30818558, 0.30818558, 0.28380975, 0.28380975]]
    assert_close(run(L.Bidirectional(GRU(2)), HOLES), np.float32(expected))


class Sum:
    """From `rnn_test.py`, where it is `OneStateRNNCell`: all weights are 1."""

    def initial_state(self, inputs):
        return jnp.zeros(2)

    def step(self, params, state, inputs):
        output = inputs.sum() + state.sum() * jnp.ones(2)
        return output, output


@pytest.mark.slow
@pytest.mark.parametrize("unroll", [False, True])
def test_a_cell_of_ones_own(unroll):
    expected = np.float32([[3, 18, 57, 57], [39, 126, 126, 126]])[..., None] * np.ones(2, "float32")
    options = {"unroll": unroll, "zero_output_for_mask": False}
    assert_close(run(L.RNN(Sum(), return_sequences=True, **options), TAIL).values, expected)
    assert_close(run(L.RNN(Sum(), **options), TAIL), expected[:, -1])


@pytest.mark.slow
def test_a_cell_whose_output_is_not_its_state():
    """Keras takes the state for the output at masked steps, except with `unroll`; issue 11472 of Keras, and here 11."""

    class Counter:
        def initial_state(self, inputs):
            return jnp.zeros(1)

        def step(self, params, state, inputs):
            return state + inputs, state + inputs + 9

    x = np.ones((1, 3, 1), "float32")
    held = run(L.RNN(Counter(), return_sequences=True, zero_output_for_mask=False), np.array([[T, T, F]]), x)
    assert held.values.ravel().tolist() == [10, 11, 11]
    assert run(L.RNN(Counter()), np.array([[T, T, F]]), x).values.tolist() == [[11]]


def test_stacked_cells():
    ones = {"kernel_initializer": "ones", "recurrent_initializer": "ones"}
    layer = L.RNN([L.LSTMCell(1, **ones), L.LSTMCell(1, **ones)])
    output = run(layer, np.array([[T, T, T], [T, T, F]]), np.ones((2, 3, 4), "float32"))
    np.testing.assert_allclose(output.values, [[0.7793], [0.5998]], atol=1e-4)  # printed with so many digits


# Time distributed, from `time_distributed_test.py`


@pytest.mark.slow
def test_a_layer_at_every_step():
    """Keras hands the inner layer each step's mask, to zero it by hand; here padded outputs are padding."""
    mask = np.array([[F, T], [T, F], [T, T]])
    layer = L.TimeDistributed(L.Dense(1, kernel_initializer=constant(0.01), use_bias=False))
    y = run(layer, mask, np.arange(24, dtype="float32").reshape(3, 2, 4))
    assert_close(y.fill(0), np.float32([[[0], [0.22]], [[0.38], [0]], [[0.7], [0.86]]]))


@pytest.mark.parametrize("shape", [(4, 6), (5, 5), (5, 6), (4, 6, 2)])
def test_a_mask_that_does_not_fit_is_refused(shape):
    layer = L.TimeDistributed(L.Dense(5))
    x = jnp.zeros((4, 5, 3))
    params = layer.init(jax.random.key(0), x)
    with pytest.raises(ValueError, match="mask"):
        layer.apply(params, x, mask=jnp.ones(shape, bool))
    assert layer.apply(params, x, mask=jnp.ones((4, 5), bool)).shape == (4, 5, 5)
    assert not isinstance(layer.apply(params, x), jm.Masked)


# Attention, from `attention_test.py` and `additive_attention_test.py`


@pytest.mark.slow
@pytest.mark.parametrize("layer", [L.Attention(return_attention_scores=True), None], ids=["dot", "additive"])
def test_attention_under_masks_of_query_and_value(layer):
    """Keras' outputs. Its scores of a query that is padding are those of any other; ours are 0, as its output is."""
    layer = layer or L.AdditiveAttention(use_scale=False, return_attention_scores=True)
    query = jm.masked(jnp.array([[[1.0, 0.0], [0.0, 1.0]]]), jnp.array([[T, F]]))
    value = jm.masked(jnp.ones((1, 2, 2)), jnp.array([[T, F]]))
    y, scores = layer.apply({}, query, value)
    assert y.mask.tolist() == [[T, F]]
    assert y.fill(0).tolist() == [[[1, 1], [0, 0]]]
    scores = scores.fill(0) if isinstance(scores, jm.Masked) else scores
    assert scores[:, 0].tolist() == [[1, 0]]


@pytest.mark.slow
def test_scores_of_masks_of_different_lengths(rng):
    query, value = (jnp.asarray(rng.random((2, time, 5)), jnp.float32) for time in (3, 4))
    query, value = (jm.masked(x, jnp.array([mask] * 2)) for x, mask in ((query, [T, F, T]), (value, [T, F, T, T])))
    y, scores = L.Attention(return_attention_scores=True).apply({}, query, value)
    assert y.shape == (2, 3, 5)
    assert scores.shape == (2, 3, 4)
    scores = scores.fill(0) if isinstance(scores, jm.Masked) else scores
    assert not np.asarray(scores)[..., 1].any()


@pytest.mark.slow
def test_the_mask_of_attention_is_that_of_the_query():
    query, value = jnp.ones((2, 3, 4)), jnp.ones((2, 4, 4))
    mask, other = jnp.array([[T, F, T]] * 2), jnp.array([[F, T, F, T]] * 2)
    layer = L.Attention()
    assert not isinstance(layer.apply({}, query, value), jm.Masked)
    assert not isinstance(layer.apply({}, query, jm.masked(value, other)), jm.Masked)
    np.testing.assert_array_equal(layer.apply({}, jm.masked(query, mask), jm.masked(value, other)).mask, mask)


# Heads, from `multi_head_attention_test.py` and `grouped_query_attention_test.py`


QUERY_IDS = jnp.array([[1, 2, 3, 0, 0], [3, 3, 1, 1, 2], [1, 0, 0, 0, 0]])
VALUE_IDS = jnp.array([[5, 4, 0], [3, 0, 0], [2, 1, 1]])
HEADS = {
    "MultiHeadAttention": {"num_heads": 2, "key_dim": 2},
    "GroupQueryAttention": {"num_query_heads": 2, "num_key_value_heads": 2, "head_dim": 2},
}


def embedded(ids, rng):
    table = jnp.asarray(rng.normal(size=(6, 8)), jnp.float32)
    return L.Embedding(6, 8, mask_zero=True).apply({"embeddings": table}, ids)


def heads(name, query, value, **options):
    layer = getattr(L, name)(**HEADS[name], **options)
    params = layer.init(jax.random.key(0), query, value)
    return functools.partial(layer.apply, params)


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_masks_are_the_same_as_an_explicit_mask(name, causal, rng):
    query, value = embedded(QUERY_IDS, rng), embedded(VALUE_IDS, rng)
    mask = np.asarray(query.mask)[:, :, None] & np.asarray(value.mask)[:, None]
    if causal:
        mask = mask & np.tril(np.ones((5, 3), bool))
    y = heads(name, query, value, use_causal_mask=causal)(query, value)
    np.testing.assert_array_equal(y.mask, QUERY_IDS != 0)
    expected = heads(name, query, value)(query.values, value.values, attention_mask=jnp.asarray(mask))
    assert_close(y.fill(0), np.where(y.mask[..., None], expected, 0))


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_attention_is_no_end_of_the_mask_of_its_inputs(name, rng):
    """Keras takes it off them, so that no warning comes; here nothing is taken, and no warning comes."""
    query, value = embedded(QUERY_IDS, rng), embedded(VALUE_IDS, rng)
    heads(name, query, value)(query, value)
    np.testing.assert_array_equal(query.mask, QUERY_IDS != 0)


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_the_causal_option_is_a_triangle(name, rng):
    """And with another mask, both."""
    x = jnp.asarray(rng.normal(size=(2, 5, 8)), jnp.float32)
    causal = jnp.tril(jnp.ones((2, 5, 5), bool))
    extra = jnp.ones((2, 5, 5), bool).at[:, 2, 1].set(F)
    plain, option = heads(name, x, x), heads(name, x, x, use_causal_mask=True)
    assert_close(option(x, x), plain(x, x, attention_mask=causal))
    assert_close(option(x, x, attention_mask=extra), plain(x, x, attention_mask=causal & extra))


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("name", HEADS)
def test_a_sliding_window_of_scores(name, causal, rng):
    x = jnp.asarray(rng.normal(size=(1, 6, 8)), jnp.float32)
    call = heads(name, x, x, sliding_window=3, use_causal_mask=causal, return_attention_scores=True)
    distance = np.arange(6)[:, None] - np.arange(6)
    seen = (np.abs(distance) < 3) & (distance >= 0 if causal else T)
    _, scores = call(x, x)
    np.testing.assert_array_equal(np.asarray(scores)[0] > 0, np.broadcast_to(seen, (2, 6, 6)))


@pytest.mark.slow
@pytest.mark.parametrize("name", HEADS)
def test_no_weight_lies_on_the_future(name, rng):
    """Whichever path the options choose: with scores, and with dropout that is not drawn."""
    x = jnp.asarray(rng.normal(size=(1, 6, 8)), jnp.float32)
    _, scores = heads(name, x, x, use_causal_mask=True, dropout=0.1, return_attention_scores=True)(x, x)
    assert not np.asarray(scores)[..., np.triu(np.ones((6, 6), bool), 1)].any()
    plain, dropping = (heads(name, x, x, use_causal_mask=True, dropout=rate) for rate in (0.0, 0.1))
    assert_close(dropping(x, x), plain(x, x))
