"""Operators and indexing on nodes, as layers."""

import dataclasses
import operator
from collections.abc import Callable
from typing import Any

import jax

from ..core.masked import mask_of
from ..protocol.config import register_serializable
from ..protocol.layer import Layer


@register_serializable
class Operator(Layer):
    """An operator between nodes, or between a node and a constant, as in `x * 2` and `x[:, :5]`.

    Attributes:
        function: name of a function of Python's `operator` module, or `"mask"` for the mask as an array.
        left: a tuple with the constant on the left, or empty.
        right: a tuple with the constant on the right, or empty; the index of `"__getitem__"`.
    """

    raw_inputs = True
    supports_packing = True

    function: str
    _: dataclasses.KW_ONLY
    left: tuple[Any, ...] = ()
    right: tuple[Any, ...] = ()

    @property
    def default_name(self) -> str:
        """`__add__` -> `add`."""
        return self.function.strip("_")

    @property
    def _uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """Whether the mask becomes a value."""
        return self.function == "mask"

    def call(self, params: Any, *operands: Any) -> Any:
        """The operator's result, with the mask that `Masked` gives it."""
        if self.function == "mask":
            return mask_of(operands[0])
        return getattr(operator, self.function)(*self.left, *operands, *self.right)


def _binary(name: str) -> Callable:
    def method(self: Any, other: Any) -> Any:
        if any(isinstance(leaf, NodeOperators) for leaf in jax.tree.leaves(other)):
            return Operator(f"__{name}__")(self, other)
        return Operator(f"__{name}__", right=(other,))(self)

    return method


def _reflected(name: str) -> Callable:
    def method(self: Any, other: Any) -> Any:
        return Operator(f"__{name}__", left=(other,))(self)

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
