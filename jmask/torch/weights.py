"""From the tensors of a PyTorch module to the parameters of a layer or model, and back."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from .. import layers
from ..graph import Node, Sequential
from ..protocol.layer import Layer
from .layers import Rule, rule_of
from .tensors import Tensors, read_tensors, shortened

Modules = Mapping[str, str | Sequence[str]] | None
_EPSILON = 1e-5  # of PyTorch's normalizations, unless they are told another
_STATISTICS = ("moving_mean", "moving_variance")
_SEVERAL = (layers.LSTM, layers.GRU, layers.SimpleRNN, layers.Bidirectional)
_NORMALIZATIONS = (layers.LayerNormalization, layers.GroupNormalization, layers.BatchNormalization)


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
        ValueError: a layer finds no tensor, a tensor no layer, shapes differ in a model that knows its inputs (others
            raise when they are applied), jmask has no such module, as for a projection of an `LSTM`, or the file is of
            another format.

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
    for place in _places(model, modules):
        of_module = Tensors(remaining, place.name_of, place.name_of(""), place.described)
        if isinstance(place.layer, _NORMALIZATIONS):
            _check_epsilon(place)
        found = jax.tree.map(jnp.asarray, place.rule.read(place.layer, of_module))
        _put(params, place.path, {name: x for name, x in found.items() if name not in _STATISTICS})
        if statistics := {name: x for name, x in found.items() if name in _STATISTICS}:
            _put(state, place.path, statistics)
    if remaining:
        raise ValueError(_unused(sorted(remaining), model))
    if not hasattr(model, "named_layers"):
        return params[""], state.get("", {})
    _check_shapes(model, params)
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
    places = _places(model, modules)
    _check_complete(places, params)
    for place in places:
        if isinstance(place.layer, layers.BatchNormalization) and not _get(state, place.path):
            raise ValueError(f"`to_torch`: {place.described} has running statistics; pass them as `state`.")
        arrays = jax.tree.map(np.asarray, {**_get(params, place.path), **_get(state, place.path)})
        written = place.rule.write(place.layer, arrays)
        found |= {place.name_of(name): np.ascontiguousarray(x) for name, x in written.items()}
    return found


class _Place(NamedTuple):
    """A layer with parameters, and where PyTorch has them."""

    path: tuple[str, ...]
    layer: Layer
    rule: Rule
    module: str
    number: int

    def name_of(self, name: str) -> str:
        """The full name of a tensor of its module."""
        name = name.replace("_l0", f"_l{self.number}")
        return f"{self.module}.{name}" if self.module else name

    @property
    def described(self) -> str:
        """For errors."""
        return _described(self.path, self.layer)


def _described(path: tuple[str, ...], layer: Layer) -> str:
    return f"{'/'.join(path) or 'the layer'} ({type(layer).__name__})"


def _all_layers(model: Layer) -> dict[tuple[str, ...], Layer]:
    if not isinstance(model, Layer):
        raise TypeError(f"`from_torch` and `to_torch` take a layer or a model of jmask first; received {model!r:.80}.")
    return dict(_layers_of(model)) if hasattr(model, "named_layers") else {("",): model}


def _places(model: Layer, modules: Modules) -> list[_Place]:
    """The layers that PyTorch has modules for, in order."""
    found = _all_layers(model)
    module_of = {"/".join(path): (".".join(path), 0) for path in found}
    if not isinstance(modules, (Mapping, type(None))):
        raise TypeError(
            f"`modules` are names of layers by those of modules, `{{'lstm': 'lower'}}`; received {modules!r}."
        )
    for module, names in (modules or {}).items():
        for number, name in enumerate([names] if isinstance(names, str) else names):
            if name not in module_of:
                raise ValueError(
                    f"`modules`: there is no layer {name!r} for {module!r}; there are "
                    f"{', '.join(map(repr, module_of))}."
                )
            module_of[name] = module, number
    rules = [(path, layer, rule_of(layer)) for path, layer in found.items()]
    places = [_Place(path, layer, rule, *module_of["/".join(path)]) for path, layer, rule in rules if rule is not None]
    for place in places:
        if place.number and not isinstance(place.layer, _SEVERAL):
            own, shared = ".".join((*place.path, "weight")), f"{place.module}.weight"
            raise ValueError(
                f"`modules`: only a recurrent module has several layers; {place.described} was named as layer "
                f"{place.number} of {place.module!r}. Tied weights go in twice: `tensors | {{{own!r}: "
                f"tensors[{shared!r}]}}`."
            )
    return places


def _layers_of(model: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Layer]]:
    """The layers of a model, and of models in it, each with the names that lead to its parameters."""
    for name, layer in model.named_layers.items():
        if hasattr(layer, "named_layers"):
            yield from _layers_of(layer, (*path, name))
        else:
            yield (*path, name), layer


def _put(tree: dict[str, Any], path: tuple[str, ...], found: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = found


def _get(tree: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        tree = (tree or {}).get(name)
    return tree or {}


def _unused(names: list[str], model: Layer) -> str:
    unknown = [
        _described(path, layer)
        for path, layer in _all_layers(model).items()
        if rule_of(layer) is None and any(name.startswith(".".join((*filter(None, path), ""))) for name in names)
    ]
    which = f" `from_torch` cannot fill {', '.join(unknown)}: set such parameters by hand." if unknown else ""
    return (
        f"`from_torch`: no layer takes {shortened(names)}.{which} Say which layer does, `modules={{torch_name: "
        "layer_name}`, or leave them out: `{k: v for k, v in tensors.items() if ...}`."
    )


def _check_epsilon(place: _Place) -> None:
    epsilon = getattr(place.layer, "epsilon", _EPSILON)
    if epsilon != _EPSILON:
        warnings.warn(
            f"`from_torch`: {place.described} adds epsilon={epsilon} to the variance, as Keras does, and PyTorch adds "
            f"{_EPSILON} unless it was told another. Pass `epsilon=` of the module.",
            stacklevel=3,
        )


def _check_complete(places: list[_Place], params: Any) -> None:
    """Raises unless each parameter is of a layer that PyTorch has, and each such layer has its parameters."""
    if not isinstance(params, Mapping):
        raise TypeError(
            f"`to_torch` takes parameters as `model.init` makes them; received a {type(params).__name__}. What "
            "`from_torch` returned goes in as two arguments: `jm.to_torch(model, params, state)`."
        )
    for path, _ in jax.tree.leaves_with_path(params):
        names = tuple(str(getattr(key, "key", key)) for key in path)
        if not any(names[: len(place.path)] == place.path for place in places):
            raise ValueError(
                f"`to_torch`: {'/'.join(filter(None, names))} is of a layer that PyTorch has no module for, or of "
                "none. Write the layers that it has one by one: `jm.to_torch(layer, params[name])`."
            )
    for place in places:
        if not _get(params, place.path) and not isinstance(place.layer, _NORMALIZATIONS):
            raise ValueError(
                f"`to_torch`: there are no parameters of {place.described} in `params`. Pass all of them, as "
                "`model.init` and `from_torch` return them."
            )


def _check_shapes(model: Any, params: Any) -> None:
    """Raises unless the model, where it knows its inputs, would begin with parameters of these shapes."""
    if isinstance(model, Sequential) and not isinstance(model.layers[0], Node):
        return
    wanted, found = (
        {jax.tree_util.keystr(path, simple=True, separator="/"): leaf.shape for path, leaf in leaves}
        for leaves in map(jax.tree.leaves_with_path, (jax.eval_shape(model.init, jax.random.key(0)), params))
    )
    for name, shape in wanted.items():
        if name not in found:
            raise ValueError(
                f"`from_torch`: {name} is of a layer that PyTorch has no module for. Take its parameters from "
                "`model.init`, and those of the other layers by `from_torch` of each."
            )
        if found[name] != shape:
            raise ValueError(f"`from_torch`: {name} has shape {shape} in the model, and {found[name]} from PyTorch.")
    for name in found.keys() - wanted.keys():
        raise ValueError(f"`from_torch`: the model has no {name}, such as with `use_bias=False`; PyTorch has.")
