"""Keras models: Sequential, and the graph of the Functional API call by call."""

from collections.abc import Callable, Iterator
from typing import Any

import jax

from ..graph.inputs import Input
from ..graph.model import Model
from ..graph.node import Node
from ..graph.sequential import Sequential
from ..layers.activations import Activation
from .calls import KerasCall, is_layer, leaves, map_tensors, read_call, read_operation
from .converted import Context, Converted, model_kind
from .layers import convert_layer


def convert_model(keras_layer: Any, context: Context, **call_options: Any) -> Converted:
    """Converts a Keras model, or a layer as `convert_layer` does."""
    kind = model_kind(keras_layer)
    if type(keras_layer) in context.custom or kind is None:
        return convert_layer(keras_layer, context, **call_options)
    if not type(keras_layer).call.__module__.startswith(("keras.", __package__ or "")):
        context.refuse(
            f"`{type(keras_layer).__name__}` is a subclass of `keras.Model`, whose `call` is Python",
            "Only Sequential and Functional models say what they do.",
        )
    return _sequential(keras_layer, context) if kind == "Sequential" else _Graph(keras_layer, context).converted()


def _sequential(model: Any, context: Context) -> Converted:
    """One layer after another; a repeated layer stays one layer."""
    if not model.built:
        context.refuse("it has not been built, and has no weights yet", "Call the model once, or `build` it.")
    if not hasattr(model, "inputs"):
        context.refuse("Keras does not know its inputs", "Make it a Functional model.")
    converted = {id(layer): convert_model(layer, context.below(layer.name)) for layer in model.layers}
    dtype = "int32" if _takes_ids(model) else None
    (inputs,) = (_input(tensor, context, name=tensor.name, dtype=dtype) for tensor in model.inputs)
    x = inputs
    for layer in model.layers:
        x = _call(context.below(layer.name), converted[id(layer)].model, x)
    stack = [inputs, *(converted[id(layer)].model for layer in model.layers)]
    return Converted(Sequential(stack, name=model.name), *_by_name(converted.values()))


def _call(context: Context, function: Callable[..., Any], *inputs: Any, **named: Any) -> Any:
    """Calls a layer on nodes; an input that it does not take raises an error with its path."""
    try:
        return function(*inputs, **named)
    except (TypeError, ValueError) as error:
        context.refuse(str(error))


