"""How each layer's parameters lie in PyTorch: the names, the order of axes and of gates. One rule reads and writes.

Formulas: https://docs.pytorch.org/docs/stable/nn.html. PyTorch adds two biases where Keras has one; of a GRU's three
gates PyTorch has reset first, Keras update. The names of recurrent layers are those of the first layer of a module.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import layers
from ..protocol.layer import Layer
from ..weights import Tensors

Arrays = dict[str, np.ndarray]


@dataclasses.dataclass(frozen=True)
class Rule:
    """How a layer's arrays come from PyTorch, and go back.

    Attributes:
        read: takes the layer and its tensors; returns parameters and running statistics in one nest.
        write: takes the layer and such a nest; returns tensors by name.
    """

    read: Callable[[Any, Tensors], Any]
    write: Callable[[Any, Any], Arrays]


def _of(names: dict[str, str], moved: Callable[[np.ndarray], np.ndarray] = lambda x: x) -> Rule:
    """A rule of a layer whose kernel is moved by a permutation that is its own inverse, and whose vectors stay.

    Args:
        names: those of PyTorch by ours.
        moved: what becomes of a kernel.
    """

    def read(layer: Any, tensors: Tensors) -> Arrays:
        found = {
            ours: tensors.take(theirs, _BIAS if ours == "bias" else "")
            for ours, theirs in names.items()
            if ours != "bias" or layer.use_bias
        }
        return {ours: moved(x) if ours == "kernel" else x for ours, x in found.items()}

    def write(_: Any, arrays: Arrays) -> Arrays:
        return {names[ours]: moved(x) if ours == "kernel" else x for ours, x in arrays.items()}

    return Rule(read, write)


_BIAS = "A module without a bias is a layer with `use_bias=False`."


_NORMALIZATION_NAMES = {
    "gamma": "weight",
    "beta": "bias",
    "moving_mean": "running_mean",
    "moving_variance": "running_var",
}


def _read_normalization(layer: Any, tensors: Tensors) -> Arrays:
    is_batch = isinstance(layer, layers.BatchNormalization)
    has = {"gamma": layer.scale, "beta": layer.center, "moving_mean": is_batch, "moving_variance": is_batch}
    remedy = "A module without weights is a layer with `scale=False, center=False`."
    return {ours: tensors.take(theirs, remedy) for ours, theirs in _NORMALIZATION_NAMES.items() if has[ours]}


def _write_normalization(_: Any, arrays: Arrays) -> Arrays:
    return {_NORMALIZATION_NAMES[ours]: x for ours, x in arrays.items()}


def _read_attention(layer: Any, tensors: Tensors) -> dict[str, Any]:
    """One matrix for queries, keys and values, or three; `(heads * size, features)` each."""
    for name in ("bias_k", "bias_v"):
        tensors.refuse(name, "a key and a value that are learned and belong to no step")
    parts = ("query", "key", "value")
    if tensors.has("in_proj_weight"):
        kernels = np.split(tensors.take("in_proj_weight"), 3)
    else:
        kernels = [tensors.take(f"{part[0]}_proj_weight") for part in parts]
    heads = layer.num_heads
    params: dict[str, Any] = {
        part: {"kernel": kernel.T.reshape(-1, heads, kernel.shape[0] // heads)}
        for part, kernel in zip(parts, kernels, strict=True)
    }
    out = tensors.take("out_proj.weight")
    params["attention_output"] = {"kernel": out.T.reshape(heads, -1, out.shape[0])}
    if layer.use_bias:
        for part, bias in zip(parts, np.split(tensors.take("in_proj_bias", _BIAS), 3), strict=True):
            params[part]["bias"] = bias.reshape(heads, -1)
        params["attention_output"]["bias"] = tensors.take("out_proj.bias", _BIAS)
    return params


def _write_attention(layer: Any, params: Any) -> Arrays:
    parts = [params[part] for part in ("query", "key", "value")]
    kernels = [part["kernel"].reshape(part["kernel"].shape[0], -1).T for part in parts]
    out = params["attention_output"]
    found = {"out_proj.weight": out["kernel"].reshape(-1, out["kernel"].shape[-1]).T}
    if len({kernel.shape for kernel in kernels}) == 1:
        found["in_proj_weight"] = np.concatenate(kernels)
    else:
        found |= {f"{name}_proj_weight": kernel for name, kernel in zip("qkv", kernels, strict=True)}
    if layer.use_bias:
        found["in_proj_bias"] = np.concatenate([part["bias"].reshape(-1) for part in parts])
        found["out_proj.bias"] = out["bias"]
    return found


def _read_cell(layer: Any, tensors: Tensors, end: str = "_l0") -> Arrays:
    """One direction: `(gates * units, features)` and `(gates * units, units)`."""
    tensors.refuse(f"weight_hr{end}", "a projection, `proj_size`")
    _check_gates(layer)
    params = {
        "kernel": _gates(layer, tensors.take(f"weight_ih{end}")).T,
        "recurrent_kernel": _gates(layer, tensors.take(f"weight_hh{end}")).T,
    }
    if layer.use_bias:
        inputs, recurrent = (_gates(layer, tensors.take(f"bias_{of}{end}", _BIAS)) for of in ("ih", "hh"))
        params["bias"] = np.stack([inputs, recurrent]) if isinstance(layer, layers.GRU) else inputs + recurrent
    return params


def _write_cell(layer: Any, params: Arrays, end: str = "_l0") -> Arrays:
    _check_gates(layer)
    found = {f"weight_ih{end}": params["kernel"].T, f"weight_hh{end}": params["recurrent_kernel"].T}
    if layer.use_bias:
        bias = params["bias"]
        inputs, recurrent = bias if isinstance(layer, layers.GRU) else (bias, np.zeros_like(bias))
        found |= {f"bias_ih{end}": inputs, f"bias_hh{end}": recurrent}
    return {name: _gates(layer, x) for name, x in found.items()}


def _gates(layer: Any, x: np.ndarray) -> np.ndarray:
    """The gates of a GRU, in the first axis, in the other library's order: reset and update change places."""
    if not isinstance(layer, layers.GRU):
        return x
    first, second, third = np.split(x, 3)
    return np.concatenate([second, first, third])


