"""Sizes in a program that was traced with symbolic lengths, such as `floordiv(t + 1, 2)`, for one padded row."""

import ast
import dataclasses
import functools
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import export

RESERVED = frozenset(("floordiv", "mod", "max", "min"))  # words in an expression that are not names of lengths
_MOST_VALUES = 2**22  # of an expression that is evaluated for every length
_BINARY: dict[type, Callable] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Pow: operator.pow,
}
_MIRRORED = {ast.GtE: "<=", ast.LtE: ">=", ast.Eq: "=="}
_COMPARISONS: dict[type, Callable] = {ast.GtE: operator.ge, ast.LtE: operator.le, ast.Eq: operator.eq}


@dataclasses.dataclass(frozen=True, eq=False)
class Sizes:
    """The values of the named lengths in one row.

    Attributes:
        padded: the size of the row's arrays, by name: ints, or sizes that are symbolic in an enclosing trace.
        lengths: the number of real steps, by name: int32 scalars, at least 1.
        outer: sizes that are symbolic in an enclosing trace, by name.
        nonempty: whether the row is run, a bool scalar: if not, its numbers are those of another row, or ones. None if
            every row is run.
    """

    padded: Mapping[str, Any]
    lengths: Mapping[str, Any]
    outer: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    nonempty: Any = None

    def is_ragged(self, dim: Any) -> bool:
        """Whether the size depends on a length of this row."""
        return not isinstance(dim, int) and not names_in(dim).isdisjoint(self.padded)

    def padded_size(self, dim: Any) -> Any:
        """The size of the padded array: the largest over all lengths up to the padded one."""
        if isinstance(dim, int):
            return dim
        if self.is_ragged(dim) and all(isinstance(self.padded[name], int) for name in names_in(dim)):
            return _largest(str(dim), tuple(sorted((name, self.padded[name]) for name in names_in(dim))))
        return evaluate_dim(dim, {**self.outer, **self.padded})

    def true_size(self, dim: Any) -> Any:
        """The size without padding: an int if it depends on no length of this row, otherwise an int32 scalar."""
        return dim if isinstance(dim, int) else evaluate_dim(dim, {**self.outer, **self.lengths})

    def padded_sizes(self, tree: Any) -> Any:
        """The padded sizes in a parameter of an equation, nested tuples and lists included."""
        if isinstance(tree, list):
            return [self.padded_sizes(leaf) for leaf in tree]
        if isinstance(tree, tuple) and not hasattr(tree, "_fields"):
            return tuple(self.padded_sizes(leaf) for leaf in tree)
        return self.padded_size(tree) if is_symbolic(tree) else tree


def is_symbolic(dim: Any) -> bool:
    """Whether it is a symbolic size."""
    return export.is_symbolic_dim(dim)


def evaluate_dim(dim: Any, values: Mapping[str, Any]) -> Any:
    """A symbolic size for these values of its names: ints, arrays, or symbolic sizes themselves."""
    return _evaluate(_parse(str(dim)), values)


def holds(rule: str, values: Mapping[str, Any]) -> Any:
    """Whether a constraint such as `t >= 3` or `mod(t, 2) == 0` holds for these values of its names: bool arrays."""
    node = _parse(rule)
    if not isinstance(node, ast.Compare) or len(node.ops) != 1 or type(node.ops[0]) not in _COMPARISONS:
        raise ValueError(f"A constraint of `jm.vmap` compares two sizes by `>=`, `<=` or `==`; received {rule!r}.")
    left, right = _evaluate(node.left, values), _evaluate(node.comparators[0], values)
    return _COMPARISONS[type(node.ops[0])](left, right)


def names_first(rule: str) -> str:
    """The constraint with its names on the left, as JAX wants it: `t == 4` for `4 == t`."""
    node = _parse(rule)
    if not isinstance(node, ast.Compare) or _names_in(ast.unparse(node.left)) or not _names_in(rule):
        return rule
    left, right = ast.unparse(node.left), ast.unparse(node.comparators[0])
    return f"{right} {_MIRRORED[type(node.ops[0])]} {left}".replace("**", "^")


