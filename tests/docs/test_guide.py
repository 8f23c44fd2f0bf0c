"""Keras' guide "Understanding masking and padding", block by block and in its order, as a user of jmask writes it.

https://keras.io/guides/understanding_masking_and_padding/

A test that ends in `_block` is a block of code of the guide, and compares what it prints as printed. The others are
promises of the prose around it. "The layer ignores padding" means here: each sequence of a batch gets what it gets
alone, without padding.

Two blocks of the guide are wrong, and right here: its `CustomEmbedding` takes from a table without an axis, and its
`TemporalSoftmax` sums over the features in the place of time, which gives 1 at every step and NaN at padding.
"""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm

TOLERANCE = {"rtol": 1e-5, "atol": 1e-6}  # float32

RAW_INPUTS = [
    [711, 632, 71],
    [73, 8, 3215, 55, 927],
    [83, 91, 1, 645, 1253, 927],
]
NUM_LONGEST = 6

PRINTED_MASK = """\
[[ True  True  True False False False]
 [ True  True  True  True  True False]
 [ True  True  True  True  True  True]]"""


def assert_close(actual, expected):
    """Shapes and values agree; of what there is once a sequence, a `Masked` with a mask of rows, its values do."""
    actual, expected = (x.values if isinstance(x, jm.Masked) and x.mask.ndim < 2 else x for x in (actual, expected))
    assert jnp.shape(actual) == jnp.shape(expected)
    np.testing.assert_allclose(actual, expected, **TOLERANCE)


def assert_each_as_alone(apply, params, batch):
    """`apply` gives for each sequence of a padded batch what it gives for this sequence alone, without padding."""
    outputs = outputs_of(apply(params, batch))
    for row, sequence in enumerate(jm.unpad(batch)):
        for output, alone in zip(outputs, outputs_of(apply(params, sequence[None])), strict=True):
            assert_close(jm.unpad(output)[row], jm.unpad(alone)[0])


def outputs_of(tree):
    """The arrays and `Masked` of a nest, in order."""
    return jax.tree.leaves(tree, is_leaf=lambda leaf: isinstance(leaf, jm.Masked))


def differ(actual, expected):
    """Whether any value is another, by far more than rounding."""
    return jm.ops.max(abs(actual - expected)) > 100 * TOLERANCE["atol"]


@pytest.fixture
def padded_inputs():
    return jm.pad_sequences(RAW_INPUTS, padding="post")


@pytest.fixture
def pre_padded_inputs():
    return jm.pad_sequences(RAW_INPUTS, padding="pre")


@pytest.fixture
def unmasked_embedding(padded_inputs):
    """The ids in the place of vectors of 10 numbers, without a mask."""
    return jnp.tile(padded_inputs.values[..., None], (1, 1, 10)).astype("float32")


@pytest.fixture
def masked_embedding(unmasked_embedding):
    return jm.layers.Masking()(unmasked_embedding)


# Padding sequence data


def test_padding_block(padded_inputs):
    assert str(padded_inputs.values) == (
        "[[ 711  632   71    0    0    0]\n [  73    8 3215   55  927    0]\n [  83   91    1  645 1253  927]]"
    )
    assert str(padded_inputs.mask) == PRINTED_MASK  # known from here on, where Keras needs a layer to find it again


def test_padding_at_the_beginning(pre_padded_inputs):
    assert str(pre_padded_inputs.values) == (
        "[[   0    0    0  711  632   71]\n [   0   73    8 3215   55  927]\n [  83   91    1  645 1253  927]]"
    )
    assert pre_padded_inputs.lengths.tolist() == [3, 5, 6]


def test_padding_is_zeros_by_default_and_configurable():
    assert jm.pad_sequences([[5], [6, 7]]).values.tolist() == [[5, 0], [6, 7]]
    assert jm.pad_sequences([[5], [6, 7]], value=-1).values.tolist() == [[5, -1], [6, 7]]


def test_a_step_that_holds_the_padding_value_is_real():
    assert jm.pad_sequences([[5, 0], [0, 6, 7]], value=0).lengths.tolist() == [2, 3]


