"""What Keras' own tests of masks assert, in jmask's terms; the figures are theirs, so that Keras is not needed here.

Where jmask differs on purpose, its value stands here and the comment says why.
"""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
T, F = True, False


def masked(values, mask):
    return jm.masked(jnp.asarray(values, jnp.float32), jnp.asarray(mask))


def figures(x):
    """Single precision, as which Keras' figures are printed."""
    return np.float32(x)


# Masking and embedding, from `masking_test.py` and `embedding_test.py`


def test_masking_finds_the_steps_that_are_all_zero():
    x = jnp.array([[[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]], [[2.0, 2.0], [0.0, 0.0], [2.0, 1.0]]])
    assert L.Masking().compute_mask(x).tolist() == [[F, T, F], [T, F, T]]


@pytest.mark.slow
def test_the_mask_reaches_the_next_layer():
    class Spy(jm.Layer):
        supports_masking = True

        def call(self, params, inputs, mask=None):
            assert mask is not None
            return inputs + mask[..., None]

    x = jnp.array([[[0.0, 0.0], [1.0, 2.0], [0.0, 0.0]]])
    model = jm.Sequential([L.Masking(), Spy()])
    y = model.apply(model.init(jax.random.key(0), x), x)
    assert y.fill(-1).tolist() == [[[-1, -1], [2, 3], [-1, -1]]]


def test_embedding_masks_zeros_if_asked_to():
    ids = jnp.array([2, 1, 0])
    assert L.Embedding(3, 2, mask_zero=True).compute_mask(ids).tolist() == [T, T, F]
    assert L.Embedding(3, 2).compute_mask(ids) is None


@pytest.mark.slow
def test_targets_of_masked_steps_cost_nothing():
    """From `layer_test.py`: only the targets of steps 1 and 2 are wrong."""
    ids, targets = jnp.array([[1, 0, 0, 1]]), jnp.array([[[1.0, 1.0], [2.0, 2.0], [3.0, 3.0], [1.0, 1.0]]])
    y = L.Embedding(2, 2, mask_zero=True).apply({"embeddings": jnp.ones((2, 2))}, ids)
    assert float(jm.losses.squared_error(y, targets)) == 0


# How layers are given masks, from `layer_test.py`


@pytest.mark.slow
def test_a_list_of_inputs_comes_with_a_list_of_masks():
    class Pair(jm.Layer):
        supports_masking = True

        def call(self, params, inputs, mask=None):
            assert isinstance(inputs, list)
            assert [m.shape for m in mask] == [(4,), (4,)]
            return inputs[0] + inputs[1]

    xs = [masked(np.ones((4, 4)), [T, T, T, F]) for _ in range(2)]
    assert Pair()(xs).mask.tolist() == [T, T, T, F]
    masks = [jnp.array([T, T, F, F])] * 2
    assert Pair()([x.values for x in xs], mask=masks).mask.tolist() == [T, T, F, F]


def test_two_inputs_have_masks_of_their_names():
    """Keras calls the first `x1_mask` beside `x2_mask`; here the mask of the first input is always `mask`."""

    class Pair(jm.Layer):
        supports_masking = True

        def call(self, params, x1, x2, mask=None, x2_mask=None):
            assert mask is not None
            assert x2_mask is not None
            return x1 + x2

    x1, x2 = (masked(np.ones((4, 4)), [T, T, T, F]) for _ in range(2))
    assert Pair()(x1, x2).mask.tolist() == Pair()(x1=x1, x2=x2).mask.tolist() == [T, T, T, F]


@pytest.mark.slow
def test_an_explicit_mask_is_that_of_the_outputs():
    y = L.Activation("linear")(jnp.ones((4, 4)), mask=jnp.array([T, T, F, F]))
    assert y.mask.tolist() == [T, T, F, F]


# Merging, from `merging_test.py`

