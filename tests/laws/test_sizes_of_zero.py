"""Batches without rows, sequences without steps and steps without features: shapes, values and gradients."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm

L = jm.layers
KEY = jax.random.key(0)
LAYERS = [
    L.Dense(3),
    L.EinsumDense("btf,fu->btu", (None, 3)),
    L.Masking(),
    L.Activation("relu"),
    L.Softmax(axis=1),
    L.PReLU(shared_axes=[1]),
    L.LayerNormalization(),
    L.RMSNormalization(),
    L.UnitNormalization(axis=1),
    L.GroupNormalization(1),
    L.BatchNormalization(),
    L.Dropout(0.5),
    L.SpatialDropout1D(0.5),
    L.GaussianNoise(0.5),
    L.ActivityRegularization(l1=0.1),
    L.Conv1D(3, 2),
    L.Conv1D(3, 2, padding="same", strides=2),
    L.SeparableConv1D(3, 2),
    L.Conv1DTranspose(3, 2, strides=2),
    L.MaxPooling1D(2),
    L.AveragePooling1D(2, strides=1, padding="same"),
    L.GlobalAveragePooling1D(),
    L.GlobalMaxPooling1D(),
    L.SimpleRNN(3),
    L.GRU(3, return_sequences=True),
    L.LSTM(3, return_sequences=True, zero_output_for_mask=False),
    L.RNN(L.StackedRNNCells([L.GRUCell(3), L.LSTMCell(2)])),
    L.Bidirectional(L.LSTM(3)),
    L.PositionEmbedding(9),
    L.SinePositionEncoding(),
    L.RotaryEmbedding(),
    L.TimeDistributed(L.Dense(3)),
    L.Cropping1D(),
    L.ZeroPadding1D(2),
    L.UpSampling1D(2),
    L.Reshape((-1, 2)),
    L.Permute((1, 2)),
    L.PerSequence(jnp.cumsum),
    L.MultiHeadAttention(2, 3),
    L.Attention(),
    L.AdditiveAttention(),
    L.Add(),
    L.Concatenate(axis=1),
    L.Dot(2),
]
EVERY_LAYER = pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: type(layer).__name__)
SHAPES = [(0, 3, 4), (2, 0, 4), (0, 0, 4), (2, 3, 0)]


def inputs_of(layer, x):
    name = type(layer).__name__
    return (x, x) if "Attention" in name else ([x, x],) if name in ("Add", "Concatenate", "Dot") else (x,)


def run(layer, params, state, *inputs):
    if state:
        return layer.apply_with_state(params, state, *inputs, training=True, key=KEY)[0]
    return layer.apply(params, *inputs, training=True, key=KEY)


def total(outputs):
    leaves = jax.tree.leaves(outputs, is_leaf=lambda leaf: isinstance(leaf, jm.Masked))
    return sum(jnp.sum(leaf.fill(0) if isinstance(leaf, jm.Masked) else leaf) for leaf in leaves)


@pytest.mark.slow
@EVERY_LAYER
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_layer_takes_them(layer, shape):
    if shape[1] == 0 and isinstance(layer, L.PerSequence):
        pytest.skip("a function of one sequence is not run without a step")

    def gradient(x):
        inputs = inputs_of(layer, x)
        params, state = layer.init(KEY, *inputs), layer.init_state(*inputs)
        return jax.grad(lambda params: total(run(layer, params, state, *inputs)))(params)

    values = jax.ShapeDtypeStruct(shape, "float32")
    jax.eval_shape(gradient, values)
    jax.eval_shape(
        lambda values, mask: gradient(jm.masked(values, mask)), values, jax.ShapeDtypeStruct(shape[:2], bool)
    )


@pytest.mark.parametrize(
    ("layer", "shape", "expected"),
    [
        (L.GroupNormalization(2), (2, 0, 4), np.zeros((2, 0, 4))),
        (L.GroupNormalization(-1), (0, 3, 4), np.zeros((0, 3, 4))),
        (L.Reshape((-1, 2)), (0, 3, 4), np.zeros((0, 6, 2))),
        (L.Reshape((-1, 2)), (2, 0, 4), np.zeros((2, 0, 2))),
        (L.GlobalAveragePooling1D(), (2, 0, 4), np.zeros((2, 4))),
        (L.GlobalMaxPooling1D(), (2, 0, 4), np.zeros((2, 4))),
        (L.LSTM(3), (2, 0, 4), np.zeros((2, 3))),
        (L.Dense(3, bias_initializer="ones"), (2, 3, 0), np.ones((2, 3, 3))),
    ],
    ids=str,
)
@pytest.mark.parametrize("is_masked", [False, True])
def test_values(layer, shape, expected, is_masked):
    x = jm.masked(jnp.ones(shape), jnp.ones(shape[:2], bool)) if is_masked else jnp.ones(shape)
    found = layer.apply(layer.init(KEY, x), x)
    np.testing.assert_array_equal(found.fill(0) if isinstance(found, jm.Masked) else found, expected)
