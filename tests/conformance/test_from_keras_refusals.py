"""What `jm.from_keras` refuses, always with the path to the layer."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm

pytestmark = pytest.mark.usefixtures("fresh")
TIME, FEATURES = 6, 4


def relu(x: Any) -> Any:
    """Another function than Keras'."""
    return 2 * x


REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "a penalty": (
        lambda k: k.Dense(2, kernel_regularizer="l2"),
        "^m/dense: .*kernel_regularizer='L2'.*add the penalty",
    ),
    "a penalty on outputs": (lambda k: k.Dense(2, activity_regularizer="l1"), "^m/dense: .*activity_regularizer"),
    "a constraint": (lambda k: k.Conv1D(2, 3, bias_constraint="non_neg"), "^m/conv1d: .*project the parameters"),
    "mixed precision": (lambda k: k.Dense(2, dtype="mixed_bfloat16"), "^m/dense: .*'mixed_bfloat16'"),
    "channels first": (lambda k: k.MaxPooling1D(data_format="channels_first"), "^m/max_pooling1d: .*data_format"),
    "another axis": (lambda k: k.LayerNormalization(axis=1), r"^m/layer_normalization: .*axis \[1\] of 3"),
    "softmax along two axes": (lambda k: k.Softmax(axis=(1, 2)), "^m/softmax: .*several axes"),
    "renormalisation": (lambda k: k.BatchNormalization(renorm=True), "^m/batch_normalization: .*renorm=True"),
    "frozen statistics": (lambda k: k.BatchNormalization(trainable=False), "^m/batch_normalization: .*frozen"),
    "an unknown activation": (lambda k: k.Dense(2, activation="squareplus"), "^m/dense: .*'squareplus'.*layer of its"),
    "another function of that name": (lambda k: k.Dense(2, activation=relu), "^m/dense: .*no function of `keras.act"),
    "another function of a gate": (lambda k: k.LSTM(2, activation=relu), "^m/lstm: .*`activation` is no function"),
    "another function as a layer": (lambda k: k.Activation(relu), "^m/activation: .*`activation` is no function"),
    "a function without a name": (lambda k: k.Dense(2, activation=lambda x: 2 * x), "^m/dense: .*is no function"),
    "a function with options": (lambda k: k.Dense(2, activation=partial(relu)), "^m/dense: .*Keras cannot say which"),
    "what depends on training": (lambda k: k.Lambda(lambda x, training: x), "^m/lambda: .*asks for `training`"),
    "softmax of a gate": (lambda k: k.LSTM(2, activation="softmax"), "^m/lstm: .*activation='softmax'"),
    "inside a wrapper": (
        lambda k: k.Bidirectional(k.LSTM(2, kernel_regularizer="l2")),
        "^m/bidirectional/forward_lstm: .*kernel_regularizer",
    ),
    "an unknown layer": (lambda k: k.SpectralNormalization(k.Dense(2)), "^m/spectral_normalization: .*no layer"),
    "a mask that is an array": (lambda k: k.Lambda(abs, mask=np.ones((3, 6))), "^m/lambda: .*mask that is an array"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_carried_is_refused_with_the_path(case: str, keras: Any, layers: Any) -> None:
    make, message = REFUSED[case]
    inputs = keras.Input((TIME, FEATURES))
    with pytest.raises(ValueError, match=message):
        jm.from_keras(keras.Model(inputs, make(layers)(inputs), name="m"))


def test_attention_along_other_axes_is_refused(keras: Any, layers: Any) -> None:
    inputs = keras.Input((TIME, 5, FEATURES))
    model = keras.Model(inputs, layers.MultiHeadAttention(2, 3, attention_axes=(1, 2))(inputs, inputs), name="m")
    with pytest.raises(ValueError, match=r"^m/multi_head_attention: .*axes \[1, 2\]"):
        jm.from_keras(model)


def test_attention_along_the_first_of_two_axes_is_refused(keras: Any, layers: Any) -> None:
    inputs = keras.Input((TIME, 5, FEATURES))
    model = keras.Model(inputs, layers.MultiHeadAttention(2, 3, attention_axes=1)(inputs, inputs), name="m")
    with pytest.raises(ValueError, match=r"^m/multi_head_attention: .*axes \[1\] of 4"):
        jm.from_keras(model)


def test_weights_of_two_places_are_refused(keras: Any, layers: Any) -> None:
    inputs, dense, cell = keras.Input((TIME, FEATURES)), layers.Dense(FEATURES), layers.GRUCell(FEATURES)
    inner = keras.Sequential([inputs, dense], name="inner")
    rnn = partial(layers.RNN, cell, return_sequences=True)
    for outputs in (inner(dense(inputs)), layers.TimeDistributed(dense)(dense(inputs)), rnn()(rnn()(inputs))):
        with pytest.raises(ValueError, match=r"^m/.*: .*shares its weights with m/"):
            jm.from_keras(keras.Model(inputs, outputs, name="m"))


def test_half_precision_is_refused(keras: Any, layers: Any) -> None:
    inputs = keras.Input((TIME, FEATURES), dtype="float16", name="x")
    models = [keras.Model(inputs, -inputs, name="m"), keras.Sequential([inputs, layers.Softmax()], name="m")]
    for model in models:
        with pytest.raises(ValueError, match=r"^m/x: .*input in float16"):
            jm.from_keras(model)


def test_a_state_between_batches_is_refused(keras: Any, layers: Any) -> None:
    inputs = keras.Input((TIME, FEATURES), batch_size=2)
    with pytest.raises(ValueError, match=r"^m/lstm: .*stateful=True"):
        jm.from_keras(keras.Model(inputs, layers.LSTM(2, stateful=True)(inputs), name="m"))


def test_calls_with_different_options_are_refused(keras: Any, layers: Any) -> None:
    inputs, attention = keras.Input((TIME, FEATURES)), layers.MultiHeadAttention(2, 2)
    h = attention(attention(inputs, inputs), inputs, use_causal_mask=True)
    with pytest.raises(ValueError, match=r"^m/multi_head_attention: .*Use one layer for each"):
        jm.from_keras(keras.Model(inputs, h, name="m"))


def test_operations_without_a_peer_are_refused(keras: Any, layers: Any) -> None:
    inputs = keras.Input((TIME, FEATURES))
    with pytest.raises(ValueError, match=r"^m/mean: .*no layer for the operation `Mean`"):
        jm.from_keras(keras.Model(inputs, keras.ops.mean(inputs, axis=1), name="m"))


def test_operations_with_another_meaning_are_refused(keras: Any, layers: Any) -> None:
    inputs = keras.Input((TIME,), dtype="int32")
    with pytest.raises(ValueError, match=r"^m/logical_and: .*of numbers, which are bits"):
        jm.from_keras(keras.Model(inputs, keras.ops.logical_and(inputs, inputs > 0), name="m"))
    with pytest.raises(ValueError, match=r"^m/multiply: .*a variable that is no weight"):
        jm.from_keras(keras.Model(inputs, inputs * keras.Variable(2.0), name="m"))


def test_models_with_a_call_of_their_own_are_refused(keras: Any, layers: Any) -> None:
    class Functional(keras.Model):
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return -super().call(inputs)

    class Sequential(keras.Sequential):
        def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
            return -super().call(inputs)

    inputs = keras.Input((FEATURES,))
    for model in (Functional(inputs, -inputs, name="m"), Sequential([inputs, layers.Dense(2)], name="m")):
        with pytest.raises(ValueError, match=r"^m: .*subclass of `keras.Model`"):
            jm.from_keras(model)


def test_a_sequential_of_several_inputs_is_refused(keras: Any, layers: Any) -> None:
    a, b = keras.Input((FEATURES,)), keras.Input((FEATURES,))
    model = keras.Sequential([keras.Model([a, b], a - b), layers.Dense(2)], name="m")
    model([jnp.ones((1, FEATURES)), jnp.ones((1, FEATURES))])
    with pytest.raises(ValueError, match=r"^m: .*does not know its inputs"):
        jm.from_keras(model)


def test_models_that_say_nothing_of_themselves_are_refused(keras: Any, layers: Any) -> None:
    class Mine(keras.Model):
        def call(self, inputs: Any) -> Any:
            return inputs

    model = Mine(name="m")
    model(jnp.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^m: .*subclass of `keras.Model`"):
        jm.from_keras(model)
    for unbuilt in (keras.Sequential([layers.Dense(2)], name="m"), layers.Dense(2, name="m")):
        with pytest.raises(ValueError, match=r"^m: .*has not been built"):
            jm.from_keras(unbuilt)


def test_what_jmask_refuses_is_refused_with_the_path(keras: Any, layers: Any) -> None:
    inputs = keras.Input((None, FEATURES))
    model = keras.Model(inputs, layers.Flatten()(layers.Masking()(inputs)), name="m")
    with pytest.raises(ValueError, match=r"^m/flatten: cannot be converted from Keras: `flatten` would join"):
        jm.from_keras(model)
    model = keras.Sequential([inputs, layers.Masking(), layers.Flatten()], name="m")
    with pytest.raises(ValueError, match=r"^m/flatten_1: cannot be converted from Keras: `flatten` would join"):
        jm.from_keras(model)
