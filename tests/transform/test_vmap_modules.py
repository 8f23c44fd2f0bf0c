"""Modules of other libraries, which know nothing of masks, on padded batches."""

import equinox as eqx
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from tests.support.one_sequence.functions import Case
from tests.support.one_sequence.row_by_row import check

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

QUICK = ("Conv, strides", "RNN of GRUCell, reverse", "MLP")


def quick_or_slow(names):
    return [pytest.param(name, marks=[] if name in QUICK else [pytest.mark.slow]) for name in names]


@pytest.mark.parametrize("name", quick_or_slow(LINEN))
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


@pytest.mark.parametrize("make", [Block, pytest.param(Recurrent, marks=pytest.mark.slow)])
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


@pytest.mark.parametrize("name", quick_or_slow(EQUINOX))
def test_equinox(name):
    module = EQUINOX[name](jax.random.key(0))
    fn = Case(lambda params, x: jax.tree.map(lambda y: y * params["scale"], module(x)), step=(FEATURES,))
    check(name, fn, {"scale": jnp.ones(())})
