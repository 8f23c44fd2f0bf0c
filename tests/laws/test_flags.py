"""Flags of JAX under which other people run their programs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from tests.laws.cases import CASES
from tests.support.batches import LENGTHS, TIME, right
from tests.support.program import Trial

OF_THE_CASE = "the function of the case promotes ranks itself"
SKIPS = dict.fromkeys(("vmap(normalise)", "vmap(lstm)", "vmap(argmin, grad)"), OF_THE_CASE)


@pytest.mark.slow
@pytest.mark.parametrize("case", [case for case in CASES if case.name not in SKIPS], ids=str)
def test_ranks_are_not_promoted(case, rng):
    trial = Trial(case, rng)
    params, inputs = trial.params, list(trial.batch(right(LENGTHS, TIME)))

    def total(params, *inputs):
        leaves = jax.tree.leaves(case.run(params, *inputs), is_leaf=lambda leaf: isinstance(leaf, jm.Masked))
        arrays = [jnp.asarray(leaf.fill(0) if isinstance(leaf, jm.Masked) else leaf) for leaf in leaves]
        return sum(jnp.sum(array.astype("float32")) for array in arrays if not isinstance(array, np.ndarray))

    with jax.numpy_rank_promotion("raise"), jax.enable_checks(True):
        jax.eval_shape(jax.grad(total, allow_int=True), params, *inputs)


@pytest.mark.slow
@pytest.mark.parametrize(
    "layer",
    [
        jm.layers.Dense(3),
        jm.layers.LayerNormalization(),
        jm.layers.Softmax(axis=1),
        jm.layers.GlobalMaxPooling1D(),
        jm.layers.GlobalAveragePooling1D(),
        jm.layers.LSTM(3),
        jm.layers.MultiHeadAttention(2, 3),
        jm.layers.Conv1D(3, 2),
        jm.layers.GroupNormalization(2),
        jm.layers.PerSequence(lambda row: row / row.sum(0)),
    ],
    ids=lambda layer: type(layer).__name__,
)
def test_padding_of_nan_where_nan_is_an_error(layer, rng):
    values = rng.normal(size=(3, 5, 4)).astype("float32")
    mask = np.arange(5) < np.array([[5], [2], [0]])
    x = jm.masked(jnp.where(mask[..., None], values, jnp.nan), mask)
    inputs = (x, x) if isinstance(layer, jm.layers.MultiHeadAttention) else (x,)
    params = layer.init(jax.random.key(0), *inputs)

    def loss(params, *inputs):
        outputs = layer.apply(params, *inputs)
        return jnp.sum((outputs.fill(0) if isinstance(outputs, jm.Masked) else outputs) ** 2)

    with jax.debug_nans(True), jax.debug_infs(True):
        jax.jit(jax.grad(loss))(params, *inputs)


def test_the_flag_does_something():
    with jax.numpy_rank_promotion("raise"), pytest.raises(ValueError, match="rank_promotion"):
        jnp.ones((2, 3)) + jnp.ones(3)


@pytest.mark.parametrize("is_masked", [False, True])
def test_a_model_where_ranks_are_not_promoted(is_masked):
    L = jm.layers  # noqa: N806
    x = jm.from_lengths(jnp.ones((2, 5, 4)), [5, 2]) if is_masked else jnp.ones((2, 5, 4))
    layers = [L.Dense(4), L.LayerNormalization(), L.Conv1D(3, 2), L.LSTM(3, return_sequences=True), L.GRU(2)]
    model = jm.Sequential(layers)
    with jax.numpy_rank_promotion("raise"):
        params = model.init(jax.random.key(0), x)
        jax.eval_shape(jax.grad(lambda params: jm.ops.sum(model.apply(params, x))), params)
