"""The table: a layer that both libraries have, its inputs, and whether Keras is right about masks."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
from batches import Vector, floats, ids, place

# Where the steps of the three sequences stand: on the right, on the left, with holes. Only two lengths: each compiles.
STEPS = np.array([[1, 1, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1, 1], [1, 0, 1, 1, 1, 0, 1]], bool)
KEYS = np.array([[0, 0, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0], [0, 1, 1, 0, 1, 1]], bool)
BATCH = len(STEPS)


@dataclasses.dataclass(frozen=True)
class Of:
    """A layer of either library: its name, and what it is made with, in which there may be others."""

    name: str
    args: tuple[Any, ...]
    options: dict[str, Any]

    def build(self, module: Any) -> Any:
        args = [_built(module, value) for value in self.args]
        return getattr(module, self.name)(*args, **{key: _built(module, v) for key, v in self.options.items()})

    def __repr__(self) -> str:
        shown = [*map(repr, self.args), *(f"{key}={value!r}" for key, value in self.options.items())]
        return f"{self.name}({', '.join(shown)})"


def of(name: str, /, *args: Any, **options: Any) -> Of:
    return Of(name, args, options)


def _built(module: Any, value: Any) -> Any:
    if isinstance(value, list):
        return [_built(module, item) for item in value]
    return value.build(module) if isinstance(value, Of) else value


@dataclasses.dataclass(frozen=True)
class Input:
    """An input: what a step of it is, and where its steps stand, None for one without time."""

    spec: Any
    layout: np.ndarray | None = None

    def draw(self, rng: np.random.Generator) -> list[np.ndarray]:
        """One row for each sequence, without padding."""
        lengths = np.zeros(BATCH, int) if self.layout is None else self.layout.sum(1)
        rows = [self.spec.draw(rng, n) for n in lengths]
        return [row.astype("float32") if row.dtype == float else row for row in rows]

    def batch(self, rows: list[np.ndarray], *, garbage: int) -> Any:
        return (
            np.stack(rows) if self.layout is None else place(self.spec, rows, self.layout, self.spec.garbage[garbage])
        )

    def symbol(self, keras: Any) -> Any:
        """A symbolic input of Keras, of any batch and time."""
        if isinstance(self.spec, Vector):
            return keras.Input(self.spec.shape)
        return keras.Input((None, *self.spec.features), dtype="float32" if self.spec.maximum is None else "int32")


def steps(*features: int) -> Input:
    return Input(floats(*features), STEPS)


def keys(*features: int) -> Input:
    return Input(floats(*features), KEYS)


def vector(*features: int) -> Input:
    return Input(Vector(features))


def words(maximum: int) -> Input:
    return Input(ids(maximum), STEPS)


@dataclasses.dataclass(frozen=True)
class Pair:
    """One row of the table.

    Attributes:
        layer: the layer of both.
        inputs: what it is called on.
        masked: whether Keras, given the masks, gives what it gives for each row alone; "values" if that is true of the
            values and not of the mask of the outputs.
        arrange: from inputs to arguments by position and by name.
        ours: options of jmask's layer besides.
        theirs: options of Keras' layer besides.
        call: options that Keras takes when the layer is called.
    """

    layer: Of
    inputs: tuple[Input, ...] = (steps(3),)
    masked: bool | str = False
    arrange: Callable[..., tuple[list[Any], dict[str, Any]]] = lambda *xs: (list(xs), {})
    ours: dict[str, Any] = dataclasses.field(default_factory=dict)
    theirs: dict[str, Any] = dataclasses.field(default_factory=dict)
    call: dict[str, Any] = dataclasses.field(default_factory=dict)

    def of_jmask(self, module: Any) -> Any:
        return dataclasses.replace(self.layer, options={**self.layer.options, **self.ours}).build(module)

    def of_keras(self, module: Any) -> Any:
        return dataclasses.replace(self.layer, options={**self.layer.options, **self.theirs}).build(module)

    def __str__(self) -> str:
        shown = dataclasses.replace(self.layer, options={**self.layer.options, **self.ours})
        return str(shown) + (" with a state" if self.arrange is with_state else "")


def pair(layer: Of, *inputs: Input, **options: Any) -> Pair:
    """A row; one input of three features unless others are given."""
    return Pair(layer, inputs or (steps(3),), **options)


def as_list(*xs: Any) -> tuple[list[Any], dict[str, Any]]:
    return [list(xs)], {}


def with_state(x: Any, *state: Any) -> tuple[list[Any], dict[str, Any]]:
    return [x], {"initial_state": list(state)}


TWO = (steps(3), steps(3))

STEPWISE = [
    pair(of("Embedding", 11, 4), words(11)),
    pair(of("Dense", 4), masked=True),
    pair(of("Dense", 4, activation="gelu", use_bias=False), masked=True),
    pair(of("EinsumDense", "btf,fhd->bthd", (None, 2, 5), bias_axes="hd", activation="tanh")),
    pair(of("EinsumDense", "bthd,hde->bte", (None, 5), bias_axes="e"), steps(2, 3)),
    pair(of("EinsumDense", "...x,xy->...y", 5)),
    pair(of("Identity"), masked=True),
    *(
        pair(of("Activation", name), masked=True)
        for name in "celu elu exponential gelu hard_sigmoid hard_silu hard_tanh leaky_relu linear log_sigmoid mish relu "
        "relu6 selu sigmoid silu softplus softsign swish tanh".split()
    ),
    pair(of("ReLU", 0.9, negative_slope=0.2, threshold=0.3), masked=True),
    pair(of("LeakyReLU", 0.15), masked=True),
    pair(of("PReLU", shared_axes=[1]), masked=True),
    pair(of("ELU", 0.7), masked=True),
    pair(of("Softmax")),
    pair(of("Softmax", axis=1)),
    *(pair(of(name, 0.5), masked=True) for name in ("Dropout", "SpatialDropout1D", "GaussianDropout", "GaussianNoise")),
    pair(of("AlphaDropout", 0.5), masked=True),
    pair(of("TimeDistributed", of("Dense", 4)), masked=True),
    pair(of("TimeDistributed", of("LSTM", 2)), steps(4, 3)),
    pair(of("TimeDistributed", of("Conv1D", 2, 3, padding="same")), steps(4, 3)),
]

NORMALISATION = [
    pair(of("LayerNormalization"), masked=True),
    pair(of("LayerNormalization", epsilon=0.3, center=False), masked=True),
    pair(of("LayerNormalization", scale=False), masked=True),
    pair(of("RMSNormalization")),
    pair(of("RMSNormalization", epsilon=0.3)),
    pair(of("UnitNormalization"), masked=True),
    pair(of("UnitNormalization", axis=1)),
    pair(of("GroupNormalization", 2), steps(6)),
    pair(of("GroupNormalization", -1, epsilon=0.3, center=False, scale=False), steps(6)),
    pair(of("GroupNormalization", 1), steps(2, 6)),
]

MERGING = [
    *(pair(of(name), *TWO, steps(3), masked=True, arrange=as_list) for name in ("Add", "Average")),
    *(pair(of(name), *TWO, masked=True, arrange=as_list) for name in ("Subtract", "Multiply", "Maximum", "Minimum")),
    pair(of("Concatenate"), steps(3), steps(2), masked=True, arrange=as_list),
    pair(of("Concatenate", axis=1), steps(3), keys(3), masked="values", arrange=as_list),
    pair(of("Dot", 2), steps(3), keys(3), arrange=as_list),
    pair(of("Dot", 2, normalize=True), steps(3), keys(3), arrange=as_list),
    pair(of("Dot", 1), steps(3), steps(2), arrange=as_list),
    pair(of("Dot", (1, 1), normalize=True), steps(3), steps(2), arrange=as_list),
]

RESHAPING = [
    pair(of("Flatten"), vector(2, 3)),
    pair(of("Reshape", (-1, 2, 3)), steps(6)),
    pair(of("Reshape", (-1, 3)), steps(6)),
    pair(of("Permute", (1, 3, 2)), steps(2, 3)),
    pair(of("RepeatVector", 4), vector(3)),
    pair(of("Cropping1D", (1, 0))),
    pair(of("Cropping1D", 1)),
    pair(of("ZeroPadding1D", (2, 1))),
    pair(of("UpSampling1D", 3)),
]

CONVOLUTION = [
    pair(of("Conv1D", 4, 3)),
    pair(of("Conv1D", 4, 3, padding="same", activation="tanh")),
    pair(of("Conv1D", 4, 2, padding="causal", dilation_rate=2, use_bias=False)),
    pair(of("Conv1D", 4, 2, padding="same", strides=2)),
    pair(of("Conv1D", 4, 2, strides=2)),
    pair(of("Conv1D", 4, 3, padding="causal", strides=2)),
    pair(of("Conv1D", 4, 3, padding="same", groups=2), steps(6)),
    pair(of("DepthwiseConv1D", 3, depth_multiplier=2)),
    pair(of("DepthwiseConv1D", 2, padding="same", strides=2)),
    pair(of("SeparableConv1D", 4, 3, depth_multiplier=2)),
    pair(of("SeparableConv1D", 4, 3, padding="same", activation="relu")),
    pair(of("Conv1DTranspose", 4, 3)),
    pair(of("Conv1DTranspose", 4, 3, strides=2, padding="same", use_bias=False)),
    pair(of("Conv1DTranspose", 4, 2, strides=3)),
    pair(of("Conv1DTranspose", 4, 3, strides=2, padding="same", output_padding=0)),
    pair(of("Conv1DTranspose", 4, 3, dilation_rate=2)),
    pair(of("MaxPooling1D")),
    pair(of("MaxPooling1D", 3, strides=2, padding="same")),
    pair(of("AveragePooling1D", 2)),
    pair(of("AveragePooling1D", 3, strides=1, padding="same")),
    pair(of("GlobalAveragePooling1D"), masked=True),
    pair(of("GlobalAveragePooling1D", keepdims=True), masked=True),
    pair(of("GlobalMaxPooling1D")),
    pair(of("GlobalMaxPooling1D", keepdims=True)),
]

SEQUENCES = {"return_sequences": True}
STATE = {"return_sequences": True, "return_state": True}

RECURRENT = [
    *(pair(of(name, 2, **options), masked=True) for name in ("SimpleRNN", "GRU", "LSTM") for options in ({}, STATE)),
    *(
        pair(of(name, 2, **STATE, go_backwards=True), masked="values", theirs={"zero_output_for_mask": True})
        for name in ("SimpleRNN", "GRU", "LSTM")
    ),
    pair(of("SimpleRNN", 2, **SEQUENCES, activation="relu", use_bias=False), masked=True),
    pair(of("GRU", 2, **STATE, reset_after=False), masked=True),
    pair(of("GRU", 2, **SEQUENCES, use_bias=False), masked=True),
    pair(of("GRU", 2, **SEQUENCES, activation="softsign", recurrent_activation="hard_sigmoid"), masked=True),
    pair(of("LSTM", 2, **SEQUENCES, activation="relu", recurrent_activation="tanh"), masked=True),
    pair(of("LSTM", 2, use_bias=False, unroll=True), masked=True),
    pair(of("LSTM", 2, return_state=True, go_backwards=True), masked=True),
    pair(of("SimpleRNN", 2, **STATE), steps(3), vector(2), arrange=with_state),
    pair(of("GRU", 2), steps(3), vector(2), arrange=with_state),
    pair(of("LSTM", 2, **STATE), steps(3), vector(2), vector(2), arrange=with_state),
    *(
        pair(of("Bidirectional", of("GRU", 2, return_sequences=True), merge_mode=mode), masked=True)
        for mode in ("concat", "sum", "mul", "ave", None)
    ),
    pair(of("Bidirectional", of("LSTM", 2)), masked=True),
    pair(of("Bidirectional", of("LSTM", 2, **STATE)), masked=True),
    pair(
        of("Bidirectional", of("SimpleRNN", 2), backward_layer=of("SimpleRNN", 4, activation="relu")),
        theirs={"backward_layer": of("SimpleRNN", 4, activation="relu", go_backwards=True, name="backward")},
        masked=True,
    ),
    pair(of("Bidirectional", of("GRU", 2, **STATE)), steps(3), vector(2), vector(2), arrange=with_state),
    *(pair(of("RNN", of(f"{name}Cell", 2), **STATE), masked=True) for name in ("SimpleRNN", "GRU", "LSTM")),
    pair(of("RNN", of("StackedRNNCells", [of("GRUCell", 2), of("LSTMCell", 4)]), **STATE), masked=True),
    pair(of("RNN", [of("LSTMCell", 4), of("SimpleRNNCell", 2)], go_backwards=True), masked=True),
]

CAUSAL = {"ours": {"use_causal_mask": True}, "call": {"use_causal_mask": True}}
CROSS = (steps(3), keys(3))

ATTENTION = [
    pair(of("Attention"), *CROSS, masked=True, arrange=as_list),
    pair(of("Attention", use_scale=True), steps(3), keys(2), keys(3), masked=True, arrange=as_list),
    pair(of("Attention", score_mode="concat", use_scale=True), *CROSS, masked=True, arrange=as_list),
    pair(of("Attention", use_scale=True), *TWO, arrange=as_list, **CAUSAL),
    pair(of("AdditiveAttention"), *CROSS, masked=True, arrange=as_list),
    pair(of("AdditiveAttention", use_scale=False), *TWO, arrange=as_list, **CAUSAL),
    pair(of("MultiHeadAttention", 2, 4), *CROSS, masked=True),
    pair(
        of("MultiHeadAttention", 2, 4, value_dim=2, output_shape=5),
        *(steps(3), keys(2), keys(5)),
        masked=True,
        theirs={"dropout": 0.1},  # and not in training: only so does Keras take another width of values
    ),
    pair(of("MultiHeadAttention", 2, 4, use_bias=False), *TWO, **CAUSAL),
    pair(of("MultiHeadAttention", 2, 4, sliding_window=2), *TWO),
    pair(of("MultiHeadAttention", 2, 4, sliding_window=2), *TWO, **CAUSAL),
    pair(of("GroupQueryAttention", 2, 4, 2), *CROSS, masked=True),
    pair(of("GroupQueryAttention", 2, 4, 1, use_bias=False), *TWO, **CAUSAL),
    pair(of("GroupQueryAttention", 2, 4, 2, sliding_window=3), *TWO),
]

PAIRS = [*STEPWISE, *NORMALISATION, *MERGING, *RESHAPING, *CONVOLUTION, *RECURRENT, *ATTENTION]
