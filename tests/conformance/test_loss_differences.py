"""Losses, metrics and padding that Keras gets wrong, computed live; what is right is what it gives without padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.calls import muted, with_mask

MASK = np.array([[1, 1, 0, 0], [1, 1, 1, 0], [0, 0, 0, 0]], bool)  # the last row is empty


@pytest.fixture
def values(rng):
    return rng.normal(size=(3, 4, 2)).astype("float32")


def test_a_loss_with_nan_in_the_padding(keras, values):
    """Keras multiplies by the mask, and 0 times NaN is NaN."""
    x, theirs = jm.masked(np.where(MASK[..., None], values, np.nan), MASK), keras.losses.MeanSquaredError()
    assert np.isnan(theirs(np.zeros_like(values), with_mask(keras, x.values, MASK)))
    expected = theirs(np.zeros_like(values), with_mask(keras, values, MASK))
    assert_close(jm.losses.squared_error(x, np.zeros_like(values)), expected)


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
