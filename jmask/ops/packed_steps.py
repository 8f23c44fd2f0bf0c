"""Steps of packed rows taken away, added and put together: each sequence on its own, in rows of static length.

A sequence is recognised by its id, which differs from the other ids of its row.
"""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax

from ..core.arithmetic import expand, in_front, joint_number
from ..core.display import is_concrete
from ..core.explicit_axes import divided_by_row
from ..core.masked import Masked
from ..core.segment_ids import ids_of, index_in_sequence, sequence_starts
from ..core.step_order import left_align, take_steps


def cropped(x: Masked, left: int, right: int) -> Masked:
    """Packed rows without so many real steps at both ends of each sequence, shorter by both numbers.

    A row that keeps a step has a sequence that loses `left + right` of them, so what is left fits.
    """
    after = index_in_sequence(_flipped(x))
    is_kept = (index_in_sequence(x) >= left) & (jnp.flip(after, -1) >= right)
    rest, _ = left_align(Masked(x.values, segment_ids=ids_of(x) * is_kept, num_sequences=x.num_sequences))
    return _first_steps(rest, max(x.mask.shape[-1] - left - right, 0))


def zero_padded(x: Masked, left: int, right: int, max_segments: int | None) -> Masked:
    """Packed rows with so many real steps of zeros at both ends of each sequence.

    Args:
        x: packed rows.
        left: the number of new steps before each sequence.
        right: the number of new steps after it.
        max_segments: the most sequences that a row has; None: as many as fit.

    Returns:
        Rows that are longer by `left + right` for each of these sequences.

    Raises:
        ValueError: a row has more sequences, where ids are concrete; where they are traced, the row becomes NaN.
    """
    x, _ = left_align(x)
    ids, axis = jnp.asarray(ids_of(x)), x.mask.ndim - 1
    time = ids.shape[-1]
    begins = sequence_starts(ids > 0, ids)
    number = jnp.cumsum(begins, axis, dtype=jnp.int32)
    known = time if x.num_sequences is None else min(time, x.num_sequences)
    most = known if max_segments is None else max_segments
    _check_most(number, max_segments)
    wide = time + (left + right) * most
    steps = in_front(jnp.arange(time, dtype=jnp.int32), ids.ndim)
    targets = jnp.where(ids > 0, steps + left * number + right * (number - 1), wide)
    sources = _scattered(jnp.broadcast_to(steps, ids.shape), targets, time, wide)
    starts = _scattered(ids, jnp.where(begins, targets - left, wide), 0, wide)
    places = in_front(jnp.arange(wide, dtype=jnp.int32), ids.ndim)
    last_start = lax.cummax(jnp.where(starts > 0, places, 0), axis)
    total = jnp.sum(ids > 0, -1, keepdims=True, dtype=jnp.int32) + (left + right) * number[..., -1:].sum(
        -1, keepdims=True
    )
    new_ids = jnp.where(places < total, take_steps(starts, last_start), 0)
    widths = [(0, 1 if a == axis else 0) for a in range(x.ndim)]  # one more step, which new ones take
    values = take_steps(jnp.pad(x.fill(0), widths), sources)
    if max_segments is not None:
        has_more = jnp.max(number, -1, initial=0) > max_segments
        values = jnp.where(expand(has_more, values.ndim), _no_number(x.dtype), values)
    return Masked(values, segment_ids=new_ids, num_sequences=x.num_sequences)


def steps_put_together(x: Masked, size: int, step: tuple[int, ...]) -> Masked:
    """Each `size` real steps of a sequence as one, of shape `step`; what makes no full step is left out."""
    x, _ = left_align(x)
    axis, after = x.mask.ndim - 1, index_in_sequence(_flipped(x))
    rows, time = x.shape[:axis], x.mask.shape[-1] // size
    is_first = x.mask & (index_in_sequence(x) % size == 0) & (jnp.flip(after, -1) >= size - 1)
    ids = ids_of(x) * is_first
    index = in_front(jnp.arange(x.mask.shape[-1], dtype=jnp.int32), ids.ndim) + jnp.zeros_like(ids)
    firsts = _first_steps(left_align(Masked(index, segment_ids=ids))[0], time)
    places = firsts.fill(0)[..., None] + in_front(jnp.arange(size, dtype=jnp.int32), axis + 2)
    values = take_steps(jnp.asarray(x.fill(0)), places.reshape(*rows, time * size))
    values = divided_by_row(lambda values: values.reshape(*rows, time, *step), values)
    return Masked(values, segment_ids=firsts.segment_ids, num_sequences=x.num_sequences)