@functools.lru_cache(maxsize=4096)
def _names_in(text: str) -> frozenset[str]:
    return frozenset(node.id for node in ast.walk(_parse(text)) if isinstance(node, ast.Name)) - RESERVED


def names_in_rule(rule: str) -> frozenset[str]:
    """The names of the lengths in a constraint."""
    return _names_in(rule)


def names_in(dim: Any) -> frozenset[str]:
    """The names of the lengths in a size."""
    return _names_in(str(dim)) if is_symbolic(dim) else frozenset()


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> ast.expr:
    return ast.parse(text.replace("^", "**"), mode="eval").body


def _evaluate(node: ast.expr, values: Mapping[str, Any]) -> Any:
    match node:
        case ast.Constant(value):
            return value
        case ast.Name(name):
            return values[name]
        case ast.UnaryOp(ast.USub(), operand):
            return -_evaluate(operand, values)
        case ast.BinOp(left, op, right):
            return _BINARY[type(op)](_evaluate(left, values), _evaluate(right, values))
        case ast.Call(ast.Name(function), arguments):
            return _FUNCTIONS[function](*(_evaluate(argument, values) for argument in arguments))
    raise NotImplementedError(f"The size `{ast.unparse(node)}` is written in a way that jmask does not know.")


def _extremum(of_ints: Callable, of_arrays: str) -> Callable:
    def extremum(a: Any, b: Any) -> Any:
        if isinstance(a, int) and isinstance(b, int):
            return of_ints(a, b)
        on_host = all(isinstance(x, (int, np.ndarray)) for x in (a, b))
        return getattr(np if on_host else jnp, of_arrays)(a, b)

    return extremum


_FUNCTIONS: dict[str, Callable] = {
    "floordiv": operator.floordiv,
    "mod": operator.mod,
    "max": _extremum(max, "maximum"),
    "min": _extremum(min, "minimum"),
}


@functools.lru_cache(maxsize=4096)
def _largest(text: str, padded: tuple[tuple[str, int], ...]) -> int:
    """The largest value over all lengths from 1 to the padded size; if the size only grows, that at the last one."""
    node = _parse(text)
    if _only_grows(node):
        return max(_evaluate(node, dict(padded)), 0)
    if math.prod(size for _, size in padded) > _MOST_VALUES:
        raise NotImplementedError(f"The size `{text}` is too complicated for rows of {dict(padded)}.")
    grid = np.meshgrid(*(np.arange(1, size + 1) for _, size in padded), indexing="ij", sparse=True)
    values = {name: values for (name, _), values in zip(padded, grid, strict=True)}
    return max(int(np.max(_evaluate(node, values))), 0)


def _only_grows(node: ast.expr) -> bool:
    """Whether a larger length clearly never makes the value smaller."""
    match node:
        case ast.Constant() | ast.Name():
            return True
        case ast.BinOp(left, ast.Add(), right):
            return _only_grows(left) and _only_grows(right)
        case ast.BinOp(left, ast.Sub(), ast.Constant()):
            return _only_grows(left)
        case ast.BinOp(ast.Constant() | ast.Name(), ast.Mult(), right):
            return isinstance(right, ast.Name) or _only_grows_from_zero(right)
        case ast.BinOp(ast.Name(), ast.Pow(), ast.Constant()):
            return True
        case ast.Call(ast.Name("floordiv"), [argument, ast.Constant(value)]):
            return isinstance(value, int) and value > 0 and _only_grows(argument)
        case ast.Call(ast.Name("max" | "min"), arguments):
            return all(map(_only_grows, arguments))
    return False


def _only_grows_from_zero(node: ast.expr) -> bool:
    """The same for a factor, which must also not be negative."""
    match node:
        case ast.Constant(value):
            return isinstance(value, int) and value >= 0
        case ast.Name():
            return True
        case ast.BinOp(left, ast.Add() | ast.Mult(), right):
            return _only_grows_from_zero(left) and _only_grows_from_zero(right)
        case ast.Call(ast.Name("floordiv"), [argument, ast.Constant(value)]):
            return isinstance(value, int) and value > 0 and _only_grows_from_zero(argument)
    return False
