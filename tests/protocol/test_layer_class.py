"""A layer as an object: a frozen dataclass with identity, whose fields are hyperparameters."""

import copy
import dataclasses
import functools
import inspect
import pickle

import jax
import jax.numpy as jnp
import pytest

import jmask as jm


class Scale(jm.Layer):
    supports_masking = True

    factor: float
    offset: float = 1.0

    def call(self, params, inputs):
        return self.factor * inputs + self.offset


class ScaleAndPower(Scale):
    power: int = 2
    _: dataclasses.KW_ONLY
    absolute: bool = False

    def call(self, params, inputs):
        return super().call(params, inputs) ** self.power


def test_fields_become_arguments():
    assert Scale(2.0).call({}, 3.0) == 7.0
    assert Scale(factor=2.0, offset=0.0).call({}, 3.0) == 6.0
    with pytest.raises(TypeError, match="factor"):
        Scale()
    with pytest.raises(TypeError, match="units"):
        Scale(2.0, units=3)


def test_a_subclass_of_a_subclass_inherits_fields_and_adds_some():
    layer = ScaleAndPower(2.0, 0.0, 3, absolute=True)
    assert (layer.factor, layer.offset, layer.power, layer.absolute) == (2.0, 0.0, 3, True)
    assert layer.call({}, 1.0) == 8.0
    assert isinstance(layer, Scale)
    with pytest.raises(TypeError, match="positional"):
        ScaleAndPower(2.0, 0.0, 3, True)


def test_the_signature_shows_own_options_before_inherited_ones_and_no_marks():
    shown = inspect.signature(ScaleAndPower)
    assert list(shown.parameters) == ["factor", "offset", "power", "absolute", "name"]
    assert list(inspect.signature(jm.layers.PReLU).parameters)[-1] == "name"
    assert inspect.signature(jm.layers.Dense).parameters["units"].annotation is int
    assert list(inspect.signature(Scale(2.0)).parameters) == ["inputs", "named"]  # of a layer, what it is called with


def test_options_are_keyword_only_in_every_layer():
    positional = {
        "Activation": ["activation"],
        "AlphaDropout": ["rate"],
        "Bidirectional": ["layer"],
        "Concatenate": ["axis"],
        "Cropping1D": ["cropping"],
        "Dense": ["units"],
        "Dot": ["axes"],
        "AveragePooling1D": ["pool_size"],
        "Conv1D": ["filters", "kernel_size"],
        "Conv1DTranspose": ["filters", "kernel_size"],
        "ConvLSTM1D": ["filters", "kernel_size"],
        "ConvLSTM1DCell": ["filters", "kernel_size"],
        "DepthwiseConv1D": ["kernel_size"],
        "Dropout": ["rate"],
        "ELU": ["alpha"],
        "EinsumDense": ["equation", "output_shape"],
        "Embedding": ["input_dim", "output_dim"],
        "GRU": ["units"],
        "GRUCell": ["units"],
        "GaussianDropout": ["rate"],
        "GaussianNoise": ["stddev"],
        "GroupNormalization": ["groups"],
        "GroupQueryAttention": ["head_dim", "num_query_heads", "num_key_value_heads"],
        "LSTM": ["units"],
        "LSTMCell": ["units"],
        "Lambda": ["function"],
        "LeakyReLU": ["negative_slope"],
        "Masking": ["mask_value"],
        "MultiHeadAttention": ["num_heads", "key_dim"],
        "MaxPooling1D": ["pool_size"],
        "PerSequence": ["function"],
        "Permute": ["dims"],
        "PositionEmbedding": ["max_length"],
        "RNN": ["cell"],
        "RepeatVector": ["n"],
        "Reshape": ["target_shape"],
        "ReLU": ["max_value"],
        "SeparableConv1D": ["filters", "kernel_size"],
        "SimpleRNN": ["units"],
        "SimpleRNNCell": ["units"],
        "Softmax": ["axis"],
        "SpatialDropout1D": ["rate"],
        "StackedRNNCells": ["cells"],
        "TimeDistributed": ["layer"],
        "UpSampling1D": ["size"],
        "ZeroPadding1D": ["padding"],
        "UnitNormalization": ["axis"],
    }
    for name, layer in vars(jm.layers).items():
        if isinstance(layer, type):
            parameters = inspect.signature(layer).parameters.values()
            found = [p.name for p in parameters if p.kind is not p.KEYWORD_ONLY]
            assert found == positional.get(name, []), name


def test_a_layer_is_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Scale(2.0).factor = 3.0
    changed = dataclasses.replace(Scale(2.0, name="a"), factor=3.0)
    assert (changed.factor, changed.name) == (3.0, "a")


def test_identity_decides_not_equality():
    first, second = Scale(2.0), Scale(2.0)
    assert first != second
    assert len({first, second, first}) == 2
    assert hash(first) == hash(first)


def test_a_layer_is_a_static_argument_of_jit():
    num_traces = 0

    @functools.partial(jax.jit, static_argnums=0)
    def run(layer, x):
        nonlocal num_traces
        num_traces += 1
        return layer(x)

    layer = Scale(2.0)
    assert run(layer, 1.0) == run(layer, 1.0) == 3.0
    assert num_traces == 1


