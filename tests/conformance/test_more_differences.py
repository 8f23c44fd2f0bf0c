"""More that Keras gets wrong, computed live: empty rows, NaN, directions, losses, metrics, and padding itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

from .beside import mask_of, muted, weights_of, with_mask

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
    gradient = jax.grad(lambda v: L.GlobalAveragePooling1D()(jm.masked(v, MASK)).sum())(x.values)
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
        lambda params, values: ours.apply(params, jm.masked(values, MASK)).sum(), argnums=(0, 1)
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


def test_a_loss_with_nan_in_the_padding(keras, values, x):
    """Keras multiplies by the mask, and 0 times NaN is NaN."""
    theirs = keras.losses.MeanSquaredError()
    assert np.isnan(theirs(np.zeros_like(values), with_mask(keras, x.values, MASK)))
    expected = theirs(np.zeros_like(values), with_mask(keras, values, MASK))
    assert_close(jm.losses.squared_error(x, np.zeros_like(values)), expected)


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
    """ConvLSTM freezes columns of the image in place of samples if there are as many, and crashes otherwise (r4)."""
    video = rng.normal(size=(2, 3, 2, 2, 1)).astype("float32")  # as many samples as columns
    mask = np.array([[True, False, False], [True, True, True]])
    layer = keras.layers.ConvLSTM2D(1, 1, padding="same")
    alone = [np.asarray(layer(video[row][mask[row]][None]))[0] for row in range(2)]
    outputs = np.asarray(layer(video, mask=jnp.asarray(mask)))
    assert not np.allclose(outputs[0], alone[0], atol=1e-4)
    assert not np.allclose(outputs[1], alone[1], atol=1e-4)  # a row without padding is wrong, too
    with pytest.raises(ValueError, match="Incompatible shapes"):
        layer(np.concatenate([video, video[:1]]), mask=jnp.asarray(np.concatenate([mask, mask[:1]])))
    params = [jnp.asarray(weight.value) for weight in layer.weights]
    y = L.RNN(PixelLSTM()).apply(params, jm.masked(video, mask))
    for row in range(2):
        assert_close(y[row], alone[row])


class PixelLSTM:
    """A convolutional LSTM whose windows are one pixel: the same LSTM at each."""

    def initial_state(self, inputs):
        return (jnp.zeros((*inputs.shape[:-1], 1)),) * 2

    def step(self, params, state, inputs):
        kernel, recurrent_kernel, bias = params
        hidden, cell = state
        gates = inputs @ kernel[0, 0] + bias + hidden @ recurrent_kernel[0, 0]
        i, f, candidate, o = jnp.split(gates, 4, -1)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(candidate)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (hidden, cell), hidden


def test_values_of_another_width_than_the_keys(keras, values, x):
    """Keras' fast path cannot have them on JAX; its other one, which dropout selects, can."""
    crashing, working = (keras.layers.MultiHeadAttention(1, 2, value_dim=3, dropout=rate) for rate in (0.0, 0.1))
    with pytest.raises(TypeError, match="reshape"):
        crashing(values, values)
    ours = L.MultiHeadAttention(1, 2, value_dim=3)
    y = working(values, values)
    assert_close(ours.apply(keras_params(working, ours, values, values), values, values), y)


# Losses, metrics and weights


def test_a_weight_for_each_sequence(keras, values):
    """Weights of shape (B,) crash Keras; if B == T they weight steps without a word (r5)."""
    loss, targets = keras.losses.MeanSquaredError(), np.zeros_like(values)
    weights = np.array([1.0, 2.0, 0.5], "float32")
    with pytest.raises((TypeError, ValueError), match=r"[Ii]ncompatible shapes"):
        loss(targets, with_mask(keras, values, MASK), sample_weight=weights)
    right = loss(targets, with_mask(keras, values, MASK), sample_weight=weights[:, None])
    assert_close(jm.losses.squared_error(jm.masked(values, MASK), targets, sample_weight=weights), right)

    square, mask = values[:, :3], MASK[:, :3]
    wrong = loss(targets[:, :3], with_mask(keras, square, mask), sample_weight=weights)
    right = loss(targets[:, :3], with_mask(keras, square, mask), sample_weight=weights[:, None])
    assert not np.allclose(wrong, right)
    assert_close(jm.losses.squared_error(jm.masked(square, mask), targets[:, :3], sample_weight=weights), right)


def test_ctc_with_a_mask(keras, rng):
    """A loss of whole sequences crashes on a mask in Keras (r5); in jmask the mask says how long they are."""
    logits, labels = rng.normal(size=(2, 5, 3)).astype("float32"), np.array([[1, 2], [2, 0]])
    mask = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]], bool)
    with pytest.raises((TypeError, ValueError)):
        keras.losses.CTC()(labels, with_mask(keras, logits, mask))
    of_keras = jax.jit(lambda y, x: keras.losses.CTC()(y, x))
    alone = [of_keras(labels[row][None], logits[row][mask[row]][None]) for row in range(2)]
    ours = jax.jit(jm.losses.ctc_loss)(jm.masked(logits, mask), jm.from_lengths(jnp.asarray(labels), [2, 1]))
    assert_close(ours, np.mean(alone))


