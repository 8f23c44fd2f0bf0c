"""Packed rows as arguments of `jm.vmap`: each sequence gets a row of its own inside the program."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..core.masked import Masked, is_masked
from ..core.packed_rows import sequence_rows, steps_of
from ..core.segment_ids import found_ids, ids_of, number_of_sequences
from .arguments import prefix
from .plan import BatchPlan


def with_rows_of_sequences(args: tuple[Any, ...], kwargs: dict[str, Any], in_axes: Any) -> tuple[Any, Any, list[Any]]:
    """The arguments with a row for each sequence of packed rows, and the packed rows, None for other leaves.

    A row is as long as a packed row, the only length that is known to be enough.

    Raises:
        ValueError: it is not known how many sequences there are, or `in_axes` is not 0 for packed rows.
    """
    leaves, structure = jax.tree.flatten((args, kwargs), is_leaf=is_masked)
    packed = [leaf if is_masked(leaf) and leaf.segment_ids is not None else None for leaf in leaves]
    if all(leaf is None for leaf in packed):
        return args, kwargs, packed
    axes = prefix(tuple(in_axes) if isinstance(in_axes, list) else in_axes, args, "in_axes")
    for leaf, axis in zip(packed, axes + [0] * (len(leaves) - len(axes)), strict=True):
        if leaf is not None and axis != 0:
            raise ValueError(
                "`jm.vmap` takes packed rows with `in_axes=0`: the function sees one sequence of them at a time; "
                f"received {axis!r}."
            )
    args, kwargs = structure.unflatten(
        leaf if x is None else sequence_rows(x, number_of_sequences(x, "`jm.vmap`"), x.mask.shape[-1])
        for leaf, x in zip(leaves, packed, strict=True)
    )
    return args, kwargs, packed


def packed_again(outputs: Sequence[Any], plan: BatchPlan, packed: Sequence[Any]) -> list[Any]:
    """Results of the sequences of packed rows.

    Args:
        outputs: what `jm.vmap` gives for a row for each sequence.
        plan: the programs.
        packed: the packed rows among the arguments, None for others.

    Returns:
        Steps that have the length of packed rows stand in these again. Other results have an entry for each sequence,
        under a mask of those that have a step.
    """
    found = [x for x in packed if x is not None]
    if not found:
        return list(outputs)
    sequences = jnp.stack([found_ids(x, "`jm.vmap`") for x in found]).any(0)
    by_name = {a.name: x for a, x in reversed(list(zip(plan.arguments.each, packed, strict=True))) if x is not None}
    results = []
    for output, out_spec in zip(outputs, plan.out_specs, strict=True):
        x = by_name.get(out_spec.name) if out_spec.rank == 1 else None
        if not isinstance(output, Masked):
            output = Masked(output, sequences)
        elif x is not None:
            ids = ids_of(x) if plan.are_all_run else ids_of(x) * steps_of(output.mask, x)
            output = Masked(steps_of(output.values, x), segment_ids=ids, num_sequences=x.num_sequences)
        results.append(output)
    return results
