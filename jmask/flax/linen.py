"""A model as a module of `flax.linen`."""

from typing import Any

from ..core.lazy import from_extra
from ..protocol.layer import Layer

with from_extra("flax"):
    from flax import linen as nn


class LinenModel(nn.Module):
    """Runs a model with the variables that it is applied with; `to_linen` makes one.

    Attributes:
        model: the layer or model of jmask.
    """

    model: Layer

    @nn.compact
    def __call__(self, *inputs: Any, training: bool = False) -> Any:
        """The outputs of the model; in training its statistics change, where they are mutable."""
        if self.is_initializing():
            for name, value in self.model.init(self.make_rng("params"), *inputs).items():
                self.param(name, lambda _, value=value: value)
            for name, value in (self.model.init_state(*inputs) or {}).items():
                self.variable("batch_stats", name, lambda value=value: value)
        params, statistics = (_plain(self.variables.get(kind, {})) for kind in ("params", "batch_stats"))
        key = self.make_rng("dropout") if training and self.has_rng("dropout") else None
        outputs, changed = self.model.apply_with_state(params, statistics, *inputs, training=training, key=key)
        if training and self.is_mutable_collection("batch_stats") and not self.is_initializing():
            for name, value in (changed or {}).items():
                self.put_variable("batch_stats", name, value)
        return outputs


def _plain(tree: Any) -> Any:
    """Nested dicts; Flax has frozen ones too."""
    return {name: _plain(part) for name, part in tree.items()} if hasattr(tree, "items") else tree
