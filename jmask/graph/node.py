"""Symbolic nodes: the values of a graph before there are any, and the masks that run beside them."""

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.masked import Masked, is_masked
from ..protocol.arguments import is_array
from ..protocol.layer import Layer
from .dimensions import is_name, is_symbolic, shape_text, symbol
from .operators import NodeOperators

_serial = itertools.count()


@dataclasses.dataclass(frozen=True, eq=False)
class MaskEdge:
    """A mask on its way through a graph; layers that pass a mask on hand over the same edge.

    Attributes:
        spec: shape and dtype of the mask.
    """

    spec: jax.ShapeDtypeStruct


@dataclasses.dataclass(frozen=True, eq=False)
class Call:
    """One call of a layer on nodes.

    Attributes:
        layer: the layer.
        inputs: its positional inputs, nests of nodes and static values.
        named: its inputs by name, `mask` among them.
        outputs: a nest of nodes; filled when the nodes have been made.
        way: what happened to the mask, of `made`, `passed`, `used`, `merged`, `changed`, `ended`, `dropped`.
        params: shapes of the layer's parameters.
        statistics: shapes of its running statistics.
        serial: calls in the order of their making.
    """

    layer: Layer
    inputs: tuple[Any, ...]
    named: dict[str, Any]
    way: tuple[str, ...]
    params: Any
    statistics: Any
    outputs: list[Any] = dataclasses.field(default_factory=list)
    serial: int = dataclasses.field(default_factory=lambda: next(_serial))

    @property
    def sources(self) -> list["Node"]:
        """The nodes that the call reads."""
        return nodes_in((self.inputs, self.named))


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Node(NodeOperators):
    """A value of a graph that has a shape but no numbers yet; made by `jm.Input` and by calling layers on nodes.

    Operators and indexing make nodes too, with the same meaning as for `Masked`.

    Attributes:
        spec: shape and dtype of the values; unknown sizes are symbols such as `batch` and `time`.
        edge: the mask that belongs to the values, or None.
        call: the call that made the node, or None for an input.
        name: the name of an input.
        index: the position among the outputs of the call.
    """

    spec: jax.ShapeDtypeStruct
    edge: MaskEdge | None = None
    call: Call | None = None
    name: str | None = None
    index: int = 0
    serial: int = dataclasses.field(default_factory=lambda: next(_serial))

    @property
    def shape(self) -> tuple[Any, ...]:
        """Shape of the values."""
        return self.spec.shape

    @property
    def dtype(self) -> Any:
        """Dtype of the values."""
        return self.spec.dtype

    @property
    def ndim(self) -> int:
        """Rank of the values."""
        return len(self.spec.shape)

    @property
    def mask(self) -> "Node | None":
        """The mask as a node, or None."""
        from .operators import Operator

        return None if self.edge is None else Operator("mask")(self)

    @property
    def abstract(self) -> Any:
        """A `Masked` of shapes, or a shape, in the place of a value."""
        return self.spec if self.edge is None else Masked(self.spec, self.edge.spec)

    @property
    def label(self) -> str:
        """The name of an input, or of the layer that made the node."""
        if self.call is None:
            return self.name or "input"
        return self.call.layer.name or self.call.layer.default_name

    def __jmask_call__(self, layer: Layer, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
        """Called by `layer(node)`: a call in the graph."""
        from .inference import call_layer

        return call_layer(layer, inputs, named)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"{self!r} has no numbers yet, so `jax.numpy` cannot compute with it. Wrap the function in a layer, "
            "`jm.layers.Lambda(function)(node)`, or use operators, indexing and layers."
        )

    def encode_config(self, writer: Any) -> dict[str, Any]:
        """The input for `to_config`."""
        from .config import describe_input

        return writer.fields(describe_input(self))

    def __reduce__(self) -> Any:
        """Copies and pickles of an input are other inputs."""
        from .config import InputConfig, describe_input

        return InputConfig.node, (describe_input(self),)

    def __bool__(self) -> bool:
        raise TypeError(f"{self!r} has no truth value: there are no numbers yet.")

    def __len__(self) -> int:
        raise TypeError(f"{self!r} has no length that is known yet; its shape is {shape_text(self.shape)}.")

    def __iter__(self) -> Any:
        raise TypeError(f"{self!r} is one value, not several; a layer with one output was taken for one with more.")

    def __repr__(self) -> str:
        mask = "" if self.edge is None else f", mask={shape_text(self.edge.spec.shape)}"
        return f"Node({self.label}: {self.dtype} {shape_text(self.shape)}{mask})"


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
        shape: the sizes behind the batch axis. None is an unknown size, called `time` (`time_1` and so on if there are
            several); a string names an unknown size, and inputs must agree in sizes of one name.
        dtype: dtype of the values.
        batch_size: the size of the batch axis if it is fixed.
        masked: whether a mask is expected with the values, over the batch axis, the axis after it, and the unknown
            axes after that. A model takes `Masked` and arrays either way; this tells `summary` and `draw` about the
            mask.
        name: the input's name in messages and pictures.

    Returns:
        A node.

    Raises:
        TypeError: a size that is not an int, a string or None; a shape that is not a tuple.
        ValueError: a string that is not a word.

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
    """An input in the shape of an example.

    The axes under the mask of a `Masked` are unknown; of an array the first two (the first alone, `batch`, of floats
    of rank 2, whose second axis is taken for features).

    Args:
        x: an array, a `Masked`, `jax.ShapeDtypeStruct`, or a node, which comes back as it is.
        name: the input's name.

    Returns:
        A node.

    Raises:
        TypeError: an example that is no array.
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
    """Inputs in the shape of a nest of examples."""
    return jax.tree.map(input_like, tree, is_leaf=is_masked)


def nodes_in(tree: Any) -> list[Node]:
    """The nodes in a nest, in order."""
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, Node)]
