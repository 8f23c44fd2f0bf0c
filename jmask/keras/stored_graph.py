"""The graph of a model of a `.keras` file: tensors and calls, as Keras itself would show them to the converters."""

import functools
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from .stored_layers import StoredLayer, class_name_of
from .weights_file import unique_names

# What Keras computes masks from masks with.
_OF_MASKS = {"LogicalOr", "ExpandDims", "ZerosLike", "OnesLike", "Concatenate", "Any", "NotEqual"}


class History(NamedTuple):
    """Where a tensor comes from."""

    operation: Any
    node_index: int
    tensor_index: int


class StoredTensor:
    """A tensor between layers, of an entry of the config."""

    def __init__(self, history: History, shape: tuple[int | None, ...], dtype: str) -> None:
        self._keras_history, self.shape, self.dtype = history, shape, dtype
        self.name = history.operation.name

    @property
    def node(self) -> Any:
        """The call that makes it."""
        return self._keras_history.operation._inbound_nodes[self._keras_history.node_index]

    def has_mask(self, mask: Any) -> bool:
        """Whether Keras has computed a mask from those that the layers before this tensor make.

        A file has each mask as if it had been given by hand. Layers make theirs by comparing what they read with their
        value for padding; from then on masks are only joined.
        """
        return isinstance(mask, StoredTensor) and _is_made_of(mask, set(map(id, self._masked_inputs())))

    def _masked_inputs(self) -> list["StoredTensor"]:
        """What the layers that make masks read, before this tensor."""
        pending, found, seen = [self], [], {}
        while pending:
            tensor = pending.pop()
            if id(tensor) in seen:
                continue
            seen[id(tensor)] = tensor
            read = tensor.node.arguments.keras_tensors
            operation = tensor._keras_history.operation
            if operation.makes_mask:
                found += read
            pending += read
        return found


def _is_made_of(mask: StoredTensor, sources: set[int]) -> bool:
    kind = type(mask._keras_history.operation).__name__
    read = mask.node.arguments.keras_tensors
    if kind not in _OF_MASKS or not read:
        return False
    if kind in ("ZerosLike", "OnesLike"):  # of values, for their shape
        return True
    return all(id(x) in sources if kind == "NotEqual" else _is_made_of(x, sources) for x in read)


class StoredOperation:
    """An operation between layers, such as a sum."""

    makes_mask = False

    def __init__(self, entry: dict[str, Any]) -> None:
        self.name = entry["config"]["name"]


class StoredSequential(StoredLayer):
    """Layers one after another."""

    @functools.cached_property
    def parts(self) -> dict[str, Any]:
        """Its layers, without the input, by name."""
        return _members(self, [entry for entry in self.get_config()["layers"] if entry["class_name"] != "InputLayer"])

    @property
    def layers(self) -> list[Any]:
        """The same in order."""
        return list(self.parts.values())

    @property
    def inputs(self) -> list[Any]:
        """Its input."""
        first = self.get_config()["layers"][0]
        if first["class_name"] != "InputLayer":
            raise AttributeError("This model has no input of its own.")
        config = first["config"]
        operation = SimpleNamespace(name=config["name"])
        return [StoredTensor(History(operation, 0, 0), tuple(config["batch_shape"]), config["dtype"])]


