"""The functions and layers of jmask, written by hand with masks, and `jm.vmap`: each is the oracle of the other."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

FEATURES = 4
LENGTHS = [3, 0, 6, 1]
TABLE = np.random.default_rng(0).normal(size=(7, 3)).astype("float32")

OPS = {
    "sum": (functools.partial(jm.ops.sum, axis=1), lambda x: x.sum(0)),
    "prod": (functools.partial(jm.ops.prod, axis=1), lambda x: x.prod(0)),
    "mean": (functools.partial(jm.ops.mean, axis=1), lambda x: x.mean(0)),
    "max": (functools.partial(jm.ops.max, axis=1), lambda x: x.max(0)),
    "min": (functools.partial(jm.ops.min, axis=1), lambda x: x.min(0)),
    "var": (functools.partial(jm.ops.var, axis=1), lambda x: x.var(0)),
    "mean of all": (functools.partial(jm.ops.mean, axis=(1, 2)), jnp.mean),
    "mean_pool": (jm.ops.mean_pool, lambda x: x.mean(0)),
    "softmax over time": (functools.partial(jm.ops.softmax, axis=1), functools.partial(jax.nn.softmax, axis=0)),
    "softmax over features": (jm.ops.softmax, jax.nn.softmax),
    "layer_norm": (jm.ops.layer_norm, lambda x: jax.nn.standardize(x, epsilon=1e-3)),
    "dense": (lambda x: jm.ops.dense(x, TABLE[:FEATURES]), lambda x: x @ TABLE[:FEATURES]),
    "flip": (jm.ops.flip, lambda x: jnp.flip(x, 0)),
    "add": (lambda x: jm.ops.add([x, x * x]), lambda x: x + x * x),
    "concatenate": (lambda x: jm.ops.concatenate([x, -x]), lambda x: jnp.concatenate([x, -x], -1)),
    "concatenate over time": (
        lambda x: jm.ops.concatenate([x, -x], axis=1),
        lambda x: jnp.concatenate([x, -x]),
    ),
}


def values_and_gradient(function, x):
    """Of the real steps, from the first on, or of the real rows."""

    def filled(values):
        return in_front(function(x.with_values(values)))

    value, pull = jax.vjp(filled, x.values)
    return value, pull(jnp.cos(jnp.arange(value.size)).reshape(value.shape))[0]


def batch(rng, lengths=LENGTHS):
    """Padding anywhere."""
    mask = rng.permuted(np.arange(6) < np.array(lengths)[:, None], axis=1)
    return jm.masked(jnp.asarray(rng.normal(size=(4, 6, FEATURES)), "float32"), mask)


@pytest.mark.slow
@pytest.mark.parametrize("name", OPS)
def test_the_ops(name, rng):
    by_hand, alone = OPS[name]
    x = batch(rng)
    jax.tree.map(assert_close, values_and_gradient(jm.vmap(alone), x), values_and_gradient(by_hand, x))


def test_the_lookup_of_ids(rng):
    ids = jm.from_lengths(jnp.asarray(rng.integers(0, 7, (4, 6))), LENGTHS)
    assert_close(jm.vmap(lambda ids: jnp.asarray(TABLE)[ids])(ids).fill(0), jm.ops.embed(ids, TABLE).fill(0))


LAYERS = {
    "LSTM": lambda **options: jm.layers.LSTM(3, return_state=True, **options),
    "GRU": lambda **options: jm.layers.GRU(3, return_state=True, **options),
    "SimpleRNN": lambda **options: jm.layers.SimpleRNN(3, return_state=True, **options),
}


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", LAYERS)
def test_the_recurrent_layers(name, reverse, rng):
    """One row of them, which has no padding, and the batch, by another way through the engine."""
    x = batch(rng)
    layer = LAYERS[name](return_sequences=True, go_backwards=reverse)
    params = layer.init(jax.random.key(0), x)

    def alone(params, row):
        return jax.tree.map(lambda leaf: leaf[0], layer.apply(params, row[None]))

    def loss(run, params, values):
        outputs = [in_front(leaf) for leaf in run(params, values)]
        return sum((jnp.cos(jnp.arange(leaf.size)) * leaf.ravel()).sum() for leaf in outputs), outputs

    found, expected = (
        jax.jit(jax.grad(functools.partial(loss, run), argnums=(0, 1), has_aux=True))(params, x.values)
        for run in (
            lambda params, v: jax.tree.leaves(
                jm.vmap(functools.partial(alone, params))(x.with_values(v)), is_leaf=is_masked
            ),
            lambda params, v: jax.tree.leaves(layer.apply(params, x.with_values(v)), is_leaf=is_masked),
        )
    )
    jax.tree.map(assert_close, found, expected)


def in_front(leaf):
    """Real steps at the front; what there is once a row stays where it is."""
    if not isinstance(leaf, jm.Masked):
        return leaf
    return (leaf if leaf.mask.ndim == 1 else jm.left_align(leaf)[0]).fill(0)


def is_masked(x):
    return isinstance(x, jm.Masked)
