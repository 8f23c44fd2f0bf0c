"""Graphs as data: calls in order, with nodes given by the numbers of their call and output."""

import dataclasses
from typing import Any

import jax

from ..protocol.config import register_serializable
from ..protocol.layer import Layer
from .node import Call, Node, nodes_in


@register_serializable
@dataclasses.dataclass(frozen=True)
class NodeReference:
    """A node in a config: output `index` of call `call`, or input `index` where `call` is -1."""

    call: int
    index: int


def describe(model: Any) -> dict[str, Any]:
    """A model as a dict of its inputs, layers and references to nodes; `build` rebuilds it."""
    inputs = nodes_in(model.inputs)
    references = {id(node): NodeReference(-1, i) for i, node in enumerate(inputs)}
    calls = []
    for i, call in enumerate(model.calls):
        calls.append(_describe_call(call, references))
        for j, node in enumerate(nodes_in(call.outputs)):
            references.setdefault(id(node), NodeReference(i, j))
    return {
        "name": model.name,
        "sources": [_as_input(node) for node in inputs],
        "calls": calls,
        "inputs": _refer(model.inputs, references),
        "outputs": _refer(model.outputs, references),
    }


def build(cls: Any, description: dict[str, Any]) -> Any:
    """The model of class `cls` that `describe` described, built by calling its layers on new nodes."""
    check_description(description)
    nodes = {(-1, i): node for i, node in enumerate(description["sources"])}

    def find(reference: Any) -> Any:
        if not isinstance(reference, NodeReference):
            return reference
        place = (reference.call, reference.index)
        if place not in nodes:
            raise ValueError(f"output {place[1]!r} of call {place[0]!r} is read, but has not been made before")
        return nodes[place]

    def resolve(tree: Any) -> Any:
        return jax.tree.map(find, tree)

    for i, call in enumerate(description["calls"]):
        made = call["layer"](*resolve(call["inputs"]), **resolve(call["named"]))
        nodes |= {(i, j): node for j, node in enumerate(nodes_in(made))}
    return cls(resolve(description["inputs"]), resolve(description["outputs"]), name=description["name"])


def check_description(description: dict[str, Any]) -> None:
    """Raises unless this describes a model: checks its entries, its inputs, and the layers that it calls.

    Raises:
        ValueError: the description is wrong; the error says how.
    """
    if set(description) != {"name", "sources", "calls", "inputs", "outputs"}:
        raise ValueError(f"a model has a name, sources, calls, inputs and outputs; received {sorted(description)}")
    sources, calls = description["sources"], description["calls"]
    if not isinstance(sources, list) or not all(isinstance(node, Node) for node in sources):
        raise ValueError("the sources of a model are a list of inputs")
    for call in calls if isinstance(calls, list) else [calls]:
        is_call = isinstance(call, dict) and set(call) == {"layer", "inputs", "named"}
        if not is_call or not isinstance(call["layer"], Layer) or not isinstance(call["named"], dict):
            raise ValueError("the calls of a model are a list of dicts of a layer, its inputs, and inputs by name")


def _as_input(node: Node) -> Node:
    """An input that replaces a node at which the graph is cut."""
    return node if node.call is None else dataclasses.replace(node, call=None, name=node.label)


def _describe_call(call: Call, references: dict[int, NodeReference]) -> dict[str, Any]:
    return {
        "layer": call.layer,
        "inputs": _refer(call.inputs, references),
        "named": _refer(call.named, references),
    }


def _refer(tree: Any, references: dict[int, NodeReference]) -> Any:
    return jax.tree.map(lambda leaf: references[id(leaf)] if isinstance(leaf, Node) else leaf, tree)
