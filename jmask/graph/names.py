"""The names of a model's layers, which are the keys of their parameters."""

from collections.abc import Iterator, Sequence
from typing import Any

from ..protocol.layer import Layer, sublayers
from ..protocol.names import distinct_names, given_names


def assign_names(layers: Sequence[Layer]) -> dict[int, str]:
    """A name for each layer, by its id: its own, or its class in snake case, numbered if it is taken.

    Args:
        layers: the layers of a model; a repeated layer is one layer.

    Returns:
        The names.

    Raises:
        ValueError: two layers were given one name, or one layer is part of two models.
    """
    distinct = {id(layer): layer for layer in layers}
    given = given_names(layers)
    for name in given:
        if given.count(name) > 1:
            raise ValueError(f"Two layers of a model are called {name!r}; their parameters need two names.")
    names = distinct_names(layers)
    _refuse_shared([(names[key], layer) for key, layer in distinct.items()])
    return names


def _refuse_shared(layers: list[tuple[str, Layer]]) -> None:
    """Raises if a layer with parameters is in two inner models: each would have its own parameters for it."""
    paths: dict[int, str] = {}
    for name, layer in layers:
        for path, inner in _with_inner(name, layer):
            first = paths.setdefault(id(inner), path)
            if first != path and _has_parameters(inner):
                raise ValueError(
                    f"`{first}` and `{path}` are one layer, but a model inside a model keeps its parameters to "
                    "itself, so they would not share them. Call the layer in one of the models only, or make one "
                    "model of both."
                )


def _with_inner(path: str, layer: Any) -> Iterator[tuple[str, Layer]]:
    """A layer and, for a model, the layers in it, with their paths."""
    yield path, layer
    for name, inner in getattr(layer, "named_layers", {}).items():
        yield from _with_inner(f"{path}/{name}", inner)


def _has_parameters(layer: Any) -> bool:
    if hasattr(layer, "named_layers"):
        return any(map(_has_parameters, layer.named_layers.values()))
    return type(layer).init is not Layer.init or bool(sublayers(layer))
