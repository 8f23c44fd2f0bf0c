"""Appending steps to earlier ones in preallocated room: caches for decoding and streaming."""

from typing import Any

import jax
import jax.numpy as jnp

from ..core.arithmetic import still_bool
from ..core.masked import Masked
from ..core.segment_ids import check_not_packed
from .time_axis import check_time

_PACKED = (
    "The free slots of a packed row come after its last sequence. Where all inputs are packed by the same ids, use "
    "`jm.ops.concatenate([x, new], axis=1)`, which makes room; otherwise give each sequence a row of its own, "
    "`jm.unpack_batch(x, num_sequences, length)`."
)


def append(x: Masked, new: Any) -> Masked:
    """Appends the real steps of `new` to the real steps of `x`, sequence by sequence, in the padding of `x`.

    This is a cache of fixed size: it starts as padding only, `jm.from_lengths(jnp.zeros((batch, room, ...)), zeros)`,
    and its `lengths` say how many steps each sequence has had, which is the `offset` for the positions of the next
    ones. Padded steps of `new` are left out, so prompts may be padded on either side, and a sequence that has ended
    adds nothing.

    Args:
        x: values `(batch, room, ...)`, mask `(batch, room)`. Its own steps stay where they are.
        new: values `(batch, time, ...)`, mask `(batch, time)`, or an array, whose steps are all real; cast to the dtype
            of `x`.

    Returns:
        The shape of `x`. If a sequence has no room for all its steps, its last step becomes NaN, so that the overflow
        is visible (for integers, the smallest number of the dtype). A row that is empty in `new` is unchanged.

    Raises:
        TypeError: `x` is an array, which has no padding to write to.
        ValueError: shapes or masks do not fit, there is no time axis or no room at all, or rows are packed.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1, 2, 9, 9], [3, 9, 9, 9]]), [2, 1])
    >>> jm.ops.append(x, jm.pad_sequences([[4], [5, 6]], padding="pre")).fill(0).tolist()
    [[1, 2, 4, 0], [3, 5, 6, 0]]
    """
    if not isinstance(x, Masked):
        raise TypeError(
            "`append` writes into the padding of a `Masked`, and all steps of an array are real. To put sequences one "
            "after the other, use `jm.ops.concatenate([x, new], axis=1)`."
        )
    check_time(x, "append")
    for part in (x, new):
        check_not_packed(part, "`append`", _PACKED)
    axis = x.mask.ndim - 1
    if not isinstance(new, Masked):
        new = Masked(jnp.asarray(new), jnp.ones(jnp.shape(new)[: axis + 1], bool))
    _check_fit(x, new, axis)
    write = _write
    for _ in range(axis):
        write = jax.vmap(write)
    values = jnp.asarray(new.fill(0)).astype(x.dtype)
    return Masked(*write(jnp.asarray(x.values), jnp.asarray(still_bool(x.mask)), values, jnp.asarray(new.mask)))


def _write(values: Any, mask: Any, new: Any, is_new: Any) -> tuple[Any, Any]:
    """Appends to one sequence, `(room, ...)` and `(room,)`, after its last real step."""
    room = mask.shape[0]
    end = jnp.max(jnp.where(mask, jnp.arange(1, room + 1, dtype=jnp.int32), 0))
    place = end + jnp.cumsum(is_new, dtype=jnp.int32) - 1
    is_lost = jnp.any(is_new & (place >= room))
    place = jnp.where(is_new, place, room)  # out of range, so dropped
    values = values.at[place].set(new, mode="drop")
    values = values.at[-1].set(jnp.where(is_lost, _lost(values.dtype), values[-1]))
    return values, mask.at[place].set(True, mode="drop")


def _lost(dtype: Any) -> Any:
    """The value that `jnp.take` also gives for an index out of range."""
    if jnp.issubdtype(dtype, jnp.inexact):
        return jnp.asarray(jnp.nan, dtype)
    if dtype == bool:
        return jnp.asarray(True)
    info = jnp.iinfo(dtype)
    return jnp.asarray(info.max if jnp.issubdtype(dtype, jnp.unsignedinteger) else info.min, dtype)


def _check_fit(x: Masked, new: Masked, axis: int) -> None:
    fits = (
        new.mask.ndim == axis + 1
        and tuple(x.shape[:axis]) == tuple(new.shape[:axis])
        and tuple(x.shape[axis + 1 :]) == tuple(new.shape[axis + 1 :])
    )
    if not fits or x.shape[axis] == 0:
        raise ValueError(
            "`append` takes x (batch, room, ...) and new (batch, time, ...) with the same batch and the same features, "
            f"and at least one step of room; received values {tuple(x.shape)} and {tuple(new.shape)} with masks "
            f"{tuple(x.mask.shape)} and {tuple(new.mask.shape)}."
        )
