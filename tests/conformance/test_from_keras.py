"""`jm.from_keras`: each layer with other options than its defaults, initialisers, layers of one's own."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.carried import check

pytestmark = pytest.mark.usefixtures("fresh")
BATCH, TIME, FEATURES = 3, 6, 4


@pytest.fixture
def x(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.normal(size=(BATCH, TIME, FEATURES)), "float32")


@pytest.fixture
def ids(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.integers(1, 9, size=(BATCH, TIME)), "int32")


OPTIONS: dict[str, Callable[[Any], Any]] = {
    "Activation": lambda k: k.Activation("softplus"),
    "Activation, softmax": lambda k: k.Activation("softmax"),
    "AlphaDropout": lambda k: k.AlphaDropout(0.3),
    "AveragePooling1D": lambda k: k.AveragePooling1D(3, strides=1, padding="same"),
    "BatchNormalization": lambda k: k.BatchNormalization(axis=1, epsilon=0.1, scale=False),
    "Bidirectional, other layers": lambda k: k.Bidirectional(
        k.LSTM(3, return_sequences=True),
        backward_layer=k.GRU(3, return_sequences=True, go_backwards=True),
        merge_mode="mul",
    ),
    "Bidirectional, states": lambda k: k.Bidirectional(k.LSTM(3, return_state=True), merge_mode=None),
    "Conv1D": lambda k: k.Conv1D(4, 3, padding="causal", dilation_rate=2, groups=2, use_bias=False, activation="silu"),
    "Conv1DTranspose": lambda k: k.Conv1DTranspose(3, 3, strides=2, output_padding=1, padding="same"),
    "Cropping1D": lambda k: k.Cropping1D((2, 1)),
    "Dense": lambda k: k.Dense(3, use_bias=False, activation="log_softmax"),
    "DepthwiseConv1D": lambda k: k.DepthwiseConv1D(2, strides=2, depth_multiplier=2),
    "Dropout": lambda k: k.Dropout(0.3),
    "ELU": lambda k: k.ELU(0.5),
    "EinsumDense": lambda k: k.EinsumDense("abc,cde->abde", (None, 2, 3), bias_axes="e", activation="tanh"),
    "Flatten": lambda k: k.Flatten(),
    "GRU": lambda k: k.GRU(3, reset_after=False, use_bias=False, return_sequences=True, go_backwards=True),
    "GaussianDropout": lambda k: k.GaussianDropout(0.3),
    "GaussianNoise": lambda k: k.GaussianNoise(0.3),
    "GlobalAveragePooling1D": lambda k: k.GlobalAveragePooling1D(keepdims=True),
    "GlobalMaxPooling1D": lambda k: k.GlobalMaxPooling1D(),
    "GroupNormalization": lambda k: k.GroupNormalization(2, epsilon=0.1, center=False),
    "Identity": lambda k: k.Identity(),
    "Lambda": lambda k: k.Lambda(lambda x, power: x**power, arguments={"power": 2}),
    "LSTM": lambda k: k.LSTM(3, return_state=True, recurrent_activation="hard_sigmoid", unroll=True),
    "LayerNormalization": lambda k: k.LayerNormalization(axis=2, epsilon=0.1, center=False),
    "LeakyReLU": lambda k: k.LeakyReLU(0.1),
    "Masking": lambda k: k.Masking(7.0),
    "MaxPooling1D": lambda k: k.MaxPooling1D(3, strides=2),
    "PReLU": lambda k: k.PReLU(shared_axes=[1]),
    "Permute": lambda k: k.Permute((1, 2)),
    "RMSNormalization": lambda k: k.RMSNormalization(epsilon=0.1),
    "RNN": lambda k: k.RNN([k.SimpleRNNCell(3), k.LSTMCell(2)], return_sequences=True, return_state=True),
    "RNN of one cell": lambda k: k.RNN(k.GRUCell(3), go_backwards=True),
    "ReLU": lambda k: k.ReLU(max_value=0.5, negative_slope=0.1, threshold=0.05),
    "Reshape": lambda k: k.Reshape((TIME, 2, 2)),
    "SeparableConv1D": lambda k: k.SeparableConv1D(3, 2, depth_multiplier=2, strides=2, padding="same"),
    "SimpleRNN": lambda k: k.SimpleRNN(3, activation="relu", return_sequences=True, zero_output_for_mask=True),
    "Softmax": lambda k: k.Softmax(axis=1),
    "SpatialDropout1D": lambda k: k.SpatialDropout1D(0.3),
    "TimeDistributed": lambda k: k.TimeDistributed(k.Dense(3, activation="relu")),
    "ActivityRegularization": lambda k: k.ActivityRegularization(l1=0.1),
    "UnitNormalization": lambda k: k.UnitNormalization(axis=1),
    "UpSampling1D": lambda k: k.UpSampling1D(3),
    "ZeroPadding1D": lambda k: k.ZeroPadding1D((0, 2)),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_a_layer_keeps_its_options(name: str, keras: Any, layers: Any, x: Any, rng: Any) -> None:
    inputs = keras.Input((TIME, FEATURES))
    check(keras.Model(inputs, OPTIONS[name](layers)(inputs)), x, rng=rng)


def test_statistics_of_each_time_step_are_those_of_all(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    inputs = keras.Input((TIME, FEATURES))
    model = keras.Model(inputs, layers.TimeDistributed(layers.BatchNormalization())(inputs), name="m")
    with pytest.warns(UserWarning, match="^m/time_distributed: in training Keras takes the statistics of each time"):
        check(model, x, rng=rng)


def test_a_convolutional_lstm(keras: Any, layers: Any, rng: Any) -> None:
    inputs = keras.Input((None, 7, 2))
    lines = jnp.asarray(rng.normal(size=(BATCH, TIME, 7, 2)), "float32")
    layer = layers.ConvLSTM1D(3, 2, strides=2, padding="same", return_sequences=True, return_state=True)
    check(keras.Model(inputs, layer(inputs)), lines, rng=rng)


@pytest.mark.parametrize("name", ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate"])
def test_a_merge(name: str, keras: Any, layers: Any, x: Any, rng: Any) -> None:
    a, b = keras.Input((None, FEATURES)), keras.Input((None, FEATURES))
    ours = check(keras.Model([a, b], getattr(layers, name)()([a, b])), x, x[::-1] + 1, rng=rng)
    assert ours.inputs[0].shape[1] == ours.inputs[1].shape[1]  # the lengths have to agree


def test_dot_and_repeat_vector(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    a = keras.Input((TIME, FEATURES))
    repeated = layers.RepeatVector(2)(layers.GlobalAveragePooling1D()(a))
    check(keras.Model(a, [layers.Dot(axes=2, normalize=True)([a, repeated]), repeated]), x, rng=rng)


ATTENTION: dict[str, Callable[[Any, Any, Any], Any]] = {
    "Attention": lambda k, q, v: k.Attention(use_scale=True, score_mode="concat")([q, v]),
    "Attention, three": lambda k, q, v: k.Attention()([q, v, v * 2.0], use_causal_mask=True),
    "AdditiveAttention, scores": lambda k, q, v: k.AdditiveAttention()([q, v], return_attention_scores=True),
    "MultiHeadAttention": lambda k, q, v: k.MultiHeadAttention(2, 3, output_shape=7)(q, v),
    "MultiHeadAttention by name": lambda k, q, v: k.MultiHeadAttention(2, 3, sliding_window=2, use_bias=False)(
        query=q, value=v, key=v * 2.0, use_causal_mask=True, return_attention_scores=True
    ),
    "GroupQueryAttention": lambda k, q, v: k.GroupQueryAttention(3, 4, 2, use_gate=True)(q, v, use_causal_mask=True),
}


@pytest.mark.parametrize("name", ATTENTION)
def test_attention_between_sequences_of_different_lengths(name: str, keras: Any, layers: Any, x: Any, rng: Any) -> None:
    q, v = keras.Input((None, FEATURES)), keras.Input((None, FEATURES))
    ours = check(keras.Model([q, v], ATTENTION[name](layers, q, v)), x[:, :4], x, rng=rng)
    assert ours.inputs[0].shape[1] != ours.inputs[1].shape[1]


def test_an_attention_mask_of_the_user(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    q, m = keras.Input((TIME, FEATURES)), keras.Input((TIME, TIME), dtype="bool")
    model = keras.Model([q, m], layers.MultiHeadAttention(2, 3)(q, q, attention_mask=m))
    check(model, x, jnp.asarray(rng.random((BATCH, TIME, TIME)) < 0.7) | jnp.eye(TIME, dtype=bool), rng=rng)


def test_a_single_layer(keras: Any, layers: Any, x: Any) -> None:
    layer = layers.LSTM(3)
    expected = layer(x)
    ours, params, state = jm.from_keras(layer)
    assert isinstance(ours, jm.layers.LSTM)
    assert_close(ours.apply(params, x), expected)
    assert state == {}


def test_the_model_is_pure_jax_from_then_on(keras: Any, layers: Any, ids: Any, rng: Any) -> None:
    model = keras.Sequential([layers.Embedding(9, 4, mask_zero=True), layers.Dense(2, activation="softmax")])
    model(ids)
    ours, params, _ = jm.from_keras(model)
    again = jm.from_config(ours.to_config())
    assert_close(jax.jit(again.apply)(params, ids).values, model(ids))
    fresh = again.init(jax.random.key(0))
    assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, params)


def test_initialisers_are_carried(keras: Any, layers: Any) -> None:
    by_name = {"glorot_normal": "glorot_normal", "random_normal": "normal", "ones": "ones"}
    for theirs, name in by_name.items():
        layer = layers.Dense(300, kernel_initializer=theirs)
        layer.build((None, 200))
        assert jm.from_keras(layer).model.kernel_initializer == name
    initializers = keras.initializers
    for theirs in (
        initializers.Constant(0.3),
        initializers.Orthogonal(gain=2.0),
        initializers.RandomNormal(stddev=0.2),
        initializers.TruncatedNormal(stddev=0.2),
        initializers.VarianceScaling(2.0, "fan_out", "uniform"),
    ):
        layer = layers.Dense(300, kernel_initializer=theirs)
        layer.build((None, 200))
        ours = jm.from_keras(layer).model
        drawn = np.asarray(ours.init(jax.random.key(0), jnp.zeros((1, 200)))["kernel"])
        expected = np.asarray(theirs((200, 300)))
        np.testing.assert_allclose([drawn.mean(), drawn.std()], [expected.mean(), expected.std()], atol=0.003)


def test_an_initialiser_without_a_peer_refuses_only_to_draw(keras: Any, layers: Any, x: Any) -> None:
    layer = layers.Dense(FEATURES, kernel_initializer=keras.initializers.IdentityInitializer(gain=2.0))
    expected = layer(x)
    ours, params, _ = jm.from_keras(layer)
    assert_close(ours.apply(params, x), expected)
    with pytest.raises(ValueError, match="no initialiser 'Identity"):
        ours.init(jax.random.key(0), x)


def test_a_frozen_layer_is_mentioned(keras: Any, layers: Any, x: Any) -> None:
    layer = layers.Dense(2, name="head", trainable=False)
    layer(x)
    with pytest.warns(UserWarning, match="^head: is frozen in Keras"):
        jm.from_keras(layer)


def test_custom_layers(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    class Scale(layers.Layer):
        def build(self, shape: Any) -> None:
            self.factor = self.add_weight(shape=shape[-1:], name="factor")

        def call(self, inputs: Any) -> Any:
            return inputs * self.factor

    class OurScale(jm.Layer):
        supports_masking = True

        def init(self, key: Any, inputs: Any) -> Any:
            return {"factor": jnp.ones(inputs.shape[-1:])}

        def call(self, params: Any, inputs: Any) -> Any:
            return inputs * params["factor"]

    model = keras.Sequential([keras.Input((None, FEATURES)), Scale(name="scale"), layers.Dense(2)], name="mine")
    with pytest.raises(ValueError, match=r"^mine/scale: cannot be converted from Keras: jmask has no layer `Scale`"):
        jm.from_keras(model)
    rule = {Scale: lambda layer: (OurScale(name=layer.name), {"factor": jnp.asarray(layer.factor)})}
    check(model, x, rng=rng, custom=rule)


def test_custom_layers_get_the_names_of_keras(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    class Twice(layers.Dense):
        def call(self, inputs: Any, training: Any = None) -> Any:
            return 2 * super().call(inputs, training=training)

    class Block(keras.Model):
        def __init__(self) -> None:
            super().__init__(name="block")
            self.dense = layers.Dense(2)

        def call(self, inputs: Any) -> Any:
            return self.dense(inputs)

    def params_of(dense: Any, factor: int) -> Any:
        return {name: factor * jnp.asarray(getattr(dense, name)) for name in ("kernel", "bias")}

    a = keras.Input((None, FEATURES))
    model = keras.Model(a, [layers.TimeDistributed(Twice(3))(a), Twice(5, name="five")(a), Block()(a)])
    rules = {
        Twice: lambda layer: (jm.layers.Dense(layer.units), params_of(layer, 2)),
        Block: lambda block: (jm.layers.Dense(2), params_of(block.dense, 1)),
    }
    ours = check(model, x, rng=rng, custom=rules)
    assert sorted(ours.named_layers) == ["block", "five", "time_distributed"]
