"""Runs the program of one sequence on the rows of a padded batch."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .arguments import Argument, BatchArguments
from .evaluate import run_program
from .padded import Padded, select
from .results import OutSpec, stack_results, unpad_result
from .rows import (
    RaggedRows,
    RowLengths,
    detach_if_unused,
    find_fillers,
    lending_row,
    merge_lengths,
    pad_row,
    read_rows,
)
from .sizes import Sizes, holds
from .symbols import Symbols
from .trace import Program


@dataclasses.dataclass(frozen=True)
class Variant:
    """The program for rows in which certain sequences are empty and the others are not.

    Attributes:
        empty: the names of the lengths that are 0.
        symbols: the symbols, with 0 for these lengths.
        program: the function, traced on such sequences.
    """

    empty: frozenset[str]
    symbols: Symbols
    program: Program


@dataclasses.dataclass(frozen=True)
class BatchPlan:
    """All that is known of a call without its values.

    Attributes:
        arguments: the arguments.
        variants: the programs; the first is for rows without an empty sequence.
        out_specs: how each result is returned.
    """

    arguments: BatchArguments
    variants: tuple[Variant, ...]
    out_specs: tuple[OutSpec, ...]

    @property
    def main(self) -> Variant:
        """The program for rows without an empty sequence."""
        return self.variants[0]

    @property
    def constants(self) -> list[list[Any]]:
        """The arrays that the programs close over."""
        return [variant.program.jaxpr.consts for variant in self.variants]

    @property
    def are_all_run(self) -> bool:
        """Whether every row that has steps is run."""
        return sum(a.mask_rank is not None for a in self.arguments.each) == 1 and not self.main.symbols.constraints


@dataclasses.dataclass(frozen=True)
class InSpec:
    """One array of the arguments, with the batch axis first if it has one, and an abstract row of it."""

    array: Any
    is_batched: bool
    spec: jax.ShapeDtypeStruct


def evaluate_batch(plan: BatchPlan, leaves: Sequence[Any], constants: Sequence[Sequence[Any]]) -> list[Any]:
    """Computes the results of the batch, arrays and `Masked`.

    Args:
        plan: the programs.
        leaves: the arguments, arrays and `Masked`.
        constants: used instead of the constants of the programs.
    """
    size = plan.arguments.size
    rows = [_row(leaf, argument) for leaf, argument in zip(leaves, plan.arguments.each, strict=True)]
    ragged = [row for row in rows if isinstance(row, RaggedRows)]
    lengths = merge_lengths(ragged, size)
    results = _run(plan, plan.main, rows, lengths, constants[0], lengths.have(()))
    for variant, consts in zip(plan.variants[1:], constants[1:], strict=True):
        nonempty = lengths.have(variant.empty)

        def replaced(results: Any, variant: Any = variant, consts: Any = consts, nonempty: Any = nonempty) -> Any:
            found = _run(plan, variant, rows, lengths, consts, nonempty)
            return [_choose(nonempty, new, old) for new, old in zip(found, results, strict=True)]

        # Devices must not take different branches: a collective in one of them would wait forever.
        is_alone = not jax.sharding.get_abstract_mesh().manual_axes
        results = lax.cond(nonempty.any(), replaced, lambda old: old, results) if is_alone else replaced(results)
    orders = {row.name: row.order for row in reversed(ragged) if row.name is not None}
    return [
        stack_results(out_spec, values, mask, orders, plan.are_all_run)
        for out_spec, (values, mask) in zip(plan.out_specs, results, strict=True)
    ]


def _row(leaf: Any, argument: Argument) -> Any:
    if argument.mask_rank is not None:
        return read_rows(leaf, argument.axis, argument.name)
    return jnp.moveaxis(leaf, argument.axis, 0) if argument.axis else leaf


def _run(
    plan: BatchPlan, variant: Variant, rows: Sequence[Any], lengths: RowLengths, constants: Sequence[Any], nonempty: Any
) -> list[tuple[Any, Any]]:
    """Values and masks of the results of one program, for the rows to run."""
    symbols = variant.symbols
    padded = {symbols.variables[name]: plan.arguments.times[name] for name in symbols.variables}
    counts = {symbols.variables[name]: lengths.counts[name] for name in symbols.variables}
    for rule in symbols.constraints:
        nonempty &= holds(rule, lengths.counts)
    in_specs = _in_specs(plan, variant, rows, padded)
    lender = lending_row(nonempty)
    counts, fillers = find_fillers(nonempty, lender, counts, in_specs, padded)
    constants = detach_if_unused(constants, lender)
    shared = iter(detach_if_unused([in_spec.array for in_spec in in_specs if not in_spec.is_batched], lender))
    arrays = [in_spec.array if in_spec.is_batched else next(shared) for in_spec in in_specs]

    def row_function(counts: dict[str, Any], nonempty: Any, is_wrong: Any, arrays: list[Any]) -> list[Any]:
        sizes = Sizes(padded, counts, symbols.outer, nonempty)
        operands = [Padded(array, in_spec.spec.shape, sizes) for array, in_spec in zip(arrays, in_specs, strict=True)]
        operands = [pad_row(row, other, nonempty) for row, other in zip(operands, fillers, strict=True)]
        found = iter(run_program(variant.program.jaxpr, sizes, operands, constants=constants))
        return [
            unpad_result(out_spec, [next(found) for _ in range(1 + out_spec.has_mask)], nonempty, is_wrong)
            for out_spec in plan.out_specs
        ]

    axes = (0, 0, 0, [0 if in_spec.is_batched else None for in_spec in in_specs])
    mapped = jax.vmap(row_function, in_axes=axes, axis_size=plan.arguments.size)
    return mapped(counts, nonempty, lengths.is_wrong, arrays)


def _in_specs(plan: BatchPlan, variant: Variant, rows: Sequence[Any], padded: dict[str, Any]) -> list[InSpec]:
    """All arrays of the arguments, in the sizes that the program takes."""
    sizes, found = Sizes(padded, {}, variant.symbols.outer), []
    for row, argument in zip(rows, plan.arguments.each, strict=True):
        specs = argument.specs(variant.symbols)
        if isinstance(row, RaggedRows):
            fitted = row.fitted(sizes.padded_size(specs[0].shape[0])) if row.name is not None else row
            arrays = [fitted.values, fitted.mask]
        else:
            arrays = [row]
        found += [InSpec(a, argument.axis is not None, spec) for a, spec in zip(arrays, specs, strict=False)]
    return found


def fits_main_program(out_spec: OutSpec, main: Sequence[Any], own: Sequence[Any]) -> bool:
    """Whether results of one program can replace those of the main one.

    Args:
        out_spec: how the result is returned.
        main: its padded shape in the main program.
        own: its padded shape in the other one.
    """
    if len(main) != len(own) or tuple(main[out_spec.rank :]) != tuple(own[out_spec.rank :]):
        return False
    return all(isinstance(a, int) and isinstance(b, int) and b <= a for a, b in zip(main, own, strict=True))


def _choose(nonempty: Any, new: tuple[Any, Any], old: tuple[Any, Any]) -> tuple[Any, Any]:
    """The values and mask of the rows, taken from the other program where it has run."""

    def choose(new: Any, old: Any) -> Any:
        if old is None:
            return None
        widths = [(0, a - b) for a, b in zip(old.shape, new.shape, strict=True)]
        return select(nonempty.reshape(-1, *(1,) * (old.ndim - 1)), jnp.pad(new, widths), old)

    return choose(new[0], old[0]), choose(new[1], old[1])
