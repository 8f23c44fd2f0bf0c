"""A call in a Keras graph: its inputs by name, and the masks that Keras has filled in itself."""

import dataclasses
import inspect
import operator
from collections.abc import Callable
from typing import Any

from .converted import Context

OPTIONS = ("use_causal_mask", "return_attention_scores")  # fields of a layer in jmask, since they change the program
NAMES = {"key": "key_"}  # `key` is a PRNG key

OPERATORS = {
    "Add": "add",
    "Subtract": "sub",
    "Multiply": "mul",
    "Divide": "truediv",
    "TrueDivide": "truediv",
    "FloorDivide": "floordiv",
    "Mod": "mod",
    "Power": "pow",
    "Matmul": "matmul",
    "GetItem": "getitem",
    "Equal": "eq",
    "NotEqual": "ne",
    "Less": "lt",
    "LessEqual": "le",
    "Greater": "gt",
    "GreaterEqual": "ge",
    "LogicalAnd": "and_",
    "LogicalOr": "or_",
    "LogicalNot": "invert",
    "Negative": "neg",
    "Abs": "abs",
    "Absolute": "abs",
}
FUNCTIONS = {
    "Relu": "relu",
    "Relu6": "relu6",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Tanh": "tanh",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "LogSigmoid": "log_sigmoid",
    "Exp": "exponential",
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "Mish": "mish",
}


def is_tensor(leaf: Any) -> bool:
    """Whether a leaf is a symbolic Keras tensor."""
    return hasattr(leaf, "_keras_history")


def leaves(tree: Any) -> list[Any]:
    """The leaves of a nest, in Keras' order, including None."""
    if isinstance(tree, dict):
        return [leaf for name in sorted(tree) for leaf in leaves(tree[name])]
    return [leaf for part in tree for leaf in leaves(part)] if isinstance(tree, (list, tuple)) else [tree]


def map_tensors(function: Callable[[Any], Any], tree: Any) -> Any:
    """A nest with `function` applied to its tensors. Keras has subclasses of list and dict in it, JAX takes none."""
    if isinstance(tree, dict):
        return {name: map_tensors(function, part) for name, part in tree.items()}
    if isinstance(tree, (list, tuple)):
        parts = [map_tensors(function, part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts) if isinstance(tree, tuple) else parts
    return function(tree) if is_tensor(tree) else tree


def is_layer(operation: Any) -> bool:
    """Whether an operation is a layer, not one of `keras.ops`."""
    return hasattr(operation, "weights")


@dataclasses.dataclass
class KerasCall:
    """One call of a layer.

    Attributes:
        inputs: the first input, a tensor or a nest.
        named: the others by their names in jmask, including masks that the user has given.
        options: the options that are fields in jmask.
    """

    inputs: Any
    named: dict[str, Any]
    options: dict[str, Any]

    @property
    def tensors(self) -> list[Any]:
        """The tensors that the call reads."""
        return [leaf for leaf in leaves((self.inputs, self.named)) if is_tensor(leaf)]


def read_call(node: Any, context: Context) -> KerasCall:
    """Reads a call of a layer.

    Args:
        node: the node of Keras' graph.
        context: where the layer is in the model.

    Returns:
        Its inputs and options, without the masks that Keras has filled in: jmask finds its own.

    Raises:
        ValueError: an argument that jmask's layer does not have.
    """
    signature = inspect.signature(node.operation.call)
    arguments = dict(signature.bind(*node.arguments.args, **node.arguments.kwargs).arguments)
    first = next(iter(signature.parameters))
    call = KerasCall(arguments.pop(first), {}, {})
    values = {first: call.inputs} | arguments
    for name, value in arguments.items():
        if value is None or (name in ("training", *OPTIONS) and not value):
            continue
        if name in OPTIONS:
            call.options[name] = value
        elif name == "mask" or (name.endswith("_mask") and name != "attention_mask"):
            of = values.get(first if name == "mask" else name.removesuffix("_mask"))
            if not _is_automatic(value, of):
                call.named[name] = value
        elif any(map(is_tensor, leaves(value))) or name == "training":
            call.named[NAMES.get(name, name)] = value
        else:
            context.refuse(f"the argument `{name}={value!r}` of its call")
    return call


def read_operation(node: Any, context: Context) -> tuple[Any, list[Any]]:
    """Reads an operation of `keras.ops` or an operator.

    Returns:
        A function of jmask nodes, or the name of an activation; and what it is called on.
    """
    kind = type(node.operation).__name__
    arguments = [*node.arguments.args, *node.arguments.kwargs.values()]
    if any(hasattr(argument, "assign") for argument in arguments):
        context.refuse("a variable that is no weight of a layer", "Make it a weight of a layer, or a constant.")
    if kind.startswith("Logical") and not all(map(_is_bool, arguments)):
        context.refuse(f"`{kind}` of numbers, which are bits in jmask", "Compare them with 0 first: `x != 0`.")
    if type(node.operation).__module__.startswith("keras.") and not any(argument is None for argument in arguments):
        if kind in OPERATORS:
            return getattr(operator, OPERATORS[kind]), arguments
        if kind in FUNCTIONS and len(arguments) == 1:
            return FUNCTIONS[kind], arguments
    context.refuse(
        f"jmask has no layer for the operation `{kind}`",
        "Put it into a `Lambda`, or into a layer that is given to `custom`.",
    )


def _is_bool(argument: Any) -> bool:
    return getattr(argument, "dtype", type(argument)) in ("bool", bool)


def _is_automatic(mask: Any, inputs: Any) -> bool:
    """Whether Keras has filled in these masks itself: those that the inputs carry."""
    masks, values = leaves(mask), leaves(inputs)
    return len(masks) == len(values) and all(m is None or _has_mask(x, m) for m, x in zip(masks, values, strict=True))


def _has_mask(x: Any, mask: Any) -> bool:
    """Whether a tensor carries this mask in Keras."""
    return x.has_mask(mask) if hasattr(x, "has_mask") else _are_same(mask, getattr(x, "_keras_mask", None))


def _are_same(one: Any, other: Any) -> bool:
    """Whether two arguments are equal: tensors if they come from the same operations on the same tensors.

    A graph that was loaded from a file has every mask twice: as it was saved, and as its layers have recomputed it.
    """
    if not (is_tensor(one) and is_tensor(other)):
        return type(one) is type(other) and bool(one == other)
    a, b = one._keras_history, other._keras_history
    if a.operation is b.operation:
        return (a.node_index, a.tensor_index) == (b.node_index, b.tensor_index)
    if is_layer(a.operation) or type(a.operation) is not type(b.operation):
        return False
    given, others = (
        leaves((node.arguments.args, node.arguments.kwargs))
        for node in (history.operation._inbound_nodes[history.node_index] for history in (a, b))
    )
    return len(given) == len(others) and all(map(_are_same, given, others))