@pytest.mark.parametrize(("truncating", "kept"), [("post", [83, 91, 1, 645]), ("pre", [1, 645, 1253, 927])])
def test_long_samples_can_be_cut_before_short_ones_are_padded(truncating, kept):
    x = jm.pad_sequences(RAW_INPUTS, maxlen=4, truncating=truncating)
    assert x.shape == (3, 4)
    assert x.lengths.tolist() == [3, 4, 4]
    assert x.values[2].tolist() == kept


def test_strings_are_padded_before_the_vocabulary_lookup():
    text = [["Hello", "world", "!"], ["How", "are", "you", "doing", "today"]]
    assert [row.tolist() for row in jm.unpad(jm.pad_sequences(text))] == text


# Masking


@pytest.mark.slow
def test_three_ways_to_introduce_a_mask(padded_inputs, getkey):
    ids = padded_inputs.values
    plain = jm.layers.Embedding(input_dim=5000, output_dim=16)
    masking = jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)
    lstm = jm.layers.LSTM(32)
    params = plain.init(getkey(), ids)
    embedded = plain.apply(params, ids)
    lstm_params = lstm.init(getkey(), embedded)
    apply = jax.jit(lstm.apply)

    by_embedding = apply(lstm_params, masking.apply(params, ids))
    by_masking = apply(lstm_params, jm.layers.Masking()(jnp.where(padded_inputs.mask[..., None], embedded, 0)))
    by_argument = apply(lstm_params, embedded, mask=padded_inputs.mask)
    by_data = apply(lstm_params, plain.apply(params, padded_inputs))  # a fourth way, which Keras does not have

    assert_close(by_masking, by_embedding)
    assert_close(by_argument, by_embedding)
    assert_close(by_data, by_embedding)
    assert differ(by_embedding, apply(lstm_params, embedded))


# Mask-generating layers: `Embedding` and `Masking`


def test_embedding_block(padded_inputs, getkey):
    embedding = jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)
    params = embedding.init(getkey(), padded_inputs)
    masked_output = embedding.apply(params, padded_inputs)

    assert str(masked_output.mask) == PRINTED_MASK
    assert masked_output.shape == (3, NUM_LONGEST, 16)


def test_embedding_finds_the_mask_in_plain_ids(padded_inputs, getkey):
    embedding = jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)
    masked_output = embedding.apply(embedding.init(getkey()), padded_inputs.values)
    assert str(masked_output.mask) == PRINTED_MASK


def test_masking_block(unmasked_embedding):
    masking_layer = jm.layers.Masking()
    masked_embedding = masking_layer(unmasked_embedding)

    assert str(masked_embedding.mask) == PRINTED_MASK
    assert_close(masked_embedding.fill(0), unmasked_embedding)


def test_a_mask_is_bool_and_of_shape_batch_and_length(masked_embedding):
    assert masked_embedding.mask.dtype == bool
    assert masked_embedding.mask.shape == (3, NUM_LONGEST)


# Mask propagation in the Functional API and Sequential API


def sequential_model():
    return jm.Sequential(
        [
            jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True),
            jm.layers.LSTM(32),
        ]
    )


def functional_model():
    inputs = jm.Input(shape=(None,), dtype="int32")
    x = jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)(inputs)
    outputs = jm.layers.LSTM(32)(x)

    return jm.Model(inputs, outputs)


def test_sequential_block_ignores_padding(padded_inputs, pre_padded_inputs, getkey):
    model = sequential_model()
    params = model.init(getkey(), padded_inputs)

    y = model.apply(params, padded_inputs)
    assert y.shape == (3, 32)
    apply = jax.jit(model.apply)
    assert_each_as_alone(apply, params, padded_inputs)
    assert_close(apply(params, padded_inputs), y)
    assert_close(apply(params, pre_padded_inputs), y)
    assert_close(apply(params, padded_inputs.values), y)


def test_functional_block_is_the_same_model(padded_inputs, getkey):
    sequential, functional = sequential_model(), functional_model()
    params = functional.init(getkey())

    assert_close(functional.apply(params, padded_inputs), sequential.apply(params, padded_inputs))


