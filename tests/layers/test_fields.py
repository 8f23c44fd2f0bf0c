"""Wrong hyperparameters of every layer are refused when it is built, by an error that names layer and field."""

import dataclasses
import types
import typing

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.protocol import fields

L = jm.layers

# Every layer with hyperparameters that are right.
RIGHT = {
    L.Activation: ("relu",),
    L.AlphaDropout: (0.1,),
    L.Bidirectional: (L.LSTM(2),),
    L.Conv1D: (4, 3),
    L.Conv1DTranspose: (4, 3),
    L.ConvLSTM1D: (4, 3),
    L.ConvLSTM1DCell: (4, 3),
    L.Dense: (3,),
    L.DepthwiseConv1D: (3,),
    L.Dot: (1,),
    L.Dropout: (0.1,),
    L.EinsumDense: ("btf,fhd->bthd", (None, 2, 4)),
    L.Embedding: (5, 4),
    L.GRU: (3,),
    L.GRUCell: (3,),
    L.GaussianDropout: (0.1,),
    L.GaussianNoise: (0.1,),
    L.GroupQueryAttention: (3, 4, 2),
    L.LSTM: (3,),
    L.LSTMCell: (3,),
    L.Lambda: (jnp.square,),
    L.MultiHeadAttention: (2, 3),
    L.PerSequence: (jnp.flip,),
    L.Permute: ((1, 2),),
    L.PositionEmbedding: (9,),
    L.RNN: (L.GRUCell(3),),
    L.RepeatVector: (3,),
    L.Reshape: ((2, 3),),
    L.SeparableConv1D: (4, 3),
    L.SimpleRNN: (3,),
    L.SimpleRNNCell: (3,),
    L.SpatialDropout1D: (0.1,),
    L.StackedRNNCells: ([L.GRUCell(3)],),
    L.TimeDistributed: (L.Dense(3),),
}
LAYERS = [
    layer
    for layer in vars(L).values()
    if isinstance(layer, type) and issubclass(layer, L.Layer) and layer is not L.Layer
]
WRONG = [-9, 0.5, float("nan"), float("inf"), "no", "", True, None, [1.5], {"a": 1}, object(), np.ones(2), int]
FREE = {  # what a value may be there, or what only the call can tell
    "axis_name": "whatever names an axis",
    "lengths": "checked by `jm.vmap`, with the inputs",
    "constraints": "checked by `jm.vmap`, with the inputs",
    "bias_axes": "letters of the equation",
}


def is_right(annotation, value):
    """An independent reading of an annotation: whether a value fits it."""
    if isinstance(value, (np.ndarray, type)) and value is not float:
        return False
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        marks = args[1:]
        if any(isinstance(mark, fields.IsDtype) for mark in marks):
            return False
        if any(isinstance(mark, fields.Known) for mark in marks):
            return value is None and type(None) in typing.get_args(args[0])
        if not is_right(args[0], value) and not (args[0] is float and type(value) is float):
            return False
        ranges = [mark for mark in marks if isinstance(mark, fields.Interval)]
        is_bounded = any(isinstance(mark, fields.AnyFloat) for mark in marks) or np.isfinite(value)
        return is_bounded and all(mark.low <= value <= mark.high for mark in ranges)
    if origin in (typing.Union, types.UnionType):
        return any(is_right(option, value) for option in args)
    if origin is typing.Literal:
        return any(value is option or (isinstance(value, str) and value == option) for option in args)
    if annotation is bool or annotation is str or annotation is int:
        return type(value) is annotation
    if annotation is float:
        return type(value) in (int, float) and np.isfinite(value)
    if annotation is type(None):
        return value is None
    return False


def own(layer):
    """The same without the type checks of the tests, which are stricter than the library."""
    return type("Own", (layer,), {})


def cases():
    for layer in LAYERS:
        for field in dataclasses.fields(layer):
            if field.name not in FREE:
                yield pytest.param(layer, field, id=f"{layer.__name__}.{field.name}")


