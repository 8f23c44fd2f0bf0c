"""From the tensors of a PyTorch module to the parameters of a layer or model, and back."""

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .. import layers
from ..protocol.layer import Layer
from ..weights import (
    NORMALIZATIONS,
    LayerPlace,
    Library,
    Tensors,
    branch_at,
    check_complete,
    check_epsilon,
    check_shapes,
    find_places,
    put_at,
    unused,
)
from .layers import RULES
from .tensors import read_tensors, remedy

Modules = Mapping[str, str | Sequence[str]] | None
_EPSILON = 1e-5  # of PyTorch's normalizations, unless they are told another
_STATISTICS = ("moving_mean", "moving_variance")
TORCH = Library(
    name="PyTorch",
    reader="`from_torch`",
    writer="`to_torch`",
    call="jm.to_torch({}, {})",
    separator=".",
    rules=RULES,
    module="torch_name",
    several=(layers.LSTM, layers.GRU, layers.SimpleRNN, layers.Bidirectional),
)


def from_torch(model: Layer, tensors: Any, modules: Modules = None) -> tuple[Any, Any]:
    """Parameters and running statistics of a layer or model, from what PyTorch has learned.

    Takes `LSTM`, `GRU` and `RNN` of any number of layers and both directions, `Embedding`, `Linear`, `Conv1d`,
    `LayerNorm`, `RMSNorm`, `GroupNorm`, `BatchNorm1d` and `MultiheadAttention`, and so what is made of them, such as a
    `TransformerEncoderLayer`. Outputs are then those of PyTorch on each sequence alone.

    Args:
        model: a layer, or a model whose layers have the names of PyTorch's modules, such as
            `jm.layers.Dense(5, name="head")`.
        tensors: `module.state_dict()`, or the path of a safetensors file, or arrays by name.
        modules: the name of the layer for a module, where they differ: `{"encoder.lstm": "lstm"}`; of a module of
            several layers, those of all, from the first on: `{"lstm": ["lower", "upper"]}`. A layer in a model in the
            model is `"inner/dense"`, the module that was saved itself is `""`.

    Returns:
        Parameters, as from `model.init`, and running statistics, `{}` if there are none. A state dict does not hold
        options: give layers PyTorch's, such as `LayerNormalization(epsilon=1e-5)`, `Conv1D(padding="same")`,
        `RNN(nonlinearity="relu")` as `SimpleRNN(activation="relu")`.

    Raises:
        TypeError: the tensors or `modules` are of no such kind, or the model is no layer.
        ValueError: a layer finds no tensor, a tensor no layer, shapes differ in a model that knows its inputs (of
            others, wrong sizes show when they are applied, if at all: give them a `jm.Input`), jmask has no such
            module, as for a projection of an `LSTM`, or the file is of another format.

    >>> import jax, numpy as np, jmask as jm
    >>> model = jm.Sequential([jm.Input((None, 3)), jm.layers.LSTM(2, name="lstm"), jm.layers.Dense(1, name="head")])
    >>> tensors = {"lstm.weight_ih_l0": np.ones((8, 3)), "lstm.weight_hh_l0": np.ones((8, 2))}
    >>> tensors |= {"lstm.bias_ih_l0": np.zeros(8), "lstm.bias_hh_l0": np.zeros(8)}
    >>> tensors |= {"head.weight": np.ones((1, 2)), "head.bias": np.zeros(1)}
    >>> params, state = jm.from_torch(model, tensors)
    >>> jax.tree.map(jax.numpy.shape, params)["lstm"]
    {'bias': (8,), 'kernel': (3, 8), 'recurrent_kernel': (2, 8)}
    """
    remaining = read_tensors(tensors)
    params: dict[str, Any] = {}
    state: dict[str, Any] = {}
    for place in find_places(model, modules, TORCH):
        of_module = Tensors(remaining, place, TORCH, functools.partial(_name, place), remedy)
        if isinstance(place.layer, NORMALIZATIONS):
            check_epsilon(place, _EPSILON, TORCH)
        found = jax.tree.map(jnp.asarray, place.rule.read(place.layer, of_module))
        put_at(params, place.path, {name: x for name, x in found.items() if name not in _STATISTICS})
        if statistics := {name: x for name, x in found.items() if name in _STATISTICS}:
            put_at(state, place.path, statistics)
    if remaining:
        leave_out = "`{k: v for k, v in tensors.items() if ...}`."
        raise ValueError(f"{unused(sorted(remaining), model, TORCH)}{leave_out}{_about_recurrent(remaining)}")
    if not hasattr(model, "named_layers"):
        return params[""], state.get("", {})
    check_shapes(model, params, TORCH)
    return params, state


def to_torch(model: Layer, params: Any, state: Any = None, modules: Modules = None) -> dict[str, np.ndarray]:
    """The tensors of the PyTorch modules that compute what a layer or model does; the inverse of `from_torch`.

    Args:
        model: as for `from_torch`.
        params: its parameters.
        state: its running statistics.
        modules: as for `from_torch`.

    Returns:
        NumPy arrays by name. `module.load_state_dict({name: torch.tensor(x) for name, x in found.items()})` takes them,
        for batch normalization with `strict=False`, and `safetensors.numpy.save_file` writes them. Of two biases that
        PyTorch adds up, the second is 0.

    Raises:
        TypeError: the parameters are no dict, or the model is no layer.
        ValueError: PyTorch has no module like a layer with parameters, or parameters or statistics are missing.

    >>> import jax, jmask as jm
    >>> model = jm.Sequential([jm.Input((None, 3)), jm.layers.Dense(2, name="head")])
    >>> {name: x.shape for name, x in sorted(jm.to_torch(model, model.init(jax.random.key(0))).items())}
    {'head.bias': (2,), 'head.weight': (2, 3)}
    """
    if not hasattr(model, "named_layers"):
        params, state = {"": params}, {"": state}
    found: dict[str, np.ndarray] = {}
    places = find_places(model, modules, TORCH)
    check_complete(places, params, state, TORCH)
    for place in places:
        arrays = jax.tree.map(np.asarray, {**branch_at(params, place.path), **branch_at(state, place.path)})
        written = place.rule.write(place.layer, arrays)
        found |= {_name(place, name): np.ascontiguousarray(x) for name, x in written.items()}
    return found


def _name(place: LayerPlace, name: str) -> str:
    """The full name of a tensor of a place's module; the prefix of all of them for `""`."""
    name = name.replace("_l0", f"_l{place.number}")
    return f"{place.module}.{name}" if place.module else name


def _about_recurrent(names: Iterable[str]) -> str:
    """What helps where a recurrent module has more in it than its layer."""
    if any(name.endswith("_reverse") for name in names):
        return " Names that end with `_reverse` are of a second direction, `jm.layers.Bidirectional(layer)`."
    if any(re.search(r"_l[1-9]\d*$", name) for name in names):
        return " Names that end with `_l1` are of a second layer: `modules={'lstm': ['lower', 'upper']}`."
    return ""
