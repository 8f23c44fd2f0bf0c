"""Calling a layer on nodes: the output shapes, and what happens to the masks."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp

from ..core.errors import MaskDroppedError, observe_drops
from ..core.masked import Masked, is_masked
from ..protocol import layer_state
from ..protocol.arguments import is_none, signature_of
from ..protocol.call import apply_named
from ..protocol.initialize import ParamsRef
from ..protocol.layer import Layer
from ..protocol.output_masks import uses_mask
from ..protocol.symbolic import on_symbols
from ..transform.sizes import is_symbolic
from .dimensions import probe
from .node import Call, MaskEdge, Node, nodes_in


@on_symbols(Node)
def call_layer(layer: Layer, inputs: tuple[Any, ...], named: dict[str, Any]) -> Any:
    """Adds a call of a layer to the graph, and returns its outputs as nodes.

    Args:
        layer: the layer.
        inputs: its inputs, nests of nodes and static values.
        named: its inputs by name, and `mask`.

    Returns:
        A nest of nodes in the structure of the layer's outputs.

    Raises:
        Exception: what the layer raises on inputs of these shapes; a note names the layer and the nodes.
    """
    inputs, named = jax.tree.map(lambda leaf: leaf, (inputs, named))  # the user's lists may change after the call
    trace = _Trace(layer, inputs, named)
    try:
        with observe_drops() as drops:
            specs = trace.run()
    except Exception as error:
        called = ", ".join(map(repr, nodes_in((inputs, named))))
        error.add_note(f"While calling {layer!r} on {called}.")
        raise
    mask_flow = ("dropped",) if drops else _mask_flow(layer, trace)
    call = Call(layer, inputs, named, mask_flow, trace.params, trace.statistics)
    nodes = [
        Node(spec, edge, call, index=index) for index, (spec, edge) in enumerate(zip(specs, trace.edges, strict=True))
    ]
    outputs = trace.structure.unflatten(nodes)
    call.outputs.append(outputs)
    return outputs


class _Trace:
    """One abstract run of a layer on nodes; masks that are the same edge are the same tracer."""

    def __init__(self, layer: Layer, inputs: tuple[Any, ...], named: dict[str, Any]) -> None:
        self.layer, self.tree = layer, (inputs, named)
        self.nodes = list({id(node): node for node in nodes_in(self.tree)}.values())
        self.in_edges = list({id(node.edge): node.edge for node in self.nodes if node.edge is not None}.values())
        self.explicit = nodes_in(masks_by_name(layer, named))
        self.structure: Any = None
        self.edges: list[MaskEdge | None] = []
        self.num_outputs = 0
        self.params: Any = None
        self.statistics: Any = None
        self.uses_mask = False
        self._same: list[int | None] = []

    def run(self) -> list[jax.ShapeDtypeStruct]:
        """The abstract values of the outputs; sets what else is known about them."""
        specs = [node.spec for node in self.nodes] + [edge.spec for edge in self.in_edges]
        found = self._infer_symbolic(specs)
        values, masks = found[: self.num_outputs], iter(found[self.num_outputs :])
        self.explicit_edges = [MaskEdge(node.spec) for node in self.explicit]
        made: dict[int, MaskEdge] = dict(enumerate([*self.in_edges, *self.explicit_edges]))
        for same in self._same:
            if same is not None and same not in made:
                made[same] = MaskEdge(next(masks))
            self.edges.append(None if same is None else made[same])
        return values

    def _infer_symbolic(self, specs: list[Any]) -> list[Any]:
        """Shapes from symbolic sizes, or from several concrete ones if the layer does not take symbols."""
        try:
            return self._infer(specs)
        except Exception as error:
            if isinstance(error, MaskDroppedError) or not any(is_symbolic(n) for spec in specs for n in spec.shape):
                raise
            return self._infer_concrete(specs, error)

    def _infer_concrete(self, specs: list[Any], refusal: Exception) -> list[Any]:
        """Shapes from several concrete runs; each warning is given once."""
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                found = probe(self._infer, specs)
        except Exception as error:
            # An error of the same type is about shapes, not symbols; the symbolic one shows the shapes as symbols.
            raise (refusal if type(error) is type(refusal) else error) from None
        for warning in {str(warning.message): warning for warning in caught}.values():
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
        return found

    def _infer(self, specs: list[Any]) -> list[Any]:
        values, masks, self.params, self.statistics = jax.eval_shape(self._call, specs)
        return [*values, *masks]

    def _call(self, arrays: list[Any]) -> tuple[list[Any], list[Any], Any, Any]:
        """Runs the layer on tracers. Returns values, new masks, parameters and statistics; records what masks do."""
        masks = dict(zip(map(id, self.in_edges), arrays[len(self.nodes) :], strict=True))
        made = {
            id(node): array if node.edge is None else Masked(array, masks[id(node.edge)])
            for node, array in zip(self.nodes, arrays, strict=False)
        }
        inputs, named = jax.tree.map(lambda leaf: made.get(id(leaf), leaf), self.tree)
        name, key = self.layer.name or self.layer.default_name, jax.random.key(0)
        slot = ParamsRef(name, key)
        self.uses_mask = uses_mask(self.layer, *inputs)
        with layer_state.running({}, makes=True) as states:
            outputs = apply_named(self.layer, name, slot, inputs, *split_options(named), key)
        leaves, self.structure = jax.tree.flatten(outputs, is_leaf=is_masked)
        known = [*(masks[id(edge)] for edge in self.in_edges), *(made[id(node)] for node in self.explicit)]
        self.num_outputs, new = len(leaves), []
        self._same = [self._find(leaf, known, new) for leaf in leaves]
        values = [jnp.asarray(leaf.values if is_masked(leaf) else leaf) for leaf in leaves]
        return values, new, slot.params, states.statistics

    def _find(self, leaf: Any, known: list[Any], new: list[Any]) -> int | None:
        """The position of an output's mask among all masks; a new mask is added."""
        if not is_masked(leaf):
            return None
        for position, mask in enumerate([*known, *new]):
            if mask is leaf.mask:
                return position
        new.append(leaf.mask)
        return len(known) + len(new) - 1