@pytest.mark.parametrize("build", [sequential_model, functional_model])
def test_the_embedding_makes_the_mask_and_the_lstm_uses_it(build, padded_inputs):
    rows = jm.summarize(build(), padded_inputs.values).rows
    assert [(row.name, row.mask_flow) for row in rows] == [
        ("input", ()),
        ("embedding", ("made",)),
        ("lstm", ("used", "pooled")),  # which rows are real goes on, so that a batch may be filled up with empty ones
    ]


@pytest.mark.slow
def test_gradients_of_a_batch_are_those_of_its_sequences_alone(padded_inputs, getkey):
    model = functional_model()
    params = model.init(getkey())
    gradient = jax.jit(jax.grad(lambda params, x: jm.ops.sum(model.apply(params, x) ** 2)))

    alone = [gradient(params, sequence[None]) for sequence in jm.unpad(padded_inputs[:2])]
    expected = jax.tree.map(jnp.add, *alone)
    jax.tree.map(assert_close, gradient(params, padded_inputs[:2]), expected)


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["post", "pre"])
def test_a_mask_propagates_through_every_layer_that_can_use_it(padding, rng, getkey):
    sequences = [rng.normal(size=(length, 7)).astype("float32") for length in (5, 2, 3)]
    inputs = jm.Input(shape=(None, 7), masked=True)
    x = jm.layers.Dense(11, activation="gelu")(inputs)
    x = jm.layers.Dropout(0.5)(x)
    x = jm.layers.LayerNormalization()(x)
    x = jm.layers.Bidirectional(jm.layers.LSTM(3, return_sequences=True))(x)
    x = jm.layers.Add()([x, jm.layers.Activation("tanh")(x)])
    x = jm.layers.Softmax()(x)
    model = jm.Model(inputs, [x, jm.layers.GlobalAveragePooling1D()(x)])
    params = model.init(getkey())

    batch = jm.pad_sequences(sequences, padding=padding, value=np.nan)
    apply = jax.jit(model.apply)
    assert_each_as_alone(apply, params, batch)
    steps, pooled = apply(params, batch)
    assert steps.lengths.tolist() == [5, 2, 3]
    assert pooled.mask.tolist() == [True] * 3  # without a time axis there is a mask of rows


# Passing mask tensors directly to layers


class MyLayer(jm.Layer):
    """Looks ids up, and hands the mask over to the LSTM by hand."""

    embedding: jm.Layer = jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)
    lstm: jm.Layer = jm.layers.LSTM(32)

    def call(self, params, inputs):
        x = self.embedding.apply(params["embedding"], inputs)
        # A mask can be prepared in any way: it is a bool array of shape (batch, time).
        mask = self.embedding.compute_mask(inputs)
        return self.lstm.apply(params["lstm"], x, mask=mask)  # ignores the masked steps


def test_my_layer_block(rng, getkey):
    layer = MyLayer()
    x = rng.random((32, 10)) * 100
    x = x.astype("int32")
    x[1, 7:] = 0
    x[1, 2] = 0  # a hole
    params = layer.init(getkey(), x)

    apply = jax.jit(layer.apply)
    y = apply(params, x)
    assert y.shape == (32, 32)
    assert set(params) == {"embedding", "lstm"}
    assert_close(y[1], apply(params, x[1, x[1] != 0][None])[0])


def test_a_prepared_mask_is_a_bool_array_of_the_right_shape(unmasked_embedding, getkey):
    lstm = jm.layers.LSTM(32)
    params = lstm.init(getkey(), unmasked_embedding)
    prepared = np.arange(NUM_LONGEST) < np.array([[3], [5], [6]])

    expected = lstm.apply(params, jm.from_lengths(unmasked_embedding, [3, 5, 6]))
    assert_close(lstm.apply(params, unmasked_embedding, mask=prepared), expected)
    with pytest.raises(TypeError, match="A mask must be bool"):
        lstm.apply(params, unmasked_embedding, mask=prepared.astype(int))
    with pytest.raises(ValueError, match=r"received mask \(3, 5\) for values \(3, 6, 10\)"):
        lstm.apply(params, unmasked_embedding, mask=prepared[:, :5])


