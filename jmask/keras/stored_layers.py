"""Layers of a `.keras` file, as Keras itself shows them to the converters: name, options, weights. No code runs."""

import functools
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .weights_file import unique_names

# The inputs of calls as in Keras, which the config of a model gives by position and by name.


def _call(inputs: Any, training: Any = None, mask: Any = None) -> None: ...


def _call_on_sequences(sequences: Any, initial_state: Any = None, mask: Any = None, training: Any = None) -> None: ...


def _attend(
    inputs: Any,
    mask: Any = None,
    training: Any = None,
    return_attention_scores: Any = None,
    use_causal_mask: Any = None,
) -> None: ...


def _attend_with_heads(
    query: Any,
    value: Any,
    key: Any = None,
    query_mask: Any = None,
    value_mask: Any = None,
    key_mask: Any = None,
    attention_mask: Any = None,
    return_attention_scores: Any = None,
    training: Any = None,
    use_causal_mask: Any = None,
) -> None: ...


def _soften(inputs: Any, mask: Any = None) -> None: ...


_HEADS = ("MultiHeadAttention", "GroupedQueryAttention")
_RECURRENT = ("SimpleRNN", "GRU", "LSTM", "ConvLSTM1D", "RNN", "Bidirectional")
_CALLS: dict[str, Callable[..., None]] = {
    **dict.fromkeys(_RECURRENT, _call_on_sequences),
    **dict.fromkeys(_HEADS, _attend_with_heads),
    **dict.fromkeys(("Attention", "AdditiveAttention"), _attend),
    "Softmax": _soften,
}
_PARTS = ("layer", "forward_layer", "backward_layer", "cell", "cells")
_OF_LAYERS = {"SimpleRNN": "SimpleRNNCell", "GRU": "GRUCell", "LSTM": "LSTMCell", "ConvLSTM1D": "ConvLSTMCell"}
_CELL = ("kernel", "recurrent_kernel", "bias")
_NORM = ("gamma", "beta", "moving_mean", "moving_variance")

# The weights of a layer in Keras' order, of which it has the first ones, or those that its options name.
_WEIGHTS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(_OF_LAYERS.values(), _CELL),
    **dict.fromkeys(("BatchNormalization", "LayerNormalization", "GroupNormalization"), _NORM),
    **dict.fromkeys(("Dense", "EinsumDense", "Conv1D", "Conv1DTranspose", "DepthwiseConv1D"), ("kernel", "bias")),
    "AdditiveAttention": ("scale",),
    "Attention": ("scale", "concat_score_weight"),
    "Embedding": ("embeddings",),
    "PReLU": ("alpha",),
    "RMSNormalization": ("scale",),
    "SeparableConv1D": ("depthwise_kernel", "pointwise_kernel", "bias"),
}
_OPTION_OF = {"gamma": "scale", "beta": "center", "bias": "use_bias"}


class Variable(NamedTuple):
    """A weight."""

    name: str
    path: str
    value: np.ndarray


class Stored(NamedTuple):
    """What is in a file.

    Attributes:
        arrays: the weights of a layer by number, by its path.
        names: the name of the layer at a path.
        make: a layer or model of an entry of the config, and of the path to its weights.
    """

    arrays: dict[str, dict[str, np.ndarray]]
    names: dict[str, str]
    make: Callable[[dict[str, Any], str], Any]


