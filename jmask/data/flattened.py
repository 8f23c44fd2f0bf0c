"""Packed rows as other libraries describe them: by the boundaries of the sequences, or by the position of each step."""

from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np

from ..core.checks import as_array
from ..core.constructors import from_segment_ids
from ..core.display import is_concrete
from ..core.masked import Masked


def from_cu_seqlens(values: Any, cu_seqlens: Any) -> Masked:
    """Packed rows from cumulative lengths, as flash-attention and Hugging Face's flattening collator use them.

    Args:
        values: `(time, ...)`, all sequences concatenated; or rows of them, `(*rows, time, ...)`.
        cu_seqlens: integers `(*rows, sequences + 1)`: 0, then where each sequence ends. For values `(1, time)` from a
            collator pass `cu_seqlens[None]`. A repeated end is an empty sequence, which has no step.

    Returns:
        A `Masked` with segment ids: the ids count the sequences over all rows, from 1. Steps after the last end are
        padding. `num_sequences` is that of the intervals, empty ones included.

    Raises:
        TypeError: `cu_seqlens` are not integers.
        ValueError: the shapes do not fit; or concrete numbers do not begin with 0, decrease, or end beyond the number
            of steps. Traced numbers cannot be checked; anything beyond the last step is ignored.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.from_cu_seqlens(jnp.array([3, 4, 5, 6, 9]), [0, 3, 4])
    Masked(int32[5], segments=2)
    [3 4 5|6 ·]
    """
    values, ends = as_array(values), _integers("cu_seqlens", cu_seqlens)
    rows = ends.shape[:-1]
    if ends.ndim == 0 or ends.shape[-1] == 0 or values.ndim < ends.ndim or values.shape[: len(rows)] != rows:
        raise ValueError(
            "`cu_seqlens` must be (*rows, sequences + 1) for values (*rows, time, ...); received "
            f"{tuple(ends.shape)} for values {tuple(values.shape)}."
        )
    time = values.shape[len(rows)]
    if is_concrete(ends):
        _check_ends(np.asarray(ends), time)
    numpy = np if isinstance(ends, np.ndarray) else jnp
    flat = ends.reshape(-1, ends.shape[-1])
    steps = numpy.arange(time)
    if numpy is np:
        ids = np.array([np.searchsorted(row, steps, side="right") for row in flat], np.int32).reshape(len(flat), time)
    else:
        ids = jax.vmap(lambda row: jnp.searchsorted(row, steps, side="right"))(flat)
    first = numpy.arange(len(flat))[:, None] * (ends.shape[-1] - 1)
    ids = numpy.where(steps < flat[:, -1:], ids + first, 0)
    num_sequences = len(flat) * (ends.shape[-1] - 1)
    return from_segment_ids(values, ids.reshape(*rows, time), num_sequences=num_sequences)


def from_position_ids(values: Any, position_ids: Any, *, num_sequences: SupportsIndex | None = None) -> Masked:
    """Packed rows from the position of each step in its sequence, as Hugging Face's flattening collator returns them.

    Args:
        values: `(batch, time, ...)`.
        position_ids: integers, their shape a prefix of the values' shape, `(batch, time)`: 0 where a sequence begins,
            1 more at each following step, and -1 at padding. (A 0 at padding would start a new sequence.)
        num_sequences: how many sequences there are, or at most, for what gives one result for each of them; None: not
            known.

    Returns:
        A `Masked` with segment ids: the ids count the sequences over all rows, from 1. A row of -1 is an empty row.

    Raises:
        TypeError: `position_ids` or `num_sequences` are not integers.
        ValueError: the shapes do not fit; or concrete numbers do not count the steps of sequences, or there are more
            sequences than `num_sequences`. Traced numbers
            cannot be checked; a sequence then begins at each 0 and at the first step of a row.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.from_position_ids(jnp.array([[3, 4, 5, 6, 9]]), [[0, 1, 2, 0, -1]])
    Masked(int32[1, 5], segments=2)
    [[3 4 5|6 ·]]
    """
    values, positions = as_array(values), _integers("position_ids", position_ids)
    if positions.ndim == 0 or tuple(positions.shape) != tuple(values.shape[: positions.ndim]):
        raise ValueError(
            "The shape of `position_ids` must be a prefix of the values' shape that ends with time, e.g. (batch, "
            f"time); received {tuple(positions.shape)} for values {tuple(values.shape)}."
        )
    numpy = np if isinstance(positions, np.ndarray) else jnp
    real = positions >= 0
    order = numpy.cumsum(real, axis=-1)
    begins = real & ((positions == 0) | (order == 1))
    ids = numpy.cumsum(begins.ravel()).reshape(begins.shape)
    if is_concrete(positions):
        _check_positions(np.asarray(positions), np.asarray(real))
    return from_segment_ids(values, numpy.where(real, ids, 0), num_sequences=num_sequences)


def _integers(name: str, x: Any) -> Any:
    numbers = as_array(x)
    if not jnp.issubdtype(numbers.dtype, jnp.integer):
        raise TypeError(f"`{name}` must be integers; received dtype {numbers.dtype}.")
    return numbers


def _check_ends(ends: np.ndarray, time: Any) -> None:
    if (ends[..., 0] != 0).any() or (np.diff(ends.astype(np.int64)) < 0).any():
        raise ValueError(
            f"`cu_seqlens` must begin with 0 and never decrease; received {ends.tolist()}. Of lengths it is "
            "`np.cumsum([0, *lengths])`; ids of sequences go to `jm.from_segment_ids`."
        )
    if isinstance(time, int) and ends.max() > time:
        raise ValueError(
            f"`cu_seqlens` end at {ends.max()}, and there are {time} steps on axis {ends.ndim - 1} of the values. For "
            "values with a batch axis, (1, time), pass `cu_seqlens[None]`; if the values were cut, clip the ends, "
            f"`np.minimum(cu_seqlens, {time})`."
        )


def _check_positions(positions: np.ndarray, real: np.ndarray) -> None:
    """Raises for positions that do not count up from 0 within their rows."""
    for row, (numbers, steps) in enumerate(zip(_rows(positions), _rows(real), strict=True)):
        numbers = numbers[steps]
        expected = np.append(-1, numbers[:-1]) + 1
        wrong = (numbers != 0) & (numbers != expected[: len(numbers)])
        if wrong.any():
            i = int(wrong.argmax())
            raise ValueError(
                f"`position_ids` must count the steps of each sequence from 0; real step {i} of row {row} has position "
                f"{numbers[i]} where 0 or {expected[i]} was expected. Padding is -1; a batch with a sequence a row has "
                "a mask, `jm.from_attention_mask(values, attention_mask)`."
            )


def _rows(array: np.ndarray) -> np.ndarray:
    return array.reshape(-1, array.shape[-1])
