"""`flax.nnx` modules."""

import sys
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend.core import Literal

from ..protocol import path
from .function import Function, accepts, options, typed
from .params import check_like


class NnxModule(Function):
    """Runs a `flax.nnx` module, which brings its own parameters.

    Each run uses a copy: in the layer's training mode, with the layer's parameters, and with random streams started
    from the key of the sequence. Changes to the copy are lost, so a module that changes its variables raises.
    """

    @property
    def draws(self) -> bool:
        """Whether it has random streams, or takes some."""
        return bool(_streams(self.function)) or accepts(self.function, "rngs") or super().draws

    def init(self, key: Any, rows: tuple[Any, ...]) -> Any:
        """The parameters of the module."""
        nnx = sys.modules["flax.nnx"]
        return nnx.to_pure_dict(nnx.state(self.function, nnx.Param))

    def run(self, params: Any, rows: tuple[Any, ...], *, training: bool, key: Any) -> Any:
        """The module's output for one sequence."""
        if params:
            check_like(self.init(None, rows), params)
        if key is None and _streams(self.function) and self._uses_key(params, rows, training):
            raise ValueError(
                f"{path.current()}: `{type(self.function).__name__}` draws at random; pass a key, from which each "
                "sequence gets its own: `model.apply(params, x, training=True, key=key)`."
            )
        return self._run(params, rows, training, key)

    def _run(self, params: Any, rows: tuple[Any, ...], training: bool, key: Any) -> Any:
        nnx = sys.modules["flax.nnx"]
        module = nnx.clone(self.function)
        (nnx.Module.train if training else nnx.Module.eval)(module)
        if params:
            state = nnx.state(module, nnx.Param)
            nnx.replace_by_pure_dict(state, params)
            nnx.update(module, state)
        named = options(module, len(rows), training, key)
        if key is not None:
            for i, stream in enumerate(_streams(module)):
                _reseed(stream, jax.random.fold_in(typed(key), i))
            if accepts(module, "rngs"):
                named["rngs"] = nnx.Rngs(key)
        before = _variables(module)
        outputs = module(*rows, **named)
        self._refuse_changes(before, _variables(module), training)
        return outputs

    def _uses_key(self, params: Any, rows: tuple[Any, ...], training: bool) -> bool:
        """Whether an output depends on the key; merely advancing a stream does not count."""

        def run(key: Any) -> Any:
            return self._run(params, rows, training, key)

        jaxpr = jax.make_jaxpr(run)(jax.random.key(0)).jaxpr
        drawn = set(jaxpr.invars)
        for equation in jaxpr.eqns:
            if any(not isinstance(atom, Literal) and atom in drawn for atom in equation.invars):
                drawn.update(equation.outvars)
        return any(not isinstance(atom, Literal) and atom in drawn for atom in jaxpr.outvars)

    def _refuse_changes(self, before: dict[str, Any], after: dict[str, Any], training: bool) -> None:
        changed = [name for name, value in after.items() if value is not before.get(name)]
        if changed:
            mode = "in training" if training else "at inference"
            raise ValueError(
                f"{path.current()}: `{type(self.function).__name__}` changes its variables {changed} {mode}, where it "
                "sees one sequence, and a pure layer cannot keep them. Statistics over a batch belong in "
                "`jm.layers.BatchNormalization` beside this layer, which counts the real steps of the batch; a norm "
                "whose statistics stay fixed is called with `use_running_average=True`."
            )


def _streams(module: Any) -> list[Any]:
    """The random streams of a module, each once, in order."""
    nnx = sys.modules["flax.nnx"]
    return [part for _, part in nnx.iter_graph(module) if isinstance(part, nnx.RngStream)]


def _reseed(stream: Any, key: Any) -> None:
    nnx = sys.modules["flax.nnx"]
    state = nnx.state(stream, nnx.RngState)
    old = nnx.to_pure_dict(state)
    shape = jnp.shape(old["key"])
    new = {"key": jax.random.split(key, shape) if shape else key, "count": jnp.zeros_like(old["count"])}
    nnx.replace_by_pure_dict(state, new)
    nnx.update(stream, state)


def _variables(module: Any) -> dict[str, Any]:
    """The variables of a module by path, without random streams and sown intermediates."""
    nnx = sys.modules["flax.nnx"]
    kept = nnx.state(module, nnx.Not(nnx.Any(nnx.RngState, nnx.Intermediate)))
    leaves = jax.tree_util.tree_leaves_with_path(nnx.to_pure_dict(kept))
    return {".".join(str(getattr(part, "key", part)) for part in place): leaf for place, leaf in leaves}
