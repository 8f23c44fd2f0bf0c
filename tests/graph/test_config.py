"""Layers and models as JSON and back, pickled and copied: the same program, the same parameters, shared as before."""

import copy
import dataclasses
import functools
import json
import pickle
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from tests.support.graphs import (
    BATCH,
    EXAMPLES,
    FEATURES,
    Block,
    Running,
    assert_same,
    double,
    ids,
    program,
    sequences,
    solved,
)

X = sequences()
LINES = X[..., None]


@jm.register_serializable
def scaled_uniform(key, shape, dtype=jnp.float32):
    return jax.random.uniform(key, shape, dtype) * 2


@jm.register_serializable
class Options(jm.Layer):
    """A layer with hyperparameters of every kind."""

    supports_masking = True

    number: float = 1.0
    flag: bool = False
    text: str = "a"
    nothing: Any = 3
    items: Any = ()
    _: dataclasses.KW_ONLY
    made: Any = dataclasses.field(default_factory=lambda: [1])

    def call(self, params, inputs):
        return inputs * self.number


@jm.register_serializable
class Options2(NamedTuple):
    first: Any
    second: Any


LAYERS = {
    "Activation": (L.Activation(double), (X,)),
    "ActivityRegularization": (L.ActivityRegularization(l1=0.5, l2=0.25), (X,)),
    "Add": (L.Add(merge="union"), ([X, sequences(seed=1)],)),
    "Average": (L.Average(merge="union"), ([X, sequences(seed=1)],)),
    "AlphaDropout": (L.AlphaDropout(0.25), (X,)),
    "AdditiveAttention": (L.AdditiveAttention(use_scale=False, dropout=0.5), (X, sequences(seed=1))),
    "Attention": (L.Attention(score_mode="concat", use_causal_mask=True), ([X, sequences(seed=1)],)),
    "AveragePooling1D": (L.AveragePooling1D(3, strides=1, padding="same"), (X,)),
    "Bidirectional": (
        L.Bidirectional(L.LSTM(2), merge_mode="sum", backward_layer=L.LSTM(2, activation="relu", use_bias=False)),
        (X,),
    ),
    "Concatenate": (L.Concatenate(axis=1), ([X, sequences(seed=1)],)),
    "Cropping1D": (L.Cropping1D((2, 0)), (X,)),
    "Conv1D": (L.Conv1D(4, 2, padding="causal", dilation_rate=2, activation=double, use_bias=False), (X,)),
    "ConvLSTM1D": (
        L.ConvLSTM1D(2, 2, strides=2, padding="same", recurrent_activation=double, return_sequences=True),
        (LINES,),
    ),
    "ConvLSTM1DCell": (L.RNN(L.ConvLSTM1DCell(2, 2, padding="same", unit_forget_bias=False)), (LINES,)),
    "Conv1DTranspose": (L.Conv1DTranspose(3, 2, strides=2, output_padding=1, kernel_initializer="ones"), (X,)),
    "Dense": (
        L.Dense(
            3, activation=double, kernel_initializer=scaled_uniform, bias_initializer="ones", param_dtype=jnp.bfloat16
        ),
        (X,),
    ),
    "BatchNormalization": (L.BatchNormalization(momentum=0.5, scale=False, axis_name=("data", "rows")), (X,)),
    "Dot": (L.Dot((1, -2), normalize=True), ([X, sequences(seed=1)],)),
    "DepthwiseConv1D": (L.DepthwiseConv1D(2, depth_multiplier=2, depthwise_initializer="ones"), (X,)),
    "Dropout": (L.Dropout(0.25, name="drop"), (X,)),
    "ELU": (L.ELU(2.0), (X,)),
    "EinsumDense": (
        L.EinsumDense("btf,fhd->bthd", (None, 2, 3), activation=double, bias_axes="hd", param_dtype="bfloat16"),
        (X,),
    ),
    "Embedding": (L.Embedding(7, 3, mask_zero=True, embeddings_initializer="normal"), (ids(),)),
    "Flatten": (L.Flatten(), (X.fill(0),)),
    "GaussianDropout": (L.GaussianDropout(0.25), (X,)),
    "GaussianNoise": (L.GaussianNoise(0.25), (X,)),
    "GlobalAveragePooling1D": (L.GlobalAveragePooling1D(keepdims=True), (X,)),
    "GlobalMaxPooling1D": (L.GlobalMaxPooling1D(keepdims=True), (X,)),
    "GRU": (L.GRU(2, reset_after=False, go_backwards=True, zero_output_for_mask=False), (X,)),
    "GRUCell": (L.RNN(L.GRUCell(2, reset_after=False)), (X,)),
    "GroupNormalization": (L.GroupNormalization(1, epsilon=0.5, scale=False), (X,)),
    "Identity": (L.Identity(), (X,)),
    "GroupQueryAttention": (L.GroupQueryAttention(3, 4, 2, sliding_window=2, use_bias=False, use_gate=True), (X, X)),
    "LSTM": (L.LSTM(2, return_sequences=True, return_state=True, go_backwards=True, recurrent_activation=double), (X,)),
    "LSTMCell": (L.RNN(L.LSTMCell(2, unit_forget_bias=False), return_sequences=True), (X,)),
    "Lambda": (L.Lambda(double, supports_masking=True), (X,)),
    "LayerNormalization": (L.LayerNormalization(epsilon=0.5, center=False), (X,)),
    "LeakyReLU": (L.LeakyReLU(0.25), (X,)),
    "Masking": (L.Masking(mask_value=float("nan")), (X,)),
    "Maximum": (L.Maximum(merge="union"), ([X, sequences(seed=1)],)),
    "Minimum": (L.Minimum(name="least"), ([X, sequences(seed=1)],)),
    "Multiply": (L.Multiply(merge="union"), ([X, sequences(seed=1)],)),
    "MaxPooling1D": (L.MaxPooling1D(3, padding="same"), (X,)),
    "PerSequence": (L.PerSequence(double, lengths="t", constraints=["t >= 2"]), (X,)),
    "Permute": (L.Permute((2, 1)), (X.fill(0),)),
    "MultiHeadAttention": (
        L.MultiHeadAttention(2, 3, value_dim=5, output_shape=(3, 2), kernel_initializer=scaled_uniform),
        (X, sequences(seed=1)),
    ),
    "PositionEmbedding": (L.PositionEmbedding(9, initializer="normal"), (X,)),
    "RNN": (L.RNN(Running(), return_sequences=True), (X,)),
    "RepeatVector": (L.RepeatVector(3), (X.fill(0)[:, 0],)),
    "Reshape": (L.Reshape((-1, 1)), (X,)),
    "PReLU": (L.PReLU(alpha_initializer=scaled_uniform, shared_axes=[1]), (X,)),
    "RMSNormalization": (L.RMSNormalization(epsilon=0.5), (X,)),
    "RotaryEmbedding": (L.RotaryEmbedding(max_wavelength=50.0, interleaved=True), (X,)),
    "ReLU": (L.ReLU(6.0, negative_slope=0.5, threshold=0.25), (X,)),
    "SeparableConv1D": (L.SeparableConv1D(3, 2, strides=2, padding="same", bias_initializer="ones"), (X,)),
    "SimpleRNN": (L.SimpleRNN(2, activation=double, unroll=True), (X,)),
    "SimpleRNNCell": (L.RNN(L.SimpleRNNCell(2, use_bias=False)), (X,)),
    "SinePositionEncoding": (L.SinePositionEncoding(max_wavelength=50.0), (X,)),
    "CRF": (L.CRF(), (X,)),
    "Softmax": (L.Softmax(axis=1), (X,)),
    "SpatialDropout1D": (L.SpatialDropout1D(0.25), (X,)),
    "StackedRNNCells": (L.RNN(L.StackedRNNCells([L.GRUCell(2), L.LSTMCell(3)]), return_sequences=True), (X,)),
    "Subtract": (L.Subtract(merge="union"), ([X, sequences(seed=1)],)),
    "TimeDistributed": (L.TimeDistributed(L.Dense(3, activation="relu")), (X,)),
    "UpSampling1D": (L.UpSampling1D(3), (X,)),
    "ZeroPadding1D": (L.ZeroPadding1D(2), (X,)),
    "UnitNormalization": (L.UnitNormalization(1), (X,)),
}


