"""From rows to results: arrays, or `Masked` where the shape of a result depends on a length."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np

from ..core.arithmetic import expand
from ..core.masked import Masked
from ..core.step_order import StepPermutation
from .padded import Padded, select
from .sizes import names_in
from .symbols import Symbols
from .trace import Program


@dataclasses.dataclass(frozen=True)
class OutSpec:
    """How one result is returned.

    Attributes:
        rank: the rank of its mask within a row; 0 if it has none.
        has_mask: whether the function returned a `Masked`.
        name: the name of the length of its first axis, if that is its only ragged axis and exactly this length.
    """

    rank: int
    has_mask: bool
    name: str | None


def out_specs(program: Program, symbols: Symbols) -> list[OutSpec]:
    """How each result is returned, by its symbolic shape."""
    variables = frozenset(symbols.variables.values())
    found, shapes = [], iter([tuple(aval.shape) for aval in program.jaxpr.out_avals])
    for has_mask in program.has_mask:
        shape = next(shapes)
        mask_rank = len(next(shapes)) if has_mask else 0
        ragged = [axis for axis, dim in enumerate(shape) if not names_in(dim).isdisjoint(variables)]
        names = [name for name, dim in symbols.own.items() if ragged == [0] and shape[0] == dim]
        name = names[0] if names else None
        found.append(OutSpec(max(mask_rank, *(axis + 1 for axis in ragged), 0), has_mask, name))
    return found


def unpad_result(out_spec: OutSpec, parts: Sequence[Padded], nonempty: Any, is_wrong: Any = None) -> tuple[Any, Any]:
    """One result of one row: values with zeros in the padding, and their mask, None if they need none.

    Args:
        out_spec: how it is returned.
        parts: its values, and its mask if it is a `Masked`.
        nonempty: whether the row is one to run.
        is_wrong: whether the row violates what the user declared, so that no number is right.
    """
    values = parts[0]
    real = values.valid() & nonempty if values.is_ragged else nonempty
    mask = None
    if out_spec.rank:
        shape = values.array.shape[: out_spec.rank]
        mask = jnp.broadcast_to(jnp.reshape(real, np.shape(real)[: out_spec.rank] if np.ndim(real) else ()), shape)
        if out_spec.has_mask:
            mask &= expand(parts[1].fill(False), out_spec.rank)
        real = expand(mask, values.ndim)
    array = values.array if is_wrong is None else select(is_wrong, no_number(values.dtype), values.array)
    return select(real, array, 0), mask


def no_number(dtype: Any) -> Any:
    """What JAX puts where there is no value: NaN, or the integer least likely to be taken for a value."""
    if jnp.issubdtype(dtype, jnp.inexact):
        return jnp.asarray(jnp.nan, dtype)
    if jnp.issubdtype(dtype, jnp.integer):
        info = jnp.iinfo(dtype)
        return jnp.asarray(info.min or info.max, dtype)
    return jnp.zeros((), dtype)


def stack_results(
    out_spec: OutSpec, values: Any, mask: Any, orders: Mapping[str, StepPermutation | None], are_all_run: bool
) -> Any:
    """One result of the batch, with its steps in their original places.

    Args:
        out_spec: how it is returned.
        values: `(batch, ...)`.
        mask: `(batch, ...)` or None.
        orders: by the name of a length, where its steps were.
        are_all_run: whether every row that has steps was run.
    """
    if not out_spec.rank:
        return values
    order = orders.get(out_spec.name or "")
    if order is None:
        return Masked(values, mask)
    time = order.mask.shape[-1]
    if time != values.shape[1]:  # the program needed more
        values, mask = values[:, :time], mask[:, :time]
    order = StepPermutation(order.moves, jnp.broadcast_to(order.mask, values.shape[:2]))
    values = order(values).values
    mask = order(mask).values if mask.ndim > 2 or not are_all_run else order.mask
    return Masked(values, mask)


def move_axis(result: Any, axis: int | None) -> Any:
    """A result of the batch with its batch axis moved."""
    if axis is None:
        raise ValueError("`out_axes` of `jm.vmap` says where the batch's axis is, and all results have one: not None.")
    if axis == 0:
        return result
    if not isinstance(result, Masked):
        return jnp.moveaxis(result, 0, axis)
    place = axis + result.ndim if axis < 0 else axis
    if place >= result.mask.ndim:
        raise ValueError(
            f"`out_axes` of `jm.vmap` for a result with a mask is an axis of its mask too, which has "
            f"{result.mask.ndim}; received {axis}."
        )
    return Masked(jnp.moveaxis(result.values, 0, place), jnp.moveaxis(result.mask, 0, place))
