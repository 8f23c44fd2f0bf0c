"""Where Keras loses or ignores a mask, computed live: its figure is that of the padding, and jmask's that of the rows.

One test for each row of the table of differences, and for the defects that were reproduced on Keras 3.15.1. What is
right is what Keras itself gives for each row without padding.
"""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.calls import mask_of, masks_dropped, muted, weights_of, with_mask

L = jm.layers
MASK = np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1], [1, 0, 0, 0, 0]], bool)
LENGTHS = MASK.sum(1)
DESTROYS = "does not support masking and will therefore destroy the mask"


@pytest.fixture
def values(rng):
    """A batch with numbers in the padding that are large, but finite."""
    x = rng.normal(size=(*MASK.shape, 3)).astype("float32")
    return np.where(MASK[..., None], x, 7.0).astype("float32")


@pytest.fixture
def x(values):
    """The same for jmask, with NaN there."""
    return jm.masked(np.where(MASK[..., None], values, np.nan), MASK)


@pytest.fixture
def theirs(keras, values):
    """The same for Keras, with the mask attached."""
    return with_mask(keras, values, MASK)


def layers(keras, name, *args, **options):
    """A layer of either library, and Keras' weights as jmask's parameters; Keras has drawn them."""
    ours, other = getattr(L, name)(*args, **options), getattr(keras.layers, name)(*args, **options)
    other(keras.Input((None, 3)))
    shapes = jax.eval_shape(lambda: ours.init(jax.random.key(0), jnp.zeros((1, 5, 3))))
    return ours, other, jax.tree.map(lambda weight: jnp.asarray(weight.value), weights_of(other, shapes))


def alone(layer, values, **options):
    """What Keras' layer gives for each row without padding."""
    return [np.asarray(layer(values[row][None, : LENGTHS[row]], **options))[0] for row in range(len(MASK))]


def assert_right(actual, expected):
    """Each row of ours is what Keras gives for it alone."""
    for row, other in enumerate(expected):
        one = actual[row]
        has_steps = isinstance(one, jm.Masked) and one.mask.ndim > 0
        assert_close(np.asarray(one.values)[np.asarray(one.mask)] if has_steps else one, other)


def assert_wrong(actual, expected):
    """At least one row of Keras' batch is not what it gives for it alone."""
    rows = [np.asarray(actual)[row][: len(other)] for row, other in enumerate(expected)]
    assert not all(np.allclose(one, other, rtol=1e-3, atol=1e-3) for one, other in zip(rows, expected, strict=True))


# A mask that is an attribute of an array is lost

OPERATIONS = {
    "product": lambda x: x * 1.0,
    "sum": lambda x: x + x * 0.0,
    "slice": lambda x: x[::-1][::-1],
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "tree.map": lambda x: jax.tree.map(jnp.array, x),
    "vmap": lambda x: jax.vmap(lambda row: row * 1)(x),
    "checkpoint": lambda x: jax.checkpoint(lambda leaf: leaf * 1)(x),
}


@pytest.mark.parametrize("operation", OPERATIONS.values(), ids=OPERATIONS)
def test_an_operation_between_layers(operation, keras, theirs, x, values):
    """`lstm(x * 1)` counts the padding in Keras."""
    ours, other, params = layers(keras, "LSTM", 4)
    expected = alone(other, values)
    assert_right(other(theirs), expected)
    changed = operation(theirs)
    assert mask_of(keras, changed) is None
    assert_wrong(other(changed), expected)
    assert_right(ours.apply(params, operation(x)), expected)


def test_jit_of_a_layer(keras, theirs, x, values):
    """`jit(lstm)(x)` counts the padding in Keras, without a word (r3)."""
    ours, other, params = layers(keras, "LSTM", 4)
    expected = alone(other, values)
    assert_wrong(jax.jit(lambda inputs: other(inputs))(theirs), expected)
    assert_right(jax.jit(ours.apply)(params, x), expected)


def test_the_mask_of_an_embedding_behind_jit(keras):
    """What leaves `jit(embedding)` has no mask in Keras (r3)."""
    ids = jnp.array([[3, 1, 0, 0]])
    embedding = keras.layers.Embedding(5, 3, mask_zero=True)
    assert mask_of(keras, embedding(ids)) is not None
    assert mask_of(keras, jax.jit(lambda inputs: embedding(inputs))(ids)) is None
    ours = jax.jit(L.Embedding(5, 3, mask_zero=True).apply)({"embeddings": jnp.ones((5, 3))}, ids)
    assert ours.mask.tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("name", ["SimpleRNN", "GRU", "LSTM"])
