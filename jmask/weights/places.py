"""Which layer's parameters are which module's."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..protocol.layer import Layer
from .library import Library

Modules = Mapping[str, str | Sequence[str]] | None


class LayerPlace(NamedTuple):
    """A layer with parameters, and where the other library has them.

    Attributes:
        path: the names that lead to its parameters.
        layer: the layer.
        rule: how its arrays lie there.
        module: the name of the module.
        number: which layer of the module it is, from 0.
    """

    path: tuple[str, ...]
    layer: Layer
    rule: Any
    module: str
    number: int

    @property
    def described(self) -> str:
        """For errors."""
        return shown_layer(self.path, self.layer)


def shown_layer(path: tuple[str, ...], layer: Layer) -> str:
    """A layer, for errors."""
    return f"{'/'.join(filter(None, path)) or 'the layer'} ({type(layer).__name__})"


def layers_of(model: Layer, library: Library) -> dict[tuple[str, ...], Layer]:
    """The layers of a model, and of models in it, by the names that lead to their parameters; of a layer, itself."""
    if not isinstance(model, Layer):
        raise TypeError(
            f"{library.reader} and {library.writer} take a layer or a model of jmask first; received {model!r:.80}."
        )
    return dict(_layers_of(model)) if hasattr(model, "named_layers") else {("",): model}


def _layers_of(model: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Layer]]:
    for name, layer in model.named_layers.items():
        if hasattr(layer, "named_layers"):
            yield from _layers_of(layer, (*path, name))
        else:
            yield (*path, name), layer


def find_places(model: Layer, modules: Modules, library: Library) -> list[LayerPlace]:
    """The layers that the other library has modules for, in order.

    Args:
        model: a layer or model.
        modules: names of layers by those of modules, where they differ.
        library: the other library.

    Raises:
        TypeError: `model` or `modules` is of another kind.
        ValueError: there is no such layer, or one module is said to have several that are not recurrent.
    """
    if not isinstance(modules, (Mapping, type(None))):
        raise TypeError(
            f"`modules` are names of layers by those of modules, `{{'lstm': 'lower'}}`; received {modules!r}."
        )
    found = layers_of(model, library)
    named = {
        name: (module, number)
        for module, names in (modules or {}).items()
        for number, name in enumerate([names] if isinstance(names, str) else names)
    }
    places, known = [], []
    for path, layer in found.items():
        module, number = named.get("/".join(path), (library.join(*path), 0))
        known.append("/".join(path))
        parts = library.parts(layer)
        for part, (name, inner) in parts.items():
            own = (*filter(None, path), part)
            known.append("/".join(own))
            of = named.get("/".join(own), (library.join(module, name), 0))
            places.append(LayerPlace((*path, part), inner, library.rule_of(inner), *of))
        if not parts:
            places.append(LayerPlace(path, layer, library.rule_of(layer), module, number))
    for name, (module, _) in named.items():
        if name not in known:
            raise ValueError(
                f"`modules`: there is no layer {name!r} for {module!r}; there are {', '.join(map(repr, known))}."
            )
    places = [place for place in places if place.rule is not None]
    for place in places:
        if place.number and not isinstance(place.layer, library.several):
            _refuse_several(place, library)
    return places


def _refuse_several(place: LayerPlace, library: Library) -> None:
    own, shared = library.join(*place.path, "weight"), library.join(place.module, "weight")
    raise ValueError(
        f"`modules`: only a recurrent module has several layers; {place.described} was named as layer "
        f"{place.number} of {place.module!r}. Tied weights go in twice: `tensors | {{{own!r}: tensors[{shared!r}]}}`."
    )


def put_at(tree: dict[str, Any], path: tuple[str, ...], found: Any) -> None:
    """Puts something into a nest of dicts, at the end of a path."""
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
    tree[path[-1]] = found


def branch_at(tree: Any, path: tuple[str, ...]) -> Any:
    """What is at the end of a path; `{}` if there is nothing."""
    for name in path:
        tree = (tree or {}).get(name)
    return tree or {}
