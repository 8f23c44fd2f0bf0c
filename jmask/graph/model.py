"""`Model`: the part of a graph between its inputs and its outputs, as a layer."""

import functools
from collections.abc import Callable
from typing import Any

import jax

from ..protocol.call import apply_named
from ..protocol.config import register_serializable
from ..protocol.initialize import init_sublayers
from ..protocol.layer import Layer
from ..protocol.output_masks import uses_mask
from .config import build, describe
from .dimensions import at_some_size
from .graph_layer import GraphLayer
from .inference import split_options
from .inputs import input_like, inputs_like
from .matching import input_names_of, match, restructure
from .names import assign_names
from .node import Call, Node, nodes_in
from .summary import summarize


@register_serializable
class Model(GraphLayer):
    """All layer calls that lead from some nodes of a graph to others.

    A model is a layer: it can be called on nodes inside another model, and it can begin and end at any node.

    Attributes:
        inputs: a node, or a nest of nodes; not only those of `jm.Input`.
        outputs: a node, or a nest of nodes.

    Raises:
        TypeError: an input or output is not a node.
        ValueError: there is no output, an output does not follow from the inputs, a node is among the inputs twice, or
            two layers have one name.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> inputs = jm.Input((None,), "int32")
    >>> h = jm.layers.Embedding(50, 8, mask_zero=True)(inputs)
    >>> model = jm.Model(inputs, jm.layers.LSTM(4)(h))
    >>> params = model.init(jax.random.key(0))
    >>> model.apply(params, jnp.array([[7, 3, 0], [2, 0, 0]])).shape
    (2, 4)
    """

    inputs: Any
    outputs: Any

    def __post_init__(self) -> None:
        """Validates the graph at construction time."""
        for kind in ("inputs", "outputs"):
            object.__setattr__(self, kind, jax.tree.map(lambda leaf: leaf, getattr(self, kind)))  # a list may change
            for leaf in jax.tree.leaves(getattr(self, kind)):
                if not isinstance(leaf, Node):
                    raise TypeError(
                        f"`{kind}` of a model are nodes (`jm.Input`, or layers called on them); received {leaf!r}."
                    )
        if not nodes_in(self.outputs):
            raise ValueError(f"A model needs an output; `outputs` is {self.outputs!r}.")
        twice = [node for i, node in enumerate(nodes_in(self.inputs)) if id(node) in map(id, nodes_in(self.inputs)[:i])]
        if twice:
            raise ValueError(f"{twice[0]!r} appears twice among the inputs of a model; make a `jm.Input` for each.")
        self.names  # noqa: B018 - finds the calls and names the layers, or says why not

    @functools.cached_property
    def calls(self) -> list[Call]:
        """The calls of the model in an order in which they can run."""
        found: dict[int, Call] = {}
        known = {id(node) for node in nodes_in(self.inputs)}
        pending = [(node, (node.label,)) for node in nodes_in(self.outputs)]
        while pending:
            node, trail = pending.pop()
            if id(node) in known:
                continue
            if node.call is None:
                raise ValueError(
                    f"The model's outputs need {node!r}, which is not among its inputs; the way there is "
                    f"{' <- '.join(trail)}. Add it to `inputs`, or cut the graph at a node that follows it."
                )
            known.add(id(node))
            if node.call.serial not in found:
                found[node.call.serial] = node.call
                pending += [(source, (*trail, source.label)) for source in node.call.sources]
        return [found[serial] for serial in sorted(found)]

    @functools.cached_property
    def names(self) -> dict[int, str]:
        """The name of every layer, by its id."""
        return assign_names([call.layer for call in self.calls])

    @functools.cached_property
    def input_names(self) -> dict[int, str]:
        """The name of every input node, by its id."""
        return input_names_of(self.inputs)

    @property
    def layers(self) -> dict[str, Layer]:
        """The layers by name, in order."""
        return {self.names[id(call.layer)]: call.layer for call in self.calls}

    @property
    def named_layers(self) -> dict[str, Layer]:
        """The same as `layers`, under the name that `Sequential` also has."""
        return self.layers

    @property
    def _uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """Whether a layer does."""
        known = lambda leaf: leaf.abstract if isinstance(leaf, Node) else leaf  # noqa: E731
        return any(uses_mask(call.layer, *jax.tree.map(known, call.inputs)) for call in self.calls)

    def init(self, key: Any, *inputs: Any) -> dict[str, Any]:
        """Parameters of all layers, `{"embedding": {...}, "lstm": {...}}`; layers without any are left out.

        Args:
            key: a PRNG key; each layer draws from the key folded with its name.
            *inputs: an example, if the size of a parameter depends on a size that is unknown in the graph.

        Returns:
            A nested dict.

        Raises:
            ValueError: the size of a parameter depends on an unknown size, and there is no example.
        """
        if inputs:
            return init_sublayers(self.apply, key, inputs)
        params = init_sublayers(self.apply, key, (at_some_size(jax.tree.map(lambda node: node.abstract, self.inputs)),))
        for call in self.calls:
            name = self.names[id(call.layer)]
            expected, made = (jax.tree.map(lambda p: p.shape, tree) for tree in (call.params, params.get(name, {})))
            if jax.tree.leaves(call.params) and expected != made:
                raise ValueError(
                    f"{name}: its parameters {expected} depend on a size that is unknown in the graph. Pass an "
                    "example, `model.init(key, x)`, or give the `Input` that size."
                )
        return params

    def init_state(self, *inputs: Any) -> Any:
        """Running statistics of all layers that have any; an example is needed as for `init`."""
        return super().init_state(*(inputs or (at_some_size(jax.tree.map(lambda node: node.abstract, self.inputs)),)))

    def call(self, params: Any, *inputs: Any, training: bool = False, key: Any = None) -> Any:
        """The outputs, from inputs in the structure of `inputs` (a list of inputs may also be given one by one)."""
        values = match(self.inputs, inputs)

        def value(leaf: Any) -> Any:
            return values[id(leaf)] if isinstance(leaf, Node) else leaf

        for i, call in enumerate(self.calls):
            name = self.names[id(call.layer)]
            args, named = jax.tree.map(value, (call.inputs, call.named))
            call_key = None if key is None else jax.random.fold_in(key, i)
            named, mask, is_training = split_options(named, training)
            outputs = apply_named(call.layer, name, params.get(name, {}), args, named, mask, is_training, call_key)
            nodes, structure = jax.tree.flatten(call.outputs[0])
            values |= zip(map(id, nodes), structure.flatten_up_to(outputs), strict=True)
        return jax.tree.map(value, self.outputs)

    def graph(self, *inputs: Any) -> "Model":
        """The same model on other inputs.

        Args:
            *inputs: nodes, or examples that nodes are made from; without any, the model itself is returned.

        Returns:
            A model with the same layers, whose nodes have the shapes and masks that follow from these inputs.
        """
        if not inputs:
            return self
        given, names = restructure(self.inputs, inputs), self.input_names
        nodes = {key: input_like(x, name) for (key, name), x in zip(names.items(), given, strict=True)}
        new_inputs = jax.tree.map(lambda node: nodes[id(node)], self.inputs)
        for call in self.calls:
            args, named = jax.tree.map(lambda leaf: nodes.get(id(leaf), leaf), (call.inputs, call.named))
            made = call.layer(*args, **named)
            nodes.update(zip(map(id, nodes_in(call.outputs)), nodes_in(made), strict=True))
        return Model(new_inputs, jax.tree.map(lambda leaf: nodes[id(leaf)], self.outputs), name=self.name)

    def summary(self, *inputs: Any, expand_nested: bool = False) -> None:
        """Shows a table of the calls, in a notebook as HTML; its last column shows what happens to the mask.

        Args:
            *inputs: examples, to see the shapes and masks that follow from these.
            expand_nested: lists the calls inside nested models as well.
        """
        summarize(self, *inputs, expand_nested=expand_nested).show()

    def encode_config(self, writer: Any) -> dict[str, Any]:
        """The graph for `to_config`."""
        config = {name: writer.encode(value) for name, value in describe(self).items()}
        return {"class": "Model", "config": config}

    @classmethod
    def decode_config(cls, reader: Any, data: Any) -> "Model":
        """The graph from `from_config`."""
        return build(cls, reader.decode_fields(data))

    def __reduce__(self) -> Any:
        """Copies and pickles are new graphs: layers keep their identity, nodes belong to their own graph."""
        return build, (type(self), describe(self))

    def __repr__(self) -> str:
        return f"Model({self.name or 'model'}: {', '.join(self.layers)})"


def trace(function: Callable[..., Any], *inputs: Any, name: str | None = None) -> Model:
    """The model of a plain Python function that calls layers.

    Args:
        function: takes as many nodes as there are inputs, calls layers on them, and returns a nest of nodes.
        *inputs: nodes (`jm.Input`), or examples: arrays, `Masked`, `jax.ShapeDtypeStruct`; or nests of these.
        name: the model's name, by default the function's.

    Returns:
        A `Model` whose inputs are a list, or one node if there is one.

    >>> import jmask as jm
    >>> dense = jm.layers.Dense(3)
    >>> jm.trace(lambda a, b: dense(a) + dense(b), jm.Input((4,)), jm.Input((4,)), name="twins")
    Model(twins: dense, add)
    """
    nodes = inputs_like(list(inputs))
    default = getattr(function, "__name__", "model")
    name = name or (default if default.isidentifier() else None)
    return Model(nodes[0] if len(nodes) == 1 else nodes, function(*nodes), name=name)
