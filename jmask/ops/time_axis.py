"""Moving steps along time: with their padding, or among the real steps of each sequence."""

import operator
from typing import Any, overload

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike

from ..core.constructors import as_masked
from ..core.masked import Masked, like, values_of
from ..core.segment_ids import ids_of, sequence_starts
from ..core.step_order import real_steps_first, take_steps
from .kinds import same_kind


@same_kind
def flip(x: Masked | ArrayLike) -> Masked | Array:
    """Reverses the whole time axis, as `jnp.flip` does: padding moves to the other side, `[1 2 ·]` to `[· 2 1]`.

    `jm.ops.reverse` reverses the real steps only, and padding stays where it is: `[1 2 ·]` to `[2 1 ·]`. In packed rows
    the segment ids are flipped with the steps: each sequence is reversed, and the last one of a row comes first.

    Args:
        x: values `(batch, time, ...)` with a mask `(batch, time)`, or an array, in which axis 1, or the only axis, is
            time.

    Returns:
        The values in the same shape; a `Masked` stays one. An empty row stays empty.

    Raises:
        ValueError: there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.flip(jm.from_lengths(jnp.array([[1, 2, 9]]), [2]))
    Masked(int32[1, 3], lengths=[2])
    [[· 2 1]]
    """
    check_time(x, "flip")
    axis = time_axis(x)
    if not isinstance(x, Masked):
        return jnp.flip(x, axis)
    if x.segment_ids is not None:
        return Masked(jnp.flip(x.values, axis), None, jnp.flip(x.segment_ids, axis), x.num_sequences)
    return Masked(jnp.flip(x.values, axis), jnp.flip(x.mask, axis))


@same_kind
def reverse(x: Masked | ArrayLike) -> Masked | Array:
    """Reverses the real steps of each sequence; padding stays where it is, `[1 2 ·]` to `[2 1 ·]`.

    `jm.ops.flip` reverses the whole time axis, padding included: `[1 2 ·]` to `[· 2 1]`.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time. Each sequence of a packed row is reversed on its own.

    Returns:
        The shape and mask of `x`. An empty row stays empty and passes no gradient.

    Raises:
        ValueError: there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.reverse(jm.from_lengths(jnp.array([[1, 2, 9]]), [2]))
    Masked(int32[1, 3], lengths=[2])
    [[2 1 ·]]
    """
    rank, first, last = _ranks(x, "reverse")
    return _take_ranked(x, first + last - rank)


@same_kind
def roll(x: Masked | ArrayLike, n: int) -> Masked | Array:
    """Moves the real steps of each sequence by `n` steps; those that leave at one end come in at the other.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time. Each sequence of a packed row is rolled on its own.
        n: number of steps; negative towards the start.

    Returns:
        The shape and mask of `x`. An empty row stays empty and passes no gradient.

    Raises:
        TypeError: `n` is not an integer.
        ValueError: there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.roll(jm.from_lengths(jnp.array([[1, 2, 3, 9]]), [3]), 1)
    Masked(int32[1, 4], lengths=[3])
    [[3 1 2 ·]]
    """
    n = _number_of_steps(n, "roll")
    rank, first, last = _ranks(x, "roll")
    length = jnp.maximum(last - first + 1, 1)
    return _take_ranked(x, first + (rank - first - n) % length)


