"""`jm.testing` finds planted faults, names the law that they break, and shows the smallest example."""

import inspect
import runpy
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import LawBroken, assert_close, check_function, check_layer, random_masked
from tests.support.faults import FAULTS, LAYER_FAULTS, Unaware, counts_padding_in_the_mean

SEQUENCE, IDS, STATE = jm.Input((None, 3)), jm.Input((None,), "int32"), jm.Input((2,))
LINES = jm.Input((None, 5, 3))


@pytest.mark.slow
@pytest.mark.parametrize(("fault", "law", "lengths", "text"), FAULTS, ids=lambda x: getattr(x, "__name__", None))
def test_a_fault_is_found_and_its_law_is_named(fault, law, lengths, text):
    with pytest.raises(LawBroken) as found:
        check_function(fault, SEQUENCE)
    assert found.value.law == law
    assert text in found.value.reason
    message = str(found.value)
    assert message.startswith(f"`{fault.__name__}` breaks the law {law!r}: ")
    assert f"lengths {lengths}," in message


@pytest.mark.parametrize(("layer", "law", "text"), LAYER_FAULTS, ids=str)
def test_a_fault_of_a_layer_is_found(layer, law, text):
    with pytest.raises(LawBroken) as found:
        check_layer(layer, SEQUENCE)
    assert (found.value.law, found.value.subject) == (law, layer.default_name)
    assert text in found.value.reason


def test_the_message_shows_the_example():
    with pytest.raises(LawBroken) as found:
        check_function(lambda x: jm.ops.sum(x * 0 + x.shape[1], axis=1), IDS, maximum=7)
    assert str(found.value) == (
        "`<lambda>` breaks the law 'exact': beside the sequence alone, output 0, row 0: entries differ by up to 1, "
        "where 0 is allowed\n  expected: [1.]\n  received: [2.]\n"
        "Smallest example: lengths [1], time 2, padding on the right\n"
        "  mask: [[1, 0]]\n"
        "  input 0: Masked(int32[1, 2], lengths=[1])\n    [[3 ·]]"
    )


@pytest.mark.slow
def test_garbage_among_ids_is_found(getkey):
    with pytest.raises(LawBroken, match=r"breaks the law 'invisible padding'.* with 2147483647 in the padding"):
        check_function(lambda x: x.values.max(axis=1), IDS, key=getkey(), maximum=7)


@pytest.mark.slow
def test_gradients_are_compared(getkey):
    @jax.custom_jvp
    def total(x: Any) -> Any:
        return x.sum(axis=1)

    total.defjvp(lambda primals, tangents: (total(*primals), tangents[0].mean(axis=1)))  # the mean knows the padding
    with pytest.raises(LawBroken, match="the gradient of input 0, row 0"):
        check_function(lambda x: total(x.fill(0)), SEQUENCE, key=getkey())
    with pytest.raises(LawBroken, match=r"the gradient of the parameter \['w'\]"):
        check_function(lambda p, x: total(x.fill(0) * p["w"]), IDS, params={"w": jnp.ones(())}, maximum=5)


class Decay(jm.Layer):
    """A cell of one's own."""

    def initial_state(self, inputs: Any) -> Any:
        return jnp.ones(inputs.shape, inputs.dtype)

    def step(self, params: Any, state: Any, inputs: Any) -> Any:
        state = 0.5 * state + inputs
        return state, jnp.tanh(state)


