"""The variables of Flax' modules as arrays by name: a module's parameters and statistics are side by side."""

import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

_COLLECTIONS = ("params", "batch_stats")


def of_linen(variables: Any) -> dict[str, np.ndarray]:
    """Arrays by name, of variables of a linen module.

    Raises:
        TypeError: these are no variables of a module.
        ValueError: there are other collections.
    """
    if not isinstance(variables, Mapping) or not isinstance(variables.get("params", {}), Mapping):
        raise TypeError(
            f"Variables of linen are a dict, as `module.init` returns; received a {type(variables).__name__}. "
            "`from_nnx` takes modules of nnx."
        )
    if "params" not in variables:
        raise TypeError(
            f"Variables of linen have a collection `params`; received {sorted(variables)[:8]}. If these are the "
            "parameters themselves, pass `{'params': params}`."
        )
    if others := sorted(set(variables) - {*_COLLECTIONS}):
        raise ValueError(
            f"Layers of jmask have parameters and running statistics; there are {others} as well. Leave them out: "
            "`{name: variables[name] for name in variables if name in ('params', 'batch_stats')}`."
        )
    return {name.partition("/")[2]: x for name, x in _by_name(variables).items()}


def in_linen(variables: Any, arrays: Mapping[str, Any]) -> Any:
    """Variables with the arrays of these names, in nested dicts."""
    return _with(variables, {name: arrays[name.partition("/")[2]] for name in _by_name(variables)})


def of_nnx(module: Any) -> dict[str, np.ndarray]:
    """Arrays by name, of an nnx module, or of its state.

    Raises:
        TypeError: it is neither.
    """
    state = _state(module)
    return _by_name(sys.modules["flax.nnx"].to_pure_dict(state))


def in_nnx(module: Any, arrays: Mapping[str, Any]) -> Any:
    """The state of a module with the arrays of these names."""
    nnx, state = sys.modules["flax.nnx"], _state(module)
    nnx.replace_by_pure_dict(state, _with(nnx.to_pure_dict(state), arrays))
    return state


def is_nnx_module(value: Any) -> bool:
    """Whether it is a module of nnx; whoever has one has imported its package."""
    nnx = sys.modules.get("flax.nnx")
    return nnx is not None and isinstance(value, nnx.Module)


def _state(module: Any) -> Any:
    nnx = sys.modules.get("flax.nnx")
    if nnx is not None and isinstance(module, (nnx.Module, nnx.State)):
        kinds = nnx.Any(nnx.Param, nnx.BatchStat)
        return nnx.state(module, kinds) if isinstance(module, nnx.Module) else nnx.filter_state(module, kinds)
    raise TypeError(f"nnx has modules and states; received a {type(module).__name__}. `from_linen` takes variables.")


def _by_name(tree: Any) -> dict[str, Any]:
    found = {_name(path): _unboxed(leaf) for path, leaf in jax.tree.leaves_with_path(tree, is_leaf=_is_boxed)}
    return {name: np.asarray(x) for name, x in found.items()}


def _with(tree: Any, arrays: Mapping[str, Any]) -> Any:
    def of(path: Any, leaf: Any) -> Any:
        x = jax.numpy.asarray(arrays[_name(path)])
        return leaf.replace_boxed(x) if _is_boxed(leaf) else x

    return jax.tree.map_with_path(of, tree, is_leaf=_is_boxed)


def _name(path: Any) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _is_boxed(leaf: Any) -> bool:
    """Whether it is an array with names of axes, as `linen.with_partitioning` makes them."""
    return hasattr(leaf, "replace_boxed")


def _unboxed(leaf: Any) -> Any:
    return leaf.unbox() if _is_boxed(leaf) else leaf