@overload
def shift(x: Masked, n: int = 1, *, fill_value: Any = None) -> Masked: ...
@overload
def shift(x: ArrayLike, n: int = 1, *, fill_value: None = None) -> Masked: ...
@overload
def shift(x: ArrayLike, n: int = 1, *, fill_value: ArrayLike) -> Array: ...
def shift(x: Masked | ArrayLike, n: int = 1, *, fill_value: Any = None) -> Masked | Array:
    """Moves the real steps of each sequence by `n` steps; those that leave are lost, and padding comes in.

    With `n=-1` it makes the targets of a language model from its inputs: each step becomes the next one, and the last
    step of each sequence, which has none, becomes padding, so that it counts in no loss. (`logits[:, :-1]` against
    `ids[:, 1:]` goes by index instead, and pairs a step before padding with nothing.) With `n=1` each step becomes the
    one before: `x - jm.ops.shift(x)` are differences of neighbours, and with a `fill_value` for the first step it makes
    the inputs of a decoder from its targets.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time. Each sequence of a packed row is shifted on its own.
        n: number of steps; negative towards the start.
        fill_value: a real value that comes in instead of padding: a scalar, or an array that broadcasts against the
            values; it must fit their dtype.

    Returns:
        A `Masked` in the shape of `x`; the steps that a real step has moved to are real. With `fill_value`, the shape
        and mask of `x` (an array for an array), and `fill_value` at padded steps too. An empty row stays empty and
        passes no gradient.

    Raises:
        TypeError: `n` is not an integer, or `fill_value` does not fit the dtype.
        ValueError: there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1, 2, 3, 9]]), [3])
    >>> jm.ops.shift(x, -1).fill(0).tolist(), jm.ops.shift(x, -1).lengths.tolist()
    ([[2, 3, 0, 0]], [2])
    >>> jm.ops.shift(x, fill_value=-1).fill(0).tolist()
    [[-1, 1, 2, 0]]
    """
    n = _number_of_steps(n, "shift")
    rank, first, last = _ranks(x, "shift")
    rank = rank - n
    batch = as_masked(x)
    is_inside = batch.mask & (first <= rank) & (rank <= last)
    taken = values_of(_take_ranked(x, jnp.clip(rank, first, last)))
    if fill_value is None:
        ids = ids_of(batch)
        return Masked(taken, is_inside, None if ids is None else ids * is_inside, batch.num_sequences)
    shifted = Masked(taken, is_inside).fill(fill_value)
    return like(x, shifted)


def time_axis(x: Any) -> int:
    """The last axis of the mask; in an array axis 1, or the only axis; -1 if there is none."""
    return x.mask.ndim - 1 if isinstance(x, Masked) else min(1, np.ndim(values_of(x)) - 1)


def check_time(x: Any, name: str) -> None:
    """Raises if there is no time axis."""
    if time_axis(x) < 0:
        raise ValueError(f"`{name}` needs a time axis; received values {np.shape(values_of(x))} without one: one step.")


def _ranks(x: Any, name: str) -> tuple[Array, Array, Array]:
    """The rank of each real step among those of its row, and of the first and the last step of its sequence.

    Padded steps have the ranks of a real one, or 0, -1 in rows that have none.
    """
    check_time(x, name)
    x = as_masked(x)
    mask, ids, axis = jnp.asarray(x.mask), ids_of(x), time_axis(x)
    rank = jnp.cumsum(mask, axis, dtype=jnp.int32) - 1
    if ids is None:
        return rank, jnp.zeros_like(rank), jnp.broadcast_to(rank[..., -1:], rank.shape)
    begins = sequence_starts(mask, ids)
    ends = sequence_starts(mask, ids, reverse=True)
    first = lax.cummax(jnp.where(begins, rank, 0), axis)
    last = lax.cummin(jnp.where(ends, rank, mask.shape[-1]), axis, reverse=True)
    return rank, first, last


def _take_ranked(x: Any, rank: Array) -> Any:
    """Takes at each real step the real step of its row with this rank; padding is unchanged."""
    masked = as_masked(x)
    rank = jnp.where(masked.mask, rank, 0)
    place = take_steps(real_steps_first(masked.mask), rank)
    place = jnp.where(masked.mask, place, jnp.arange(masked.mask.shape[-1], dtype=jnp.int32))
    values = take_steps(jnp.asarray(masked.values), place)
    return like(x, values)


def _number_of_steps(n: Any, name: str) -> int:
    try:
        return operator.index(n)
    except TypeError:
        raise TypeError(f"`n` of `{name}` is a number of steps, an integer; received {n!r}.") from None
