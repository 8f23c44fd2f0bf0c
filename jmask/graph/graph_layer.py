"""The common base of `Model` and `Sequential`: layers that can be seen as a graph."""

import functools
from typing import Any

from ..protocol.layer import Layer


class GraphLayer(Layer):
    """A layer that consists of calls of other layers, and can show them as nodes."""

    raw_inputs = True
    supports_packing = True  # each layer answers for itself

    @property
    def named_layers(self) -> dict[str, Layer]:
        """The layers by name, in order."""
        raise NotImplementedError

    @functools.cached_property
    def input_names(self) -> dict[int, str]:
        """The names of the inputs by the ids of their nodes, as far as there are nodes."""
        return {}

    def graph(self, *inputs: Any) -> Any:
        """The layers as a `jm.Model`, on these inputs: nodes, or examples that nodes are made from."""
        raise NotImplementedError