def through_json(item, **kwargs):
    return jm.from_config(json.loads(json.dumps(jm.to_config(item), allow_nan=False)), **kwargs)


def test_every_layer_has_a_round_trip_here():
    public = {name for name, item in vars(L).items() if isinstance(item, type) and issubclass(item, jm.Layer)}
    assert public - {"Layer"} == set(LAYERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_comes_back_with_its_hyperparameters_and_program(name):
    layer, inputs = LAYERS[name]
    copied = through_json(layer)
    assert copied is not layer
    assert type(copied) is type(layer)
    assert jm.to_config(copied) == jm.to_config(layer)
    params = layer.init(jax.random.key(0), *inputs)
    assert_same(copied.init(jax.random.key(0), *inputs), params)
    assert program(copied, params, *inputs) == program(layer, params, *inputs)


@functools.cache
def original(name):
    """The program and the table of an example."""
    found = solved(name)
    model = found.example.model
    return program(model, found.params, *found.example.inputs), str(jm.summarize(model))


@pytest.mark.slow
@pytest.mark.parametrize("copied", [through_json, copy.deepcopy, copy.copy, lambda m: pickle.loads(pickle.dumps(m))])
@pytest.mark.parametrize("name", EXAMPLES)
def test_a_model_comes_back_with_its_parameters_and_program(name, copied):
    found = solved(name)
    model = copied(found.example.model)
    assert type(model) is type(found.example.model)
    assert repr(model) == repr(found.example.model)
    assert jm.to_config(model) == jm.to_config(found.example.model)
    specs = jax.eval_shape(model.init, jax.random.key(0), *found.example.inputs)
    assert jax.tree.map(jnp.shape, specs) == jax.tree.map(jnp.shape, found.params)
    assert (program(model, found.params, *found.example.inputs), str(jm.summarize(model))) == original(name)


@pytest.mark.parametrize("copied", [through_json, copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_what_was_shared_is_shared_and_nothing_else(copied):
    dense, block = L.Dense(FEATURES), Block()
    x = jm.Input((None, FEATURES))
    row = jm.Sequential([dense, dense, L.Dense(FEATURES)])
    model = copied(jm.Model(x, [row(x), row(block(x)), block(x), L.Dense(FEATURES)(x)]))
    assert sorted(model.layers) == ["block", "dense", "sequential"]
    first, second, third = model.layers["sequential"].layers
    assert first is second is not third
    calls = [type(call.layer).__name__ for call in model.calls]
    assert calls == ["Sequential", "Block", "Sequential", "Block", "Dense"]
    assert model.calls[0].layer is model.calls[2].layer
    assert model.calls[1].layer is model.calls[3].layer is not block


def test_a_copy_can_be_built_on():
    model = solved("chain").example.model
    copied = pickle.loads(pickle.dumps(model))
    longer = jm.Model(copied.inputs, L.Dense(1, name="more")(copied.outputs))
    params = jax.eval_shape(longer.init, jax.random.key(0))
    assert sorted(params) == ["dense", "embedding", "lstm", "more"]
    with pytest.raises(ValueError, match="is not among its inputs"):  # the nodes are others
        jm.Model(model.inputs, copied.outputs)


def test_sizes_of_cut_models_come_back():
    x = jm.Input((None,), "int32", batch_size=3)
    left, _ = _halves(L.Embedding(7, 4, mask_zero=True)(x))
    doubled = L.Concatenate(axis=0)([jm.Input((None, 4)), jm.Input((None, 4))])
    model = through_json(jm.Model([left, doubled], [left * 2, doubled * 2]))
    assert [str(node.shape) for node in model.inputs] == ["(3, floordiv(time, 2), 4)", "(2*batch, time, 4)"]
    assert str(model.inputs[0].edge.spec.shape) == "(3, floordiv(time, 2))"
    assert [row.name for row in jm.summarize(model).rows[:2]] == ["halve", "concatenate"]


def _halves(node):
    from tests.support.graphs import Halve

    return Halve()(node)


OPTIONS = [
    Options(2.0, True, "b", None, [1, (2, {"a": 3.5, 4: None})]),
    Options(float("inf"), items=slice(1, None, -1), nothing=...),
    Options(number=1),  # equal to the default, but another type
    Options(nothing=True),
    Options(items=np.arange(6, dtype=np.int8).reshape(2, 3)),
    Options(items=[np.float32(0.1), np.float64(0.1), np.int64(3), np.bool_(True)]),
    Options(items=jnp.array([[float("nan"), 1.0], [float("-inf"), 0.0]], jnp.bfloat16)),
    Options(items=[np.zeros((0, 3)), np.array(7)]),
    Options(items=(jnp.bfloat16, np.dtype("float16"), np.int32)),
    Options(items=double, made={"x": [L.Dense(3), Options2(1, L.Dense(2))]}),
    Options(items=jm.NO_MASK),
]


@pytest.mark.parametrize("options", OPTIONS, ids=map(str, range(len(OPTIONS))))
def test_hyperparameters_of_every_kind(options):
    copied = through_json(options)
    for field in dataclasses.fields(Options):
        before, after = getattr(options, field.name), getattr(copied, field.name)
        assert jm.to_config(Options(items=before)) == jm.to_config(Options(items=after))
        if not isinstance(before, (np.ndarray, jax.Array, type, np.dtype, list)):
            assert type(after) is type(before)
    if isinstance(options.items, (np.ndarray, jax.Array)):
        assert copied.items.dtype == options.items.dtype
        np.testing.assert_array_equal(np.asarray(copied.items, np.float32), np.asarray(options.items, np.float32))


class Unknown(jm.Layer):
    pass


@dataclasses.dataclass
class Cell:
    units: int = 1

    def initial_state(self, inputs):
        return inputs

    def step(self, params, state, inputs):
        return state, inputs


class Point(NamedTuple):
    x: int


@pytest.mark.parametrize(
    "item",
    [
        Unknown(),
        L.Activation(jnp.tanh),
        L.Lambda(lambda x: x),
        L.Dense(3, kernel_initializer=jax.nn.initializers.he_normal()),
        L.RNN(Cell()),
        Options(items=Unknown),
        Options(items=Point(1)),
        Options(items={1, 2}),
        Options(items=1j),
        Options(items=sequences()),
    ],
    ids=lambda item: type(item).__name__,
)
def test_what_nothing_could_bring_back_is_refused(item):
    with pytest.raises(ValueError, match=r"(?s)`to_config`: .* is not registered, so nothing could bring it back"):
        jm.to_config(item)
    x = jm.Input((None, FEATURES))
    with pytest.raises(ValueError, match="is not registered"):
        jm.to_config(jm.Model(x, L.Lambda(lambda v: v)(x)))


def test_classes_and_functions_by_name_at_reading_time():
    config = jm.to_config(L.Dense(3, activation=double))
    config["config"]["activation"] = {"function": "triple"}
    with pytest.raises(
        ValueError, match=r"'triple' is not registered. Decorate it with `@jm.register_serializable`, or pass `custom"
    ):
        jm.from_config(config)
    copied = jm.from_config(config, custom={"triple": abs})
    assert copied.activation is abs


def test_data_of_another_origin_is_refused():
    for data in ({"something": 1}, {}):
        with pytest.raises(ValueError, match="this is not what `to_config` writes"):
            jm.from_config(data)


def test_a_name_is_registered_once_and_a_lambda_has_none():
    def make():
        def local_function(x):
            return x

        return local_function

    jm.register_serializable(make())
    jm.register_serializable(make())  # the cell of a notebook, run again
    with pytest.raises(ValueError, match="The name 'double' is registered for"):
        jm.register_serializable(make(), name="double")
    with pytest.raises(ValueError, match="A lambda has no name of its own"):
        jm.register_serializable(lambda x: x)
    assert through_json(L.Activation(jm.register_serializable(lambda x: x + 1, name="plus_one"))).activation(1) == 2


def test_a_node_in_a_layer_is_refused():
    x = jm.Input((None, FEATURES))
    h = L.Dense(2)(x)
    for save in (lambda: jm.to_config(Options(items=h)), lambda: pickle.dumps(h), lambda: copy.deepcopy(h)):
        with pytest.raises(ValueError, match="is the output of a layer and cannot be saved or copied alone"):
            save()
    assert repr(copy.deepcopy(x)) == repr(x) == repr(pickle.loads(pickle.dumps(x)))


@pytest.mark.slow
def test_parameters_survive_a_pickle_with_their_model():
    found = solved("nested")
    model, params = pickle.loads(pickle.dumps((found.example.model, found.params)))
    assert_same(params, found.params)
    assert jax.eval_shape(model.apply, params, X).shape == (BATCH, 2)
