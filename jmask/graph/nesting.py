"""Models inside models: what stands behind the call of one."""

import dataclasses
import warnings
from typing import Any

import jax

from ..core.errors import MaskDroppedWarning, strict
from ..core.explicit_mask import NO_MASK
from .inference import split_options
from .model import Model
from .node import Call, MaskEdge, Node
from .sequential import Sequential


def graph_of(model: Any, *inputs: Any) -> Model:
    """The graph of a model: itself, that of a `Sequential`, or a new one that follows from examples."""
    if isinstance(model, Sequential):
        return model.graph(*inputs)
    return model.replay(*inputs) if inputs else model


def inside(call: Call) -> Model | None:
    """The graph of a nested model, on inputs with the shapes and masks of the call.

    Args:
        call: the call of any layer.

    Returns:
        A model whose calls are those inside, or None if the layer is not a model.
    """
    layer = call.layer
    if not isinstance(layer, (Model, Sequential)):
        return None
    named, mask, _ = split_options(call.named)
    given = (*call.inputs, *named.values())
    names = iter(layer.input_names.values() if isinstance(layer, Model) else ())

    def stand_in(leaf: Any) -> Any:
        if not isinstance(leaf, Node):
            return leaf
        edge = leaf.edge
        if mask is NO_MASK or isinstance(mask, Node):
            edge = None if mask is NO_MASK else MaskEdge(mask.spec)
        return dataclasses.replace(leaf, edge=edge, call=None, name=next(names, None))

    with warnings.catch_warnings(), strict(False):
        warnings.simplefilter("ignore", MaskDroppedWarning)  # it was said when the graph was built
        inputs = jax.tree.map(stand_in, given)
        return layer.replay(*inputs) if isinstance(layer, Model) else layer.graph(*inputs)