FIRST, SECOND = [[0, 0], [1, 2], [0, 0], [3, 4]], [[0, 0], [0, 0], [1, 2], [3, 4]]
MERGES = {
    "Add": [[0, 0], [1, 2], [1, 2], [6, 8]],
    "Subtract": [[0, 0], [1, 2], [-1, -2], [0, 0]],
    "Multiply": [[0, 0], [1, 2], [1, 2], [9, 16]],
    "Maximum": [[0, 0], [1, 2], [1, 2], [3, 4]],
    "Minimum": [[0, 0], [1, 2], [1, 2], [3, 4]],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MERGES)
def test_a_union_of_two_masked_inputs(name):
    """Keras' figures, which are those of `merge="union"`: where one input lacks the step, the other stands alone."""
    xs = [L.Masking()(jnp.asarray([x], jnp.float32)) for x in (FIRST, SECOND)]
    y = getattr(L, name)(merge="union")(xs)
    assert y.mask.tolist() == [[F, T, T, T]]
    assert_close(y.fill(0), figures([MERGES[name]]))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MERGES, "Average"])
def test_the_intersection_is_the_default(name):
    """Keras' mask is the union, [F, T, T, T], with the padding of an input in its steps; ours holds what both have."""
    xs = [L.Masking()(jnp.asarray([x], jnp.float32)) for x in (FIRST, SECOND)]
    assert getattr(L, name)()(xs).mask.tolist() == [[F, F, F, T]]


@pytest.mark.slow
def test_an_average_over_a_union_is_over_what_is_there():
    """Keras has [0.5, 1] at the steps that one input has: it divides by 2, and counts padding as zeros."""
    xs = [L.Masking()(jnp.asarray([x], jnp.float32)) for x in (FIRST, SECOND)]
    assert_close(L.Average(merge="union")(xs).fill(0), figures([[[0, 0], [1, 2], [1, 2], [3, 4]]]))


@pytest.mark.slow
@pytest.mark.parametrize("name", [*MERGES, "Average"])
def test_a_merge_of_inputs_without_masks(name):
    """Nothing in, nothing out; and all real, all real."""
    x = jnp.ones((2, 4, 5))
    layer = getattr(L, name)()
    assert layer.compute_mask([x, x], [None, None]) is None
    assert layer.compute_mask([x, x], [jnp.ones((2, 4), bool)] * 2).all()
    # One of the two: Keras gives no mask; no mask means here that all steps are real, so the other one stays.
    assert layer([x, masked(x, np.arange(4) < [[3], [4]])]).lengths.tolist() == [3, 4]


@pytest.mark.slow
def test_a_concatenation_over_time_has_both_masks():
    x = L.Masking()(jnp.asarray([FIRST], jnp.float32))
    y = L.Concatenate(1)([x, jnp.asarray([SECOND], jnp.float32)])
    assert y.mask.tolist() == [[F, T, F, T, T, T, T, T]]
    assert y.fill(0).tolist() == [FIRST + SECOND]


@pytest.mark.slow
def test_a_concatenation_of_features_has_the_steps_of_all():
    """Keras calls all steps real here, although half of the features of two are padding."""
    x = L.Masking()(jnp.asarray([FIRST], jnp.float32))
    assert L.Concatenate(2)([x, jnp.asarray([SECOND], jnp.float32)]).mask.tolist() == [[F, T, F, T]]


# Softmax, from `softmax_test.py`; masks of classes, which are an axis like any other


@pytest.mark.slow
def test_softmax_over_what_is_not_masked():
    x = masked([[1.0, 2.0, 5.0, 1.0], [1.0, 1.0, 1.0, 1.0], [3.0, 1.0, 2.0, 4.0]], [[T, T, F, F], [F] * 4, [T] * 4])
    expected = [[0.268941, 0.731059, 0, 0], [0, 0, 0, 0], [0.236883, 0.032059, 0.087144, 0.643914]]
    assert_close(L.Softmax()(x).fill(0), figures(expected))


