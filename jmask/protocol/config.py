"""Converts layers to JSON-able data and back, without pickle."""

import dataclasses
import math
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np

from .config_reader import CONSTANTS, Reader

T = TypeVar("T")

_registered: dict[str, Any] = {}
_LAMBDA = (lambda: None).__name__


def register_serializable(item: T, *, name: str | None = None) -> T:
    """Registers a user's layer class or function, so that `from_config` can find it; a decorator.

    Args:
        item: a subclass of `jm.Layer`, another dataclass (a cell), or a function used as a hyperparameter.
        name: its name in configs; by default its own name.

    Returns:
        The item itself.

    Raises:
        ValueError: the name is already taken, or the item is a lambda, which has no name.

    >>> import jmask as jm
    >>> @jm.register_serializable
    ... class Double(jm.Layer):
    ...     supports_masking = True
    ...     def call(self, params, inputs):
    ...         return 2 * inputs
    >>> jm.from_config(Double().to_config())
    Double()
    """
    name = name or str(getattr(item, "__name__", item))
    if name == _LAMBDA:
        raise ValueError("A lambda has no name of its own; pass one, `jm.register_serializable(function, name=...)`.")
    known = _registered.get(name, item)
    if known is not item and _origin(known) != _origin(item):
        raise ValueError(
            f"The name {name!r} is registered for {known!r}; pass another, `register_serializable(item, name=...)`."
        )
    _registered[name] = item
    return item


def register_subclasses(base: type, namespace: dict[str, Any]) -> None:
    """Registers the subclasses of a class in a module's namespace."""
    for item in list(namespace.values()):
        if isinstance(item, type) and issubclass(item, base) and item is not base:
            register_serializable(item)


def to_config(layer: Any) -> dict[str, Any]:
    """A layer or model as nested dicts and lists of numbers, strings and None, which JSON can represent.

    A layer that occurs twice is written once, so that calls that share parameters still do so after `from_config`.

    Args:
        layer: a layer, a `jm.Model` or a `jm.Sequential`.

    Returns:
        A dict, without parameters. Hyperparameters that have their default value are left out.

    Raises:
        ValueError: a class or function is not registered (see `jm.register_serializable`).

    >>> import json, jmask as jm
    >>> json.dumps(jm.to_config(jm.layers.Dense(3)))
    '{"class": "Dense", "config": {"units": 3}, "id": 0}'
    """
    return Writer().encode(layer)


def from_config(config: dict[str, Any], custom: dict[str, Any] | None = None) -> Any:
    """The layer or model that `to_config` described.

    Args:
        config: what `to_config` returned, or the same read back from JSON.
        custom: classes and functions by name, in addition to the registered ones.

    Returns:
        A new layer, without parameters. Only registered classes are called.

    Raises:
        ValueError: a name is not registered, or the data was not written by `to_config`; the message says where.
        TypeError: a value has the wrong type; the message says where.

    >>> import jmask as jm
    >>> jm.from_config(jm.layers.Dense(3, activation="relu").to_config())
    Dense(units=3, activation='relu')
    """
    if not isinstance(config, dict):
        raise TypeError(f"`from_config` takes the dict that `to_config` returns; received {config!r:.80}.")
    return Reader(_registered | (custom or {})).decode(config)


class Writer:
    """Encodes values; remembers the layers it has already written."""

    def __init__(self) -> None:
        self.seen: dict[int, int] = {}
        self.kept: list[Any] = []  # an id is unique only while its object is alive

    def encode(self, value: Any) -> Any:
        """A JSON-able description of a hyperparameter or a layer."""
        if _is_json(value):
            return value
        if id(value) in self.seen:
            return {"shared": self.seen[id(value)]}
        if hasattr(value, "encode_config"):
            return self._new(value, value.encode_config(self))
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return self._new(value, self.fields(value))
        if hasattr(value, "_asdict"):
            return self._new(value, self._named_tuple(value))
        return self._plain(value)

    def _plain(self, value: Any) -> dict[str, Any]:
        """Containers, arrays and constants, which have no identity."""
        if isinstance(value, (list, tuple)):
            return {"tuple" if isinstance(value, tuple) else "list": [self.encode(item) for item in value]}
        if isinstance(value, dict):
            return {"dict": [[self.encode(k), self.encode(v)] for k, v in value.items()]}
        if isinstance(value, slice):
            return {"slice": [self.encode(item) for item in (value.start, value.stop, value.step)]}
        if type(value) is float:
            return {"float": str(value)}
        if isinstance(value, (np.ndarray, np.generic, jax.Array)):
            array = np.asarray(value)
            items = [self.encode(item) for item in array.ravel().tolist()]
            return {"array": items, "dtype": array.dtype.name, "shape": list(array.shape)}
        if isinstance(value, (np.dtype, type)) and _is_dtype(value):
            return {"dtype": jnp.dtype(value).name}
        for name, constant in CONSTANTS.items():
            if value is constant:
                return {"constant": name}
        return {"function": _name_of(value)}

    def fields(self, value: Any) -> dict[str, Any]:
        """The fields of a dataclass that differ from their defaults."""
        changed = {
            field.name: self.encode(getattr(value, field.name))
            for field in dataclasses.fields(value)
            if field.init and not _equals(getattr(value, field.name), field.default)
        }
        return {"class": _name_of(type(value)), "config": changed}

    def _named_tuple(self, value: Any) -> dict[str, Any]:
        fields = {name: self.encode(item) for name, item in value._asdict().items()}
        return {"class": _name_of(type(value)), "config": fields}

    def _new(self, value: Any, config: dict[str, Any]) -> dict[str, Any]:
        self.seen[id(value)] = len(self.seen)
        self.kept.append(value)
        return config | {"id": self.seen[id(value)]}


def _name_of(item: Any) -> str:
    for name, known in _registered.items():
        if known is item:
            return name
    raise ValueError(
        f"`to_config`: {item!r} is not registered, so nothing could bring it back. Decorate it with "
        "`@jm.register_serializable`, or use an option by its name."
    )


def _origin(item: Any) -> tuple[Any, Any]:
    """Where an item was defined: a class that is redefined (a notebook cell run twice) replaces the old one."""
    return getattr(item, "__module__", None), getattr(item, "__qualname__", None)


def _is_json(value: Any) -> bool:
    """Whether JSON can represent a value directly; strict JSON has no NaN and no infinity."""
    return type(value) in (bool, int, str, type(None)) or (type(value) is float and math.isfinite(value))


def _is_dtype(value: Any) -> bool:
    try:
        return jnp.dtype(value).kind != "O"  # NumPy accepts any class as an object dtype
    except TypeError:
        return False


def _equals(value: Any, default: Any) -> bool:
    simple = (bool, int, float, str)
    return value is default or (type(value) is type(default) and isinstance(value, simple) and value == default)