def test_the_repr_shows_what_differs_from_the_defaults():
    assert repr(Scale(2.0)) == "Scale(factor=2.0)"
    assert repr(Scale(2.0, 1.0, name="s")) == "Scale(factor=2.0, name='s')"
    assert repr(ScaleAndPower(2.0, absolute=True)) == "ScaleAndPower(factor=2.0, absolute=True)"
    assert repr(jm.layers.LayerNormalization()) == "LayerNormalization()"
    nested = jm.layers.Bidirectional(jm.layers.LSTM(3, return_sequences=True), merge_mode="sum")
    assert repr(nested) == "Bidirectional(layer=LSTM(units=3, return_sequences=True), merge_mode='sum')"


def test_an_init_method_is_refused_with_the_remedy():
    with pytest.raises(TypeError) as error:

        class Old(jm.Layer):
            def __init__(self, units):
                self.units = units

    assert str(error.value) == (
        "`Old` defines `__init__`. A layer is a frozen dataclass: declare its hyperparameters as fields (`units: int`)"
        ", and make its parameters in `init(self, key, *inputs)`."
    )


@pytest.mark.parametrize("first", ["inputs", "x"])
def test_a_call_without_params_is_refused(first):
    call = {"inputs": lambda self, inputs: inputs, "x": lambda self, x, training=False: x}[first]
    with pytest.raises(TypeError, match=r"`call` of `Old` receives the parameters before its inputs.*params, inputs"):
        type("Old", (jm.Layer,), {"call": call})


def test_previous_mask_is_refused_with_its_name_here():
    with pytest.raises(TypeError, match=r"`compute_mask` of `Old` asks for `previous_mask`; in jmask .* `mask`"):

        class Old(jm.Layer):
            def compute_mask(self, inputs, previous_mask):
                return previous_mask


def test_a_compute_mask_that_would_never_be_asked_is_refused():
    for base in (jm.layers.LSTM, jm.layers.Dense):
        with pytest.raises(TypeError, match=r"`compute_mask` of `Own` would never be asked: .* `raw_inputs = True`"):
            type("Own", (base,), {"compute_mask": lambda self, inputs, mask: None})


def test_a_class_without_call_says_so():
    class Empty(jm.Layer):
        pass

    with pytest.raises(TypeError, match=r"`Empty` has no `call\(self, params, inputs\)`"):
        Empty()(jnp.ones(3))


def test_checks_of_hyperparameters_go_into_post_init():
    class Checked(jm.Layer):
        units: int

        def __post_init__(self):
            if self.units < 1:
                raise ValueError("units")

    assert Checked(1).units == 1
    with pytest.raises(ValueError, match="units"):
        Checked(0)


def test_supports_masking_may_be_an_option():
    class Optional(jm.Layer):
        _: dataclasses.KW_ONLY
        supports_masking: bool = False

        def call(self, params, inputs):
            return inputs

    x = jm.from_lengths(jnp.ones((2, 3)), [1, 3])
    assert isinstance(Optional(supports_masking=True)(x), jm.Masked)
    with pytest.warns(jm.MaskDroppedWarning):
        assert not isinstance(Optional()(x), jm.Masked)


def test_names_are_in_snake_case():
    for layer, name in [
        (jm.layers.LSTM(3), "lstm"),
        (jm.layers.LayerNormalization(), "layer_normalization"),
        (jm.layers.GlobalAveragePooling1D(), "global_average_pooling1d"),
        (Scale(1.0), "scale"),
        (ScaleAndPower(1.0), "scale_and_power"),
    ]:
        assert layer.default_name == name
        assert layer.name is None


def test_a_layer_can_be_copied_and_pickled():
    layer = jm.layers.Dense(3, activation="relu", name="d")
    for other in (copy.copy(layer), copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(other) == repr(layer)
        assert other is not layer


def test_a_layer_without_parameters_is_called_directly():
    x = jm.from_lengths(jnp.ones((2, 3)), [1, 3])
    assert Scale(2.0)(x).fill(0).tolist() == [[3, 0, 0], [3, 3, 3]]
    assert Scale(2.0)(x, mask=jm.NO_MASK).tolist() == [[3, 3, 3], [3, 3, 3]]
    assert Scale(2.0)(inputs=jnp.ones(2)).tolist() == [3, 3]
    key = jax.random.key(0)
    assert jm.layers.Dropout(1.0)(x, training=True, key=key).fill(5).tolist() == [[0, 5, 5], [0, 0, 0]]


@pytest.mark.parametrize("layer", [jm.layers.Dense(3), jm.layers.LSTM(3), jm.Sequential([jm.layers.Dense(3)])], ids=str)
def test_a_layer_with_parameters_is_not(layer):
    with pytest.raises(TypeError) as error:
        layer(jnp.ones((2, 3, 4)))
    assert str(error.value) == (
        f"`{type(layer).__name__}` has parameters: make them with `params = layer.init(key, x)` and call "
        "`layer.apply(params, x)`; `layer(x)` is for symbolic nodes and for layers without parameters."
    )
