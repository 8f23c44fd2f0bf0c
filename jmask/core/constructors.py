"""Builds a `Masked` from values and a mask, or from the segment ids of packed rows, with checks and clear errors."""

from typing import Any, SupportsIndex

import jax.numpy as jnp

from ..sources import find_marks, prefix_of
from .checks import as_array, check_mask, check_segment_ids
from .masked import Masked
from .segment_ids import check_numbering, number_from


def masked(values: Any, mask: Any) -> Masked:
    """Pairs values with their mask, and checks that they fit.

    Args:
        values: `(batch, time, ...)`, an array or anything that converts to one.
        mask: bool, True = real step; its shape a prefix of the values' shape: `(batch, time)`, `(time,)` for one
            sequence, `(batch, sentences, words)` for documents.

    Returns:
        The `Masked`.

    Raises:
        TypeError: the mask is not bool, or the values are a `Masked` already.
        ValueError: the shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.masked(jnp.array([[7, 8, 9]]), jnp.array([[True, False, True]]))
    Masked(int32[1, 3], lengths=[2])
    [[7 · 9]]
    """
    if isinstance(values, Masked):
        raise TypeError("`masked`: the values are a `Masked` already; use `x.with_mask(mask)` to change its mask.")
    values, mask = as_array(values), as_array(mask)
    check_mask(values, mask)
    return Masked(values, mask)


def from_segment_ids(
    values: Any, segment_ids: Any, *, first_id: int = 1, num_sequences: SupportsIndex | None = None
) -> Masked:
    """Pairs the values of packed rows with the ids of the sequences that share the rows.

    Args:
        values: `(batch, time, ...)`, an array or anything that converts to one.
        segment_ids: integers, their shape a prefix of the values' shape: `(batch, time)`. All steps of a sequence have
            the same id, 1 or more; 0 is padding (so is a traced negative id). Ids need not be consecutive or
            increasing. If an id is reused within a row, the two runs are separate sequences only if a step of another
            sequence lies between them; otherwise they are one. It is best to give every sequence a different id, as
            `jm.pack` does; `jm.unpack` requires it.
        first_id: the first id. With 0 they count from 0, like the `seq_idx` of Hugging Face's flattening collator, and
            -1 is padding; each id in the `Masked` is then 1 larger.
        num_sequences: how many sequences there are, for what gives one result for each of them, such as pooling: the
            sequence with id `k` (counted from 1) gives entry `k - 1`. Every sequence of the batch then has an id of
            its own. None: not known.

    Returns:
        A `Masked` with the mask `segment_ids > 0`. A row of zeros is an empty row.

    Raises:
        TypeError: the ids or `num_sequences` are not integers, or the values are a `Masked` already.
        ValueError: the shapes do not fit, or a concrete id is negative; or with `num_sequences` one is larger, or
            several sequences share one.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.from_segment_ids(jnp.array([[3, 4, 5, 9]]), [[1, 1, 2, 0]])
    Masked(int32[1, 4], segments=2)
    [[3 4|5 ·]]
    """
    if isinstance(values, Masked):
        raise TypeError("`from_segment_ids`: the values are a `Masked` already; use `x.with_segment_ids(segment_ids)`.")
    values = as_array(values)
    ids = check_segment_ids(values, number_from(as_array(segment_ids), first_id))
    check_numbering(ids, num_sequences, "from_segment_ids")
    return Masked(values, segment_ids=ids, num_sequences=num_sequences)


def as_masked(x: Any, mask: Any = None) -> Masked:
    """A `Masked` from a `Masked`, or from an array, which is a batch of sequences without padding.

    Args:
        x: a `Masked`, or an array `(batch, time, ...)`; an array `(time,)` is one sequence. It may also be a masked
            array of NumPy or torch, or an array or series of pandas, polars or pyarrow with missing entries: masked
            or missing entries become padding.
        mask: if given, it replaces the mask of `x`.

    Returns:
        `x` itself if it is a `Masked` and no mask is given; else a new one.

    Raises:
        TypeError: a mask is given for an array that is already masked.
        ValueError: part of a step is masked in a masked array: a mask covers whole steps, not single features.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.as_masked(jnp.ones((2, 3, 4))).mask.shape
    (2, 3)
    """
    if isinstance(x, Masked):
        return x if mask is None else x.with_mask(mask)
    if mask is not None:
        return masked(x, mask)
    marks = find_marks(x)
    if marks is not None:
        return masked(*prefix_of(marks, 2))
    values = as_array(x)
    leading = values.shape[: min(2, values.ndim)]
    return Masked(values, jnp.ones(leading, bool))