def test_an_initial_state(name, keras, theirs, x, values):
    """`lstm(x, initial_state=s)` counts the padding in Keras, even if `s` is zero (r2)."""
    ours, other, params = layers(keras, name, 4)
    state = [jnp.zeros((3, 4))] * (2 if name == "LSTM" else 1)
    expected = alone(other, values)
    assert_wrong(other(theirs, initial_state=state), expected)
    assert_right(ours.apply(params, x, initial_state=state), expected)


def test_attention_beside_a_residual_connection(keras, theirs, x):
    """`Add()([h, MultiHeadAttention()(h, h)])` has no mask in Keras, because attention takes it off `h` (r1)."""
    attention = keras.layers.MultiHeadAttention(1, 2)
    outputs = attention(theirs, theirs)
    assert mask_of(keras, outputs) is not None
    assert mask_of(keras, theirs) is None
    assert mask_of(keras, keras.layers.Add()([theirs, outputs])) is None
    ours = L.MultiHeadAttention(1, 2)
    y = L.Add()([x, ours.apply(ours.init(jax.random.key(0), x, x), x, x)])
    np.testing.assert_array_equal(y.mask, MASK)


def test_the_loss_of_a_transformer_block(keras):
    """So the loss of such a model counts the padding in Keras, where every real step is perfect (r1)."""
    ids, targets = np.array([[1, 1, 0, 0, 0, 0, 0, 0]]), np.full((1, 8, 1), 100.0, "float32")
    targets[:, :2] = 0
    layer = keras.layers
    inputs = keras.Input((None,))
    h = layer.Embedding(3, 4, mask_zero=True, embeddings_initializer="zeros")(inputs)
    attended = layer.MultiHeadAttention(1, 2, use_bias=False)(h, h)
    model = keras.Model(inputs, layer.Dense(1, use_bias=False)(layer.Add()([h, attended])))
    model.compile(loss="mse")
    with muted("Explicitly requested dtype int64"):  # by Keras' loop
        assert_close(model.evaluate(ids, targets, verbose=0), 6 / 8 * 100.0**2)

    node = jm.Input((None,), "int32")
    h = L.Embedding(3, 4, mask_zero=True, embeddings_initializer="zeros")(node)
    attended = L.MultiHeadAttention(1, 2, use_bias=False)(h, h)
    ours = jm.Model(node, L.Dense(1, use_bias=False)(L.Add()([h, attended])))
    y = ours.apply(ours.init(jax.random.key(0), ids), ids)
    assert float(jm.losses.squared_error(y, targets)) == 0


def test_a_call_with_a_mask_changes_later_calls(keras, theirs, values):
    """`model(x, mask=m)` leaves the mask on the caller's `x` in Keras (r6)."""
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, keras.layers.LSTM(2)(inputs))
    data = jnp.asarray(values)
    before = np.asarray(model(data))
    with masks_dropped():
        model(data, mask=jnp.asarray(MASK))
        after = np.asarray(model(data))
    assert not np.allclose(before, after)

    node = jm.Input((None, 3))
    ours = jm.Model(node, L.LSTM(2)(node))
    params = ours.init(jax.random.key(0), data)
    before = ours.apply(params, data)
    masked = ours.apply(params, data, mask=jnp.asarray(MASK))
    assert not np.allclose(before, masked.values)
    np.testing.assert_array_equal(ours.apply(params, data), before)


def test_a_call_with_a_mask_under_jit(keras, values):
    """What it leaves on an array is then a tracer, and the next call an error in Keras (r6)."""
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, keras.layers.LSTM(2)(inputs))
    data = jnp.asarray(values)
    with masks_dropped():
        jax.jit(lambda mask: model(data, mask=mask))(jnp.asarray(MASK))
        with pytest.raises(jax.errors.UnexpectedTracerError):
            model(data)

    node = jm.Input((None, 3))
    ours = jm.Model(node, L.LSTM(2)(node))
    params = ours.init(jax.random.key(0), data)
    under_jit = jax.jit(lambda mask: ours.apply(params, data, mask=mask))(jnp.asarray(MASK))
    assert_close(under_jit, ours.apply(params, data, mask=jnp.asarray(MASK)))
    ours.apply(params, data)


# Merges


