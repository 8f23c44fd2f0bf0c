"""How each layer's parameters lie in Flax: the names, and the order of gates. Linen and nnx differ little.

Formulas: https://flax-linen.readthedocs.io/en/latest/api_reference/flax.linen/layers.html. A cell has a kernel for each
gate (linen; `nnx.LSTMCell`), or one for all (`dense_i` of the inputs, `dense_h` of the state). Flax' GRU resets after
the product.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from .. import layers
from ..protocol.layer import Layer
from ..weights import Tensors

Arrays = dict[str, Any]


@dataclasses.dataclass(frozen=True)
class FlaxRule:
    """How a layer's arrays come from Flax, and go back.

    Attributes:
        read: takes the layer and its arrays; returns parameters and running statistics in one nest.
        write: takes the layer, such a nest, and the arrays of the module as it is, for their names; returns new ones.
    """

    read: Callable[[Any, Tensors], Arrays]
    write: Callable[[Any, Arrays, Tensors], Arrays]


def _of(names: dict[str, str], has: Callable[[Any, str], bool], remedy: str) -> FlaxRule:
    """A rule of a layer whose arrays stay as they are.

    Args:
        names: those of Flax by ours, `/` between the levels of a nest.
        has: whether a layer has the parameter of a name.
        remedy: what helps where one is missing.
    """

    def read(layer: Any, arrays: Tensors) -> Arrays:
        return _nest({ours: arrays.take(theirs, remedy) for ours, theirs in names.items() if has(layer, ours)})

    def write(_: Any, params: Arrays, __: Tensors) -> Arrays:
        return {names[ours]: x for ours, x in _flat(params).items()}

    return FlaxRule(read, write)


def _nest(flat: Arrays) -> Arrays:
    found: Arrays = {}
    for name, x in flat.items():
        *outer, last = name.split("/")
        inner = found
        for part in outer:
            inner = inner.setdefault(part, {})
        inner[last] = x
    return found


def _flat(tree: Any) -> Arrays:
    leaves = jax.tree.leaves_with_path(tree)
    return {jax.tree_util.keystr(path, simple=True, separator="/"): x for path, x in leaves}


def _has_bias(layer: Any, name: str) -> bool:
    return layer.use_bias or not name.endswith("bias")


def _has_part(layer: Any, name: str) -> bool:
    """Whether a normalization has it."""
    is_batch = isinstance(layer, layers.BatchNormalization)
    return {"gamma": layer.scale, "beta": layer.center}.get(name, is_batch)


# What Flax calls the cell of a layer; its gates in Flax' order, and in ours.
_CELLS: dict[type[Layer], tuple[str, tuple[str, ...], tuple[str, ...]]] = {
    layers.LSTM: ("`LSTMCell` or an `OptimizedLSTMCell`", ("i", "f", "g", "o"), ("i", "f", "g", "o")),
    layers.GRU: ("`GRUCell`", ("r", "z", "n"), ("z", "r", "n")),
    layers.SimpleRNN: ("`SimpleCell`", ("",), ("",)),
}


class _Cell:
    """The arrays of a cell: those of an `RNN` begin with `cell/`, those of a cell in a compact module do not."""

    def __init__(self, layer: Any, arrays: Tensors) -> None:
        self.layer, self.arrays = layer, arrays
        self.kind, self.theirs, self.ours = _CELLS[type(layer)]
        self.start = "cell/" if arrays.has_module("cell") else ""
        self.is_fused = arrays.has_module(f"{self.start}dense_i")
        if isinstance(layer, layers.GRU) and not layer.reset_after:
            arrays.fail("resets before the product, and Flax' GRU after it", "Pass `reset_after=True`.")

    @property
    def remedy(self) -> str:
        return (
            f"It takes a {self.kind}. A cell that jmask has not, such as `MGUCell` and `ConvLSTMCell`, runs in Flax' "
            "own module: `jm.layers.PerSequence(module)`."
        )

    def name(self, side: str, gate: str, leaf: str) -> str:
        """The array of a gate: `side` is "i" for the inputs, "h" for the state."""
        if self.is_fused:
            return f"{self.start}dense_{side}/{leaf}"
        end = "_" if side + gate == "if" and self.arrays.has_module(f"{self.start}if_") else ""  # `if` is a keyword
        return f"{self.start}{side}{gate}{end}/{leaf}"

    def has(self, side: str, gate: str) -> bool:
        """Whether a gate has a bias on this side."""
        return self.arrays.has(self.name(side, gate, "bias"))

    def take(self, side: str, leaf: str) -> np.ndarray | None:
        """The arrays of all gates in our order, 0 for a bias that is not there; None if there is none at all."""
        has = [gate for gate in self.theirs if leaf == "kernel" or self.has(side, gate)]
        if not has:
            return None
        if self.is_fused:
            whole = self.arrays.take(self.name(side, "", leaf), self.remedy)
            if side == "h" and leaf == "kernel" and whole.shape[-1] != len(self.theirs) * whole.shape[0]:
                gates = whole.shape[-1] // whole.shape[0]
                self.arrays.fail(f"needs kernels of {len(self.theirs)}, and the cell has {gates} in one", self.remedy)
            parts = np.split(whole, len(self.theirs), axis=-1)
        else:
            parts = [self.arrays.take(self.name(side, gate, leaf), self.remedy) for gate in has]
        found = dict(zip(has, parts, strict=True))
        return np.concatenate([found.get(gate, np.zeros_like(parts[0])) for gate in self.ours], axis=-1)

    def put(self, side: str, leaf: str, x: np.ndarray) -> Arrays:
        """The arrays that `take` would read."""
        found = self.split(x)
        has = [gate for gate in self.theirs if leaf == "kernel" or self.has(side, gate)]
        if self.is_fused and has:
            return {self.name(side, "", leaf): np.concatenate([found[gate] for gate in self.theirs], axis=-1)}
        return {self.name(side, gate, leaf): found[gate] for gate in has}

    def split(self, x: np.ndarray) -> Arrays:
        """The parts for each gate of what is in our order."""
        return dict(zip(self.ours, np.split(x, len(self.ours), axis=-1), strict=True))


def _read_cell(layer: Any, arrays: Tensors) -> Arrays:
    cell = _Cell(layer, arrays)
    recurrent = cell.take("h", "kernel")
    params: Arrays = {"kernel": cell.take("i", "kernel"), "recurrent_kernel": recurrent}
    biases = [cell.take(side, "bias") for side in ("i", "h")]
    given = [bias for bias in biases if bias is not None]
    if layer.use_bias != bool(given):
        has, not_ = ("the cell", "the layer") if given else ("the layer", "the cell")
        arrays.fail(f"does not fit: {has} has a bias, and {not_} has not", f"Pass `use_bias={bool(given)}`.")
    if given:
        both = [np.zeros_like(given[0]) if bias is None else bias for bias in biases]
        params["bias"] = np.stack(both) if isinstance(layer, layers.GRU) else both[0] + both[1]
    return params


def _write_cell(layer: Any, params: Arrays, like: Tensors) -> Arrays:
    cell = _Cell(layer, like)
    bias = params.get("bias", np.zeros_like(params["kernel"][0]))
    inputs, recurrent = map(cell.split, bias if bias.ndim == 2 else (bias, np.zeros_like(bias)))
    for gate in cell.ours:
        _move_bias(cell, gate, inputs, recurrent)
    written = cell.put("i", "kernel", params["kernel"]) | cell.put("h", "kernel", params["recurrent_kernel"])
    for side, found in (("i", inputs), ("h", recurrent)):
        written |= cell.put(side, "bias", np.concatenate([found[gate] for gate in cell.ours]))
    return written


def _move_bias(cell: _Cell, gate: str, inputs: Arrays, recurrent: Arrays) -> None:
    """Moves a bias to the side where the cell has it: two are added, except in a GRU's candidate, which resets one."""
    has = {side: cell.has(side, gate) for side in ("i", "h")}
    if gate == "n" and not has["h"] and recurrent[gate].any():
        cell.arrays.fail(
            "has a bias of the state in its candidate, `bias[1, 2 * units:]`, which `nnx.GRUCell` has not",
            "`linen.GRUCell` has it. What comes from an `nnx.GRUCell` has 0 there: keep it 0 in training.",
        )
    if has["i"] != has["h"]:
        to, other = (inputs, recurrent) if has["i"] else (recurrent, inputs)
        to[gate] = to[gate] + other[gate]


