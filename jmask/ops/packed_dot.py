"""The dot product of packed rows: steps meet those of their own sequence only."""

from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
from jax import lax

from ..core.arithmetic import Marks, expand, joint_number, rebuild
from ..core.masked import Masked, segment_ids_of
from ..core.packed_rows import sequence_rows, steps_of
from ..core.segment_ids import ids_of, number_of_sequences
from .packed_steps import check_distinct_ids

SMALLEST_SQUARE = 1e-12  # of a norm, so that a vector of zeros stays zero


def dot_of_packed(xs: Sequence[Any], axes: tuple[int, int], normalize: bool, dot: Callable[..., Any]) -> Any:
    """`jm.ops.dot` where an input is packed.

    Steps against steps, and the product of these with steps again, stay within the rows. Sums over the steps of a
    sequence have a row for each sequence, which needs their number.

    Args:
        xs: the two inputs.
        axes: the axis of each that is summed over, counted from the front.
        normalize: as for `jm.ops.dot`.
        dot: the function for rows that are not packed.
    """
    ranks = [segment_ids_of(x).ndim if segment_ids_of(x) is not None else 0 for x in xs]
    if ranks == [2, 2] and min(axes) > 1:
        return _pairs(xs, axes, normalize, dot)
    if ranks == [3, 2] and axes == (2, 1):
        return _weighted_sums(xs, normalize)
    packed = [x for x in xs if segment_ids_of(x) is not None]
    if max(ranks) > 2:
        raise ValueError(
            "`dot` of packed rows takes values (batch, time, ...), or their product with one another over time, "
            f"`axes=(2, 1)`; received {[tuple(x.shape) for x in xs]} with `axes={axes}`. Give each sequence a row of "
            "its own first, `jm.unpack_batch(x, num_sequences, length)`."
        )
    numbers = {number_of_sequences(x, "`dot`") for x in packed}
    number, width = max(numbers), max(x.shape[1] for x in packed)
    rows = [sequence_rows(x, number, width) if segment_ids_of(x) is not None else x for x in xs]
    for x in rows:
        if x.shape[0] != number:
            raise ValueError(
                f"`dot`: next to packed rows, an input has an entry for each sequence, ({number}, ...); received "
                f"{tuple(x.shape)}. Give it segment ids if it has a step for each of theirs."
            )
    product = dot(rows, axes, normalize=normalize)
    kept = [x for x, rank, axis in zip(xs, ranks, axes, strict=True) if rank and axis > 1]
    if kept and isinstance(product, Masked) and product.mask.shape == (number, width):
        return Masked(steps_of(product.values, kept[0]), segment_ids=ids_of(kept[0]), num_sequences=number)
    return product


def _pairs(xs: Sequence[Any], axes: tuple[int, int], normalize: bool, dot: Callable[..., Any]) -> Masked:
    """Steps against steps: real where both belong to one sequence."""
    for x in xs:
        check_distinct_ids(x, "`dot`")
    product = dot([x.with_segment_ids(None) for x in xs], axes, normalize=normalize)
    first, second = (jnp.asarray(ids_of(x)) for x in xs)
    between = (1,) * (xs[0].ndim - 3)  # the other features of the first input
    first = first.reshape(*first.shape, *between, 1)
    second = second.reshape(second.shape[0], 1, *between, second.shape[1])
    ids = jnp.where(first == second, first, 0)
    return rebuild(xs[0], product.values, Marks(ids > 0, ids))


def _weighted_sums(xs: Sequence[Any], normalize: bool) -> Masked:
    """Pairs of steps against steps: `(batch, time, steps, ...)` and `(batch, steps, ...)` give `(batch, time, ...)`."""
    pairs, steps = xs
    ids = jnp.asarray(ids_of(pairs)) * (ids_of(pairs) == ids_of(steps)[:, None])
    dtype = jnp.result_type(pairs.values, steps.values)
    wide = jnp.promote_types(dtype, jnp.float32) if normalize else dtype
    x = jnp.where(expand(ids > 0, pairs.ndim), jnp.asarray(pairs.values), 0).astype(wide)
    y = jnp.asarray(steps.fill(0)).astype(wide)
    total = _summed(x, y)
    if normalize:
        # A vector over time has another norm in each sequence, so the sum of its squares is taken for each pair, too.
        squares = jnp.square(x).sum(2)
        others = _summed(expand(ids > 0, pairs.ndim).astype(wide), jnp.square(y))
        squares = expand(squares, total.ndim)
        total *= lax.rsqrt(jnp.maximum(squares, SMALLEST_SQUARE)) * lax.rsqrt(jnp.maximum(others, SMALLEST_SQUARE))
    number = joint_number(pairs.num_sequences, steps.num_sequences)
    return Masked(total.astype(dtype), segment_ids=ids.max(2, initial=0), num_sequences=number)


def _summed(x: Any, y: Any) -> Any:
    return lax.dot_general(x, y, (((2,), (1,)), ((0,), (0,))))
