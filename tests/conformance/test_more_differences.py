"""More layers that Keras gets wrong, computed live: empty rows, NaN in the padding, directions, axes and distances."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.calls import mask_of, weights_of, with_mask

L = jm.layers
MASK = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]], bool)  # the last row is empty


@pytest.fixture
def values(rng):
    return rng.normal(size=(3, 4, 2)).astype("float32")


@pytest.fixture
def x(values):
    return jm.masked(np.where(MASK[..., None], values, np.nan), MASK)


# Rows without a real step


def test_pooling_an_empty_row(keras, values, x):
    """The mean of nothing is NaN in Keras, and 0 in jmask, which passes no gradient (r8)."""
    theirs = keras.layers.GlobalAveragePooling1D()(with_mask(keras, values, MASK))
    assert np.isnan(theirs[2]).all()
    assert_close(L.GlobalAveragePooling1D()(x), np.where(np.isnan(theirs), 0, theirs))
    gradient = jax.grad(lambda v: L.GlobalAveragePooling1D()(jm.masked(v, MASK)).values.sum())(x.values)
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[2].any()


@pytest.mark.parametrize("name", ["Attention", "AdditiveAttention"])
def test_attention_to_an_empty_row(name, keras, values, x):
    """Keras attends to the padding, to each step alike; in jmask there is nothing to be seen (r8)."""
    query = values[:, :3]
    layer = getattr(keras.layers, name)()
    outputs, scores = layer([query, with_mask(keras, values, MASK)], return_attention_scores=True)
    assert_close(scores[2], np.full((3, 4), 0.25))
    assert_close(outputs[2], np.broadcast_to(values[2].mean(0), (3, 2)))
    ours = getattr(L, name)(return_attention_scores=True)
    params = {"scale": jnp.asarray(layer.scale.value)} if name == "AdditiveAttention" else {}
    y, weights = ours.apply(params, query, x)
    assert not np.asarray(y)[2].any()
    assert not np.asarray(weights)[2].any()
    assert_close(np.asarray(y)[:2], outputs[:2])


@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_heads_on_an_empty_row(dropout, keras, values, x):
    """What Keras gives depends on whether there would be dropout in training; jmask gives the bias."""
    layer = keras.layers.MultiHeadAttention(1, 2, use_bias=False, dropout=dropout)
    outputs = layer(values, with_mask(keras, values, MASK))
    assert np.asarray(outputs)[2].any() == (dropout == 0)  # else an average over the padding
    ours = L.MultiHeadAttention(1, 2, use_bias=False, dropout=dropout)
    params = keras_params(layer, ours, values, x)
    y = ours.apply(params, values, x)
    assert_close(np.asarray(y)[:2], outputs[:2])
    assert not np.asarray(y)[2].any()


def keras_params(theirs, ours, *inputs):
    shapes = jax.eval_shape(lambda: ours.init(jax.random.key(0), *inputs))
    return jax.tree.map(lambda weight: jnp.asarray(weight.value), weights_of(theirs, shapes))


# NaN in the padding


@pytest.mark.parametrize("name", ["SimpleRNN", "GRU", "LSTM"])
def test_the_gradient_of_a_recurrent_layer_with_nan_in_the_padding(name, keras, x):
    """Keras' outputs are finite and its gradients NaN (r8)."""
    ours, theirs = getattr(L, name)(3), getattr(keras.layers, name)(3)
    theirs(keras.Input((None, 2)))

    def loss_of_keras(values):
        return theirs(values, mask=jnp.asarray(MASK)).sum()

    loss, gradient = jax.value_and_grad(loss_of_keras)(x.values)
    assert np.isfinite(loss)
    assert np.isnan(gradient).any()
    params = keras_params(theirs, ours, x)
    actual, (param_gradients, input_gradient) = jax.value_and_grad(
        lambda params, values: ours.apply(params, jm.masked(values, MASK)).values.sum(), argnums=(0, 1)
    )(params, x.values)
    assert_close(actual, loss)
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((param_gradients, input_gradient)))
    expected = jax.grad(loss_of_keras)(x.fill(0.0))  # what Keras gives for ordinary numbers there
    assert_close(input_gradient, np.where(MASK[..., None], expected, 0))


@pytest.mark.parametrize("name", ["Attention", "MultiHeadAttention"])
def test_attention_to_nan_in_the_padding(name, keras, values, x):
    """In Keras NaN in a padded value reaches every query, as 0 times NaN."""
    args = () if name == "Attention" else (1, 2)
    ours, theirs = getattr(L, name)(*args), getattr(keras.layers, name)(*args)

    def call(value):
        return theirs([values, value]) if name == "Attention" else theirs(values, value)

    assert np.isnan(call(with_mask(keras, x.values, MASK))[:2]).any()
    expected = call(with_mask(keras, values, MASK))
    y = ours.apply(keras_params(theirs, ours, values, x), values, x)
    assert_close(np.asarray(y)[:2], expected[:2])


# Directions and axes


def test_the_mask_of_what_goes_backwards(keras, values):
    """Keras turns the outputs round and leaves the mask as it was."""
    row, mask = values[:1], MASK[:1]
    theirs = keras.layers.LSTM(3, return_sequences=True, go_backwards=True, zero_output_for_mask=True)
    outputs = theirs(with_mask(keras, row, mask))
    np.testing.assert_array_equal(mask_of(keras, outputs), mask)
    assert np.asarray(outputs).any(-1).tolist() == [[False, False, True, True]]
    ours = L.LSTM(3, return_sequences=True, go_backwards=True)
    y = ours.apply(keras_params(theirs, ours, row), jm.masked(row, mask))
    assert y.mask.tolist() == [[False, False, True, True]]
    assert_close(y.fill(0), outputs)


