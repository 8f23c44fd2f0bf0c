"""Another library, as errors name it and as its arrays are named."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

from ..protocol.layer import Layer


def _no_parts(_: Layer) -> dict[str, tuple[str, Layer]]:
    return {}


@dataclasses.dataclass(frozen=True)
class Library:
    """Another library.

    Attributes:
        name: its own.
        reader: the function that reads its weights, for errors.
        writer: the function that gives weights back.
        call: of the writer, with `{}` for model and parameters.
        separator: between the names of modules in the name of an array.
        rules: how the arrays of a class of layers lie there; a subclass may compute something else, and has none.
        module: "torch_name", what an example calls the name of a module.
        parts: the layers in a layer that are modules of their own, by name, each with the name of the module.
        several: classes of layers of which one module may have many.
    """

    name: str
    reader: str
    writer: str
    call: str
    separator: str
    rules: Mapping[type[Layer], Any]
    module: str
    parts: Callable[[Layer], dict[str, tuple[str, Layer]]] = _no_parts
    several: tuple[type[Layer], ...] = ()

    def join(self, *names: str) -> str:
        """A full name."""
        return self.separator.join(filter(None, names))

    def rule_of(self, layer: Layer) -> Any:
        """How a layer's arrays lie in this library; None if it has no such module."""
        return self.rules.get(type(layer))
