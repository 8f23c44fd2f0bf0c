"""Matching the inputs of a call to the input nodes of a graph."""

from typing import Any

import jax
import jax.numpy as jnp

from ..core.masked import Masked, is_masked, values_of
from ..protocol import path
from ..protocol.arguments import is_array
from ..transform.sizes import is_symbolic
from .dimensions import is_named, shape_text
from .node import Node, nodes_in


def input_names_of(inputs: Any) -> dict[int, str]:
    """A name for every input node, by its id: its own, its key in a dict, or `input`; numbered if it is taken."""
    names: dict[int, str] = {}
    for keys, node in jax.tree_util.tree_leaves_with_path(inputs):
        words = [str(key.key) for key in keys if isinstance(key, jax.tree_util.DictKey)]
        name = node.label if node.name or node.call else "_".join(words) or node.label
        taken = sum(known == name or known.startswith(f"{name}_") for known in names.values())
        names[id(node)] = f"{name}_{taken}" if taken else name
    return names


def restructure(nodes: Any, inputs: tuple[Any, ...]) -> list[Any]:
    """The inputs of a call in the order of the nodes.

    Args:
        nodes: a node, or a nest of nodes.
        inputs: positional inputs: one in the structure of `nodes`, or the items of a list or tuple. Lists and tuples
            are interchangeable.

    Returns:
        One input for each node: an array or a `Masked`, as far as the caller knows what an input is.

    Raises:
        ValueError: the structures differ.
    """
    structure = jax.tree.structure(nodes)
    given = inputs[0] if len(inputs) == 1 else inputs
    if isinstance(nodes, (list, tuple)):
        if len(nodes) == 1 and not isinstance(given, (list, tuple)):
            given = [given]
        if isinstance(given, (list, tuple)) and len(given) == len(nodes):
            given = getattr(nodes, "_make", type(nodes))(given)
    try:
        return structure.flatten_up_to(given)
    except ValueError:
        received = jax.tree.structure(given, is_leaf=is_masked)
        raise ValueError(
            f"{_prefix()}the model takes inputs in the structure {structure}; received {received}."
        ) from None


def match(nodes: Any, inputs: tuple[Any, ...]) -> dict[int, Any]:
    """The inputs of a call by the ids of their nodes.

    Args:
        nodes: a node, or a nest of nodes.
        inputs: as in `restructure`.

    Returns:
        An array or a `Masked` for each node.

    Raises:
        TypeError: an input is not an array.
        ValueError: an input has another structure, rank, kind or size, or disagrees with another about a named size.
    """
    values, names = restructure(nodes, inputs), input_names_of(nodes)
    sizes: dict[str, tuple[Any, str]] = {}
    for node, value in zip(nodes_in(nodes), values, strict=True):
        _check(node, names[id(node)], value)
        for size, expected in zip(value.shape, node.shape, strict=True):
            known, where = sizes.setdefault(str(expected), (size, names[id(node)]))
            if is_named(expected) and known != size:
                raise ValueError(
                    f"{_prefix()}the inputs `{where}` and `{names[id(node)]}` have the size `{expected}` in common; "
                    f"received {known} and {size}."
                )
    return {id(node): value for node, value in zip(nodes_in(nodes), values, strict=True)}


def _check(node: Node, name: str, value: Any) -> None:
    """Raises unless the input is an array with the rank, kind and sizes of its node."""
    expected = f"{_prefix()}the input `{name}` takes {node.dtype} {shape_text(node.shape)}"
    if not isinstance(value, Masked) and not is_array(value):
        remedy = "Convert it with `jnp.asarray`; lists of different lengths with `x = jm.pad_sequences(rows)`."
        raise TypeError(f"{expected}; received a {type(value).__name__}. {remedy}")
    fits = len(value.shape) == node.ndim and _kind(values_of(value).dtype) == _kind(node.dtype)
    for size, known in zip(value.shape, node.shape, strict=False):
        fits = fits and (is_symbolic(known) or is_symbolic(size) or size == known)
    if not fits:
        raise ValueError(f"{expected}; received {value.dtype} {shape_text(value.shape)}.")


def _kind(dtype: Any) -> Any:
    return next((kind for kind in (jnp.bool_, jnp.integer, jnp.inexact) if jnp.issubdtype(dtype, kind)), dtype)


def _prefix() -> str:
    return f"{path.current()}: " if path.current() else ""