def test_a_mask_that_is_passed_goes_before_the_one_that_is_attached(masked_embedding, getkey):
    lstm = jm.layers.LSTM(32)
    params = lstm.init(getkey(), masked_embedding)
    first_two = jnp.arange(NUM_LONGEST) < jnp.full((3, 1), 2)

    apply = jax.jit(lstm.apply)
    expected = apply(params, masked_embedding.values[:, :2])
    assert_close(apply(params, masked_embedding, mask=first_two), expected)
    without = lstm.apply(params, masked_embedding, mask=jm.NO_MASK)
    assert_close(without, apply(params, masked_embedding.values))


def test_compute_mask_takes_the_mask_before_it_into_account(padded_inputs):
    embedding = jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)
    ids = padded_inputs.values
    assert str(embedding.compute_mask(ids)) == PRINTED_MASK

    previous_mask = np.broadcast_to(np.arange(NUM_LONGEST) > 0, ids.shape)
    mask = embedding.compute_mask(ids, previous_mask)
    np.testing.assert_array_equal(mask, (ids != 0) & previous_mask)


# Supporting masking in your custom layers


class TemporalSplit(jm.Layer):
    """Splits the inputs into two halves along time."""

    def call(self, params, inputs):
        # The values are (batch, time, features), the mask is (batch, time).
        return jnp.split(inputs, 2, axis=1)

    def compute_mask(self, inputs, mask=None):
        # The mask is split as the values are, if there is one.
        if mask is None:
            return None
        return jnp.split(mask, 2, axis=1)


def test_temporal_split_block(masked_embedding):
    first_half, second_half = TemporalSplit()(masked_embedding)

    assert str(first_half.mask) == "[[ True  True  True]\n [ True  True  True]\n [ True  True  True]]"
    assert str(second_half.mask) == "[[False False False]\n [ True  True False]\n [ True  True  True]]"
    assert_close(jnp.concatenate([first_half.values, second_half.values], axis=1), masked_embedding.values)


def test_temporal_split_without_a_mask(unmasked_embedding):
    halves = TemporalSplit()(unmasked_embedding)
    assert [type(half) for half in halves] == [type(unmasked_embedding)] * 2


@pytest.mark.slow
def test_layers_behind_a_layer_that_changes_the_steps_see_the_changed_mask(masked_embedding, getkey):
    inputs = jm.Input(shape=(None, 10))
    _, second_half = TemporalSplit()(jm.layers.Masking()(inputs))
    model = jm.Model(inputs, jm.layers.LSTM(32)(second_half))
    params = model.init(getkey())

    assert str(second_half.mask.shape) == "(batch, floordiv(time, 2))"
    y = jax.jit(model.apply)(params, masked_embedding.values)
    assert_close(y[0], np.zeros(32))  # nothing of the shortest sequence is in the second half
    alone = jax.jit(jm.layers.LSTM(32).apply)
    for row, length in ((1, 2), (2, 3)):
        second_half_of_row = masked_embedding.values[row, 3 : 3 + length]
        assert_close(y[row], alone(params["lstm"], second_half_of_row[None])[0])


@pytest.mark.slow
def test_concatenation_over_time_concatenates_the_masks(rng, getkey):
    questions, answers = ([rng.normal(size=(n, 5)).astype("float32") for n in lengths] for lengths in ((2, 3), (4, 1)))
    one, two = jm.Input((None, 5), masked=True), jm.Input((None, 5), masked=True)
    x = jm.layers.Concatenate(axis=1)([one, two])
    model = jm.Model([one, two], [x, jm.layers.LSTM(7)(x)])
    params = model.init(getkey())

    x, y = jax.jit(model.apply)(params, jm.pad_sequences(questions), jm.pad_sequences(answers))
    assert x.mask.tolist() == [[True, True, False, True, True, True, True], [True] * 4 + [False] * 3]
    alone = jax.jit(jm.layers.LSTM(7).apply)
    for row, sequence in enumerate(map(np.concatenate, zip(questions, answers, strict=True))):
        assert_close(y[row], alone(params["lstm"], sequence[None])[0])