def joined_by_sequence(xs: Sequence[Masked], values: Any, name: str) -> Masked:
    """Rows put end to end, in which the steps of each sequence then stand together, in the order of the ids.

    Args:
        xs: packed rows with the same sequences.
        values: their values, end to end.
        name: the caller, for the error.

    Raises:
        ValueError: an id stands for several sequences of a row, where ids are concrete.
    """
    for x in xs:
        check_distinct_ids(x, name)
    number = functools.reduce(joint_number, [x.num_sequences for x in xs])
    ids = jnp.concatenate([ids_of(x) for x in xs], -1)
    steps = in_front(jnp.arange(ids.shape[-1], dtype=jnp.int32), ids.ndim)
    key = jnp.where(ids > 0, ids, jnp.iinfo(ids.dtype).max)
    # Equal ids keep their order: the steps of the first input come first.
    sort = functools.partial(lax.sort, dimension=ids.ndim - 1, is_stable=True, num_keys=1)
    _, order = divided_by_row(sort, (key, jnp.broadcast_to(steps, ids.shape)))
    return Masked(take_steps(jnp.asarray(values), order), segment_ids=take_steps(ids, order), num_sequences=number)


def _flipped(x: Masked) -> Masked:
    """The rows from their ends, without values."""
    ids = jnp.flip(ids_of(x), -1)
    return Masked(ids, segment_ids=ids)


def _first_steps(x: Masked, time: int) -> Masked:
    first = (slice(None),) * (x.mask.ndim - 1) + (slice(0, time),)
    return x[first]


def _scattered(array: Any, targets: Any, default: int, width: int) -> Any:
    """Integers put to other places of their rows, which have the width; places beyond it are dropped."""

    def put(array: Any, targets: Any) -> Any:
        size = math.prod(array.shape[:-1])
        flat, places = (x.reshape(size, array.shape[-1]) for x in (array, targets))
        rows = jnp.arange(size, dtype=jnp.int32)[:, None]
        found = jnp.full((size, width), default, jnp.int32).at[rows, places].set(flat, mode="drop")
        return found.reshape(*array.shape[:-1], width)

    return divided_by_row(put, array, targets)


def _no_number(dtype: Any) -> Any:
    return jnp.asarray(jnp.nan if jnp.issubdtype(dtype, jnp.inexact) else jnp.iinfo(dtype).min, dtype)


def _check_most(number: Any, max_segments: int | None) -> None:
    if max_segments is not None and is_concrete(number) and number.size and int(number.max()) > max_segments:
        raise ValueError(
            f"`zero_pad`: a row has {int(number.max())} sequences, more than `max_segments={max_segments}`; pass "
            f"`max_segments={int(number.max())}`."
        )


def check_distinct_ids(x: Masked, name: str) -> None:
    """Raises if an id stands for several sequences of a row, where ids are concrete."""
    if not is_concrete(x.segment_ids):
        return
    ids = np.asarray(ids_of(x)).reshape(-1, x.mask.shape[-1])
    for row in ids:
        found = row[row > 0]
        runs = found[np.append(True, found[1:] != found[:-1])] if found.size else found
        again = next((k for k in runs.tolist() if (runs == k).sum() > 1), None)
        if again is not None:
            raise ValueError(
                f"{name} puts the steps of a sequence together by its id, and id {again} stands for several sequences "
                "of a row. Number the sequences of a row differently, as `jm.pack` does."
            )