def _by_name(converted: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Parameters and statistics of layers by their names, if there are any."""
    params = {c.model.name: c.params for c in converted if jax.tree.leaves(c.params)}
    state = {c.model.name: c.state for c in converted if jax.tree.leaves(c.state)}
    return params, state


class _Graph:
    """The graph of a Functional model: first its layers are converted, then they are called as in Keras."""

    def __init__(self, model: Any, context: Context) -> None:
        self.model, self.context = model, context
        self.inputs = leaves(model._inputs_struct)
        self.nodes = list(self._needed_nodes())
        self.calls = {id(node): self._read(node) for node in self.nodes}
        self.layers = self._convert_layers()

    def converted(self) -> Converted:
        """The jmask model."""
        return Converted(self._model(), *_by_name(self.layers.values()))

    def _needed_nodes(self) -> Iterator[Any]:
        """The nodes that lead to the outputs, in an order in which they can run; without those only for masks."""
        known = set(map(id, self.inputs))
        pending, needed = leaves(self.model._outputs_struct), {}
        while pending:
            tensor = pending.pop()
            history = tensor._keras_history
            node = history.operation._inbound_nodes[history.node_index]
            if id(tensor) not in known and id(node) not in needed:
                needed[id(node)] = node
                pending += self._read(node).tensors
        for _, nodes in sorted(self.model._nodes_by_depth.items(), reverse=True):
            yield from (node for node in nodes if id(node) in needed)

    def _context(self, operation: Any) -> Context:
        return self.context.below(operation.name)

    def _read(self, node: Any) -> KerasCall:
        if is_layer(node.operation):
            return read_call(node, self._context(node.operation))
        _, arguments = read_operation(node, self._context(node.operation))
        return KerasCall(arguments, {}, {})

    def _convert_layers(self) -> dict[int, Converted]:
        """Each layer once, with the options that its calls agree on."""
        found: dict[int, Converted] = {}
        for node in self.nodes:
            layer = node.operation
            if id(layer) in found or not is_layer(layer):
                continue
            options = [self.calls[id(n)].options for n in self.nodes if n.operation is layer]
            if any(option != options[0] for option in options):
                self._context(layer).refuse(
                    f"it is called with {options}; in jmask these are options of the layer",
                    "Use one layer for each.",
                )
            found[id(layer)] = convert_model(layer, self._context(layer), **options[0])
        return found

    def _model(self) -> Model:
        """Built with unknown sizes that differ between inputs or, if they must be equal, with equal ones."""
        try:
            return self._build(shared_sizes=False)
        except ValueError:
            if len(self.inputs) < 2:
                raise
        return self._build(shared_sizes=True)

    def _build(self, *, shared_sizes: bool) -> Model:
        values = {}
        for i, tensor in enumerate(self.inputs):
            suffix = "" if shared_sizes or i == 0 else f"_of_{tensor._keras_history.operation.name}"
            dtype = "int32" if _feeds_ids(tensor, self.nodes) else None
            name = tensor._keras_history.operation.name
            values[id(tensor)] = _input(tensor, self.context, name=name, suffix=suffix, dtype=dtype)

        def given(tree: Any) -> Any:
            return map_tensors(lambda tensor: values[id(tensor)], tree)

        for node in self.nodes:
            outputs = self._call(node, given)
            has_all = getattr(node, "has_all_outputs", True)  # a file has those that are read
            values |= zip(map(id, node.outputs), jax.tree.leaves(outputs), strict=has_all)
        outputs = self.model._outputs_struct
        is_alone = isinstance(outputs, (list, tuple)) and len(outputs) == 1  # Keras returns it without the list
        outputs = outputs[0] if is_alone else outputs
        return Model(given(self.model._inputs_struct), given(outputs), name=self.model.name)

    def _call(self, node: Any, given: Callable[[Any], Any]) -> Any:
        """The jmask nodes that a call makes."""
        call, context = self.calls[id(node)], self._context(node.operation)
        if id(node.operation) in self.layers:
            layer, named = self.layers[id(node.operation)].model, {k: given(tree) for k, tree in call.named.items()}
            return _call(context, layer, given(call.inputs), **named)
        function, arguments = read_operation(node, context)
        function = Activation(function) if isinstance(function, str) else function
        return _call(context, function, *map(given, arguments))


def _input(tensor: Any, context: Context, *, name: str, suffix: str = "", dtype: Any = None) -> Node:
    """An input with the shape of a Keras tensor; unknown sizes get names."""
    if tensor.dtype in ("float16", "bfloat16"):
        context.below(name).refuse(f"an input in {tensor.dtype}, which each layer of Keras casts", "Make it float32.")
    batch_size, *shape = tensor.shape
    unknown = 0
    for axis, size in enumerate(shape):
        if size is None:
            shape[axis] = f"time{f'_{unknown}' if unknown else ''}{suffix}"
            unknown += 1
    return Input(tuple(shape), dtype or tensor.dtype, batch_size=batch_size, name=name)


def _feeds_ids(tensor: Any, nodes: list[Any]) -> bool:
    """Whether a tensor goes only into embeddings: Keras inputs are floats unless stated otherwise."""
    readers = [node for node in nodes if any(tensor is given for given in node.arguments.keras_tensors)]
    return bool(readers) and all(_takes_ids(node.operation) for node in readers)


def _takes_ids(operation: Any) -> bool:
    """Whether a layer looks its input up in a table."""
    if type(operation).__name__ == "TimeDistributed":
        return _takes_ids(operation.layer)
    if hasattr(operation, "_nodes_by_depth") and len(operation.inputs) == 1:
        nodes = [node for nodes in operation._nodes_by_depth.values() for node in nodes]
        return _feeds_ids(operation.inputs[0], nodes)
    if type(operation).__name__ == "Sequential":
        return _takes_ids(operation.layers[0])
    return type(operation).__name__ == "Embedding"