METRICS = {
    "recall": ("Recall", lambda x, y, **o: jm.metrics.recall(x, y, **o)),
    "precision": ("Precision", lambda x, y, **o: jm.metrics.precision(x, y, **o)),
    "auc": ("AUC", lambda x, y, **o: jm.metrics.auc(x, y, **o)),
    "RMSE": ("RootMeanSquaredError", lambda x, y, **o: jm.metrics.root_mean_squared_error(x, y, **o)),
}


@pytest.mark.parametrize(("name", "ours"), METRICS.values(), ids=METRICS)
def test_a_metric_that_ignores_the_mask(name, ours, keras):
    """Predictions that are perfect at real steps are not perfect to Keras (r7)."""
    targets = np.array([[1, 0, 1, 1], [1, 1, 0, 1], [1, 1, 0, 0]], "float32")
    predictions = np.where(MASK, targets, 1 - targets)
    perfect = 0.0 if name == "RootMeanSquaredError" else 1.0
    theirs = getattr(keras.metrics, name)()
    theirs.update_state(targets, with_mask(keras, predictions, MASK))
    assert abs(theirs.result() - perfect) > 0.3
    assert_close(ours(jm.masked(predictions, MASK), targets).value, perfect)


def test_a_mean_over_batches(keras):
    """Keras' epoch loss is the mean of the batches' means, so that it depends on how the data are cut into batches."""
    mask = np.array([[1, 1, 1, 1], [1, 0, 0, 0]], bool)
    errors = np.sqrt(np.array([[1, 1, 1, 1], [4, 0, 0, 0]], "float32"))[..., None]
    inputs = keras.Input((4, 1))
    masking = keras.layers.Masking()(inputs)
    model = keras.Model(inputs, keras.layers.Identity()(masking))
    model.compile(loss="mse")
    with muted("Explicitly requested dtype int64"):  # by Keras' loop
        losses = [model.evaluate(errors, np.zeros_like(errors), batch_size=size, verbose=0) for size in (2, 1)]
    assert_close(np.float32(losses), [1.6, 2.5])
    x = jm.masked(errors, mask)
    rows = [jm.losses.squared_error(x[row : row + 1], errors[row : row + 1] * 0, divide=False) for row in range(2)]
    assert_close(jm.losses.squared_error(x, errors * 0), 1.6)
    assert_close(sum(rows).value, 1.6)


def test_a_metric_of_batches_of_different_lengths(keras):
    """In Keras a batch counts by the part of it that is real, so that its padding changes the metric."""
    errors, found = [np.ones((1, 4, 1), "float32"), np.full((1, 1, 1), 2, "float32")], []
    padded = [errors[0], np.pad(errors[1], ((0, 0), (0, 3), (0, 0)))]
    for batches in (errors, padded):
        theirs = keras.metrics.MeanSquaredError()
        for batch, length in zip(batches, (4, 1), strict=True):
            theirs.update_state(batch * 0, with_mask(keras, batch, np.arange(batch.shape[1])[None] < length))
        found.append(theirs.result())
        ours = [jm.from_lengths(jnp.asarray(batch), [n]) for batch, n in zip(batches, (4, 1), strict=True)]
        assert_close(sum(jm.metrics.mean_squared_error(x, x.values * 0) for x in ours).value, 1.6)
    assert_close(np.float32(found), [2.5, 1.6])


# Padding


def test_pad_sequences(keras):
    """Keras pads in front, cuts floats off to integers without a word, and gives no mask."""
    floats = [[1.9, 2.5], [0.0]]
    theirs = keras.utils.pad_sequences(floats)
    assert theirs.dtype == np.int32
    assert theirs.tolist() == [[1, 2], [0, 0]]
    ours = jm.pad_sequences(floats)
    assert_close(ours.values, [[1.9, 2.5], [0.0, 0.0]])
    assert ours.mask.tolist() == [[True, True], [True, False]]  # a zero that is real


def test_pad_sequences_of_large_numbers(keras):
    """Keras wraps NumPy integers round; jmask says what does not fit."""
    large = [np.array([2**32, 5])]
    assert keras.utils.pad_sequences(large).tolist() == [[0, 5]]
    with pytest.raises(OverflowError, match="4294967296 does not fit int32"):
        jm.pad_sequences(large)
    assert jm.pad_sequences(large, dtype="int64").values.tolist() == [[2**32, 5]]


def test_pad_sequences_to_no_length(keras):
    """`maxlen=0` crashes Keras in its default, `"pre"`."""
    with pytest.raises(ValueError, match="broadcast"):
        keras.utils.pad_sequences([[1, 2]], maxlen=0)
    assert jm.pad_sequences([[1, 2]], maxlen=0, padding="pre", truncating="pre").shape == (1, 0)