LAYERS = {
    "Activation": (jm.layers.Activation("gelu"), SEQUENCE),
    "ActivityRegularization": (jm.layers.ActivityRegularization(l1=0.5), SEQUENCE),
    "Add": (jm.layers.Add(), [SEQUENCE, SEQUENCE]),
    "BatchNormalization": (jm.layers.BatchNormalization(), SEQUENCE),
    "Average": (jm.layers.Average(merge="union"), [SEQUENCE, SEQUENCE]),
    "AlphaDropout": (jm.layers.AlphaDropout(0.5), SEQUENCE),
    "AdditiveAttention": (jm.layers.AdditiveAttention(use_causal_mask=True), SEQUENCE, SEQUENCE),
    "Attention": (jm.layers.Attention(score_mode="concat"), [SEQUENCE, SEQUENCE, SEQUENCE]),
    "Bidirectional": (jm.layers.Bidirectional(jm.layers.LSTM(2, return_sequences=True)), SEQUENCE),
    "CRF": (jm.layers.CRF(), SEQUENCE),
    "Concatenate": (jm.layers.Concatenate(axis=1), [SEQUENCE, SEQUENCE]),
    "Cropping1D": (jm.layers.Cropping1D(), SEQUENCE),
    "Dense": (jm.layers.Dense(5, activation="tanh"), SEQUENCE),
    "Dot": (jm.layers.Dot(1), [SEQUENCE, SEQUENCE]),
    "AveragePooling1D": (jm.layers.AveragePooling1D(3, strides=2, padding="same"), SEQUENCE),
    "Conv1D": (jm.layers.Conv1D(2, 3, strides=2, padding="same", activation="relu"), SEQUENCE),
    "Conv1DTranspose": (jm.layers.Conv1DTranspose(2, 3, strides=2), SEQUENCE),
    "ConvLSTM1D": (jm.layers.ConvLSTM1D(2, 3, padding="same", go_backwards=True), LINES),
    "ConvLSTM1DCell": (jm.layers.RNN(jm.layers.ConvLSTM1DCell(2, 3), return_sequences=True), LINES),
    "DepthwiseConv1D": (jm.layers.DepthwiseConv1D(2, padding="causal", dilation_rate=2), SEQUENCE),
    "Dropout": (jm.layers.Dropout(0.5), SEQUENCE),
    "ELU": (jm.layers.ELU(), SEQUENCE),
    "EinsumDense": (jm.layers.EinsumDense("...f,fhd->...hd", (2, 5), bias_axes="d"), SEQUENCE),
    "Embedding": (jm.layers.Embedding(7, 5, mask_zero=True), IDS),
    "Flatten": (jm.layers.TimeDistributed(jm.layers.Flatten()), jm.Input((None, 3, 2))),
    "GRU": (jm.layers.GRU(2, go_backwards=True), SEQUENCE),
    "GRUCell": (jm.layers.RNN(jm.layers.GRUCell(2), return_sequences=True), SEQUENCE),
    "GaussianDropout": (jm.layers.GaussianDropout(0.5), SEQUENCE),
    "GaussianNoise": (jm.layers.GaussianNoise(0.5), SEQUENCE),
    "GlobalAveragePooling1D": (jm.layers.GlobalAveragePooling1D(), SEQUENCE),
    "GroupNormalization": (jm.layers.GroupNormalization(3), SEQUENCE),
    "Identity": (jm.layers.Identity(), SEQUENCE),
    "GroupQueryAttention": (jm.layers.GroupQueryAttention(3, 2, 1, use_causal_mask=True), SEQUENCE, SEQUENCE),
    "GlobalMaxPooling1D": (jm.layers.GlobalMaxPooling1D(), SEQUENCE),
    "LSTM": (jm.layers.LSTM(2, return_state=True), SEQUENCE, [STATE, STATE]),
    "LSTMCell": (jm.layers.RNN(jm.layers.LSTMCell(2, activation="relu")), SEQUENCE),
    "Lambda": (jm.layers.Lambda(jnp.square, supports_masking=True), SEQUENCE),
    "LayerNormalization": (jm.layers.LayerNormalization(), SEQUENCE),
    "LeakyReLU": (jm.layers.LeakyReLU(), SEQUENCE),
    "Masking": (jm.layers.Masking(), SEQUENCE),
    "Maximum": (jm.layers.Maximum(), [SEQUENCE, SEQUENCE]),
    "Minimum": (jm.layers.Minimum(merge="union"), [SEQUENCE, jm.Input((3,))]),
    "Multiply": (jm.layers.Multiply(), [SEQUENCE, jm.Input((3,))]),
    "MaxPooling1D": (jm.layers.MaxPooling1D(), SEQUENCE),
    "PerSequence": (jm.layers.PerSequence(lambda x: jnp.cumsum(jax.nn.softmax(x, axis=0)[::-1], axis=0)), SEQUENCE),
    "Permute": (jm.layers.Permute((1, 3, 2)), jm.Input((None, 3, 2))),
    "MultiHeadAttention": (jm.layers.MultiHeadAttention(2, 3, sliding_window=2), SEQUENCE, SEQUENCE),
    "PositionEmbedding": (jm.layers.PositionEmbedding(13), SEQUENCE),
    "RNN": (jm.layers.RNN(Decay(), return_sequences=True, go_backwards=True), SEQUENCE),
    "RepeatVector": (jm.layers.TimeDistributed(jm.layers.RepeatVector(2)), SEQUENCE),
    "Reshape": (jm.layers.Reshape((-1, 6)), SEQUENCE),
    "PReLU": (jm.layers.PReLU(alpha_initializer="ones", shared_axes=1), SEQUENCE),
    "RMSNormalization": (jm.layers.RMSNormalization(), SEQUENCE),
    "RotaryEmbedding": (jm.layers.RotaryEmbedding(), jm.Input((None, 2, 4))),
    "ReLU": (jm.layers.ReLU(1.0, negative_slope=0.5, threshold=0.25), SEQUENCE),
    "SeparableConv1D": (jm.layers.SeparableConv1D(2, 2), SEQUENCE),
    "SimpleRNN": (jm.layers.SimpleRNN(2, return_sequences=True, unroll=True), SEQUENCE),
    "SimpleRNNCell": (jm.layers.RNN(jm.layers.SimpleRNNCell(2), go_backwards=True), SEQUENCE),
    "SinePositionEncoding": (jm.layers.SinePositionEncoding(), SEQUENCE),
    "Softmax": (jm.layers.Softmax(axis=1), SEQUENCE),
    "SpatialDropout1D": (jm.layers.SpatialDropout1D(0.5), SEQUENCE),
    "StackedRNNCells": (
        jm.layers.RNN(jm.layers.StackedRNNCells([jm.layers.GRUCell(2), jm.layers.LSTMCell(3)]), return_state=True),
        SEQUENCE,
    ),
    "Subtract": (jm.layers.Subtract(), [SEQUENCE, SEQUENCE]),
    "TimeDistributed": (jm.layers.TimeDistributed(jm.layers.GRU(2)), jm.Input((None, 2, 3))),
    "UpSampling1D": (jm.layers.UpSampling1D(), SEQUENCE),
    "ZeroPadding1D": (jm.layers.ZeroPadding1D((1, 2)), SEQUENCE),
    "UnitNormalization": (jm.layers.UnitNormalization(1), SEQUENCE),
}