_NO_BIAS = "A module without a bias is a layer with `use_bias=False`."
_KERNEL_AND_BIAS = _of({"kernel": "kernel", "bias": "bias"}, _has_bias, _NO_BIAS)
_NORMALIZATION = _of(
    {"gamma": "scale", "beta": "bias", "moving_mean": "mean", "moving_variance": "var"},
    _has_part,
    "A module with `use_scale=False` or `use_bias=False` is a layer with `scale=False` or `center=False`.",
)
_ATTENTION = {"query": "query", "key": "key", "value": "value", "attention_output": "out"}
_CELL = FlaxRule(_read_cell, _write_cell)

RULES: dict[type[Layer], FlaxRule] = {
    layers.Dense: _KERNEL_AND_BIAS,
    layers.Conv1D: _KERNEL_AND_BIAS,
    layers.Embedding: _of({"embeddings": "embedding"}, lambda *_: True, ""),
    layers.LSTM: _CELL,
    layers.GRU: _CELL,
    layers.SimpleRNN: _CELL,
    layers.MultiHeadAttention: _of(
        {f"{ours}/{leaf}": f"{theirs}/{leaf}" for ours, theirs in _ATTENTION.items() for leaf in ("kernel", "bias")},
        _has_bias,
        _NO_BIAS,
    ),
    layers.LayerNormalization: _NORMALIZATION,
    layers.GroupNormalization: _NORMALIZATION,
    layers.BatchNormalization: _NORMALIZATION,
    layers.RMSNormalization: _of({"scale": "scale"}, lambda *_: True, ""),
}
EPSILONS: dict[type[Layer], float] = {
    layers.LayerNormalization: 1e-6,
    layers.GroupNormalization: 1e-6,
    layers.BatchNormalization: 1e-5,
    layers.RMSNormalization: 1e-6,
}


def parts_of(layer: Any) -> dict[str, tuple[str, Layer]]:
    """Both directions of a `Bidirectional`, each of which is an `RNN`."""
    if type(layer) is not layers.Bidirectional:
        return {}
    backward = layer.layer if layer.backward_layer is None else layer.backward_layer
    return {"forward": ("forward_rnn", layer.layer), "backward": ("backward_rnn", backward)}
