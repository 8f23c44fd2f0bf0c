"""Explains errors of JAX and Python in terms of the layer; runs only after an error."""

import functools
import re
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.errors import MaskDroppedError, muted
from ..core.masked import is_masked
from . import path
from .arguments import Arguments, is_array
from .initialize import LazyParams, ParamsRef, abstract, init_layer

_OF_LAYOUTS = re.compile("ShardingTypeError|sharding|sharded|should be replicated|Resource axis")
_SEEN = "_jmask_explained"
_REMEDY = "Make the parameters by `params = model.init(key, x)`, with inputs like those of the call."


def explain_error(layer: Any, params: Any, arguments: Arguments, error: Exception) -> Exception:
    """The error to raise instead of one that came out of a layer's `call`.

    Args:
        layer: the layer.
        params: its parameters.
        arguments: its inputs.
        error: what was raised.

    Returns:
        If inputs are lists of numbers instead of arrays, explicit axes of a mesh divide more than JAX can follow, or
        the parameters do not fit the layer for such inputs, a `ValueError` or `TypeError` with the path of the layer,
        what is wrong and a remedy; otherwise the error itself.
    """
    if isinstance(error, MaskDroppedError) or isinstance(params, (ParamsRef, LazyParams)) or hasattr(error, _SEEN):
        return error
    setattr(error, _SEEN, True)
    if str(error).startswith((f"{path.current()}:", f"{path.current()}/")):
        return error
    said = f"{type(error).__name__}: {error}".splitlines()[0]
    of_inputs = _wrong_inputs(arguments)
    if of_inputs is not None:
        return _seen(TypeError(f"{path.current()}: {of_inputs} ({said})"))
    if isinstance(params, tuple) and hasattr(layer, "named_layers"):  # a layer of one's own may have a tuple
        return _seen(
            TypeError(
                f"{path.current()}: parameters are a dict; received a {type(params).__name__} of {len(params)}. What "
                "`from_torch`, `from_keras` or `load` returns is taken apart: `params, state = jm.from_torch(...)`, "
                f"`model, params, state = jm.from_keras(...)`. ({said})"
            )
        )
    of_layout = _refused_layout(layer, params, arguments, error)
    if of_layout is not None:
        return _seen(ValueError(f"{path.current()}: {of_layout} ({said})"))
    of_params = _wrong_params(layer, params, arguments)
    if of_params:
        shapes = ", ".join(str(tuple(leaf.shape)) for leaf in _arrays(arguments))
        which = f"`{type(layer).__name__}` with inputs of shape {shapes}"
        return _seen(
            ValueError(
                f"{path.current()}: the parameters are not those of {which}: {'; '.join(of_params)}. {_REMEDY} ({said})"
            )
        )
    return error


def explain_lists(inputs: Any) -> str | None:
    """An explanation of lists of Python numbers or strings given instead of an array; None if there are none."""
    for value in inputs:
        leaves = jax.tree.leaves(value, is_leaf=is_masked)
        if isinstance(value, (list, tuple)) and leaves and all(isinstance(leaf, _OF_PYTHON) for leaf in leaves):
            rows = "`x = jm.pad_sequences(rows)` makes a `Masked` of rows of different lengths"
            return f"inputs are arrays or `Masked`; received a {type(value).__name__} of Python's numbers. {rows}."
    return None


def with_explained_lists(init: Callable[..., Any]) -> Callable[..., Any]:
    """A layer's `init` that says what to do if it fails because of lists instead of arrays, or for want of a key."""

    @functools.wraps(init)
    def explained(self: Any, key: Any, *inputs: Any, **named: Any) -> Any:
        try:
            return init(self, key, *inputs, **named)
        except (AttributeError, TypeError, ValueError) as error:
            reason = None if hasattr(error, _SEEN) else _no_key(key) or explain_lists(inputs)
            if reason is None:
                raise
            raise _seen(TypeError(f"`init` of `{type(self).__name__}`: {reason}")) from error

    return explained


def _no_key(key: Any) -> str | None:
    if isinstance(key, (int, list, np.ndarray)) or is_masked(key):
        return f"a PRNG key comes first, `init(jax.random.key(0), x)`; received a {type(key).__name__}."
    return None


_OF_PYTHON = (bool, int, float, complex, str, bytes, np.generic)


def _wrong_inputs(arguments: Arguments) -> str | None:
    return explain_lists(arguments.bound.arguments.values())


def _refused_layout(layer: Any, params: Any, arguments: Arguments, error: Exception) -> str | None:
    """What explicit axes of a mesh divide, if the error is about that; None if it is about something else."""
    if not _OF_LAYOUTS.search(f"{type(error).__name__}: {error}"):
        return None
    leaves = jax.tree_util.tree_leaves_with_path((params, list(arguments.bound.arguments.values())))
    divided = [(place, jax.typeof(leaf)) for place, leaf in leaves if is_array(leaf) and _is_divided(leaf)]
    if not divided:
        return None
    inputs = list(dict.fromkeys(str(type_) for place, type_ in divided if place[0].idx == 1))
    named = {jax.tree_util.keystr(place[1:], simple=True, separator="/"): t for place, t in divided if not place[0].idx}
    weights = [f"{name} {type_}" for name, type_ in named.items()]
    shown = [f"inputs {', '.join(inputs)}"] * bool(inputs) + [f"parameters {', '.join(weights)}"] * bool(weights)
    return (
        f"explicit axes of a mesh divide more than JAX can follow through `{type(layer).__name__}`; received "
        f"{' and '.join(shown)}. Rows may be divided, inside `jax.set_mesh(mesh)`; gather the rest first, "
        "`jax.tree.map(lambda leaf: jax.sharding.reshard(leaf, PartitionSpec()), params)`, or make the mesh with "
        "automatic axes, on which every layer takes every layout, `jax.make_mesh(sizes, names, "
        "axis_types=(AxisType.Auto,) * len(names))`."
    )


def _is_divided(leaf: Any) -> bool:
    sharding = jax.typeof(leaf).sharding
    return bool(sharding.mesh.explicit_axes) and any(part is not None for part in sharding.spec)


def _wrong_params(layer: Any, params: Any, arguments: Arguments) -> list[str]:
    """Where parameters differ from those that `init` makes for such inputs, in names and shapes."""
    specs = abstract(arguments.bound.args)
    try:
        with muted():
            made = jax.eval_shape(lambda key: init_layer(layer, key, specs), jax.random.key(0))
    except Exception:  # `init` does not take the inputs either
        return []
    expected, given = _shapes(made), _shapes(params)
    missing = [f"`{name}` {shape} is missing" for name, shape in expected.items() if name not in given]
    unknown = [f"there is no `{name}`" for name in given if name not in expected]
    other = [
        f"`{name}` has shape {given[name]}, not {shape}"
        for name, shape in expected.items()
        if name in given and given[name] != shape
    ]
    return missing + unknown + other if missing or other else []


def _shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    leaves = jax.tree_util.tree_leaves_with_path(tree)
    return {"/".join(str(getattr(part, "key", part)) for part in place): jnp.shape(leaf) for place, leaf in leaves}


def _arrays(arguments: Arguments) -> list[Any]:
    return [leaf for leaf in jax.tree.leaves(arguments.bound.arguments, is_leaf=is_masked) if is_array(leaf)]


def _seen(error: Exception) -> Exception:
    setattr(error, _SEEN, True)
    return error