def test_a_merge_of_two_masks(keras, values):
    """A step that one input lacks is in Keras' sum, with what the padding holds; jmask's AND leaves it out."""
    other_mask = MASK[:, ::-1].copy()
    second = jm.masked(np.where(other_mask[..., None], values, np.nan), other_mask)
    first = jm.masked(np.where(MASK[..., None], values, np.nan), MASK)
    inputs = [with_mask(keras, np.nan_to_num(x.values, nan=50.0), x.mask) for x in (first, second)]
    outputs = keras.layers.Add()(inputs)
    np.testing.assert_array_equal(mask_of(keras, outputs), MASK | other_mask)
    assert np.abs(outputs)[MASK ^ other_mask].min() > 40  # the padding is in it, at steps called real
    y = L.Add()([first, second])
    np.testing.assert_array_equal(y.mask, MASK & other_mask)
    assert_close(np.asarray(y.values)[y.mask], 2 * values[y.mask])
    union = L.Add(merge="union")([first, second])
    np.testing.assert_array_equal(union.mask, MASK | other_mask)
    counts = MASK.astype(int) + other_mask
    assert_close(union.fill(0), counts[..., None] * np.where(union.mask[..., None], values, 0))


@pytest.mark.parametrize("name", ["Add", "Multiply", "Average", "Maximum", "Minimum"])
def test_a_merge_with_an_input_without_a_mask(name, keras, theirs, values, x):
    """It has no mask in Keras; no mask means that all steps are real, so jmask keeps the other one."""
    assert mask_of(keras, getattr(keras.layers, name)()([theirs, jnp.asarray(values)])) is None
    np.testing.assert_array_equal(getattr(L, name)()([x, values]).mask, MASK)


def test_an_average_over_a_union(keras, values):
    """Keras divides by the number of inputs, not of those that have the step."""
    one = np.ones((1, 2, 1), "float32")
    masks = np.array([[[True, True]], [[True, False]]])
    inputs = [with_mask(keras, one * mask[..., None] * 4, mask) for mask in masks]
    assert_close(keras.layers.Average()(inputs), [[[4.0], [2.0]]])
    ours = [jm.masked(one * 4, mask) for mask in masks]
    assert_close(L.Average(merge="union")(ours).fill(0), [[[4.0], [4.0]]])


# Layers that destroy the mask, or leave it and ignore it

DESTROYING = {
    "Conv1D": (4, 3),
    "SeparableConv1D": (4, 2),
    "DepthwiseConv1D": (2,),
    "Conv1DTranspose": (4, 3),
    "MaxPooling1D": (2, 1),
    "AveragePooling1D": (2, 1),
    "RMSNormalization": (),
    "EinsumDense": ("btf,fg->btg", (None, 4)),
    "Reshape": ((-1, 3, 1),),
    "Permute": ((1, 2),),
    "Cropping1D": ((0, 0),),
    "ZeroPadding1D": (1,),
    "UpSampling1D": (2,),
}
SAME = {"Conv1D", "SeparableConv1D", "DepthwiseConv1D", "Conv1DTranspose", "MaxPooling1D", "AveragePooling1D"}


@pytest.mark.parametrize("name", DESTROYING)
def test_a_layer_that_destroys_the_mask(name, keras, theirs, x, values):
    """Its outputs have none in Keras, which warns; jmask has the mask of what each row gives alone."""
    options = {"padding": "same"} if name in SAME else {}
    args = DESTROYING[name]
    if name in ("MaxPooling1D", "AveragePooling1D"):
        args, options = args[:1], {"strides": 1, **options}
    ours, other, params = layers(keras, name, *args, **options)
    with pytest.warns(UserWarning, match=DESTROYS):
        outputs = other(theirs)
    assert mask_of(keras, outputs) is None or outputs is theirs  # what cuts nothing off hands its input on
    expected = alone(other, values)
    if name in SAME or name == "ZeroPadding1D":  # what reads other steps reads padding
        assert_wrong(outputs, expected)
    y = ours.apply(params, x)
    assert y.mask.sum(1).tolist() == [len(row) for row in expected]
    assert_right(y, expected)


@pytest.mark.parametrize(("name", "args"), [("GroupNormalization", (1,)), ("GlobalMaxPooling1D", ())])
def test_statistics_over_the_padding(name, args, keras, theirs, x, values):
    """They include it in Keras, with a mask as without."""
    ours, other, params = layers(keras, name, *args)
    expected = alone(other, values)
    with masks_dropped():
        assert_wrong(other(theirs), expected)
    assert_right(ours.apply(params, x), expected)