def test_softmax_of_as_many_classes_as_steps_and_rows(keras, rng):
    """In Keras a mask over time then hides classes."""
    logits, mask = rng.normal(size=(3, 3, 3)).astype("float32"), np.array([[1, 1, 1], [1, 1, 0], [1, 0, 0]], bool)
    outputs = keras.layers.Softmax()(with_mask(keras, logits, mask))
    assert not np.asarray(outputs)[:, 1, 2].any()  # mask[1, 2] has hidden class 2 of step 1 in every row
    expected = keras.layers.Softmax()(logits)
    assert not np.allclose(np.asarray(outputs)[mask], np.asarray(expected)[mask])
    y = L.Softmax()(jm.masked(logits, mask))
    assert_close(np.asarray(y.values)[mask], np.asarray(expected)[mask])
    with pytest.raises(ValueError, match="broadcastable"):
        keras.layers.Softmax()(with_mask(keras, logits[:2], mask[:2]))


def test_convolutional_recurrence_under_a_mask(keras, rng):
    """ConvLSTM freezes pixels in place of samples if there are as many, and crashes otherwise (r4)."""
    video = rng.normal(size=(2, 3, 2, 1)).astype("float32")  # as many samples as pixels
    mask = np.array([[True, False, False], [True, True, True]])
    layer = keras.layers.ConvLSTM1D(1, 2, padding="same")
    alone = [np.asarray(layer(video[row][mask[row]][None]))[0] for row in range(2)]
    outputs = np.asarray(layer(video, mask=jnp.asarray(mask)))
    assert not np.allclose(outputs[0], alone[0], atol=1e-4)
    assert not np.allclose(outputs[1], alone[1], atol=1e-4)  # a row without padding is wrong, too
    with pytest.raises(ValueError, match="Incompatible shapes"):
        layer(np.concatenate([video, video[:1]]), mask=jnp.asarray(np.concatenate([mask, mask[:1]])))
    ours, params, _ = jm.from_keras(layer)
    y = ours.apply(params, jm.masked(video, mask))
    for row in range(2):
        assert_close(y[row], alone[row])


def test_values_of_another_width_than_the_keys(keras, values, x):
    """Keras' fast path cannot have them on JAX; its other one, which dropout selects, can."""
    crashing, working = (keras.layers.MultiHeadAttention(1, 2, value_dim=3, dropout=rate) for rate in (0.0, 0.1))
    with pytest.raises(TypeError, match="reshape"):
        crashing(values, values)
    ours = L.MultiHeadAttention(1, 2, value_dim=3)
    y = working(values, values)
    assert_close(ours.apply(keras_params(working, ours, values, values), values, values), y)


def test_a_window_over_holes(keras, rng):
    """Keras counts padding as distance, so that a window over holes is shorter than over the row alone."""
    row, mask = rng.normal(size=(1, 5, 2)).astype("float32"), np.array([[True, False, True, False, True]])
    ours, theirs = (module.MultiHeadAttention(1, 2, sliding_window=2) for module in (L, keras.layers))
    outputs, alone = np.asarray(theirs(*[with_mask(keras, row, mask)] * 2)), theirs(row[mask][None], row[mask][None])
    assert not np.allclose(outputs[mask], alone[0], atol=1e-3)
    x = jm.masked(row, mask)
    y = ours.apply(keras_params(theirs, ours, x, x), x, x)
    assert_close(np.asarray(y.values)[mask], alone[0])


def test_a_very_low_logit_that_is_real(keras):
    """Keras takes every logit below -1e9 for a masked one."""
    logits, mask = np.full((1, 2), -1e30, "float32"), np.array([[True, False]])
    assert_close(keras.layers.Softmax()(logits, mask=jnp.asarray(mask)), [[0.0, 0.0]])
    assert_close(L.Softmax()(jm.masked(logits, mask)).fill(0), [[1.0, 0.0]])


def test_a_mask_upon_a_mask(keras):
    """`Masking` forgets in Keras what was padding before."""
    x = with_mask(keras, np.ones((1, 3, 1)), [[True, True, False]])
    assert mask_of(keras, keras.layers.Masking()(x)).all()
    assert L.Masking()(jm.masked(np.ones((1, 3, 1)), [[True, True, False]])).mask.tolist() == [[True, True, False]]


def test_batch_normalization_of_one_feature(keras, rng):
    """Under a mask Keras cannot have fewer than two."""
    values, mask = rng.normal(size=(2, 3, 1)).astype("float32"), np.array([[True, True, False], [True] * 3])
    with pytest.raises(Exception, match="BatchNormalization"):
        keras.layers.BatchNormalization()(values, mask=jnp.asarray(mask), training=True)
    expected = keras.layers.BatchNormalization()(values[mask][None], training=True)
    layer, x = L.BatchNormalization(), jm.masked(values, mask)
    y, _ = layer.apply_with_state(layer.init(jax.random.key(0), x), layer.init_state(x), x, training=True)
    assert_close(np.asarray(y.values)[mask], expected[0])


def test_repeated_vectors(keras):
    """Rows that are not real stay so in jmask; Keras destroys the mask, with a warning."""
    values, mask = np.ones((2, 3), "float32"), np.array([True, False])
    with pytest.warns(UserWarning, match="destroy the mask"):
        outputs = keras.layers.RepeatVector(2)(with_mask(keras, values, mask))
    assert mask_of(keras, outputs) is None
    assert L.RepeatVector(2)(jm.masked(values, mask)).mask.tolist() == [[True, True], [False, False]]