@pytest.mark.slow
def test_softmax_over_two_axes():
    """Keras takes several axes; here they are one, of all that is real."""
    x = masked([[1.0, 2.0, 1.0], [1.0, 2.0, 1.0]], [[T, F, T], [F, T, F]]).values
    flat = masked(x.reshape(-1), np.array([T, F, T, F, T, F]))
    y = jm.ops.softmax(flat, 0).fill(0).reshape(2, 3)
    assert_close(y, figures([[0.21194154, 0.0, 0.21194154], [0.0, 0.57611686, 0.0]]))


def test_softmax_refuses_a_mask_of_another_shape():
    for mask in (jnp.array([[T, F, T], [F, T, F]]), jnp.array([[[T, F, T]]])):
        with pytest.raises(ValueError, match="mask"):
            L.Softmax()(jnp.array([[1.0, 2.0, 1.0]]), mask=mask)


# Batch normalisation, from `batch_normalization_test.py`


def train(layer, x):
    params, state = layer.init(jax.random.key(0), x), layer.init_state(x)
    return layer.apply_with_state(params, state, x, training=True)


@pytest.mark.slow
@pytest.mark.parametrize("value", [0.0, 0.1, 1.0])
def test_statistics_leave_masked_steps_out(value):
    x = L.Masking(value)(jnp.asarray([[[1, 5], [2, 5], [value] * 2, [value] * 2]] * 10, jnp.float32))
    _, state = train(L.BatchNormalization(momentum=0.0), x)
    assert_close(state["moving_mean"], figures([1.5, 5.0]))
    assert_close(state["moving_variance"], figures([0.25, 0.0]))


@pytest.mark.slow
def test_a_batch_of_nothing_but_padding():
    """Outputs 0 in both. Keras moves its statistics to 0 besides; here they stay, as there is nothing to learn."""
    y, state = train(L.BatchNormalization(scale=False, center=False), masked(np.zeros((4, 5)), [F] * 4))
    assert not y.fill(0).any()
    assert state["moving_mean"].tolist() == [0] * 5
    assert state["moving_variance"].tolist() == [1] * 5


@pytest.mark.slow
def test_the_mask_matters_in_training_only(rng):
    values = rng.normal(5.0, 10.0, (5, 2, 3)).astype("float32")
    x = masked(values, [[T, F]] * 5)
    layer = L.BatchNormalization(momentum=0.0)
    (y, state), (other, _) = train(layer, x), train(layer, values)
    assert not np.allclose(y.values[:, 0], other[:, 0])
    params = layer.init(jax.random.key(0), x)
    inference = [layer.apply_with_state(params, state, inputs)[0] for inputs in (x, values)]
    assert_close(inference[0].values[:, 0], inference[1][:, 0])
    assert_close(inference[0].values[:, 0], y.values[:, 0])  # as the momentum is 0


# Pooling, from `global_average_pooling_test.py`


@pytest.mark.slow
@pytest.mark.parametrize("keepdims", [False, True])
def test_a_mean_over_real_steps(keepdims):
    x = masked(np.arange(24).reshape(2, 3, 4), [[T, T, F], [F, T, F]])
    expected = figures([[2, 3, 4, 5], [16, 17, 18, 19]])
    assert_close(L.GlobalAveragePooling1D(keepdims=keepdims)(x), expected[:, None] if keepdims else expected)


# Losses, from `loss_test.py`

TARGETS, PREDICTIONS = figures([1.0, 0.0, 1.0, 0.0]), figures([0.1, 0.2, 0.3, 0.4])
REAL, WEIGHTS = [T, F, T, T], figures([0.4, 0.3, 0.2, 0.1])
SQUARES = figures([0.81, 0.49, 0.16])  # at the real steps