def _check_gates(layer: Any) -> None:
    """Raises if the layer computes something else than PyTorch's."""
    if isinstance(layer, layers.GRU) and not layer.reset_after:
        raise ValueError("PyTorch's GRU resets after the product: `GRU(..., reset_after=True)`; received False.")
    if getattr(layer, "recurrent_activation", "sigmoid") not in ("sigmoid", jax.nn.sigmoid):
        raise ValueError(f"The gates of PyTorch's {type(layer).__name__} are sigmoids; received {layer!r}.")
    is_simple = isinstance(layer, layers.SimpleRNN)
    if layer.activation not in ("tanh", jnp.tanh) and not (is_simple and layer.activation in ("relu", jax.nn.relu)):
        names = "tanh or relu" if is_simple else "tanh"
        raise ValueError(f"PyTorch has {names} in a {type(layer).__name__}; received {layer!r}.")


def _directions(layer: Any) -> dict[str, tuple[Any, str]]:
    """The layer of each direction, and the end of its names."""
    backward = layer.layer if layer.backward_layer is None else layer.backward_layer
    return {"forward": (layer.layer, "_l0"), "backward": (backward, "_l0_reverse")}


def _read_bidirectional(layer: Any, tensors: Tensors) -> dict[str, Arrays]:
    return {name: _read_cell(of, tensors, end) for name, (of, end) in _directions(layer).items()}


def _write_bidirectional(layer: Any, params: dict[str, Arrays]) -> Arrays:
    written = [_write_cell(of, params[name], end) for name, (of, end) in _directions(layer).items()]
    return {name: x for part in written for name, x in part.items()}


_RECURRENT = Rule(_read_cell, _write_cell)
_NORMALIZATION = Rule(_read_normalization, _write_normalization)
_WEIGHT_AND_BIAS = {"kernel": "weight", "bias": "bias"}

RULES: dict[type[Layer], Rule] = {
    layers.Dense: _of(_WEIGHT_AND_BIAS, np.transpose),  # `(out, in)`
    layers.Conv1D: _of(_WEIGHT_AND_BIAS, np.transpose),  # `(out, in, width)`
    layers.Embedding: _of({"embeddings": "weight"}),
    layers.LSTM: _RECURRENT,
    layers.GRU: _RECURRENT,
    layers.SimpleRNN: _RECURRENT,
    layers.Bidirectional: Rule(_read_bidirectional, _write_bidirectional),
    layers.MultiHeadAttention: Rule(_read_attention, _write_attention),
    layers.LayerNormalization: _NORMALIZATION,
    layers.GroupNormalization: _NORMALIZATION,
    layers.BatchNormalization: _NORMALIZATION,
    layers.RMSNormalization: _of({"scale": "weight"}),
}
