"""Whether all arrays have found their place: errors and warnings for what is left, missing, or of another shape."""

import warnings
from collections.abc import Mapping
from typing import Any

import jax

from .. import layers
from ..graph import Node, Sequential
from ..protocol.layer import Layer
from .library import Library
from .places import LayerPlace, branch_at, layers_of, shown_layer
from .tensors import shortened

NORMALIZATIONS = (layers.LayerNormalization, layers.GroupNormalization, layers.BatchNormalization)


def unused(names: list[str], model: Layer, library: Library) -> str:
    """The error for arrays that no layer has taken."""
    unknown = [
        shown_layer(path, layer)
        for path, layer in layers_of(model, library).items()
        if library.rule_of(layer) is None and not library.parts(layer) and _is_any_of(path, names, library)
    ]
    which = f" {library.reader} cannot fill {', '.join(unknown)}: set such parameters by hand." if unknown else ""
    return (
        f"{library.reader}: no layer takes {shortened(names)}.{which} Say which layer does, "
        f"`modules={{{library.module}: layer_name}}`, or leave them out: "
    )


def _is_any_of(path: tuple[str, ...], names: list[str], library: Library) -> bool:
    prefix = library.join(*path)
    return not prefix or any(name.startswith(prefix + library.separator) for name in names)


def check_epsilon(place: LayerPlace, theirs: float, library: Library) -> None:
    """Warns if a normalization adds something else than the other library does by default."""
    epsilon = getattr(place.layer, "epsilon", theirs)
    if epsilon != theirs:
        warnings.warn(
            f"{library.reader}: {place.described} adds epsilon={epsilon} to the variance, and {library.name} adds "
            f"{theirs} unless it was told another. Pass `epsilon=` of the module.",
            stacklevel=4,
        )


def check_complete(places: list[LayerPlace], params: Any, state: Any, library: Library) -> None:
    """Raises unless each parameter is of a layer that the other library has, and each such layer has its parameters."""
    if not isinstance(params, Mapping):
        raise TypeError(
            f"{library.writer} takes parameters as `model.init` makes them; received a {type(params).__name__}. What "
            f"{library.reader} returned goes in as two arguments: `{library.call.format('model', 'params, state')}`."
        )
    for path, _ in jax.tree.leaves_with_path(params):
        names = tuple(str(getattr(key, "key", key)) for key in path)
        if not any(names[: len(place.path)] == place.path for place in places):
            raise ValueError(
                f"{library.writer}: {'/'.join(filter(None, names))} is of a layer that {library.name} has no module "
                f"for, or of none. Write the layers that it has one by one: "
                f"`{library.call.format('layer', 'params[name]')}`."
            )
    for place in places:
        if not branch_at(params, place.path) and not isinstance(place.layer, NORMALIZATIONS):
            raise ValueError(
                f"{library.writer}: there are no parameters of {place.described} in `params`. Pass all of them, as "
                f"`model.init` and {library.reader} return them."
            )
        if isinstance(place.layer, layers.BatchNormalization) and not branch_at(state, place.path):
            raise ValueError(f"{library.writer}: {place.described} has running statistics; pass them as `state`.")


def check_shapes(model: Any, params: Any, library: Library) -> None:
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
                f"{library.reader}: {name} is of a layer that {library.name} has no module for. Take its parameters "
                f"from `model.init`, and those of the other layers by {library.reader} of each."
            )
        if found[name] != shape:
            raise ValueError(
                f"{library.reader}: {name} has shape {shape} in the model, and {found[name]} from {library.name}."
            )
    for name in found.keys() - wanted.keys():
        raise ValueError(
            f"{library.reader}: the model has no {name}, such as with `use_bias=False`; {library.name} has."
        )
