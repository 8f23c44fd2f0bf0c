"""Sizes that are not known yet: `batch`, `time`, and sizes that layers compute from them."""

import contextlib
import dataclasses
import functools
import keyword
import math
import re
from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

import jax
from jax import export

from ..transform.sizes import RESERVED, evaluate_dim, is_symbolic, names_in

_SCOPE = export.SymbolicScope()
_STEP = 120  # probe sizes are multiples of it, so that halves, thirds, quarters and fifths are whole


@functools.cache
def symbol(name: str) -> Any:
    """The symbolic dimension of this name; equal names are equal sizes."""
    return export.symbolic_shape(name, scope=_SCOPE)[0]


def is_name(text: str) -> bool:
    """Whether a string can name a size: a word without another meaning in an expression."""
    return text.isidentifier() and text.isascii() and not keyword.iskeyword(text) and text not in RESERVED


def is_named(size: Any) -> bool:
    """Whether a size is a symbol named by the user, or `batch`; `time` alone stands for any unknown size."""
    return is_symbolic(size) and str(size).isidentifier() and not re.fullmatch(r"time(_\d+)?", str(size))


def shape_text(shape: Any) -> str:
    """`(batch, time, 32)`."""
    return "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"


def symbols_in(specs: list[jax.ShapeDtypeStruct]) -> list[str]:
    """The names of all symbols in the shapes, sorted."""
    return sorted(frozenset().union(*(names_in(size) for spec in specs for size in spec.shape)))


def evaluate_size(size: Any, sizes: dict[str, int]) -> Any:
    """A symbolic size with numbers for its symbols."""
    return evaluate_dim(size, sizes) if is_symbolic(size) else size


def probe(infer: Callable[[list[Any]], list[Any]], specs: list[Any]) -> list[Any]:
    """Output shapes of a function that does not take symbolic sizes, from those at several concrete sizes.

    Args:
        infer: maps abstract inputs to abstract outputs.
        specs: `jax.ShapeDtypeStruct` with symbolic sizes.

    Returns:
        `jax.ShapeDtypeStruct` with sizes that are affine in the symbols, e.g. `floordiv(time, 2)`.

    Raises:
        ValueError: a size is not affine.
    """
    names = symbols_in(specs)
    base = _base_sizes(names)
    at_base = infer(_at(specs, base))
    nearby = {name: infer(_at(specs, base | {name: base[name] + _STEP})) for name in names}
    far = {name: 3 * size for name, size in base.items()}
    fits = [[_affine(axis, i, at_base, nearby, base) for axis in range(len(x.shape))] for i, x in enumerate(at_base)]
    divisor = max((fit.divisor for axes in fits for fit in axes), default=1)
    between = [base | {name: base[name] + rest} for name in names for rest in range(1, divisor)]
    found = [(far, infer(_at(specs, far))), *_where_defined(infer, specs, between)]
    outputs = []
    for i, spec in enumerate(at_base):
        axes = enumerate(fits[i])
        shape = tuple(fit.rounded([(sizes, at[i].shape[axis]) for sizes, at in found]) for axis, fit in axes)
        if None in shape:
            raise ValueError(f"its output sizes are not an affine function of {', '.join(names)}.")
        outputs.append(jax.ShapeDtypeStruct(shape, spec.dtype))
    return outputs


def at_some_size(tree: Any) -> Any:
    """Abstract values with numbers for their symbols: large, distinct, and divisible by small numbers."""
    specs, structure = jax.tree.flatten(tree)
    return structure.unflatten(_at(specs, _base_sizes(symbols_in(specs))))


def _base_sizes(names: list[str]) -> dict[str, int]:
    return {name: _STEP * (1 + 2 * i) for i, name in enumerate(names)}


@dataclasses.dataclass(frozen=True)
class _Affine:
    """The size `(scaled + rest) // divisor + constant`, whose `rest` below the divisor is not known yet.

    Attributes:
        scaled: a sum of multiples of symbols; 0 if no symbol takes part.
        divisor: a positive int.
        constant: an int.
    """

    scaled: Any
    divisor: int
    constant: int

    def rounded(self, found: list[tuple[dict[str, int], int]]) -> Any:
        """The size that fits all observations; None if none does."""
        for rest in range(self.divisor):
            parts = (self.scaled + rest) // self.divisor if self.divisor > 1 else self.scaled
            size = parts + self.constant
            if all(evaluate_size(size, sizes) == expected for sizes, expected in found):
                return size
        return None


def _affine(axis: int, i: int, at_base: list[Any], nearby: dict[str, list[Any]], base: dict[str, int]) -> _Affine:
    """The size of one axis, up to its rounding: at the base sizes nothing is rounded."""
    size = at_base[i].shape[axis]
    slopes = {name: Fraction(found[i].shape[axis] - size, _STEP) for name, found in nearby.items()}
    divisor = math.lcm(*(slope.denominator for slope in slopes.values()))
    scaled = sum(int(slope * divisor) * symbol(name) for name, slope in slopes.items() if slope)
    return _Affine(scaled, divisor, int(size - sum(slope * base[name] for name, slope in slopes.items())))


def _where_defined(infer: Callable[[list[Any]], list[Any]], specs: list[Any], sizes: list[dict[str, int]]) -> Iterator:
    """The outputs at these sizes, skipping those at which the function raises."""
    for at in sizes:
        with contextlib.suppress(Exception):
            yield at, infer(_at(specs, at))


def _at(specs: list[Any], sizes: dict[str, int]) -> list[Any]:
    return [jax.ShapeDtypeStruct(tuple(evaluate_size(s, sizes) for s in spec.shape), spec.dtype) for spec in specs]