IN_DOCS = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "make_layers.py"))["TABLE"]
CHECKED = {type(layer).__name__: (layer, *inputs) for rows in IN_DOCS.values() for layer, *inputs in rows} | LAYERS


def test_every_layer_is_checked():
    """With the inputs that the documentation shows, or others; cells, which see one step, are checked in an `RNN`."""
    public = {name for name, member in vars(jm.layers).items() if inspect.isclass(member) and member is not jm.Layer}
    assert CHECKED.keys() == public


@pytest.mark.slow
@pytest.mark.parametrize("name", CHECKED)
def test_layers_keep_the_laws(name, getkey):
    layer, *specs = CHECKED[name]
    check_layer(layer, *specs, key=getkey(), maximum=7)


class TemporalSoftmax(jm.Layer):
    """The guide's example, which refuses inputs without a mask."""

    supports_masking = True

    def call(self, params: Any, inputs: Any, mask: Any = None) -> Any:
        if mask is None:
            raise ValueError("`TemporalSoftmax` needs a layer before it that makes or passes a mask.")
        return jax.nn.softmax(inputs, axis=1, where=mask[..., None])


def test_a_layer_of_ones_own_keeps_the_laws(getkey):
    check_layer(TemporalSoftmax(), SEQUENCE, key=getkey())


@pytest.mark.slow
def test_a_model_is_a_layer(getkey):
    layers = [jm.layers.Embedding(7, 3, mask_zero=True), jm.layers.Dense(2), jm.layers.GlobalAveragePooling1D()]
    check_layer(jm.Sequential(layers), IDS, key=getkey(), maximum=7)


@pytest.mark.slow
def test_a_result_for_the_batch_is_compared_with_an_unpadded_batch(getkey):
    check_function(lambda x: jm.ops.mean(x * x), SEQUENCE, key=getkey())


