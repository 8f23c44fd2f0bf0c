"""Random models of Keras: 3 to 12 layers, with branches, shared layers and models inside models."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

VOCABULARY = 20
SIZES = (4, 6)  # numbers of features, few, so that branches meet again


@dataclasses.dataclass(frozen=True)
class Stream:
    """A sequence on its way through a model.

    Attributes:
        tensor: `(batch, time, features)`.
        steps: what was done to the time axis; streams with the same have the same steps.
    """

    tensor: Any
    steps: tuple[str, ...] = ()

    @property
    def features(self) -> int:
        return self.tensor.shape[-1]


class Builder:
    """Builds one model; everything that it draws comes from `rng`."""

    def __init__(self, keras: Any, rng: np.random.Generator) -> None:
        self.keras, self.layers, self.rng = keras, keras.layers, rng
        self.shared: list[tuple[int, Any]] = []  # layers that may be called again, by their number of features

    def model(self) -> Any:
        """A model of ids or of features, that gives sequences, vectors, or both."""
        target = self.rng.integers(3, 13)
        if self.rng.random() < 0.5:
            inputs = self.keras.Input((None,), dtype="int32")
            start = self.layers.Embedding(
                VOCABULARY, int(self.rng.choice(SIZES)), mask_zero=bool(self.rng.random() < 0.5)
            )
            streams, count = [Stream(start(inputs))], 1
        else:
            inputs = self.keras.Input((None, 3))
            streams, count = [Stream(inputs)], 0
        while count < target - 1:
            streams.append(self.grow(streams))
            count += 1
        last = streams[-1]
        ends = [last.tensor, self.pooled(last)]
        outputs = ends if self.rng.random() < 0.3 else ends[int(self.rng.integers(2))]
        return self.keras.Model(inputs, outputs)

    def grow(self, streams: list[Stream]) -> Stream:
        """One more call: of a layer, of a shared layer, of a merge, or of a small model."""
        last = streams[-1]
        others = [s for s in streams[:-1] if s.steps == last.steps]
        same = [s for s in others if s.features == last.features]
        again = [layer for features, layer in self.shared if features == last.features]
        choice = self.rng.random()
        if same and choice < 0.2:
            merge = self.pick(["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"])
            pair = [last.tensor, self.pick(same).tensor]
            return Stream(getattr(self.layers, merge)()(pair), last.steps)
        if others and choice < 0.3:
            return Stream(self.layers.Concatenate()([last.tensor, self.pick(others).tensor]), last.steps)
        if others and choice < 0.4:
            other = self.pick(others)
            return Stream(self.attention(last, other)(last.tensor, other.tensor), last.steps)
        if again and choice < 0.5:
            return Stream(self.pick(again)(last.tensor), last.steps)
        if choice < 0.6:
            return self.nested(last)
        if choice < 0.65:
            return Stream(self.pick([lambda x: x * 0.5, lambda x: 1.0 - x, lambda x: -x])(last.tensor), last.steps)
        return self.layer(last)

    def layer(self, stream: Stream) -> Stream:
        """A new layer of one input."""
        if len(stream.steps) < 1 and self.rng.random() < 0.25:
            layer, step = self.changes_time()
            return Stream(layer(stream.tensor), (*stream.steps, step))
        layer = self.keeps_time()
        y = layer(stream.tensor)
        if y.shape[-1] == stream.features or self.rng.random() < 0.5:
            self.shared.append((stream.features, layer))
        return Stream(y, stream.steps)

    def keeps_time(self) -> Any:
        """A layer that gives as many steps as it takes."""
        layers, size = self.layers, int(self.rng.choice(SIZES))
        makers: list[Callable[[], Any]] = [
            lambda: layers.Dense(size, activation=self.pick(["relu", "tanh", "softmax", None])),
            lambda: layers.EinsumDense("btf,fg->btg", output_shape=(None, size), bias_axes="g"),
            lambda: layers.LayerNormalization(),
            lambda: layers.RMSNormalization(),
            lambda: layers.UnitNormalization(),
            lambda: layers.GroupNormalization(1),
            lambda: layers.BatchNormalization(),
            lambda: layers.Activation("gelu"),
            lambda: layers.Dropout(0.5),
            lambda: layers.Conv1D(size, 3, padding=self.pick(["same", "causal"]), activation="relu"),
            lambda: layers.Conv1D(size, 2, padding="same", dilation_rate=2),
            lambda: layers.DepthwiseConv1D(3, padding="same"),
            lambda: layers.SeparableConv1D(size, 3, padding="same"),
            lambda: layers.LSTM(size, return_sequences=True),
            lambda: layers.GRU(size, return_sequences=True, reset_after=bool(self.rng.random() < 0.5)),
            lambda: layers.SimpleRNN(size, return_sequences=True),
            lambda: layers.RNN([layers.LSTMCell(4), layers.GRUCell(size)], return_sequences=True),
            lambda: layers.Bidirectional(
                layers.GRU(size // 2, return_sequences=True), merge_mode=self.pick(["concat", "sum"])
            ),
            lambda: layers.TimeDistributed(layers.Dense(size)),
        ]
        return self.pick(makers)()

    def changes_time(self) -> tuple[Any, str]:
        """A layer that gives other steps, and a word for them."""
        layers = self.layers
        makers: dict[str, Callable[[], Any]] = {
            "valid": lambda: layers.Conv1D(int(self.rng.choice(SIZES)), 2),
            "strided": lambda: layers.Conv1D(int(self.rng.choice(SIZES)), 3, strides=2, padding="same"),
            "max": lambda: layers.MaxPooling1D(2),
            "average": lambda: layers.AveragePooling1D(2, padding="same"),
            "cropped": lambda: layers.Cropping1D((1, 0)),
            "padded": lambda: layers.ZeroPadding1D(1),
            "doubled": lambda: layers.UpSampling1D(2),
            "transposed": lambda: layers.Conv1DTranspose(4, 2, strides=2),
            "backwards": lambda: layers.LSTM(4, return_sequences=True, go_backwards=True),
        }
        word = self.pick(list(makers))
        return makers[word](), word

    def attention(self, query: Stream, value: Stream) -> Callable[[Any, Any], Any]:
        """Attention of one stream to another."""
        layers = self.layers
        causal = {"use_causal_mask": bool(self.rng.random() < 0.5)}
        if query.features == value.features and self.rng.random() < 0.3:
            layer = self.pick([layers.Attention, layers.AdditiveAttention])()
            return lambda q, v: layer([q, v], **causal)
        if query.features != value.features or self.rng.random() < 0.5:
            layer = layers.MultiHeadAttention(2, 3, sliding_window=self.pick([None, None, 2]))
        else:
            layer = layers.GroupQueryAttention(3, 4, 2)
        return lambda q, v: layer(q, v, **causal)

    def nested(self, stream: Stream) -> Stream:
        """A Sequential, or a Functional model with a residual connection, around a stream."""
        layers, keras = self.layers, self.keras
        if self.rng.random() < 0.5:
            model = keras.Sequential([self.keeps_time(), layers.Dense(stream.features)])
        else:
            inputs = keras.Input((None, stream.features))
            model = keras.Model(
                inputs, layers.Add()([inputs, layers.Dense(stream.features)(self.keeps_time()(inputs))])
            )
        y = model(stream.tensor)
        self.shared.append((stream.features, model))
        return Stream(y, stream.steps)

    def pooled(self, stream: Stream) -> Any:
        """One vector of a stream."""
        layers = self.layers
        makers = [
            layers.GlobalAveragePooling1D,
            layers.GlobalMaxPooling1D,
            lambda: layers.LSTM(4),
            lambda: layers.Bidirectional(layers.LSTM(3)),
            lambda: layers.GRU(4),
        ]
        return layers.Dense(2)(self.pick(makers)()(stream.tensor))

    def pick(self, items: Any) -> Any:
        """One of them."""
        return items[int(self.rng.integers(len(items)))]


def draw_weights(model: Any, rng: np.random.Generator) -> None:
    """Other numbers than those that a model begins with: no zeros, no ones, variances above 0."""
    for variable in model.weights:
        value = rng.normal(scale=0.4, size=variable.shape)
        variable.assign(np.abs(value) + 0.5 if variable.name == "moving_variance" else value)
