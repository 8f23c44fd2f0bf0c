"""Operators and indexing of nodes, as layers."""

import dataclasses
import operator
from collections.abc import Callable
from typing import Any

from ..layers.base import Layer
from ..layers.config import register
from ..masked import mask_of


@register
class Operator(Layer):
    """An operator between nodes, or between a node and a constant; what `x * 2` and `x[:, :5]` make of a node.

    Attributes:
        function: name of a function of Python's `operator` module, or `"mask"` for the mask as an array.
        left: a constant on the left.
        right: a constant on the right; the index of `"getitem"`.
    """

    takes_masked = True
    uses_mask = False

    function: str
    _: dataclasses.KW_ONLY
    left: Any = None
    right: Any = None

    @property
    def default_name(self) -> str:
        """`__add__` -> `add`."""
        return self.function.strip("_")

    def call(self, params: Any, x: Any, y: Any = None) -> Any:
        """The operator's result, with the mask that `Masked` gives it."""
        if self.function == "mask":
            return mask_of(x)
        function = getattr(operator, self.function)
        if self.left is not None:
            return function(self.left, x)
        if y is not None:
            return function(x, y)
        return function(x) if self.right is None else function(x, self.right)


def _binary(name: str) -> Callable:
    def method(self: Any, other: Any) -> Any:
        if isinstance(other, NodeOperators):
            return Operator(f"__{name}__")(self, other)
        return Operator(f"__{name}__", right=other)(self)

    return method


def _reflected(name: str) -> Callable:
    def method(self: Any, other: Any) -> Any:
        return Operator(f"__{name}__", left=other)(self)

    return method


def _unary(name: str) -> Callable:
    def method(self: Any) -> Any:
        return Operator(f"__{name}__")(self)

    return method


class NodeOperators:
    """The operators of `Node`."""

    __array_ufunc__ = None
    __hash__ = object.__hash__  # nodes are told apart by identity, although `==` makes a node

    __add__, __radd__ = _binary("add"), _reflected("add")
    __sub__, __rsub__ = _binary("sub"), _reflected("sub")
    __mul__, __rmul__ = _binary("mul"), _reflected("mul")
    __truediv__, __rtruediv__ = _binary("truediv"), _reflected("truediv")
    __floordiv__, __rfloordiv__ = _binary("floordiv"), _reflected("floordiv")
    __mod__, __rmod__ = _binary("mod"), _reflected("mod")
    __pow__, __rpow__ = _binary("pow"), _reflected("pow")
    __matmul__ = _binary("matmul")
    __and__, __rand__ = _binary("and"), _reflected("and")
    __or__, __ror__ = _binary("or"), _reflected("or")
    __xor__, __rxor__ = _binary("xor"), _reflected("xor")
    __lt__, __le__ = _binary("lt"), _binary("le")
    __gt__, __ge__ = _binary("gt"), _binary("ge")
    __eq__, __ne__ = _binary("eq"), _binary("ne")  # type: ignore[assignment]
    __getitem__ = _binary("getitem")
    __neg__, __pos__ = _unary("neg"), _unary("pos")
    __abs__, __invert__ = _unary("abs"), _unary("invert")
