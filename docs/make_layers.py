"""Writes the table of layers, `docs/layers.md`, from the layers themselves: `python docs/make_layers.py`."""

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

import jmask as jm
from jmask import layers as L  # noqa: N812 - short, in a long table

PAGE = Path(__file__).parent / "layers.md"

X = jm.Input((None, 8), masked=True)
Y = jm.Input((None, 8), masked=True)
CONTEXT = jm.Input(("keys", 8), masked=True)
LINES = jm.Input((None, 7, 8), masked=True)
VECTOR = jm.Input((8,))
IDS = jm.Input((None,), "int32")

# Each layer with the inputs that show what it is for; cells are shown in an `RNN`.
TABLE: dict[str, list[tuple[Any, ...]]] = {
    "Core": [
        (L.Embedding(100, 8, mask_zero=True), IDS),
        (L.Masking(), jm.Input((None, 8))),
        (L.Dense(4), X),
        (L.EinsumDense("btf,fhd->bthd", (None, 2, 4)), X),
        (L.Identity(), X),
        (L.Lambda(jnp.abs, supports_masking=True), X),
        (L.PerSequence(jnp.cumsum), jm.Input((None,), masked=True)),
        (L.TimeDistributed(L.LSTM(4)), jm.Input((None, 5, 8), masked=True)),
    ],
    "Activations": [
        (L.Activation("gelu"), X),
        (L.ReLU(), X),
        (L.LeakyReLU(), X),
        (L.PReLU(shared_axes=[1]), X),
        (L.ELU(), X),
        (L.Softmax(), X),
        (L.Softmax(axis=1), X),
    ],
    "Regularisation": [
        (L.Dropout(0.5), X),
        (L.SpatialDropout1D(0.5), X),
        (L.GaussianDropout(0.5), X),
        (L.GaussianNoise(0.5), X),
        (L.AlphaDropout(0.5), X),
        (L.ActivityRegularization(l1=0.01), X),
    ],
    "Normalisation": [
        (L.LayerNormalization(), X),
        (L.RMSNormalization(), X),
        (L.UnitNormalization(), X),
        (L.GroupNormalization(4), X),
        (L.BatchNormalization(), X),
    ],
    "Merging": [
        (L.Add(), [X, Y]),
        (L.Subtract(), [X, Y]),
        (L.Multiply(), [X, VECTOR]),
        (L.Average(merge="union"), [X, Y]),
        (L.Maximum(), [X, Y]),
        (L.Minimum(), [X, Y]),
        (L.Concatenate(), [X, Y]),
        (L.Concatenate(axis=1), [X, Y]),
        (L.Dot(axes=2), [X, Y]),
        (L.Dot(axes=1), [X, Y]),
    ],
    "Reshaping": [
        (L.Flatten(), jm.Input((5, 8))),
        (L.Reshape((-1, 2, 4)), X),
        (L.Permute((1, 3, 2)), jm.Input((None, 2, 4), masked=True)),
        (L.RepeatVector(5), VECTOR),
        (L.Cropping1D(1), X),
        (L.ZeroPadding1D(1), X),
        (L.UpSampling1D(2), X),
    ],
    "Convolution and pooling": [
        (L.Conv1D(4, 3, padding="same"), X),
        (L.Conv1D(4, 3, strides=2), X),
        (L.DepthwiseConv1D(3), X),
        (L.SeparableConv1D(4, 3), X),
        (L.Conv1DTranspose(4, 3, strides=2), X),
        (L.MaxPooling1D(2), X),
        (L.AveragePooling1D(2), X),
        (L.GlobalMaxPooling1D(), X),
        (L.GlobalAveragePooling1D(), X),
    ],
    "Recurrent": [
        (L.SimpleRNN(4), X),
        (L.GRU(4, return_sequences=True), X),
        (L.LSTM(4, return_sequences=True, go_backwards=True), X),
        (L.ConvLSTM1D(4, 3, return_sequences=True), LINES),
        (L.RNN(L.ConvLSTM1DCell(4, 3)), LINES),
        (L.Bidirectional(L.LSTM(4, return_sequences=True)), X),
        (L.RNN(L.SimpleRNNCell(4)), X),
        (L.RNN(L.GRUCell(4)), X),
        (L.RNN(L.StackedRNNCells([L.LSTMCell(4), L.LSTMCell(4)])), X),
    ],
    "Attention and positions": [
        (L.Attention(), [X, CONTEXT]),
        (L.AdditiveAttention(), [X, CONTEXT]),
        (L.MultiHeadAttention(2, 4), X, CONTEXT),
        (L.GroupQueryAttention(4, 4, 2), X, CONTEXT),
        (L.PositionEmbedding(100), X),
        (L.SinePositionEncoding(), X),
        (L.RotaryEmbedding(), X),
    ],
    "Structured prediction": [
        (L.CRF(), X),
    ],
}
WORDS = {
    "made": "makes",
    "passed": "passes",
    "used": "uses",
    "merged": "merges",
    "changed": "changes",
    "pooled": "pools",
    "ended": "ends",
    "dropped": "drops",
}
HEAD = """\
# Layers, and what each does with the mask

Written by `python docs/make_layers.py` from the layers themselves; inputs with an axis `time` or `keys` have a mask,
those of `Embedding` and `Masking` excepted.

- *makes*: the outputs have a mask that no input has;
- *passes*: the outputs have the mask of the input;
- *uses*: what comes out at real steps depends on the mask;
- *changes*: steps come and go, or move, and the mask with them;
- *merges*: a step is real where it is in all inputs;
- *pools*: time is gone, and the outputs have a mask `(batch,)`, which says which rows have a real step.
"""


def lines() -> Iterator[str]:
    """The page."""
    yield HEAD
    for section, rows in TABLE.items():
        yield f"## {section}\n\n| layer | inputs | outputs | mask | |\n|---|---|---|---|---|"
        for layer, *inputs in rows:
            outputs = layer(*inputs)
            (call,) = jm.Model(inputs, outputs).calls
            cells = [_call(layer), _shapes(inputs), _shapes(outputs), mask(call.mask_flow), _what_it_is(layer)]
            yield f"| {' | '.join(cells)} |"
        yield ""


def mask(flow: tuple[str, ...]) -> str:
    """What a call does with the mask, in words."""
    return ", ".join(WORDS[word] for word in flow)


def _call(layer: jm.Layer) -> str:
    text = re.sub(r"<.*?function (\w+).*?>+", r"\1", repr(layer))
    return f"`{text}`"


def _what_it_is(layer: jm.Layer) -> str:
    """The first line of the docstring, without its references."""
    return re.sub(r" \(see .*\)", "", inspect.cleandoc(layer.__doc__ or "").partition("\n")[0])


def _shapes(nodes: Any) -> str:
    return ", ".join(f"({', '.join(map(str, node.shape))})" for node in jax.tree.leaves(nodes))


if __name__ == "__main__":
    PAGE.write_text("\n".join(lines()), encoding="utf-8")