@pytest.mark.slow
def test_examples_serve_as_specs(getkey):
    ids = random_masked(getkey(), [3, 2], dtype="int32", maximum=5)
    table = jax.random.normal(getkey(), (5, 2))  # an id of 5 or more would give NaN
    check_function(lambda p, x: jm.ops.embed(x, p), ids, params=table)
    check_function(lambda x: jm.ops.sum(x, axis=1), random_masked(getkey(), [3, 2], 2, dtype="float16"))


def test_only_the_laws_that_are_asked_for():
    check_function(counts_padding_in_the_mean, SEQUENCE, laws=["data", "not silent", "one compile", "pure"])
    check_layer(Unaware(), jm.Input((None,)), laws=["one compile"])
    with pytest.raises(LawBroken, match="breaks the law 'invisible padding'"):
        check_function(counts_padding_in_the_mean, SEQUENCE, laws=["invisible padding"])


def test_wrong_options_are_refused():
    with pytest.raises(ValueError, match="`laws` must be names"):
        check_function(lambda x: x, SEQUENCE, laws=["justice"])
    with pytest.raises(ValueError, match="need `maximum=`"):
        check_function(lambda x: x, IDS)
    with pytest.raises(ValueError, match="No input has a time axis"):
        check_function(lambda x: x, STATE)
    with pytest.raises(ValueError, match="Only the sizes of the batch and of time"):
        check_function(lambda x: x, jm.Input((None, None)))


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["right", "left", "holes"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int32", "bool"])
def test_random_sequences_do_not_depend_on_their_padding(dtype, padding, getkey):
    key, options = getkey(), {"dtype": dtype, "maximum": 11}
    x = random_masked(key, [3, 0, 5], (2,), time=7, padding=padding, **options)
    assert x.shape == (3, 7, 2)
    assert x.lengths.tolist() == [3, 0, 5]
    assert x.dtype == dtype
    for row, expected in zip(jm.unpad(x), jm.unpad(random_masked(key, [3, 0, 5], (2,), **options)), strict=True):
        np.testing.assert_array_equal(row, expected)
    if padding == "holes":
        assert not x.mask[0, 1]


def test_random_sequences_stand_in_nan(getkey):
    x = random_masked(getkey(), [3, 1], 2)
    assert np.isnan(x.values[~x.mask]).all()
    assert np.isfinite(x.values[x.mask]).all()
    assert (random_masked(getkey(), [1], padding_value=5).values[0, 1:] == 5).all()


def test_random_sequences_take_old_keys():
    old, new = (random_masked(key(3), [2]).values[0, 0] for key in (jax.random.PRNGKey, jax.random.key))
    assert old == new


def test_random_sequences_refuse_what_they_cannot_draw(getkey):
    with pytest.raises(ValueError, match="need a `maximum`"):
        random_masked(getkey(), [2], dtype="int32")
    with pytest.raises(ValueError, match="at least the longest"):
        random_masked(getkey(), [2], time=1)
    with pytest.raises(ValueError, match="`padding` must be"):
        random_masked(getkey(), [2], padding="post")


@pytest.mark.parametrize(
    ("actual", "expected", "text"),
    [
        (np.ones(2), np.ones((2, 1)), "shapes differ"),
        (np.array([1.0, np.nan]), np.ones(2), "up to nan"),
        (np.array([np.inf]), np.ones(1), "up to inf"),
        (np.ones(2, "float32"), np.full(2, 1.001), "up to 0.001"),
        (np.array([1000]), np.array([1001]), "where 0 is allowed"),
        (np.ones(2, "complex64"), np.full(2, 1 + 1j), "up to 1"),
    ],
)
def test_arrays_that_are_not_close(actual, expected, text):
    with pytest.raises(AssertionError, match=text):
        assert_close(actual, expected)


def test_arrays_that_are_close():
    assert_close(np.full(2, 1 + 1e-6, "float32"), np.ones(2))
    assert_close(jnp.full(2, 1.01, "bfloat16"), np.ones(2))
    assert_close(np.array([1e6, 1.5], "float32"), np.array([1e6, 1.0]))  # one place of the largest
    assert_close(np.array([np.nan, np.inf]), np.array([np.nan, np.inf]))
    assert_close(np.ones(2) + 1e-7, np.ones(2), precision="difference")
