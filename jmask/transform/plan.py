"""Which programs a call of `jm.vmap` runs: the function itself, and its variants for empty sequences."""

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from typing import Any

from .arguments import BatchArguments
from .batch import BatchPlan, Variant, fits_main_program
from .results import out_specs
from .rules import exchanges
from .sizes import Sizes
from .symbols import Symbols
from .trace import trace_program, try_trace

_MOST_LENGTHS = 3  # for which all combinations of empty sequences have programs


def plan_batch(fn: Callable[..., Any], arguments: BatchArguments, symbols: Symbols) -> BatchPlan:
    """The programs of `fn`.

    A row in which some sequences are empty and others are not has its own program, in which the empty ones have no
    steps: JAX assumes that symbolic sizes are at least 1. If the function is not defined for such sequences there is no
    program, and the row counts as empty; likewise if it exchanges arrays over an axis, since rows that take part in one
    sum must be in one program.

    Raises:
        SymbolicLengthError: the function asks for a length as a Python number.
    """
    program = trace_program(fn, arguments.structure, arguments.specs, symbols)
    main = Variant(frozenset(), symbols, program)
    found = [main]
    for empty in () if exchanges(program.jaxpr) else _combinations(symbols):
        own = {name: 0 if name in empty else dim for name, dim in symbols.own.items()}
        variables = {name: variable for name, variable in symbols.variables.items() if name not in empty}
        other = dataclasses.replace(symbols, own=own, variables=variables)
        program = try_trace(fn, arguments.structure, arguments.specs(other), other)
        variant = program and Variant(empty, other, program)
        if variant and _agree(arguments, main, variant):
            found.append(variant)
    return BatchPlan(arguments, tuple(found), tuple(out_specs(main.program, symbols)))


def _combinations(symbols: Symbols) -> Iterator[frozenset[str]]:
    """The names of lengths that may be 0 while others are not."""
    names = list(symbols.own)
    if set(names) == set(symbols.variables):
        most = len(names) if len(names) <= _MOST_LENGTHS else 2
        for size in range(1, most):
            yield from map(frozenset, itertools.combinations(names, size))


def _agree(arguments: BatchArguments, main: Variant, other: Variant) -> bool:
    """Whether the results of the two fit in one array."""
    if main.program.structure != other.program.structure or main.program.has_mask != other.program.has_mask:
        return False
    shapes = [_padded_shapes(arguments, variant) for variant in (main, other)]
    dtypes = [[aval.dtype for aval in variant.program.jaxpr.out_avals] for variant in (main, other)]
    own = out_specs(other.program, other.symbols)
    spec_of = [out_spec for out_spec in out_specs(main.program, main.symbols) for _ in range(1 + out_spec.has_mask)]
    ranks = all(a.rank <= b.rank for a, b in zip(own, out_specs(main.program, main.symbols), strict=True))
    return ranks and dtypes[0] == dtypes[1] and all(map(fits_main_program, spec_of, *shapes))


def _padded_shapes(arguments: BatchArguments, variant: Variant) -> list[tuple[Any, ...]]:
    symbols = variant.symbols
    padded = {symbols.variables[name]: arguments.times[name] for name in symbols.variables}
    sizes = Sizes(padded, {}, symbols.outer)
    return [tuple(map(sizes.padded_size, aval.shape)) for aval in variant.program.jaxpr.out_avals]
