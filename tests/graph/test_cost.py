"""A model costs what the same function costs by hand: no operation and no byte more, forwards and backwards."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line

BATCH, TIME, FEATURES = 5, 13, 7


def masked_input():
    x = jax.random.normal(jax.random.key(1), (BATCH, TIME, FEATURES))
    return jm.masked(x, jnp.arange(TIME) < jnp.array([13, 0, 4, 7, 1])[:, None])


def tagger():
    """Ids in, one vector a sequence out; the mask begins in the embedding and ends in the pooling."""
    ids = jax.random.randint(jax.random.key(1), (BATCH, TIME), 0, 11)
    x = jm.Input((None,), "int32")
    h = L.Embedding(11, 6, mask_zero=True)(x)
    h = L.Dense(3, activation="relu")(L.LSTM(8, return_sequences=True)(h))
    return jm.Model(x, L.GlobalAveragePooling1D()(h)), ids


def tagger_by_hand(params, ids):
    mask = ids != 0
    h = jnp.where(mask[..., None], jm.ops.embed(ids, params["embedding"]["embeddings"]), 0)
    weights = jm.rnn.LSTMParams(**params["lstm"])
    h, _ = jm.rnn.lstm(weights, jm.masked(h, mask))
    h = jnp.where(mask[..., None], h.values, 0) @ params["dense"]["kernel"] + params["dense"]["bias"]
    h = jax.nn.relu(jnp.where(mask[..., None], h, 1))
    return jm.ops.mean_pool(jm.masked(h, mask))


def bidirectional():
    """A `Masked` in, one step of it a step out."""
    x = jm.Input((None, FEATURES), masked=True)
    h = L.Bidirectional(L.LSTM(8, return_sequences=True))(x)
    return jm.Model(x, L.Dense(3)(L.Dropout(0.5)(h))), masked_input()


def bidirectional_by_hand(params, x):
    forward, backward = (jm.rnn.LSTMParams(**params["bidirectional"][name]) for name in ("forward", "backward"))
    one, _ = jm.rnn.lstm(forward, x)
    other, _ = jm.rnn.lstm(backward, x, reverse=True)
    h = jnp.concatenate([one.values, other.values], -1)
    h = jnp.where(x.mask[..., None], h, 0) @ params["dense"]["kernel"] + params["dense"]["bias"]
    return jm.masked(h, x.mask)


def residual():
    x = jm.Input((None, FEATURES), masked=True)
    h = L.Add()([x, L.Dense(FEATURES, activation="tanh")(L.LayerNormalization()(x))])
    return jm.Model(x, h * 2), masked_input()


def residual_by_hand(params, x):
    mask, values = x.mask[..., None], jnp.where(x.mask[..., None], x.values, 0)
    centred = values - values.mean(-1, keepdims=True)
    normal = centred * jax.lax.rsqrt(jnp.square(centred).mean(-1, keepdims=True) + 1e-3)
    normal = normal * params["layer_normalization"]["gamma"] + params["layer_normalization"]["beta"]
    h = jnp.where(mask, normal, 0) @ params["dense"]["kernel"] + params["dense"]["bias"]
    h = x.values + jnp.tanh(jnp.where(mask, h, 1))
    return jm.masked(jnp.where(mask, h, 1) * 2, x.mask)


def gradient_of(function):
    """The gradient of a function of parameters and inputs, with respect to the parameters."""

    def loss(params, x):
        y = function(params, x)
        return jnp.square(y.fill(0) if isinstance(y, jm.Masked) else y).sum()

    return jax.grad(loss)


def compiled(function, *args):
    """What the compiled function gives, its floating-point operations and the bytes that it reads and writes."""
    executable = jax.jit(function).lower(*args).compile()
    analysis = executable.cost_analysis()
    analysis = analysis[0] if isinstance(analysis, list) else analysis
    result = executable(*args)
    leaves = jax.tree.leaves(result.fill(0) if isinstance(result, jm.Masked) else result)
    return leaves, analysis["flops"], analysis["bytes accessed"]


@pytest.mark.slow
@pytest.mark.parametrize("transform", [lambda f: f, gradient_of], ids=["forward", "gradient"])
@pytest.mark.parametrize(
    ("make", "by_hand"),
    [(tagger, tagger_by_hand), (bidirectional, bidirectional_by_hand), (residual, residual_by_hand)],
    ids=["tagger", "bidirectional", "residual"],
)
def test_a_model_costs_what_it_costs_by_hand(make, by_hand, transform):
    model, x = make()
    params = model.init(jax.random.key(0))
    found, flops, num_bytes = compiled(transform(model.apply), params, x)
    expected, flops_by_hand, num_bytes_by_hand = compiled(transform(by_hand), params, x)
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    assert 0 < flops <= flops_by_hand
    assert 0 < num_bytes <= num_bytes_by_hand


def test_one_operation_or_one_pass_more_would_be_seen():
    model, x = residual()
    params = model.init(jax.random.key(0))
    _, flops, num_bytes = compiled(model.apply, params, x)
    _, more_flops, _ = compiled(lambda p, x: model.apply(p, x).map(lambda y: y + 1), params, x)
    _, _, more_bytes = compiled(lambda p, x: model.apply(p, x) @ jnp.ones((FEATURES, FEATURES)), params, x)
    assert more_flops - flops >= BATCH * TIME * FEATURES
    assert more_bytes > num_bytes