class CustomEmbedding(jm.Layer):
    """Looks ids up and masks the zeros. The guide takes without `axis=0`, which loses the axis of the vectors."""

    input_dim: int
    output_dim: int
    mask_zero: bool = False

    def init(self, key, inputs):
        shape = (self.input_dim, self.output_dim)
        return {"embeddings": 0.05 * jax.random.normal(key, shape, "float32")}

    def call(self, params, inputs):
        inputs = inputs.astype("int32")
        return jnp.take(params["embeddings"], inputs, axis=0)

    def compute_mask(self, inputs, mask=None):
        if not self.mask_zero:
            return None
        return jnp.not_equal(inputs, 0)


def test_custom_embedding_block(rng, getkey):
    layer = CustomEmbedding(10, 32, mask_zero=True)
    x = rng.random((3, 10)) * 9
    x = x.astype("int32")
    params = layer.init(getkey(), x)

    y = layer.apply(params, x)
    mask = layer.compute_mask(x)

    assert (x == 0).any()
    assert str(mask) == str(x != 0)
    assert str(y.mask) == str(mask)
    assert y.shape == (3, 10, 32)
    assert_close(y.values[2, 7], params["embeddings"][x[2, 7]])


def test_custom_embedding_without_mask_zero_makes_no_mask(rng, getkey):
    layer = CustomEmbedding(10, 32)
    x = rng.integers(0, 9, (3, 10), "int32")
    assert layer.compute_mask(x) is None
    assert isinstance(layer.apply(layer.init(getkey(), x), x), jax.Array)


def test_a_saved_model_of_custom_layers_comes_back_with_its_masks(rng, getkey):
    jm.register_serializable(CustomEmbedding, name="guide.CustomEmbedding")
    x = rng.integers(0, 9, (3, 10), "int32")
    model = jm.Sequential([CustomEmbedding(10, 16, mask_zero=True), jm.layers.LSTM(32)])
    params = model.init(getkey(), x)

    restored = jm.from_config(json.loads(json.dumps(model.to_config())))
    assert_close(jax.jit(restored.apply)(params, x), jax.jit(model.apply)(params, x))


# Opting-in to mask propagation on compatible layers


class PlainActivation(jm.Layer):
    """Says nothing about masks."""

    def call(self, params, inputs):
        return jax.nn.relu(inputs)


class MyActivation(jm.Layer):
    """Treats every step alone, and says so."""

    supports_masking = True

    def call(self, params, inputs):
        return jax.nn.relu(inputs)


DROPPED = r"^tagger/rectify: the mask of `inputs` is dropped here"


def model_with(activation):
    return jm.Sequential(
        [
            jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True),
            activation,
            jm.layers.LSTM(32),
        ],
        name="tagger",
    )


def test_by_default_a_custom_layer_destroys_the_mask_and_says_so(padded_inputs, getkey):
    model = model_with(PlainActivation(name="rectify"))
    kept = model_with(MyActivation())
    params = kept.init(getkey(), padded_inputs)

    with pytest.warns(jm.MaskDroppedWarning, match=DROPPED):
        y = model.apply(params, padded_inputs)
    assert differ(y, kept.apply(params, padded_inputs))  # what follows takes padding for data


def test_a_destroyed_mask_is_an_error_under_strict(padded_inputs, getkey):
    model = model_with(PlainActivation(name="rectify"))
    with jm.strict(), pytest.raises(jm.MaskDroppedError, match=DROPPED):
        model.init(getkey(), padded_inputs)


def test_a_graph_warns_when_it_is_built_and_shows_where():
    inputs = jm.Input(shape=(None,), dtype="int32")
    x = jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)(inputs)
    with pytest.warns(jm.MaskDroppedWarning, match=r"^plain_activation: "):
        x = PlainActivation()(x)
    assert x.mask is None
    assert [row.mask_flow for row in jm.summarize(jm.Model(inputs, x)).rows] == [(), ("made",), ("dropped",)]


def test_a_mask_can_be_ended_on_purpose(masked_embedding):
    class Ends(PlainActivation):
        def compute_mask(self, inputs, mask=None):
            return None

    assert isinstance(Ends()(masked_embedding), jax.Array)
    assert isinstance(PlainActivation()(masked_embedding, mask=jm.NO_MASK), jax.Array)


