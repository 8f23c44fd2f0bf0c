"""Reductions over each sequence of packed rows, and their results brought back to the steps."""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array

from ..core.arithmetic import expand
from ..core.explicit_axes import as_whole, divided_by_row, rows_at, sum_over_steps
from ..core.masked import Masked
from ..core.segment_ids import ids_of, number_of_sequences, sequence_starts


@dataclasses.dataclass(frozen=True, eq=False)
class Sequences:
    """Which sequence each step belongs to.

    Attributes:
        index: int32 in the shape of the mask; `number` at steps that belong to none.
        number: how many results there are, one for each sequence and 0 (or the identity) for the others.
    """

    index: Array
    number: int

    def sum(self, values: Array) -> Array:
        """The sums of values `(*mask.shape, ...)` over the steps of each sequence, `(number, ...)`."""

        def total(values: Array, index: Array) -> Array:
            return jax.ops.segment_sum(*_flat(values, index), self.number)

        return sum_over_steps(total, values.astype(_wide(values.dtype)), self.index).astype(values.dtype)

    def extreme(self, values: Array, *, largest: bool = True) -> Array:
        """The largest or smallest values, `(number, ...)`; those of the dtype where there are no steps."""
        is_float = jnp.issubdtype(values.dtype, jnp.inexact)
        extreme = _differentiable_extreme if is_float else _segment_extreme
        return as_whole(lambda *args: extreme(*_flat(*args), self.number, largest), values, self.index)

    def pick(self, values: Array, found: Array) -> Array:
        """The values of the one step of each sequence where `found` is true; 0 where there is none."""

        def picked(values: Array, index: Array, found: Array) -> Array:
            flat, index = _flat(values, index)
            places = jnp.full(self.number, index.size, jnp.int32)
            index = jnp.where(found.ravel(), index, self.number)
            places = places.at[index].set(jnp.arange(index.size, dtype=jnp.int32), mode="drop")
            return flat.at[places].get(mode="fill", fill_value=0)

        return as_whole(picked, values, self.index, found)

    def at_steps(self, results: Array) -> Array:
        """Brings results `(number, ...)` back to the steps, `(*mask.shape, ...)`; 0 at steps of no sequence."""
        return rows_at(results, self.index, mode="fill", fill_value=0)


def product(values: Array, axes: Sequence[int], *, keepdims: bool = False) -> Array:
    """The product over axes; with explicit mesh axes its gradient does not say how it is laid out."""
    function = functools.partial(jnp.prod, axis=tuple(axes), keepdims=keepdims)
    return (as_whole if 0 in axes else divided_by_row)(function, values)


def by_id(x: Masked, name: str) -> Sequences:
    """The sequences by their ids; raises if their number is not known."""
    number, ids = number_of_sequences(x, name), jnp.asarray(ids_of(x))
    return Sequences(jnp.where((ids > 0) & (ids <= number), ids - 1, number), number)


def by_start(x: Masked) -> Sequences:
    """The sequences by the place of their first step, for results at the steps, where no number is needed."""
    mask, size = jnp.asarray(x.mask), x.mask.size
    places = jnp.arange(size, dtype=jnp.int32).reshape(mask.shape)
    begins = sequence_starts(mask, ids_of(x))
    return Sequences(jnp.where(mask, lax.cummax(jnp.where(begins, places, 0), mask.ndim - 1), size), size)


def reduce_each(x: Masked, axes: tuple[int, ...], keepdims: bool, name: str) -> Masked:
    """One result for each sequence.

    Args:
        x: packed rows.
        axes: time, and any axes behind it.
        keepdims: whether the axes stay, with size 1: time behind the axis of the sequences.
        name: of the reduction in `jm.ops`.

    Returns:
        Values `(num_sequences, ...)` with a mask `(num_sequences,)`, or `(num_sequences, 1)` with `keepdims`: True for
        ids that have steps.
    """
    rank = x.mask.ndim
    sequences = by_id(x, f"`{name}` over time")
    behind = [axis for axis in axes if axis >= rank]
    found = sequences.sum(jnp.asarray(x.mask).astype(jnp.int32)) > 0
    results = _REDUCTIONS[name](sequences, x, behind, found)
    if keepdims:
        return Masked(jnp.expand_dims(results, (1, *(axis - rank + 2 for axis in behind))), found[:, None])
    return Masked(results, found)


