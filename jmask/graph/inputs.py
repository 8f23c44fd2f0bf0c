"""Inputs of a graph, from shapes or from examples."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.masked import Masked, is_masked
from ..protocol.arguments import is_array
from ..transform.sizes import is_symbolic
from .dimensions import is_name, symbol
from .node import MaskEdge, Node


def Input(
    shape: Sequence[Any],
    dtype: Any = "float32",
    *,
    batch_size: int | None = None,
    masked: bool = False,
    name: str | None = None,
) -> Node:
    """An input of a model.

    Args:
        shape: the sizes after the batch axis. None is an unknown size, called `time` (`time_1` and so on if there are
            several); a string names an unknown size, and sizes with the same name must be equal in all inputs.
        dtype: dtype of the values.
        batch_size: the size of the batch axis if it is fixed.
        masked: whether a mask is expected with the values, over the batch axis, the axis after it, and the unknown
            axes after that. A model takes `Masked` and arrays either way; this tells `summary` and `draw` about the
            mask.
        name: the input's name in messages and pictures.

    Returns:
        A node.

    Raises:
        TypeError: a size is not an int, a string or None, or the shape is not a tuple.
        ValueError: a string is not a word.

    >>> import jmask as jm
    >>> jm.Input((None, 8))
    Node(input: float32 (batch, time, 8))
    """
    if not isinstance(shape, (tuple, list)):
        raise TypeError(f"`shape` of an `Input` is a tuple such as `(None, 8)`; received {shape!r}.")
    unknown = itertools.count()
    sizes: list[Any] = [symbol("batch") if batch_size is None else batch_size]
    for size in shape:
        if size is None:
            i = next(unknown)
            size = symbol(f"time_{i}" if i else "time")
        elif isinstance(size, str):
            if not is_name(size):
                raise ValueError(f"`shape` of an `Input`: {size!r} is not a name for a size; use a word, `'words'`.")
            size = symbol(size)
        elif isinstance(size, (int, np.integer)):
            size = int(size)
        elif not is_symbolic(size):
            raise TypeError(f"`shape` of an `Input` takes ints, names and None; received {size!r} in {shape!r}.")
        sizes.append(size)
    edge = None
    if masked:
        rank = next((i for i, size in enumerate(sizes) if i > 1 and not is_symbolic(size)), len(sizes))
        edge = MaskEdge(jax.ShapeDtypeStruct(tuple(sizes[:rank]), jnp.bool_))
    return Node(jax.ShapeDtypeStruct(tuple(sizes), jnp.dtype(dtype)), edge, name=name)


def input_like(x: Any, name: str | None = None) -> Node:
    """An input with the shape of an example.

    The sizes of the axes under the mask of a `Masked` are unknown; in an array, those of the first two axes (only the
    first, `batch`, for floats of rank 2, whose second axis is taken to be features).

    Args:
        x: an array, a `Masked`, `jax.ShapeDtypeStruct`, or a node, which is returned unchanged.
        name: the input's name.

    Returns:
        A node.

    Raises:
        TypeError: the example is not an array.
    """
    if isinstance(x, Node):
        return x
    has_mask = isinstance(x, Masked)
    if not has_mask and not is_array(x):
        raise TypeError(f"An example of an input is an array or a `Masked`; received {x!r}.")
    is_features = x.ndim == 2 and jnp.issubdtype(x.dtype, jnp.inexact)
    unknown = x.mask.ndim if has_mask else 1 if is_features else 2
    shape = [None if axis < unknown else size for axis, size in enumerate(x.shape)][1:]
    node = Input(tuple(shape), x.dtype, masked=has_mask, name=name)
    if node.edge is not None and tuple(node.edge.spec.shape) != tuple(node.shape[: x.mask.ndim]):
        edge = MaskEdge(jax.ShapeDtypeStruct(node.shape[: x.mask.ndim], jnp.bool_))
        node = dataclasses.replace(node, edge=edge)
    return node


def inputs_like(tree: Any) -> Any:
    """Inputs with the shapes of a nest of examples."""
    return jax.tree.map(input_like, tree, is_leaf=is_masked)
