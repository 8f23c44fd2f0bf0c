"""Reads configs back; raises for anything that `to_config` does not write, and says where in the config it is."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..core.explicit_mask import NO_MASK

CONSTANTS = {"...": Ellipsis, "NO_MASK": NO_MASK}


class Reader:
    """Decodes what `Writer` encoded, and nothing else: only registered classes are called."""

    def __init__(self, known: dict[str, Any]) -> None:
        self.known = known
        self.seen: dict[int, Any] = {}
        self.way: list[str] = []

    def decode(self, data: Any, place: str = "config") -> Any:
        """The value that the data describe.

        Args:
            data: a description.
            place: its place in the config, for messages.

        Raises:
            ValueError: the data is not what `to_config` writes; the message says where.
            TypeError: a value has the wrong type; the message says where.
        """
        if not isinstance(data, dict):
            return data
        self.way.append(place)
        try:
            if len(self.way) > _MOST_LEVELS:
                raise ValueError(_TOO_DEEP)
            return self._decode(data)
        except _OF_BAD_DATA as error:
            raise self._located(error) from error
        finally:
            self.way.pop()

    def decode_fields(self, data: Any) -> dict[str, Any]:
        """The fields of a class by name."""
        config = data["config"] if isinstance(data, dict) and "config" in data else None
        if not isinstance(config, dict) or not all(isinstance(name, str) for name in config):
            raise ValueError(f"the fields of {data['class']!r} are a dict under 'config'; received {config!r:.80}")
        return {name: self.decode(value, name) for name, value in config.items()}

    def find(self, name: Any) -> Any:
        """A registered class or function."""
        if not isinstance(name, str) or name not in self.known:
            raise ValueError(
                f"{name!r} is not registered. Decorate it with `@jm.register_serializable`, or pass "
                f"`custom={{{name!r}: ...}}`."
            )
        return self.known[name]

    def _decode(self, data: dict[str, Any]) -> Any:
        if "shared" in data:
            return self._shared(data["shared"])
        if "class" in data:
            made = self._layer(data)
            self._remember(data, made)
            return made
        for kind, decode in _DECODERS.items():
            if kind in data:
                return decode(self, data)
        raise ValueError(f"this is not what `to_config` writes: {data!r:.80}.")

    def _shared(self, number: Any) -> Any:
        if type(number) is not int or number not in self.seen:
            raise ValueError(f"there is no layer of the number {number!r:.80} before this place")
        return self.seen[number]

    def _remember(self, data: dict[str, Any], made: Any) -> None:
        number = data.get("id")
        if type(number) is not int or number in self.seen:
            raise ValueError(f"'id' is a number of its own for each layer; received {number!r:.80}")
        self.seen[number] = made

    def _layer(self, data: dict[str, Any]) -> Any:
        kind = self.find(data["class"])
        if not isinstance(kind, type):
            raise ValueError(f"{data['class']!r} is registered as a function, not as a class")
        if hasattr(kind, "decode_config"):
            return kind.decode_config(self, data)
        return kind(**self.decode_fields(data))

    def _items(self, data: dict[str, Any], kind: str) -> list[Any]:
        items = data[kind]
        if not isinstance(items, (list, tuple)):
            raise ValueError(f"{kind!r} holds a list; received {items!r:.80}")
        return [self.decode(item, f"{kind}[{i}]") for i, item in enumerate(items)]

    def _dict(self, data: dict[str, Any]) -> dict[Any, Any]:
        pairs = data["dict"]
        if not isinstance(pairs, (list, tuple)) or not all(isinstance(p, (list, tuple)) and len(p) == 2 for p in pairs):
            raise ValueError(f"'dict' holds a list of pairs; received {pairs!r:.80}")
        return {self.decode(key, "key"): self.decode(value, str(key)) for key, value in pairs}

    def _array(self, data: dict[str, Any]) -> Any:
        items = self._items(data, "array")
        if not all(isinstance(item, (bool, int, float, str)) for item in items):
            raise ValueError("'array' holds numbers")
        return np.array(items, self._dtype(data)).reshape(data.get("shape"))[()]

    def _dtype(self, data: dict[str, Any]) -> Any:
        name = data.get("dtype")
        if not isinstance(name, str) or jnp.dtype(name).names is not None:
            raise ValueError(f"'dtype' is the name of a dtype; received {name!r:.80}")
        return jnp.dtype(name)

    def _constant(self, data: dict[str, Any]) -> Any:
        name = data["constant"]
        if not isinstance(name, str) or name not in CONSTANTS:
            raise ValueError(f"there is no constant {name!r:.80}")
        return CONSTANTS[name]

    def _located(self, error: BaseException) -> Exception:
        """An error that says where in the config it is."""
        text = str(error)
        if text.startswith(_HERE):
            return type(error)(text)  # pyright: ignore[reportReturnType] - made below
        text = _TOO_DEEP if isinstance(error, RecursionError) else text
        said = text if isinstance(error, (TypeError, ValueError, RecursionError)) else f"{type(error).__name__}: {text}"
        kind = TypeError if isinstance(error, TypeError) else ValueError
        return kind(f"{_HERE} {'/'.join(self.way[:_MOST_SHOWN])}: {said}")


_HERE = "`from_config`: at"
_MOST_LEVELS = 100
_TOO_DEEP = "too many levels, or a cycle"
_MOST_SHOWN = 20
_OF_BAD_DATA = (TypeError, ValueError, LookupError, AttributeError, OverflowError, RecursionError, MemoryError)
_DECODERS: dict[str, Callable[[Reader, dict[str, Any]], Any]] = {
    "list": lambda reader, data: reader._items(data, "list"),
    "tuple": lambda reader, data: tuple(reader._items(data, "tuple")),
    "dict": lambda reader, data: reader._dict(data),
    "float": lambda reader, data: float(data["float"]),
    "slice": lambda reader, data: slice(*reader._items(data, "slice")),
    "constant": lambda reader, data: reader._constant(data),
    "array": lambda reader, data: reader._array(data),
    "dtype": lambda reader, data: reader._dtype(data),
    "function": lambda reader, data: reader.find(data["function"]),
}
