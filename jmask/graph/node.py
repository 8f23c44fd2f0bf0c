"""Symbolic nodes: values of a graph that are not computed yet, and the masks that go with them."""

import dataclasses
import itertools
from typing import Any

import jax

from ..core.masked import Masked
from ..protocol.config import register_serializable
from ..protocol.layer import Layer
from .dimensions import shape_text, symbol
from .operators import NodeOperators, Operator

_serial = itertools.count()


@dataclasses.dataclass(frozen=True, eq=False)
class MaskEdge:
    """A mask in a graph; layers that pass a mask on pass on the same edge.

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
        mask_flow: what happened to the mask, out of `made`, `passed`, `used`, `merged`, `changed`, `ended`, `dropped`.
        params: shapes of the layer's parameters.
        statistics: shapes of its running statistics.
        serial: a number that orders calls by creation.
    """

    layer: Layer
    inputs: tuple[Any, ...]
    named: dict[str, Any]
    mask_flow: tuple[str, ...]
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

    Operators and indexing also make nodes, with the same meaning as for `Masked`.

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
        return None if self.edge is None else Operator("mask")(self)

    @property
    def abstract(self) -> Any:
        """The abstract value: a `Masked` of shapes, or a shape."""
        return self.spec if self.edge is None else Masked(self.spec, self.edge.spec)

    @property
    def label(self) -> str:
        """The name of an input, or of the layer that made the node."""
        if self.call is None:
            return self.name or "input"
        return self.call.layer.name or self.call.layer.default_name

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError(
            f"{self!r} has no numbers yet, so `jax.numpy` cannot compute with it. Wrap the function in a layer, "
            "`jm.layers.Lambda(function)(node)`, or use operators, indexing and layers."
        )

    def encode_config(self, writer: Any) -> dict[str, Any]:
        """The input for `to_config`."""
        return writer.fields(describe_input(self))

    def __reduce__(self) -> Any:
        """Copies and pickles of an input are new inputs."""
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


def nodes_in(tree: Any) -> list[Node]:
    """The nodes in a nest, in order."""
    return [leaf for leaf in jax.tree.leaves(tree) if isinstance(leaf, Node)]


@dataclasses.dataclass(frozen=True)
class InputConfig:
    """An input in a config: its sizes as ints and expressions, batch axis included."""

    shape: list[Any]
    dtype: str
    mask_ndim: int
    name: str | None

    def node(self) -> Node:
        """A new input."""
        shape = tuple(symbol(size) if isinstance(size, str) else size for size in self.shape)
        edge = MaskEdge(jax.ShapeDtypeStruct(shape[: self.mask_ndim], bool)) if self.mask_ndim else None
        return Node(jax.ShapeDtypeStruct(shape, jax.numpy.dtype(self.dtype)), edge, name=self.name)

    @classmethod
    def decode_config(cls, reader: Any, data: Any) -> Node:
        """The input from `from_config`."""
        return cls(**reader.decode_fields(data)).node()


register_serializable(InputConfig, name="Input")


def describe_input(node: Node) -> InputConfig:
    """The config of an input.

    Raises:
        ValueError: the node is the output of a call.
    """
    if node.call is not None:
        raise ValueError(f"{node!r} is the output of a layer and cannot be saved or copied alone; save the model.")
    shape = [size if isinstance(size, int) else str(size) for size in node.shape]
    return InputConfig(shape, str(node.dtype), 0 if node.edge is None else len(node.edge.spec.shape), node.name)
