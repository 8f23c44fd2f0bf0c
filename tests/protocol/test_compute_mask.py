"""`compute_mask`, called by hand as in the guide: the masks that `apply` gives the outputs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.layers import LSTM, Activation, Add, Bidirectional, Dense, Embedding, GlobalAveragePooling1D, Masking

IDS = np.array([[3, 4, 0], [5, 0, 0]], np.int32)
X = jm.masked(np.ones((2, 3, 4), np.float32), [[True, False, True], [False, False, True]])

LAYERS = [
    Activation("relu"),
    Bidirectional(LSTM(3, return_sequences=True), merge_mode=None),
    Dense(2),
    GlobalAveragePooling1D(),
    LSTM(3),
    LSTM(3, return_sequences=True, return_state=True, go_backwards=True),
    Masking(1.0),
    jm.Sequential([Dense(2), LSTM(3, return_sequences=True)]),
]


@pytest.mark.parametrize("layer", LAYERS, ids=repr)
def test_compute_mask_is_the_mask_of_the_outputs(layer):
    outputs = layer.apply(layer.init(jax.random.key(0), X), X)
    leaves = jax.tree.leaves(outputs, is_leaf=lambda leaf: isinstance(leaf, jm.Masked))
    expected = [np.asarray(leaf.mask) for leaf in leaves if isinstance(leaf, jm.Masked)]
    for computed in (layer.compute_mask(X), layer.compute_mask(X.values, X.mask)):
        np.testing.assert_equal(list(map(np.asarray, jax.tree.leaves(computed))), expected)


def test_compute_mask_of_several_inputs():
    other = X.with_mask(jnp.array([[True, True, False], [True, True, True]]))
    np.testing.assert_array_equal(Add().compute_mask([X, other]), X.mask & other.mask)


def test_compute_mask_of_an_embedding_takes_ids_with_and_without_a_mask():
    embedding = Embedding(10, 4, mask_zero=True)
    np.testing.assert_array_equal(embedding.compute_mask(IDS), IDS != 0)
    given = jm.from_lengths(IDS, [1, 1])
    np.testing.assert_array_equal(embedding.compute_mask(given), [[True, False, False], [True, False, False]])
    np.testing.assert_array_equal(embedding.compute_mask(IDS, given.mask), given.mask)
    np.testing.assert_array_equal(Embedding(10, 4).compute_mask(given), given.mask)


def test_compute_mask_of_a_node_is_a_node_that_other_layers_take():
    ids = jm.Input((None,), "int32")
    mask = Embedding(10, 4, mask_zero=True).compute_mask(ids)
    pooled = GlobalAveragePooling1D()(Embedding(10, 4)(ids), mask=mask)
    model = jm.Model(ids, pooled)
    params = model.init(jax.random.key(0))
    alone = model.apply(params, jnp.array([[3, 4]]))
    pooled = model.apply(params, jnp.array([[3, 4, 0]]))
    np.testing.assert_allclose(pooled.values, alone.values, rtol=1e-6)


def test_a_recurrent_layer_refuses_inputs_without_features():
    with pytest.raises(ValueError, match=r"`LSTM` takes values \(batch, time, features\); received \(2, 3\)"):
        LSTM(3).init(jax.random.key(0), IDS)
