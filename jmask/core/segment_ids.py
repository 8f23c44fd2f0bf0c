"""Packed rows: several sequences share a row, and an id at each step says which one it belongs to.

A sequence is a maximal run of real steps with the same id; padding among its steps does not end it. Ids need not be
consecutive or increasing, 0 is padding, and no ids at all (None) means that each row is one sequence.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from .arithmetic import still_bool
from .checks import checked_size
from .display import is_concrete
from .explicit_axes import as_whole

UNPACK = (
    "Give each sequence a row of its own, `jm.unpack_batch(x, num_sequences, length)`, or take each row for one "
    "sequence, `x.with_segment_ids(None)`."
)


def check_not_packed(x: Any, name: str, remedy: str = UNPACK) -> None:
    """Raises if rows are packed, for a caller that would mix the sequences of a row.

    Args:
        x: a `Masked`, or an array, which is never packed.
        name: the caller, for the error, e.g. "`sum` over time".
        remedy: what the caller can do.

    Raises:
        ValueError: `x` is packed.

    >>> import jax.numpy as jnp, jmask as jm
    >>> check_not_packed(jm.from_segment_ids(jnp.ones((1, 3)), [[1, 2, 2]]), "`sum` over time")
    Traceback (most recent call last):
    ValueError: `sum` over time does not keep the sequences of a row apart, and ... packed: float32 of shape (1, 3). ...
    """
    if getattr(x, "segment_ids", None) is not None:
        raise not_kept_apart(x, name, remedy)


def not_kept_apart(x: Any, name: str, remedy: str) -> ValueError:
    """The error for packed rows that `check_not_packed` raises."""
    return ValueError(
        f"{name} does not keep the sequences of a row apart, and the rows of this `Masked` are packed: {x.dtype} "
        f"of shape {tuple(x.shape)}. {remedy}"
    )


def number_of_sequences(x: Any, name: str) -> int:
    """How many sequences packed rows hold, for a caller that gives one result for each of them.

    It is never read from the ids, since then a program would differ from the same steps outside `jax.jit`.

    Args:
        x: a `Masked` of packed rows.
        name: the caller, for the error, e.g. "`sum` over time".

    Raises:
        ValueError: it is not known.
    """
    if x.num_sequences is not None:
        return x.num_sequences
    ids = x.segment_ids
    known = is_concrete(ids) and ids.size > 0
    number = int(ids.max()) if known else "n"
    which = "as many as have an id here" if known else "n being a Python integer, such as the number of their labels"
    raise ValueError(
        f"{name} gives one result for each sequence of packed rows, and it is not known how many there are; received "
        f"{x.dtype} of shape {tuple(x.shape)}. Say it, `x.with_segment_ids(x.segment_ids, num_sequences={number})`, "
        f"{which}; or where the rows are made, `jm.pack(sequences, num_sequences=n)`."
    )


def found_ids(x: Any, name: str) -> Any:
    """Which ids of packed rows have steps, bool `(num_sequences,)`; raises if their number is not known."""
    number = number_of_sequences(x, name)

    def found(ids: Any) -> Any:
        index = jnp.where((ids > 0) & (ids <= number), ids - 1, number)
        return jnp.zeros(number, bool).at[index.ravel()].set(True, mode="drop")

    return as_whole(found, jnp.asarray(ids_of(x)))


def check_numbering(ids: Any, num_sequences: Any, name: str) -> None:
    """Raises unless concrete ids, if their number is given, count up to it, each of them for one sequence."""
    if num_sequences is not None and ids is not None and is_concrete(ids):
        ids = np.asarray(ids)
        found_sequences(ids > 0, ids, name, checked_size("num_sequences", num_sequences, 0))


def found_sequences(mask: Any, ids: Any, name: str, num_sequences: int | None) -> tuple[np.ndarray, np.ndarray]:
    """The ids and lengths of the sequences, in the order of the rows, on the host.

    Args:
        mask: bool `(..., time)`.
        ids: integers of the same shape.
        name: the caller, for the error.
        num_sequences: the largest id that is allowed, or None.

    Raises:
        ValueError: several sequences share an id, or one is larger than `num_sequences`.
    """
    mask, ids = np.asarray(mask), np.asarray(ids)
    row_of_step = np.repeat(np.arange(mask.size // max(mask.shape[-1], 1)), mask.sum(-1).ravel())
    ids = ids[mask]
    is_other = (ids[1:] != ids[:-1]) | (row_of_step[1:] != row_of_step[:-1])
    begins = np.flatnonzero(np.append(np.ones(min(len(ids), 1), bool), is_other))
    found = ids[begins]
    distinct, counts = np.unique(found, return_counts=True)
    if len(distinct) < len(found):
        raise ValueError(
            f"`{name}` needs an id for each sequence of the batch; id {distinct[counts.argmax()]} stands for "
            f"{counts.max()} of them. Number the sequences over all rows, as `jm.pack` does; where each row counts up "
            "to n, `ids + n * np.arange(len(ids))[:, None] * (ids > 0)`."
        )
    if num_sequences is not None and len(found) and distinct[-1] > num_sequences:
        raise ValueError(
            f"`{name}`: there is an id {distinct[-1]}, more than `num_sequences={num_sequences}`; pass "
            f"`num_sequences={distinct[-1]}`."
        )
    return found, np.diff(begins, append=len(ids))


def number_from(ids: Any, first_id: int) -> Any:
    """Converts ids that count from `first_id`, with padding one below it, to ids that count from 1."""
    if first_id == 1 and first_id is not True:
        return ids
    if first_id != 0 or isinstance(first_id, bool):
        raise ValueError(f"`first_id` must be 1 or 0, the id of the first sequence; received {first_id!r}.")
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        return ids  # raises later
    if is_concrete(ids) and ids.size and int(ids.min()) < -1:
        raise ValueError(f"With `first_id=0`, ids count from 0 and padding is -1; received {int(ids.min())}.")
    return jnp.maximum(ids.astype(np.int32) + 1, 0) if isinstance(ids, jax.Array) else ids.astype(np.int64) + 1


def ids_of(x: Any) -> Any:
    """The segment ids of a `Masked` or None; raises if code that rebuilds pytrees has changed their dtype."""
    ids = x.segment_ids
    if ids is None:
        return None
    if not jnp.issubdtype(ids.dtype, jnp.integer) or tuple(ids.shape) != tuple(x.shape[: ids.ndim]):
        raise TypeError(
            "The segment ids of packed rows are integers, their shape a prefix of the values' shape, and these have "
            f"become {ids.dtype} of shape {tuple(ids.shape)} for values {tuple(x.shape)}: a function over all leaves "
            "changes the segment ids too. Use `x.map(...)`, or one axis for all, `in_axes=0`."
        )
    return ids


def sequence_starts(mask: Any, ids: Any, *, reverse: bool = False) -> Any:
    """Where each sequence begins: the real steps that follow no real step, or one with another id.

    Args:
        mask: bool `(..., time)`.
        ids: integers of the same shape.
        reverse: whether time runs backwards: then these are the last steps.

    Returns:
        Bool of the mask's shape.
    """
    axis = mask.ndim - 1
    if reverse:
        return jnp.flip(sequence_starts(jnp.flip(mask, axis), jnp.flip(ids, axis)), axis)
    steps = jnp.arange(mask.shape[-1], dtype=jnp.int32)
    seen = lax.cummax(jnp.where(mask, steps, -1), axis)
    before = jnp.pad(seen, [(0, 0)] * axis + [(1, 0)], constant_values=-1)[..., :-1]
    previous = jnp.take_along_axis(jnp.asarray(ids), jnp.maximum(before, 0), axis, mode="promise_in_bounds")
    return mask & ((before < 0) | (previous != ids))


def index_in_sequence(x: Any) -> Any:
    """The index of each real step within its sequence, int32 of the mask's shape; 0 at padded steps."""
    ids, mask = ids_of(x), jnp.asarray(still_bool(x.mask))
    if mask.ndim == 0:
        raise ValueError("`positions` needs a mask with a time axis; this mask has rank 0 (one step).")
    index = jnp.cumsum(mask, axis=-1, dtype=jnp.int32) - 1
    if ids is not None:
        index -= lax.cummax(jnp.where(sequence_starts(mask, ids), index, 0), mask.ndim - 1)
    return jnp.where(mask, index, 0)
