"""Layers called on symbolic values: a graph registers here what happens then."""

from collections.abc import Callable
from typing import Any

SymbolicCall = Callable[[Any, tuple[Any, ...], dict[str, Any]], Any]  # of (layer, inputs, named)

_calls: dict[type, SymbolicCall] = {}


def on_symbols(cls: type) -> Callable[[SymbolicCall], SymbolicCall]:
    """Registers what a layer does when one of its inputs has this class; a decorator.

    Args:
        cls: the class of the symbols.

    Returns:
        A decorator for a function of `(layer, inputs, named)`, which returns symbols for the outputs.
    """

    def register_call(call: SymbolicCall) -> SymbolicCall:
        _calls[cls] = call
        return call

    return register_call


def symbolic_call(leaf: Any) -> SymbolicCall | None:
    """The function that calls a layer on inputs with this leaf; None if the leaf is a value."""
    return _calls.get(type(leaf))