@pytest.mark.slow
def test_a_loss_is_the_mean_over_real_steps():
    assert_close(jm.losses.squared_error(masked(PREDICTIONS, REAL), TARGETS), SQUARES.sum() / 3)
    with pytest.warns(jm.NotCountedWarning):  # Keras says nothing
        assert float(jm.losses.squared_error(masked(PREDICTIONS, [F] * 4), TARGETS)) == 0


@pytest.mark.slow
def test_weights_scale_the_losses_of_their_steps():
    weighted = np.sum(WEIGHTS * (TARGETS - PREDICTIONS) ** 2) / 4
    assert_close(jm.losses.squared_error(PREDICTIONS[None], TARGETS[None], sample_weight=WEIGHTS[None]), weighted)
    nothing = jm.losses.squared_error(PREDICTIONS[None], TARGETS[None], sample_weight=WEIGHTS[None] * 0)
    assert float(nothing) == 0


@pytest.mark.slow
@pytest.mark.parametrize("rows", [1, 2])
def test_a_mask_and_weights(rows):
    """One row, or the same row twice."""
    x, y, w = (np.stack([v] * rows) for v in (PREDICTIONS, TARGETS, WEIGHTS))
    expected = np.sum(figures([0.4, 0.2, 0.1]) * SQUARES) / 3
    assert_close(jm.losses.squared_error(masked(x, [REAL] * rows), y, sample_weight=w), expected)


def test_axes_of_size_one_are_not_guessed():
    """Keras takes one away, or adds one, wherever it fits; here a shape that does not fit is an error."""
    with pytest.raises(ValueError, match="need one shape"):
        jm.losses.squared_error(masked(PREDICTIONS, REAL), TARGETS[:, None])


# Padding, from `sequence_utils_test.py`

ROWS = [[1], [1, 2], [1, 2, 3]]
PADDED = [
    (ROWS, {"maxlen": 3, "padding": "pre"}, [[0, 0, 1], [0, 1, 2], [1, 2, 3]]),
    (ROWS, {"maxlen": 3, "padding": "post"}, [[1, 0, 0], [1, 2, 0], [1, 2, 3]]),
    (ROWS, {"maxlen": 2, "padding": "pre", "truncating": "pre"}, [[0, 1], [1, 2], [2, 3]]),
    (ROWS, {"maxlen": 2, "padding": "pre", "truncating": "post"}, [[0, 1], [1, 2], [1, 2]]),
    (ROWS, {"maxlen": 3, "padding": "pre", "value": 1}, [[1, 1, 1], [1, 1, 2], [1, 2, 3]]),
    (
        [["1"], ["1", "2"], ["1", "2", "3"]],
        {"padding": "pre", "value": "pad", "dtype": object},
        [["pad", "pad", "1"], ["pad", "1", "2"], ["1", "2", "3"]],
    ),
    (
        [[[1, 1]], [[2, 1], [2, 2]], [[3, 1], [3, 2], [3, 3]]],
        {"maxlen": 2, "padding": "post", "truncating": "pre"},
        [[[1, 1], [0, 0]], [[2, 1], [2, 2]], [[3, 2], [3, 3]]],
    ),
]


@pytest.mark.parametrize(("rows", "options", "expected"), PADDED)
def test_pad_sequences(rows, options, expected):
    """Keras' figures; its defaults are "pre" in both, ours "post", which Keras' own guide recommends."""
    assert jm.pad_sequences(rows, **options).values.tolist() == expected


def test_pad_sequences_of_floats_need_no_dtype():
    """Keras needs `dtype="float32"`, and cuts off otherwise."""
    x = jm.pad_sequences([[1.2], [1.2, 2.3]])
    assert_close(x.values, figures([[1.2, 0], [1.2, 2.3]]))
    assert x.mask.tolist() == [[T, F], [T, T]]
    with pytest.raises(TypeError):
        jm.pad_sequences([["1"], ["1", "2"]], dtype="int32", value="pad")
