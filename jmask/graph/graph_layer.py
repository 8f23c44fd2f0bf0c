"""The common base of `Model` and `Sequential`: layers that can be seen as a graph."""

import functools
from typing import TYPE_CHECKING, Any

from ..protocol.layer import Layer

# What models of other libraries do, and what does it here, where parameters are an argument.
_ELSEWHERE = {
    "compile": "a loss and an optimizer of optax go into `jmask.train.step(loss, optimizer)`",
    "evaluate": "`jm.metrics` of `model.apply(params, x)` add up over batches",
    "fit": "`jmask.train.fit(loss, optimizer, params, batches, ...)` trains; `jmask.train.step` is one step",
    "load_weights": "`model, params, state = jm.load(directory)`",
    "predict": "`jax.jit(model.apply)(params, x)`",
    "save": "`jm.save(directory, model, params)`",
    "save_weights": "`jm.save(directory, model, params)`",
    "state_dict": "`jm.to_torch(model, params)`; parameters are the dict that `model.init` returns",
    "weights": "parameters are the dict that `model.init` returns",
}


class GraphLayer(Layer):
    """A layer that consists of calls of other layers, and can show them as nodes."""

    raw_inputs = True
    supports_packing = True  # each layer answers for itself

    if not TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any:
            """Says where to find what models of other libraries have."""
            here = f" Here {_ELSEWHERE[name]}." if name in _ELSEWHERE else ""
            text = f"{type(self).__name__!r} object has no attribute {name!r}.{here}"
            raise AttributeError(text, name=name, obj=self)

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