def test_my_activation_block(rng, getkey, capsys):
    inputs = jm.Input(shape=(None,), dtype="int32")
    x = jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)(inputs)
    x = MyActivation()(x)  # Will pass the mask along
    print("Mask found:", x.mask)
    outputs = jm.layers.LSTM(32)(x)  # Will receive the mask

    model = jm.Model(inputs, outputs)
    params = model.init(getkey())
    ids = rng.integers(0, 5000, (32, 100), "int32")
    ids[0, 3:] = 0
    apply = jax.jit(model.apply)
    y = apply(params, ids)

    assert capsys.readouterr().out == "Mask found: Node(mask: bool (batch, time))\n"
    assert y.shape == (32, 32)
    assert_close(y[0], apply(params, ids[:1, :3])[0])


# Writing layers that need mask information


class TemporalSoftmax(jm.Layer):
    """Softmax over the real steps of each sequence; the guide divides by the sum over axis -1, the features."""

    supports_masking = True

    def call(self, params, inputs, mask=None):
        if mask is None:
            raise ValueError("`TemporalSoftmax` needs a layer before it that makes or passes a mask.")
        return jax.nn.softmax(inputs, axis=1, where=mask[..., None])


def temporal_softmax_model(mask_zero=True):
    inputs = jm.Input(shape=(None,), dtype="int32")
    x = jm.layers.Embedding(input_dim=10, output_dim=32, mask_zero=mask_zero)(inputs)
    x = jm.layers.Dense(1)(x)
    outputs = TemporalSoftmax()(x)

    return jm.Model(inputs, outputs)


@pytest.mark.slow
def test_temporal_softmax_block(rng, getkey):
    model = temporal_softmax_model()
    params = model.init(getkey())
    ids = rng.integers(0, 10, (32, 100), "int32")
    y = model.apply(params, ids)

    assert y.shape == (32, 100, 1)
    np.testing.assert_array_equal(y.mask, ids != 0)
    assert_close(jm.ops.sum(y, axis=1), np.ones((32, 1)))
    assert (np.asarray(y.values)[ids == 0] == 0).all()


@pytest.mark.parametrize("padding", ["post", "pre"])
def test_temporal_softmax_discards_masked_steps(padding, getkey):
    model = temporal_softmax_model()
    params = model.init(getkey())
    ids = jm.pad_sequences([[7, 6, 3], [1, 9, 5, 2, 8], [4]], padding=padding)
    assert_each_as_alone(jax.jit(model.apply), params, ids)


def test_temporal_softmax_needs_a_mask(unmasked_embedding):
    with pytest.raises(ValueError, match="needs a layer before it that makes or passes a mask"):
        TemporalSoftmax()(unmasked_embedding)
    with pytest.raises(ValueError, match="needs a layer before it that makes or passes a mask"):
        temporal_softmax_model(mask_zero=False)


# Summary


def test_layers_make_pass_use_change_and_merge_masks():
    inputs = jm.Input(shape=(None,), dtype="int32")
    x = CustomEmbedding(10, 32, mask_zero=True)(inputs)
    x = MyActivation()(x)
    x = TemporalSoftmax()(x)
    first_half, second_half = TemporalSplit()(x)
    x = jm.layers.Concatenate(axis=1)([second_half, first_half])
    model = jm.Model(inputs, jm.layers.LSTM(4)(x))

    assert [(row.name, row.mask_flow) for row in jm.summarize(model).rows] == [
        ("input", ()),
        ("custom_embedding", ("made",)),
        ("my_activation", ("passed",)),
        ("temporal_softmax", ("used", "passed")),
        ("temporal_split", ("changed",)),
        ("concatenate", ("merged",)),
        ("lstm", ("used", "pooled")),
    ]


def test_masks_outlive_arithmetic_and_jit(padded_inputs, getkey):
    embedding = jm.layers.Embedding(input_dim=5000, output_dim=16, mask_zero=True)
    params = embedding.init(getkey())
    x = 2 * jax.jit(embedding.apply)(params, padded_inputs) + 1  # Keras loses the mask three times on this line
    assert str(x.mask) == PRINTED_MASK
