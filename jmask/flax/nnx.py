"""A model as a module of `flax.nnx`."""

from typing import Any

from ..core.lazy import from_extra
from ..protocol.layer import Layer

with from_extra("flax"):
    from flax import nnx


class NnxModel(nnx.Module):
    """Runs a model with the variables that it holds; `to_nnx` makes one.

    Attributes:
        model: the layer or model of jmask.
        params: its parameters.
        statistics: its running statistics.
        deterministic: whether it runs as at inference; `train()` and `eval()` set it.
    """

    def __init__(self, model: Layer, *inputs: Any, rngs: nnx.Rngs) -> None:
        self.model = model
        self.params = _nested(_init(model, rngs.params(), inputs), nnx.Param)
        self.statistics = _nested(model.init_state(*inputs) or {}, nnx.BatchStat)
        self.deterministic = False
        self.rngs = rngs.fork()

    def __call__(self, *inputs: Any) -> Any:
        """The outputs of the model; in training its statistics change."""
        params, statistics = (nnx.to_pure_dict(nnx.state(part)) for part in (self.params, self.statistics))
        if self.deterministic:
            return self.model.apply_with_state(params, statistics, *inputs)[0]
        key = self.rngs.dropout() if "dropout" in self.rngs or "default" in self.rngs else None
        outputs, changed = self.model.apply_with_state(params, statistics, *inputs, training=True, key=key)
        if statistics:
            state = nnx.state(self.statistics)
            nnx.replace_by_pure_dict(state, changed)
            nnx.update(self.statistics, state)
        return outputs


def _init(model: Layer, key: Any, inputs: tuple[Any, ...]) -> Any:
    try:
        return model.init(key, *inputs)
    except (TypeError, ValueError) as error:
        if inputs:
            raise
        raise TypeError(
            f"`to_nnx`: {type(model).__name__} has no `jm.Input`, so it makes its parameters from an example: "
            f"`jm.flax.to_nnx(model, x, rngs=rngs)`. ({error})"
        ) from error


class Branch(nnx.Module):
    """The variables of a layer, and those of layers in it, by name: `branch["kernel"]`."""

    def __init__(self, parts: dict[str, Any]) -> None:
        for name, part in parts.items():
            setattr(self, name, part)

    def __getitem__(self, name: str) -> Any:
        """What has this name."""
        return getattr(self, name)


def _nested(tree: Any, kind: Any) -> Any:
    """Nested dicts as branches, with each array in a variable."""
    if isinstance(tree, dict):
        return Branch({name: _nested(part, kind) for name, part in tree.items()})
    return kind(tree)
