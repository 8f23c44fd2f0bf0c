"""Equinox modules."""

import sys
from typing import Any

import jax
import jax.numpy as jnp

from ..protocol import path
from .function import Function, options
from .params import check_like


class EquinoxModule(Function):
    """Runs an Equinox module, which brings its own parameters: its floating-point arrays."""

    def init(self, key: Any, rows: tuple[Any, ...]) -> Any:
        """The parameters of the module, nested dicts by the names of its fields."""
        self._refuse_state()
        params: dict[str, Any] = {}
        for names, leaf in self._leaves():
            if _is_parameter(leaf):
                inside = params
                for name in names[:-1]:
                    inside = inside.setdefault(name, {})
                inside[names[-1]] = leaf
        return params

    def run(self, params: Any, rows: tuple[Any, ...], *, training: bool, key: Any) -> Any:
        """The module's output for one sequence; its dropout is active if the layer is in training."""
        module = self.function
        if params:
            check_like(self.init(None, rows), params)
            leaves = [_at(params, names) if _is_parameter(leaf) else leaf for names, leaf in self._leaves()]
            module = jax.tree.structure(module).unflatten(leaves)
        module = sys.modules["equinox"].nn.inference_mode(module, value=not training)
        return module(*rows, **options(module, len(rows), training, key))

    def _leaves(self) -> list[tuple[list[str], Any]]:
        """The leaves of the module by the names on the path to them."""
        found = jax.tree_util.tree_leaves_with_path(self.function)
        return [([_name(part) for part in place], leaf) for place, leaf in found]

    def _refuse_state(self) -> None:
        index = sys.modules["equinox"].nn.StateIndex
        leaves = jax.tree.leaves(self.function, is_leaf=lambda leaf: isinstance(leaf, index))
        if any(isinstance(leaf, index) for leaf in leaves):
            raise ValueError(
                f"{path.current()}: `{type(self.function).__name__}` keeps a state, such as the statistics of "
                "`eqx.nn.BatchNorm`, and a function of one sequence has none. Use `jm.layers.BatchNormalization` "
                "beside this layer, which counts the real steps of the batch."
            )


def _is_parameter(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and hasattr(leaf, "shape") and jnp.issubdtype(leaf.dtype, jnp.inexact)


def _at(params: Any, names: list[str]) -> Any:
    for name in names:
        params = params[name]
    return params


def _name(part: Any) -> str:
    return str(next(getattr(part, kind) for kind in ("name", "key", "idx") if hasattr(part, kind)))
