"""`Sequential`: one layer after another."""

import functools
from collections.abc import Sequence
from typing import Any

import jax

from ..protocol.call import apply_named
from ..protocol.config import register_serializable
from ..protocol.initialize import init_sublayers
from ..protocol.layer import Layer
from ..protocol.output_masks import uses_mask
from .graph_layer import GraphLayer
from .inputs import inputs_like
from .matching import match
from .model import Model
from .names import assign_names
from .node import Node


@register_serializable
class Sequential(GraphLayer):
    """A stack of layers, each called on the output of the previous one.

    Attributes:
        layers: the layers. A `jm.Input` as the first item gives the shapes, so that `init` and `summary` need no
            example.

    Raises:
        TypeError: an item is not a layer.
        ValueError: there are no layers, or two layers have one name.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> model = jm.Sequential([jm.layers.Embedding(50, 8, mask_zero=True), jm.layers.LSTM(4)])
    >>> x = jnp.array([[7, 3, 0], [2, 0, 0]])
    >>> model.apply(model.init(jax.random.key(0), x), x).shape
    (2, 4)
    """

    layers: Sequence[Any]

    def __post_init__(self) -> None:
        """Validates the layers at construction time."""
        object.__setattr__(self, "layers", list(self.layers))  # the user's list may change
        for i, layer in enumerate(self.layers):
            if not isinstance(layer, Layer) and not (i == 0 and isinstance(layer, Node)):
                raise TypeError(
                    f"`layers` of a `Sequential` are layers, after at most one `jm.Input`; received a "
                    f"{type(layer).__name__}. A function of one sequence, or a module of Flax or Equinox, is a layer "
                    "as `jm.layers.PerSequence(module)`."
                )
        if not self._steps:
            raise ValueError("`Sequential` needs at least one layer.")
        if isinstance(self.layers[0], Node):
            self.graph()

    @functools.cached_property
    def _steps(self) -> list[tuple[str, Layer]]:
        layers = [layer for layer in self.layers if isinstance(layer, Layer)]
        names = assign_names(layers)
        return [(names[id(layer)], layer) for layer in layers]

    @property
    def named_layers(self) -> dict[str, Layer]:
        """The layers by name, in order; a repeated layer appears once."""
        return dict(self._steps)

    @property
    def _uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """Whether a layer does."""
        return any(uses_mask(layer) for _, layer in self._steps)

    def init(self, key: Any, *inputs: Any) -> dict[str, Any]:
        """Parameters of all layers by name, `{"embedding": {...}, "lstm": {...}}`.

        Args:
            key: a PRNG key; each layer draws from the key folded with its name.
            *inputs: an example, unless the first layer is a `jm.Input`.

        Returns:
            A nested dict, without the layers that have no parameters.

        Raises:
            ValueError: there is neither an example nor an `Input`.
        """
        return init_sublayers(self.apply, key, inputs) if inputs else self.graph().init(key)

    def init_state(self, *inputs: Any) -> Any:
        """Running statistics of all layers that have any; an example is needed as for `init`."""
        return super().init_state(*inputs) if inputs else self.graph().init_state()

    def call(self, params: Any, inputs: Any, training: bool = False, key: Any = None) -> Any:
        """The output of the last layer."""
        if isinstance(self.layers[0], Node):
            match(self.layers[0], (inputs,))
        for i, (name, layer) in enumerate(self._steps):
            step_key = None if key is None else jax.random.fold_in(key, i)
            inputs = apply_named(layer, name, params.get(name, {}), (inputs,), {}, None, training, step_key)
        return inputs

    def graph(self, *inputs: Any) -> Model:
        """The same layers as a `Model`, with every step as a node.

        Args:
            *inputs: an example or a node, unless the first layer is a `jm.Input`.

        Returns:
            A model that takes the same parameters.
        """
        nodes = inputs_like(inputs[0]) if inputs else self._input()
        x = nodes
        for _, layer in self._steps:
            x = layer(x)
        return Model(nodes, x, name=self.name)

    def summary(self, *inputs: Any, expand_nested: bool = False) -> None:
        """Shows a table of the layers, in a notebook as HTML; its last column shows what happens to the mask.

        Args:
            *inputs: an example, unless the first layer is a `jm.Input`.
            expand_nested: lists the calls inside nested models as well.
        """
        self.graph(*inputs).summary(expand_nested=expand_nested)

    def _input(self) -> Node:
        if not isinstance(self.layers[0], Node):
            raise ValueError(
                "The shapes of this `Sequential` are not known yet: pass an example, `init(key, x)` or `summary(x)`, "
                "or begin the layers with a `jm.Input`."
            )
        return self.layers[0]

    def __repr__(self) -> str:
        return f"Sequential({self.name or 'sequential'}: {', '.join(name for name, _ in self._steps)})"
