"""Picking one step of each sequence."""

from typing import Any, SupportsIndex

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Integer

from ..core.arithmetic import expand, in_front
from ..core.constructors import as_masked
from ..core.masked import Masked, segment_ids_of, values_of
from ..core.segment_ids import index_in_sequence
from .kinds import array_for_array
from .linear import AnyArray
from .reduce import with_remaining_mask
from .segments import by_id
from .time_axis import check_time, time_axis


@array_for_array
def take(
    x: Masked | ArrayLike, n: SupportsIndex | Integer[AnyArray, "..."] | Masked, *, fill_value: Any = 0
) -> Masked | Array:
    """The `n`-th real step of each sequence, counted from 0.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time.
        n: which step, counted from the end if negative; an integer, or one for each row, `(batch,)`, such as
            `jm.ops.argmax(x, 1)`; for packed rows one for each sequence, `(num_sequences,)`.
        fill_value: the result for a row without such a step: a scalar, or an array that broadcasts against the result;
            it must fit the dtype.

    Returns:
        `(batch, ...)`; for a `Masked`, with a mask `(batch,)`, True for rows that have a real step; for a mask of rank
        3, `(documents, sentences, words)`, with one that is True for sentences that have a real word. Packed rows have
        one for each sequence, `(num_sequences, ...)`, by id. An empty row gives `fill_value` and passes no gradient.

    Raises:
        TypeError: `n` is not an integer, or `fill_value` does not fit the dtype.
        ValueError: there is no time axis, the shape of `n` does not fit, or rows are packed and the number of their
            sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1, 2, 9], [3, 9, 9]]), [2, 1])
    >>> jm.ops.take(x, 1, fill_value=-1).values.tolist()
    [2, -1]
    """
    return _take(x, n, fill_value, "take")


@array_for_array
def first(x: Masked | ArrayLike, *, fill_value: Any = 0) -> Masked | Array:
    """The first real step of each sequence: `jm.ops.take(x, 0)`.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time.
        fill_value: the result for a row without a real step: a scalar, or an array that broadcasts against the result;
            it must fit the dtype.

    Returns:
        `(batch, ...)`; for a `Masked`, with a mask `(batch,)`, True for rows that have a real step. Packed rows have
        one for each sequence, `(num_sequences, ...)`, by id. An empty row gives `fill_value` and passes no gradient.

    Raises:
        TypeError: `fill_value` does not fit the dtype.
        ValueError: there is no time axis, or rows are packed and the number of their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.first(jm.from_lengths(jnp.array([[9, 1, 2]]), [2], padding_side="left")).values.tolist()
    [1]
    """
    return _take(x, 0, fill_value, "first")


@array_for_array
def last(x: Masked | ArrayLike, *, fill_value: Any = 0) -> Masked | Array:
    """The last real step of each sequence: `jm.ops.take(x, -1)`.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time.
        fill_value: the result for a row without a real step: a scalar, or an array that broadcasts against the result;
            it must fit the dtype.

    Returns:
        `(batch, ...)`; for a `Masked`, with a mask `(batch,)`, True for rows that have a real step. Packed rows have
        one for each sequence, `(num_sequences, ...)`, by id. An empty row gives `fill_value` and passes no gradient.

    Raises:
        TypeError: `fill_value` does not fit the dtype.
        ValueError: there is no time axis, or rows are packed and the number of their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.last(jm.from_lengths(jnp.array([[1, 2, 9]]), [2])).values.tolist()
    [2]
    """
    return _take(x, -1, fill_value, "last")


def _take(x: Any, n: Any, fill_value: Any, name: str) -> Any:
    n = values_of(n)
    if not jnp.issubdtype(jnp.result_type(n), jnp.integer):
        raise TypeError(f"`n` of `{name}` counts steps, so it is an integer; received {n!r}.")
    check_time(x, name)
    if segment_ids_of(x) is not None:
        return _take_of_sequences(x, jnp.asarray(n), fill_value, name)
    x, is_masked = as_masked(x), isinstance(x, Masked)
    axis, mask, values = time_axis(x), jnp.asarray(x.mask), jnp.asarray(x.values)
    n = jnp.asarray(n)[..., None]
    if n.ndim > 1 and n.shape[:-1] != mask.shape[:-1]:
        raise ValueError(
            f"`n` of `{name}` is one integer, or one for each row, {mask.shape[:-1]}; received {n.shape[:-1]}."
        )
    if mask.shape[-1] == 0:  # no place to take a step from
        values, mask = (jnp.zeros((*a.shape[:axis], 1, *a.shape[axis + 1 :]), a.dtype) for a in (values, mask))
    rank = jnp.cumsum(mask, axis, dtype=jnp.int32) - 1
    n = in_front(n, rank.ndim)
    found = mask & (rank == jnp.where(n < 0, rank[..., -1:] + 1 + n, n))
    place = jnp.argmax(found, axis, keepdims=True)
    taken = jnp.take_along_axis(values, expand(place, values.ndim), axis, mode="promise_in_bounds").squeeze(axis)
    taken = Masked(taken, jnp.any(found, axis)).fill(fill_value)
    return with_remaining_mask(x, taken, (axis,), keepdims=False) if is_masked else taken


def _take_of_sequences(x: Masked, n: Array, fill_value: Any, name: str) -> Masked:
    sequences = by_id(x, f"`{name}` over time")
    if n.ndim and n.shape != (sequences.number,):
        raise ValueError(
            f"`n` of `{name}` is one integer, or for packed rows one for each sequence, ({sequences.number},); "
            f"received {n.shape}."
        )
    length = sequences.sum(jnp.asarray(x.mask).astype(jnp.int32))
    wanted = sequences.at_steps(jnp.where(n < 0, length + n, n))
    found = jnp.asarray(x.mask) & (index_in_sequence(x) == wanted)
    taken = sequences.pick(jnp.asarray(x.values), found)
    has_step = sequences.sum(found.astype(jnp.int32)) > 0
    return Masked(Masked(taken, has_step).fill(fill_value), length > 0)
