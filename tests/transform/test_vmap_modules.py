"""Modules of other libraries, which know nothing of masks, on padded batches."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from beside import check
from flax import nnx
from table import Case

import jmask as jm
from jmask.testing import assert_close

FEATURES = 4

LINEN = {
    "MultiHeadAttention": nn.MultiHeadAttention(2),
    "LayerNorm": nn.LayerNorm(),
    "RMSNorm": nn.RMSNorm(),
    "GroupNorm": nn.GroupNorm(1, use_fast_variance=False),
    "InstanceNorm": nn.InstanceNorm(use_fast_variance=False),
    "Conv": nn.Conv(3, (3,)),
    "Conv, strides": nn.Conv(3, (3,), strides=2),
    "Conv, causal, dilated": nn.Conv(3, (3,), padding="CAUSAL", kernel_dilation=2),
    "ConvTranspose": nn.ConvTranspose(3, (3,), strides=(2,)),
    "RNN of LSTMCell": nn.RNN(nn.LSTMCell(3), return_carry=True),
    "RNN of GRUCell, reverse": nn.RNN(nn.GRUCell(3), reverse=True, keep_order=True),
    "Bidirectional": nn.Bidirectional(nn.RNN(nn.LSTMCell(3)), nn.RNN(nn.GRUCell(3))),
    "Sequential": nn.Sequential(
        [nn.Dense(5), nn.gelu, nn.LayerNorm(), nn.MultiHeadDotProductAttention(1), nn.Conv(3, (2,))]
    ),
}


@pytest.mark.parametrize("name", LINEN)
def test_linen(name):
    module = LINEN[name]
    variables = module.init(jax.random.key(0), jnp.ones((3, FEATURES)))
    leaves, structure = jax.tree.flatten(variables)
    params = {str(i): leaf for i, leaf in enumerate(leaves)}

    def fn(params, x):
        return module.apply(structure.unflatten(params[str(i)] for i in range(len(leaves))), x)

    check(name, Case(fn, step=(FEATURES,)), params)


class Block(nnx.Module):
    """Attention, a convolution and norms."""

    def __init__(self, rngs):
        self.attention = nnx.MultiHeadAttention(2, FEATURES, decode=False, rngs=rngs)
        self.first, self.second = nnx.LayerNorm(FEATURES, rngs=rngs), nnx.RMSNorm(FEATURES, rngs=rngs)
        self.conv = nnx.Conv(FEATURES, FEATURES, 3, rngs=rngs)
        self.group = nnx.GroupNorm(FEATURES, num_groups=2, use_fast_variance=False, rngs=rngs)

    def __call__(self, x):
        x = x + self.attention(self.first(x))
        x = x + nnx.gelu(self.conv(self.second(x)[None])[0])
        return self.group(x[None])[0]


class Recurrent(nnx.Module):
    """An RNN."""

    def __init__(self, rngs):
        self.rnn = nnx.RNN(nnx.GRUCell(FEATURES, 3, rngs=rngs), rngs=False)

    def __call__(self, x):
        return self.rnn(x[None], initial_carry=jnp.zeros((1, 3)))[0]


@pytest.mark.parametrize("make", [Block, Recurrent])
def test_nnx(make):
    graph, state = nnx.split(make(nnx.Rngs(0)))
    leaves, structure = jax.tree.flatten(state)
    params = {str(i): leaf for i, leaf in enumerate(leaves)}

    def fn(params, x):
        return nnx.merge(graph, structure.unflatten(params[str(i)] for i in range(len(leaves))))(x)

    check(make.__name__, Case(fn, step=(FEATURES,)), params)


EQUINOX = {
    "MultiheadAttention": lambda key: (lambda m: lambda x: m(x, x, x))(eqx.nn.MultiheadAttention(2, FEATURES, key=key)),
    "Conv1d": lambda key: (lambda m: lambda x: m(x.T).T)(eqx.nn.Conv1d(FEATURES, 3, 3, padding=1, key=key)),
    "GroupNorm": lambda key: (lambda m: lambda x: m(x.T).T)(eqx.nn.GroupNorm(2, FEATURES)),
    "MLP": lambda key: jax.vmap(eqx.nn.MLP(FEATURES, 3, 5, 1, key=key)),
    "LSTMCell": lambda key: (lambda m: lambda x: jax.lax.scan(lambda s, i: (m(i, s), None), (jnp.zeros(3),) * 2, x)[0])(
        eqx.nn.LSTMCell(FEATURES, 3, key=key)
    ),
}


@pytest.mark.parametrize("name", EQUINOX)
def test_equinox(name):
    module = EQUINOX[name](jax.random.key(0))
    fn = Case(lambda params, x: jax.tree.map(lambda y: y * params["scale"], module(x)), step=(FEATURES,))
    check(name, fn, {"scale": jnp.ones(())})


# The layers of jmask, written by hand with masks, are the oracle, and have jm.vmap for theirs.


@pytest.mark.parametrize(
    ("by_hand", "alone"),
    [
        (lambda x: jm.ops.mean(x, axis=1), lambda x: x.mean(0)),
        (lambda x: jm.ops.max(x, axis=1), lambda x: x.max(0)),
        (lambda x: jm.ops.softmax(x, axis=1), lambda x: jax.nn.softmax(x, axis=0)),
        (lambda x: jm.ops.layer_norm(x), lambda x: jax.nn.standardize(x, epsilon=1e-3)),
    ],
    ids=["mean", "max", "softmax", "layer_norm"],
)
def test_beside_the_ops(by_hand, alone, rng):
    x = jm.from_lengths(jnp.asarray(rng.normal(size=(4, 6, FEATURES)), "float32"), [3, 0, 6, 1])

    def run(function):
        def filled(values):
            result = function(x.with_values(values))
            return result.fill(0) if isinstance(result, jm.Masked) else result

        value, pull = jax.vjp(filled, x.values)
        return value, pull(jnp.cos(value))[0]

    jax.tree.map(assert_close, run(jm.vmap(alone)), run(by_hand))


@pytest.mark.parametrize("reverse", [False, True])
def test_beside_the_lstm(reverse, rng):
    x = jm.from_lengths(jnp.asarray(rng.normal(size=(4, 6, FEATURES)), "float32"), [3, 0, 6, 1])
    layer = jm.layers.LSTM(3, return_sequences=True, go_backwards=reverse)
    params = layer.init(jax.random.key(0), x)

    def alone(row):
        return layer.apply(params, row[None])[0]

    assert_close(jm.vmap(alone)(x).fill(0), jm.compact(layer.apply(params, x))[0].fill(0))
