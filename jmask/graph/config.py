"""Graphs as JSON-able data: calls in order, each node as the number of its call and of its output."""

import dataclasses
from typing import Any

import jax

from ..layers.config import register
from .node import Call, Input, MaskEdge, Node, nodes_in


@register
@dataclasses.dataclass(frozen=True)
class NodeReference:
    """A node in a config: output `index` of call `call`, or input `index` where `call` is -1."""

    call: int
    index: int


@register
@dataclasses.dataclass(frozen=True)
class InputConfig:
    """An input in a config: its sizes as ints and names, from the batch axis on."""

    shape: list[Any]
    dtype: str
    mask_ndim: int
    name: str


def encode_model(model: Any, writer: Any) -> dict[str, Any]:
    """The config of a model."""
    inputs = nodes_in(model.inputs)
    references = {id(node): NodeReference(-1, i) for i, node in enumerate(inputs)}
    calls = []
    for i, call in enumerate(model.calls):
        calls.append(_encode_call(call, references))
        for j, node in enumerate(nodes_in(call.outputs)):
            references.setdefault(id(node), NodeReference(i, j))
    config = {
        "name": model.name,
        "sources": [_encode_input(node) for node in inputs],
        "calls": calls,
        "inputs": _refer(model.inputs, references),
        "outputs": _refer(model.outputs, references),
    }
    return {"class": "Model", "config": {name: writer.encode(value) for name, value in config.items()}}


def decode_model(reader: Any, data: dict[str, Any]) -> Any:
    """The model of a config, built anew by calling its layers."""
    from .model import Model

    config = {name: reader.decode(value) for name, value in data["config"].items()}
    nodes = {(-1, i): _decode_input(source) for i, source in enumerate(config["sources"])}

    def resolve(tree: Any) -> Any:
        return jax.tree.map(lambda r: nodes[r.call, r.index] if isinstance(r, NodeReference) else r, tree)

    for i, call in enumerate(config["calls"]):
        made = call["layer"](*resolve(call["inputs"]), **resolve(call["named"]))
        nodes |= {(i, j): node for j, node in enumerate(nodes_in(made))}
    return Model(resolve(config["inputs"]), resolve(config["outputs"]), name=config["name"])


def _encode_call(call: Call, references: dict[int, NodeReference]) -> dict[str, Any]:
    return {
        "layer": call.layer,
        "inputs": _refer(call.inputs, references),
        "named": _refer(call.named, references),
    }


def _encode_input(node: Node) -> InputConfig:
    shape = [size if isinstance(size, int) else str(size) for size in node.shape]
    return InputConfig(shape, str(node.dtype), 0 if node.edge is None else len(node.edge.spec.shape), node.label)


def _decode_input(config: InputConfig) -> Node:
    batch, *rest = config.shape
    node = Input(tuple(rest), config.dtype, batch_size=batch if isinstance(batch, int) else None, name=config.name)
    if not config.mask_ndim:
        return node
    edge = MaskEdge(jax.ShapeDtypeStruct(node.shape[: config.mask_ndim], bool))
    return dataclasses.replace(node, edge=edge)


def _refer(tree: Any, references: dict[int, NodeReference]) -> Any:
    return jax.tree.map(lambda leaf: references[id(leaf)] if isinstance(leaf, Node) else leaf, tree)