def _mask_flow(layer: Layer, trace: _Trace) -> tuple[str, ...]:
    """The words for what happens to the mask at one call."""
    unread = overridden(layer, *trace.tree)
    incoming = {id(node.edge) for node in trace.nodes if node.edge is not None and node not in unread}
    incoming |= {id(edge) for edge in trace.explicit_edges}
    outgoing = {id(edge) for edge in trace.edges if edge is not None}
    if not incoming:
        return ("made",) if outgoing else ("ended",) if trace.in_edges else ()
    used = ("used",) if trace.uses_mask else ()
    if not outgoing:
        return used or ("ended",)
    if outgoing <= incoming:
        return (*used, "passed")
    rank = max(len(edge.spec.shape) for edge in [*trace.in_edges, *trace.explicit_edges] if id(edge) in incoming)
    if all(len(edge.spec.shape) < rank for edge in trace.edges if edge is not None and id(edge) not in incoming):
        return (*used, "passed", "pooled") if outgoing & incoming else (*used, "pooled")
    return (*used, "merged" if len(incoming) > 1 else "changed")


def masks_by_name(layer: Layer, named: dict[str, Any]) -> dict[str, Any]:
    """The explicit masks among the keyword arguments of a call: `mask`, and `context_mask` for an input `context`."""
    return {name: named[name] for name in ("mask", *signature_of(type(layer).call).mask_names) if name in named}


def overridden(layer: Layer, inputs: tuple[Any, ...], named: dict[str, Any]) -> set[Node]:
    """The nodes whose own masks a call does not read, because it is given other masks for them."""
    masks = masks_by_name(layer, named)
    values = {name: value for name, value in split_options(named)[0].items() if name not in masks}
    signature = signature_of(type(layer).call)
    arguments = signature.inputs.bind(*inputs, **values).arguments
    found: set[Node] = set()
    for name, mask in masks.items():
        of = next(iter(arguments.values())) if name == "mask" else arguments.get(signature.mask_names[name])
        leaves, given = jax.tree.leaves(of), jax.tree.leaves(mask, is_leaf=is_none)
        given = given if len(given) == len(leaves) else given * len(leaves)
        found |= {node for node, m in zip(leaves, given, strict=False) if m is not None and isinstance(node, Node)}
    return found


def split_options(named: dict[str, Any], training: bool = False) -> tuple[dict[str, Any], Any, bool]:
    """Splits the keyword arguments of a call into inputs by name, `mask` and `training`."""
    inputs = {name: value for name, value in named.items() if name not in ("mask", "training")}
    return inputs, named.get("mask"), named.get("training", training)