def _sum(sequences: Sequences, x: Masked, axes: list[int], _: Array) -> Array:
    values = x.fill(0)
    dtype = jax.eval_shape(jnp.sum, values).dtype
    return sequences.sum(jnp.sum(values, axes, dtype=_wide(dtype))).astype(dtype)


def _mean(sequences: Sequences, x: Masked, axes: list[int], _: Array) -> Array:
    dtype = jnp.result_type(x.dtype, float)
    wide = _wide(dtype)
    total = sequences.sum(jnp.sum(x.fill(0), axes, dtype=wide))
    count = sequences.sum(jnp.asarray(x.mask).astype(jnp.int32)) * math.prod(x.shape[axis] for axis in axes)
    return (total / expand(jnp.maximum(count, 1), total.ndim).astype(wide)).astype(dtype)


def _extreme(sequences: Sequences, x: Masked, axes: list[int], found: Array, *, largest: bool) -> Array:
    values = jnp.asarray(x.fill(0))
    if 0 in (values.shape[axis] for axis in axes):
        shape = [size for axis, size in enumerate(values.shape) if axis >= x.mask.ndim and axis not in axes]
        return jnp.zeros((sequences.number, *shape), values.dtype)
    is_bool = values.dtype == bool
    values = (jnp.max if largest else jnp.min)(values, axes) if axes else values
    peaks = sequences.extreme(values.astype(jnp.int32) if is_bool else values, largest=largest)
    return jnp.where(expand(found, peaks.ndim), peaks, 0).astype(values.dtype)


def _any(sequences: Sequences, x: Masked, axes: list[int], _: Array) -> Array:
    return sequences.sum(jnp.any(x.fill(0), axes).astype(jnp.int32)) > 0


def _all(sequences: Sequences, x: Masked, axes: list[int], _: Array) -> Array:
    return sequences.sum(1 - jnp.all(x.fill(1), axes).astype(jnp.int32)) == 0


def _prod(sequences: Sequences, x: Masked, axes: list[int], found: Array) -> Array:
    """By a scan: the gradient of a scatter of products is not known where some of them are 0."""
    values = product(jnp.asarray(x.fill(1)), axes)
    mask, ids = jnp.asarray(x.mask), ids_of(x)
    begins, ends = (sequence_starts(mask, ids, reverse=reverse) for reverse in (False, True))

    def combine(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        (begun, total), (begins, value) = left, right
        return begun | begins, jnp.where(begins, jnp.ones((), value.dtype), total) * value

    _, products = lax.associative_scan(combine, (expand(begins, values.ndim), values), axis=mask.ndim - 1)
    totals = sequences.sum(jnp.where(expand(ends, values.ndim), products, jnp.zeros((), values.dtype)))
    return jnp.where(expand(found, totals.ndim), totals, jnp.ones((), totals.dtype)).astype(values.dtype)


_REDUCTIONS = {
    "sum": _sum,
    "mean": _mean,
    "max": functools.partial(_extreme, largest=True),
    "min": functools.partial(_extreme, largest=False),
    "any": _any,
    "all": _all,
    "prod": _prod,
}


def _flat(values: Array, index: Array) -> tuple[Array, Array]:
    """Steps one after the other, and the index of each."""
    return values.reshape(index.size, *values.shape[index.ndim :]), index.ravel()


def _segment_extreme(values: Array, index: Array, number: int, largest: bool) -> Array:
    return (jax.ops.segment_max if largest else jax.ops.segment_min)(values, index, number)


@functools.partial(jax.custom_jvp, nondiff_argnums=(2, 3))
def _differentiable_extreme(values: Array, index: Array, number: int, largest: bool) -> Array:
    """The extremes of floats; as in `jnp.max`, equal ones share the gradient. JAX has no rule for the scatter."""
    return _segment_extreme(values, index, number, largest)


@_differentiable_extreme.defjvp
def _(number: int, largest: bool, primals: Any, tangents: Any) -> tuple[Array, Array]:
    (values, index), tangent = primals, tangents[0]
    peaks = _differentiable_extreme(values, index, number, largest)
    is_peak = (values == peaks.at[index].get(mode="fill", fill_value=0)) | jnp.isnan(values)
    count = jax.ops.segment_sum(is_peak.astype(values.dtype), index, number)
    total = jax.ops.segment_sum(jnp.where(is_peak, tangent, 0), index, number)
    return peaks, total / jnp.maximum(count, 1)


def _wide(dtype: Any) -> Any:
    return jnp.promote_types(dtype, jnp.float32) if jnp.issubdtype(dtype, jnp.inexact) else dtype
