"""A model as boxes and links: what a picture of it shows, before the layout."""

import dataclasses
from typing import Any

import jax

from ..graph.dimensions import shape_text
from ..graph.inference import masks_by_name, overridden
from ..graph.nesting import inside
from ..graph.node import Call, Node, nodes_in


@dataclasses.dataclass(frozen=True)
class Box:
    """An input, a call of a layer, or an output.

    Attributes:
        role: `"input"`, `"call"` or `"output"`.
        name: the name of the layer, the input or the output.
        kind: the layer's class; for an input, its dtype.
        shapes: shapes of the outputs.
        mask_flow: what happens to the mask.
        is_shared: whether an earlier box is a call of the same layer.
        inside: the diagram of a nested model, if it is to be drawn.
    """

    role: str
    name: str
    kind: str = ""
    shapes: tuple[str, ...] = ()
    mask_flow: tuple[str, ...] = ()
    is_shared: bool = False
    inside: "Diagram | None" = None


@dataclasses.dataclass(frozen=True)
class Link:
    """A value that goes from one box to another, and its mask.

    Attributes:
        source: index of the box that it comes from.
        port: which output of that box it is.
        target: index of the box that it goes to.
        has_value: False for a mask that is passed by itself (`mask=`).
        mask: None without a mask; otherwise `"enters"`, or how it ends before the box: `"dropped"` or `"ended"`.
    """

    source: int
    port: int
    target: int
    has_value: bool = True
    mask: str | None = None


@dataclasses.dataclass(frozen=True)
class Diagram:
    """The boxes of a model, in an order in which it can run, and the links between them."""

    title: str
    boxes: tuple[Box, ...]
    links: tuple[Link, ...]

    @property
    def words(self) -> list[str]:
        """The mask-flow words of all boxes, those of nested models included."""
        words = [word for box in self.boxes for word in box.mask_flow]
        return words + [word for box in self.boxes if box.inside for word in box.inside.words]


def diagram(model: Any, *, expand_nested: bool = False) -> Diagram:
    """The boxes and links of a model.

    Args:
        model: a `jm.Model`.
        expand_nested: whether models inside it get their own diagrams.

    Returns:
        The diagram; inputs come first, outputs last.
    """
    boxes = [_input_box(node, model.input_names[id(node)]) for node in nodes_in(model.inputs)]
    made = {id(node): (i, 0) for i, node in enumerate(nodes_in(model.inputs))}
    links: list[Link] = []
    seen: set[int] = set()
    for call in model.calls:
        links += _links(call, made, len(boxes))
        for port, node in enumerate(nodes_in(call.outputs)):
            made.setdefault(id(node), (len(boxes), port))
        boxes.append(_call_box(model, call, id(call.layer) in seen, expand_nested))
        seen.add(id(call.layer))
    for name, node in zip(_output_names(model.outputs), nodes_in(model.outputs), strict=True):
        links.append(Link(*made[id(node)], len(boxes), mask=None if node.edge is None else "enters"))
        boxes.append(Box("output", name))
    return Diagram(model.name or "model", tuple(boxes), tuple(links))


def _input_box(node: Node, name: str) -> Box:
    flow = () if node.edge is None else ("given",)
    return Box("input", name, str(node.dtype), (shape_text(node.shape),), flow)


def _call_box(model: Any, call: Call, is_shared: bool, expand_nested: bool) -> Box:
    shapes = tuple(shape_text(node.shape) for node in nodes_in(call.outputs))
    inner = inside(call) if expand_nested else None
    return Box(
        "call",
        model.names[id(call.layer)],
        type(call.layer).__name__,
        shapes,
        call.mask_flow,
        is_shared,
        None if inner is None else diagram(inner, expand_nested=True),
    )


def _links(call: Call, made: dict[int, tuple[int, int]], target: int) -> list[Link]:
    """The links into the box of a call."""
    masks = masks_by_name(call.layer, call.named)
    values = {name: value for name, value in call.named.items() if name not in masks}
    unread = overridden(call.layer, call.inputs, call.named)
    links = []
    for node in nodes_in((call.inputs, values)):
        end = _end_of_mask(call, node, unread)
        links.append(Link(*made[id(node)], target, mask=None if node.edge is None else end))
    return links + [Link(*made[id(node)], target, has_value=False, mask="enters") for node in nodes_in(masks)]


def _end_of_mask(call: Call, node: Node, unread: set[Node]) -> str:
    """How the mask of a node arrives at a call, see `Link`."""
    if "dropped" in call.mask_flow:
        return "dropped"
    return "ended" if "ended" in call.mask_flow or node in unread else "enters"


def _output_names(outputs: Any) -> list[str]:
    """`output`, numbered if there are several; in a dict, the keys."""
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(outputs)]
    names = ["_".join(str(jax.tree_util.keystr((key,))).strip("[].'") for key in path) for path in paths]
    if len(names) == 1 and not any(isinstance(key, jax.tree_util.DictKey) for key in paths[0]):
        return ["output"]
    return [f"output {name}" if name[:1].isdigit() else name for name in names]