@pytest.mark.parametrize(("layer", "field"), list(cases()))
def test_wrong_hyperparameters(layer, field):
    positional = [f.name for f in dataclasses.fields(layer) if not f.kw_only]
    right = dict(zip(positional, RIGHT.get(layer, ()), strict=False))
    layer(**right)
    tried = 0
    for value in WRONG:
        if is_right(field.type, value) or (field.name in ("function", "mask") and value is int):
            continue
        if field.name == "name" and isinstance(value, str) and value:
            continue
        tried += 1
        with pytest.raises((TypeError, ValueError)) as raised:
            layer(**{**right, field.name: value})
        text = str(raised.value)
        named = (layer.__name__, "StackedRNNCells") if layer is L.RNN else (layer.__name__,)
        assert any(f"`{name}`" in text for name in named), (value, text)
        assert f"`{field.name}`" in text or field.name in ("layer", "backward_layer", "cell", "cells"), (value, text)
        assert "received" in text or "There is no" in text, (value, text)
    assert tried > 5


def test_every_layer_is_tried():
    needy = {layer for layer in LAYERS if any(f.default is f.default_factory for f in dataclasses.fields(layer))}
    assert needy == RIGHT.keys()


def test_numpy_scalars_become_python_s():
    layer = own(L.Conv1D)(np.int64(4), np.int32(3), use_bias=np.bool_(False))
    assert [type(x) for x in (layer.filters, layer.kernel_size, layer.use_bias)] == [int, int, bool]
    assert type(own(L.Dropout)(np.float64(0.5)).rate) is float
    assert type(own(L.ELU)(jnp.float32(0.5)).alpha) is float
    assert own(L.Reshape)(np.array([2, 3])).target_shape == (2, 3)
    assert own(L.ELU)(np.float64(0.5))(jnp.ones(2, "float32")).dtype == "float32"


def test_what_is_right_stays():
    assert L.Masking(float("nan")).mask_value != L.Masking(float("nan")).mask_value
    assert L.ReLU(max_value=float("inf")).max_value == float("inf")
    assert own(L.LayerNormalization)(epsilon=0).epsilon == 0
    assert L.Dense(3, param_dtype=jnp.bfloat16, activation=L.ReLU()).param_dtype is jnp.bfloat16
    jax.jit(lambda slope: own(L.ELU)(slope).alpha)(2.0)  # one that is learned


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.Dense(-3), "`units` of `Dense` is a positive integer; received -3."),
        (lambda: L.Dense(3, use_bias="no"), "`use_bias` of `Dense` is True or False; received 'no'."),
        (
            lambda: L.LayerNormalization(epsilon=-9),
            "`epsilon` of `LayerNormalization` is a finite number from 0",
        ),
        (
            lambda: L.Dense(3, activation="rleu"),
            "`activation` of `Dense`: There is no activation 'rleu'; pass",
        ),
        (lambda: L.Dense(3, activation=0), "`activation` of `Dense` is a string or a function or None; received 0."),
        (lambda: L.Dense(3, param_dtype="int32"), "`param_dtype` of `Dense` is a dtype of floating-point numbers; rec"),
        (
            lambda: L.Dense(3, name="a/b"),
            "`name` of `Dense` is a word without '/', which separates .*; received",
        ),
        (
            lambda: L.Conv1D(4, 3, padding="full"),
            "`padding` of `Conv1D` is 'valid' or 'same' or 'causal'; received",
        ),
        (lambda: L.Cropping1D((1, -1)), r"`cropping` of `Cropping1D` is .* from 0 on; received \(1, -1\)"),
        (lambda: L.LSTM(3, implementation="fast"), "`implementation` of `LSTM` is 'auto' or 'xla' or 'scan'; received"),
        (lambda: jax.jit(own(L.Dropout))(0.5), "`rate` of `Own`: it is a number that is known while the program is tr"),
    ],
)
def test_messages(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


def test_a_layer_of_one_s_own_is_free_in_its_annotations():
    class Own(jm.Layer):
        size: int = None  # pyright: ignore[reportAssignmentType] - people write that
        table: "dict[str, Unknown]" = dataclasses.field(default_factory=dict)
        rate: fields.Rate = 2.0

        def call(self, params, inputs):
            return inputs

    assert Own("three", {"a": 1}).size == "three"
    with pytest.raises(TypeError, match="`name` of `Own` is a string or None; received 3"):
        Own(name=3)

    class Wide(L.Dense):
        factor: float = 2.0

        def __post_init__(self):
            self.units + self.factor

    assert Wide(3).units == 3
    with pytest.raises(TypeError, match="`units` of `Wide` is a positive integer; received 'three'"):
        Wide("three")
