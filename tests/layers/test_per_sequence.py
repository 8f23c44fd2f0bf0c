"""Functions of one sequence, and Flax modules, as layers of models."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
LENGTHS = [3, 0, 5]


@pytest.fixture
def x(rng):
    return jm.from_lengths(jnp.asarray(rng.normal(size=(3, 5, 4)), "float32"), LENGTHS)


@pytest.mark.slow
def test_a_linen_module_in_a_functional_model(x, getkey):
    module = nn.Sequential([nn.Dense(4), nn.MultiHeadAttention(2), nn.RNN(nn.GRUCell(3))])
    inputs = jm.Input((None, 4))
    steps = L.PerSequence(module)(L.Masking()(inputs))
    model = jm.Model(inputs, L.Dense(2)(L.PerSequence(lambda h: h.max(0))(steps)))
    params = model.init(getkey(), x)
    assert params["sequential"]["layers_2"]["cell"]["hn"]["kernel"].shape == (3, 3)

    def alone(params, row):
        steps = module.apply({"params": params["sequential"]}, row)
        return steps.max(0) @ params["dense"]["kernel"] + params["dense"]["bias"]

    def loss(params):
        return jm.ops.sum(jax.jit(model.apply)(params, x) ** 2)

    rows = [x.values[i, :n] for i, n in enumerate(LENGTHS)]
    y = model.apply(params, x)
    assert y.mask.tolist() == [n > 0 for n in LENGTHS]
    assert_close(y.fill(0), jnp.stack([alone(params, row) if len(row) else jnp.zeros(2) for row in rows]))
    of_rows = jax.grad(lambda params: sum((alone(params, row) ** 2).sum() for row in rows if len(row)))(params)
    found = jax.grad(loss)(params)
    assert_close(found["sequential"]["layers_0"]["kernel"], of_rows["sequential"]["layers_0"]["kernel"])


def test_an_nnx_module_brings_its_parameters(x, getkey):
    module = nnx.Conv(4, 3, 3, rngs=nnx.Rngs(0))
    layer = L.PerSequence(lambda row: module(row[None])[0])
    as_module = L.PerSequence(nnx.Linear(4, 3, rngs=nnx.Rngs(0)))
    assert_close(layer.apply({}, x).lengths, LENGTHS)
    params = as_module.init(getkey(), x)
    assert jax.tree.map(jnp.shape, params) == {"bias": (3,), "kernel": (4, 3)}
    doubled = jax.tree.map(lambda p: 2 * p, params)
    assert_close(as_module.apply(doubled, x).fill(0), 2 * as_module.apply(params, x).fill(0))
    assert as_module.default_name == "linear"


def test_an_nnx_module_with_a_state_of_its_own(x, getkey):
    module = nnx.RNN(nnx.GRUCell(4, 3, rngs=nnx.Rngs(0)))
    layer = L.PerSequence(module)
    params = layer.init(getkey(), x)
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(params)} == {"float32"}
    result = jax.jit(layer.apply)(params, x)
    for row, n in enumerate(LENGTHS):
        if n:
            assert_close(result.values[row, :n], module(x.values[row : row + 1, :n])[0])


def test_dropout_of_a_linen_module_draws_for_each_sequence(getkey):
    x = jm.from_lengths(jnp.ones((2, 40, 3)), [40, 40])
    layer = L.PerSequence(nn.Dropout(0.5, deterministic=False))
    first, second = layer.apply({}, x, training=True, key=getkey()).values
    assert set(np.unique(first)) == {0, 2}
    assert (first != second).any()


def test_several_inputs_and_constraints(x):
    layer = L.PerSequence(lambda a, b: a * b[-1], lengths="t", constraints=["t >= 4"])
    result = layer.apply({}, x, x)
    assert result.lengths.tolist() == [0, 0, 5]
    assert_close(result.values[2], x.values[2] * x.values[2, -1])


def test_refusals(x, getkey):
    with pytest.raises(TypeError, match="`function` of `PerSequence` is a function; received 3"):
        L.PerSequence(3)
    with pytest.raises(ValueError, match=r"collections \['batch_stats'\] beside its parameters"):
        L.PerSequence(nn.BatchNorm(use_running_average=False)).init(getkey(), x)