class StoredLayer:
    """A layer of a file. What is asked for by the name of an option is the option.

    Args:
        entry: of the config of its model.
        stored: what else is in the file.
        path: to its weights.
    """

    def __init__(self, entry: dict[str, Any], stored: Stored, path: str) -> None:
        self._entry, self._stored, self._path = entry, stored, path

    @property
    def name(self) -> str:
        """Its own."""
        return self.get_config()["name"]

    @property
    def built(self) -> bool:
        """Whether it has its weights, if layers of its class have any."""
        return type(self).__name__ not in _WEIGHTS or self._entry.get("build_config") is not None

    @property
    def trainable(self) -> bool:
        """Whether it was not frozen."""
        return self.get_config().get("trainable", True)

    @property
    def makes_mask(self) -> bool:
        """Whether it derives a mask from its inputs, or a layer in it does."""
        kind, config = type(self).__name__, self.get_config()
        inner = [layer for part in self.parts.values() for layer in (part if isinstance(part, list) else [part])]
        is_one = kind == "Masking" or (kind == "Embedding" and bool(config["mask_zero"]))
        return is_one or any(layer.makes_mask for layer in inner)

    @property
    def dtype_policy(self) -> Any:
        """What has the name of the policy."""
        policy = self.get_config().get("dtype") or "float32"
        return SimpleNamespace(name=policy if isinstance(policy, str) else policy["config"].get("name", "a map"))

    @property
    def variable_dtype(self) -> str:
        """The dtype of its weights, as long as it has no mixed precision."""
        return self.dtype_policy.name

    def get_config(self) -> dict[str, Any]:
        """Its options."""
        return self._entry["config"]

    def get_build_config(self) -> dict[str, Any]:
        """The shapes that it was built with."""
        return self._entry["build_config"]

    @functools.cached_property
    def weights(self) -> list[Variable]:
        """Its own weights, and those of the layers in it."""
        paths = [self._path] if type(self).__name__ in _WEIGHTS else []
        if type(self).__name__ in _HEADS:  # each of its projections is a layer
            paths += sorted(path for path in self._stored.arrays if path.startswith(f"{self._path}/"))
        found = [variable for path in paths for variable in self._variables(path)]
        for part in self.parts.values():
            found += [variable for layer in (part if isinstance(part, list) else [part]) for variable in layer.weights]
        return found

    def _variables(self, path: str) -> list[Variable]:
        arrays = self._stored.arrays.get(path, {})
        is_own = path == self._path
        names = _names(type(self).__name__, self.get_config()) if is_own else ["kernel", "bias"][: len(arrays)]
        if len(names) != len(arrays):
            raise ValueError(
                f"{self.name}: the file has {len(arrays)} weights of this {type(self).__name__}, which has "
                f"{len(names)} by its options: {', '.join(names)}. Weights that two models or wrappers share are there "
                "once: use the layer in one of them only. Otherwise save the model anew by Keras 3.15."
            )
        of = self._stored.names.get(path, "")
        return [Variable(name, f"{of}/{name}", arrays[str(number)]) for number, name in enumerate(names)]

    @functools.cached_property
    def parts(self) -> dict[str, Any]:
        """The layers in this one, by attribute."""
        config, kind = self.get_config(), type(self).__name__
        if kind in _OF_LAYERS:
            return {"cell": self._part({**self._entry, "class_name": _OF_LAYERS[kind]}, "cell")}
        if kind == "Bidirectional":
            config = {"forward_layer": config["layer"], "backward_layer": config["backward_layer"]}
        found = {name: config[name] for name in _PARTS if name in config}
        if "cells" in found:
            names = unique_names(list(map(class_name_of, found["cells"])))
            pairs = zip(found["cells"], names, strict=True)
            return {"cells": [self._part(cell, f"cells/{name}") for cell, name in pairs]}
        return {name: self._part(entry, name) for name, entry in found.items()}

    def _part(self, entry: dict[str, Any], attribute: str) -> Any:
        return self._stored.make(entry, f"{self._path}/{attribute}".lstrip("/"))

    def __getattr__(self, name: str) -> Any:
        """A layer in this one, or an option."""
        if name in _PARTS and name in self.parts:
            return self.parts[name]
        if name.startswith("_") or name not in self.get_config():
            raise AttributeError(f"{type(self).__name__} of a file has no {name!r}.")
        return self.get_config()[name]


def _names(kind: str, config: dict[str, Any]) -> list[str]:
    """The weights that a layer has with these options."""

    def has(name: str) -> bool:
        if kind == "EinsumDense" and name == "bias":
            return config.get("bias_axes") is not None
        if name.startswith("moving"):
            return kind == "BatchNormalization"
        if name == "concat_score_weight":
            return config.get("score_mode") == "concat"
        if name == "scale" and kind.endswith("Attention"):
            return bool(config.get("use_scale"))
        return bool(config.get(_OPTION_OF.get(name, ""), True))

    return [name for name in _WEIGHTS.get(kind, ()) if has(name)]


def class_name_of(entry: dict[str, Any]) -> str:
    """The name of an entry's class, where Keras' public name is another."""
    kind = str(entry["class_name"])
    return "GroupedQueryAttention" if kind == "GroupQueryAttention" else kind


def class_of(kind: str, base: type, module: str = "keras.layers") -> type:
    """A class with the name and the module of one of Keras, for which the converters ask."""
    return type(kind, (base,), {"__module__": module, "call": staticmethod(_CALLS.get(kind, _call))})
