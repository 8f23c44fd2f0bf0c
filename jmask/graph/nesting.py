"""Models inside models: the calls inside the call of one."""

import dataclasses
import warnings
from typing import Any

import jax

from ..core.errors import MaskDroppedWarning, strict
from ..core.explicit_mask import NO_MASK
from .graph_layer import GraphLayer
from .inference import split_options
from .node import Call, MaskEdge, Node


def inside(call: Call) -> Any:
    """The graph of a nested model, on inputs with the shapes and masks of the call.

    Args:
        call: the call of any layer.

    Returns:
        A `jm.Model` whose calls are those inside, or None if the layer is not a model.
    """
    layer = call.layer
    if not isinstance(layer, GraphLayer):
        return None
    named, mask, _ = split_options(call.named)
    names = iter(layer.input_names.values())

    def stand_in(leaf: Any) -> Any:
        if not isinstance(leaf, Node):
            return leaf
        edge = leaf.edge
        if mask is NO_MASK or isinstance(mask, Node):
            edge = None if mask is NO_MASK else MaskEdge(mask.spec)
        return dataclasses.replace(leaf, edge=edge, call=None, name=next(names, None))

    with warnings.catch_warnings(), strict(False):
        warnings.simplefilter("ignore", MaskDroppedWarning)  # it was reported when the graph was built
        return layer.graph(*jax.tree.map(stand_in, (*call.inputs, *named.values())))
