"""One entry for each sequence, brought to each of its steps."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import ArrayLike

from ..core.arithmetic import Marks, expand, join, marks_of
from ..core.masked import Masked, fill, mask_of
from ..core.packed_rows import entries_at_steps
from ..core.segment_ids import number_of_sequences
from .linear import AnyArray
from .time_axis import check_time, time_axis


def broadcast_to_steps(entries: Masked | ArrayLike, *, like: Masked | AnyArray) -> Masked:
    """Repeats one entry for each sequence at each of its steps, such as a vector that goes with each sequence.

    The reverse of pooling, for padded batches and for packed rows: there entry `k - 1` goes to the steps with id `k`.
    `jm.ops.add`, its kin, and `jm.ops.concatenate` along features do this themselves.

    Args:
        entries: one entry for each sequence: `(batch, ...)` for a batch, `(num_sequences, ...)` for packed rows; an
            array, or a `Masked` whose mask has the sequences alone.
        like: what says where the steps are: values `(batch, time, ...)`, mask `(batch, time)`; an array, in which axis
            1, or the only axis, is time, or packed rows whose `num_sequences` is known.

    Returns:
        A `Masked`, `(batch, time, ...)`, with the mask and the segment ids of `like`, and padding where an entry is
        masked. The gradient of an entry is the sum over its steps. An empty row holds no real step and passes no
        gradient.

    Raises:
        ValueError: there is no time axis, the number of entries is not that of the sequences, or it is not known how
            many sequences packed rows hold.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.broadcast_to_steps(jnp.array([7, 8]), like=jm.pack([[1, 2], [3]], row_length=4))
    Masked(int32[1, 4], segments=2)
    [[7 7|8 ·]]
    """
    check_time(like, "broadcast_to_steps")
    mask = mask_of(entries)
    values = jnp.asarray(fill(entries, 0))
    axis = time_axis(like)
    if isinstance(like, Masked) and like.segment_ids is not None:
        batch: tuple[Any, ...] = (number_of_sequences(like, "`broadcast_to_steps`"),)
    else:
        batch = tuple(like.shape[:axis])
    _check_entries(values, mask, batch)
    if isinstance(like, Masked) and like.segment_ids is not None:
        marks = (
            marks_of(like) if mask is None else join(marks_of(like), Marks(entries_at_steps(jnp.asarray(mask), like)))
        )
        return Masked(entries_at_steps(values, like), *marks)
    steps = tuple(like.shape[: axis + 1])
    marks = marks_of(like) if isinstance(like, Masked) else Marks(jnp.ones(steps, bool))
    if mask is not None:
        marks = join(marks, Marks(jnp.broadcast_to(expand(jnp.asarray(mask), axis + 1), steps)))
    return Masked(jnp.broadcast_to(jnp.expand_dims(values, axis), (*steps, *values.shape[axis:])), *marks)


def _check_entries(values: Any, mask: Any, batch: tuple[Any, ...]) -> None:
    if tuple(values.shape[: len(batch)]) != batch or (mask is not None and tuple(mask.shape) != batch):
        masked = "" if mask is None else f" with a mask {tuple(mask.shape)}"
        raise ValueError(
            f"`broadcast_to_steps` takes one entry for each sequence, ({', '.join(map(str, batch))}, ...), and a mask "
            f"of the sequences alone; received values {tuple(values.shape)}{masked}. Pool over time first, "
            "`jm.ops.mean_pool(x)`."
        )