class StoredFunctional(StoredLayer):
    """A graph of layers."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._tensors: dict[tuple[str, int, int], StoredTensor] = {}

    @functools.cached_property
    def parts(self) -> dict[str, Any]:
        """Its layers by name."""
        return {name: operation for name, operation in self._operations.items() if isinstance(operation, StoredLayer)}

    @functools.cached_property
    def _operations(self) -> dict[str, Any]:
        """Layers and operations by name, each with its calls."""
        entries = self.get_config()["layers"]
        are_layers = [_is_layer(entry) for entry in entries]
        found = _members(self, [entry for entry, is_one in zip(entries, are_layers, strict=True) if is_one])
        for entry, is_one in zip(entries, are_layers, strict=True):
            name = entry["name"]
            if not is_one:
                found[name] = _operation(entry)
            found[name]._inbound_nodes = [_Node(found[name], data, self) for data in entry["inbound_nodes"]] or [_INPUT]
        return found

    def tensor(self, name: str, node: int, index: int, shape: Any = (), dtype: str = "") -> StoredTensor:
        """A tensor, always the same for the same place."""
        place = name, node, index
        if place not in self._tensors:
            operation = self._operations[name]
            if operation._inbound_nodes[node] is _INPUT:
                config = operation.get_config()
                shape, dtype = config["batch_shape"], config["dtype"]
            self._tensors[place] = StoredTensor(History(operation, node, index), tuple(shape), dtype)
        self._tensors[place].dtype = self._tensors[place].dtype or dtype
        return self._tensors[place]

    @functools.cached_property
    def _inputs_struct(self) -> Any:
        return self._struct(self.get_config()["input_layers"])

    @functools.cached_property
    def _outputs_struct(self) -> Any:
        return self._struct(self.get_config()["output_layers"])

    def _struct(self, places: Any) -> Any:
        """A nest of tensors, where the config has names and numbers."""
        if isinstance(places, dict):
            return {name: self._struct(place) for name, place in places.items()}
        if len(places) == 3 and isinstance(places[0], str):
            name, node, index = places
            counts_itself = isinstance(self._operations[name], StoredFunctional)  # as a call from inputs to outputs
            return self.tensor(name, node - counts_itself, index)
        return [self._struct(place) for place in places]

    @property
    def inputs(self) -> list[Any]:
        """Its inputs, in order."""
        return list(_leaves(self._inputs_struct))

    @functools.cached_property
    def _nodes_by_depth(self) -> dict[int, list[Any]]:
        """All calls, in an order in which they can run."""
        ordered: dict[int, Any] = {}
        for operation in self._operations.values():
            for node in operation._inbound_nodes:
                self._visit(node, ordered)
        return {0: [node for node in ordered.values() if node is not _INPUT]}

    def _visit(self, node: Any, ordered: dict[int, Any]) -> None:
        pending = [node]
        while pending:
            last = pending[-1]
            before = [x.node for x in last.arguments.keras_tensors if id(x.node) not in ordered | {id(_INPUT): None}]
            if before:
                pending += before
            else:
                ordered.setdefault(id(pending.pop()), last)


_INPUT = SimpleNamespace(arguments=SimpleNamespace(args=(), kwargs={}, keras_tensors=[]), outputs=[])


class _Node:
    """A call of a layer or operation, whose tensors are looked up when they are asked for."""

    has_all_outputs = False  # those that nobody reads are unknown

    def __init__(self, operation: Any, data: dict[str, Any], graph: StoredFunctional) -> None:
        self.operation, self._data, self._graph = operation, data, graph

    @functools.cached_property
    def arguments(self) -> Any:
        args, kwargs = (self._value(self._data[kind]) for kind in ("args", "kwargs"))
        if type(self.operation).__name__ == "GetItem":
            args = [tuple(x) if isinstance(x, list) else x for x in args]
        tensors = [x for x in _leaves((args, kwargs)) if isinstance(x, StoredTensor)]
        return SimpleNamespace(args=args, kwargs=kwargs, keras_tensors=tensors)

    @property
    def outputs(self) -> list[Any]:
        """Those that other calls read or the model returns, and None for those that nobody does."""
        number = self.operation._inbound_nodes.index(self)
        known = {t: x for (name, n, t), x in self._graph._tensors.items() if (name, n) == (self.operation.name, number)}
        return [known.get(index) for index in range(max(known, default=-1) + 1)]

    def _value(self, data: Any) -> Any:
        """An argument: JSON, with what JSON has not."""
        if isinstance(data, list):
            return [self._value(part) for part in data]
        if not isinstance(data, dict):
            return data
        kind, config = data.get("class_name"), data.get("config") or {}
        if kind == "__keras_tensor__":
            name, node, index = config["keras_history"]
            return self._graph.tensor(name, node, index, config["shape"], config["dtype"])
        if kind in ("__numpy__", "__tensor__"):
            return np.array(config["value"], config["dtype"])
        if kind == "__slice__":
            return slice(*(self._value(config[name]) for name in ("start", "stop", "step")))
        if kind == "__ellipsis__":
            return Ellipsis
        return {name: self._value(part) for name, part in data.items()}


def _leaves(tree: Any) -> Iterator[Any]:
    if isinstance(tree, (list, tuple, dict)):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _leaves(part)
    else:
        yield tree


def _members(model: StoredLayer, entries: list[dict[str, Any]]) -> dict[str, Any]:
    """The layers of a model by name."""
    names = unique_names(list(map(class_name_of, entries)))
    made = [model._part(entry, f"layers/{name}") for entry, name in zip(entries, names, strict=True)]
    return {layer.name: layer for layer in made}


def _is_layer(entry: dict[str, Any]) -> bool:
    return ".ops" not in entry["module"]


def _operation(entry: dict[str, Any]) -> StoredOperation:
    return type(entry["class_name"], (StoredOperation,), {"__module__": entry["module"]})(entry)
