"""Several sequences in one row, and back: less padding, where the plan can be made on the host."""

from typing import Any, SupportsIndex

import numpy as np
from jax.typing import DTypeLike

from ..core.addressable import host_rows
from ..core.arithmetic import is_host_only
from ..core.checks import checked_option, checked_size
from ..core.display import is_concrete
from ..core.masked import Masked
from ..core.packed_rows import sequence_rows
from ..core.segment_ids import check_not_packed, found_sequences, ids_of
from ..sources import Flat
from .loading import split_rows
from .padding import arrange, load_steps, refuse_tracers, unpad
from .row_lengths import mask_of_lengths
from .row_lists import RowLists, read_sequences


def pack(
    sequences: Any,
    *,
    row_length: SupportsIndex | None = None,
    num_rows: SupportsIndex | None = None,
    num_sequences: SupportsIndex | None = None,
    dtype: DTypeLike | None = None,
) -> Masked:
    """Packs sequences into few rows by first-fit decreasing, and marks each step with the id of its sequence.

    Runs on the host, in NumPy. The longest sequences are placed first, those of equal length in their order, each in
    the first row that has room for it (at most 11/9 of the fewest rows, plus one). The plan depends only on the lengths
    and the options: labels of the same lengths, packed by a separate call, land in the same slots.

    Args:
        sequences: as for `jm.pad_sequences`; or a `Masked` with a mask `(batch, time)`, whose real steps are packed
            row by row. Holes are closed, including null steps in a column and masked steps in NumPy's masked arrays.
        row_length: number of steps of a row; None: that of the longest sequence.
        num_rows: number of rows, including empty ones, so that all batches have the same shape; None: as many as are
            needed.
        num_sequences: how many results the batch has where each sequence has one, as after pooling: at least as many
            as `sequences`. It is part of the structure of the result, so batches that share a compiled program need
            the same. None: the number of `sequences`; with `num_rows`, which is for such batches, it stays unknown.
        dtype: of the values; None: as `jm.pad_sequences` chooses it, or for a `Masked` its own.

    Returns:
        A `Masked` of NumPy arrays, values `(rows, row_length, ...)`, padded on the right, with `segment_ids`: the id of
        a sequence is 1 more than its index in `sequences`. An empty sequence takes no slot, so no step has its id.
        `num_sequences` is set as above.

    Raises:
        TypeError: an item is not a sequence, a `Masked` is traced, or the steps do not fit the dtype.
        ValueError: a sequence is longer than a row, the sequences need more rows, there are more than `num_sequences`,
            or the rows are already packed.

    References:
        Johnson: Near-optimal bin packing algorithms, MIT (1973), for first-fit decreasing. Krell et al.: Efficient
        Sequence Packing without Cross-contamination, arXiv:2107.02027, for packed rows in training.

    >>> import jmask as jm
    >>> jm.pack([[3, 4], [5], [6, 7, 8, 9], [1]])
    Masked(int32[2, 4], segments=4)
    [[6 7 8 9]
     [3 4|5|1]]
    """
    row_length = checked_option("row_length", row_length, minimum=1)
    num_rows = checked_option("num_rows", num_rows, minimum=0)
    num_sequences = checked_option("num_sequences", num_sequences, minimum=0)
    if isinstance(sequences, Masked):
        sequences, dtype = _sequences_of(sequences, dtype)
    ragged = read_sequences(sequences).without_holes()
    num_sequences = _number_of(ragged, num_rows, num_sequences)
    width = _checked_width(ragged, row_length)
    slots, used = plan(ragged.lengths, width)
    used = np.pad(used, (0, _num_empty_rows(ragged, width, len(used), num_rows)))
    order = np.argsort(slots, kind="stable")
    ragged, has_steps = ragged.taken(order), ragged.lengths[order] > 0
    mask = mask_of_lengths(used, width)
    segment_ids = np.zeros(mask.shape, np.int32)
    segment_ids[mask] = np.repeat(order.astype(np.int32) + 1, ragged.lengths)
    values = arrange(load_steps(ragged, dtype), mask, slots[order][has_steps])
    return Masked(values, segment_ids=segment_ids, num_sequences=num_sequences)


def unpack(x: Masked, *, num_sequences: SupportsIndex | None = None) -> list[np.ndarray]:
    """The sequences of packed rows, as NumPy arrays without padding, in the order of their ids.

    Args:
        x: packed rows, values `(batch, time, ...)`. Padding may be anywhere; holes are removed too.
        num_sequences: how many sequences there are; id `k` becomes item `k - 1`, and an id without steps gives an
            empty array. None: only the ids that occur, so empty sequences are left out.

    Returns:
        A list of arrays `(steps, ...)`.

    Raises:
        TypeError: `x` is traced; the shapes of the result depend on data.
        ValueError: the rows are not packed, several sequences share an id, or an id is larger than `num_sequences`.

    >>> import jmask as jm
    >>> x = jm.pack([[3, 4], [], [6, 7, 8, 9]])
    >>> [row.tolist() for row in jm.unpack(x)], [row.tolist() for row in jm.unpack(x, num_sequences=3)]
    ([[3, 4], [6, 7, 8, 9]], [[3, 4], [], [6, 7, 8, 9]])
    """
    refuse_tracers(x, "unpack", "`jm.unpack_batch` makes a batch of a given shape")
    _check_packed(x, "unpack")
    num_sequences = checked_option("num_sequences", num_sequences, minimum=0)
    mask, all_ids = host_rows(x.mask), host_rows(ids_of(x))
    ids, lengths = found_sequences(mask, all_ids, "unpack", num_sequences)
    steps = host_rows(x.values)[mask]
    found = dict(zip(ids.tolist(), split_rows(steps, lengths.tolist()), strict=True))
    if num_sequences is None:
        return [found[k] for k in sorted(found)]
    return [found.get(k + 1, steps[:0]) for k in range(num_sequences)]


def unpack_batch(x: Masked, num_sequences: SupportsIndex, length: SupportsIndex) -> Masked:
    """The sequences of packed rows as a batch, one per row, under `jax.jit` and with gradients.

    Args:
        x: packed rows, values `(batch, time, ...)`. Padding may be anywhere; holes are closed.
        num_sequences: number of rows of the result; the sequence with id `k` becomes row `k - 1`.
        length: number of steps of a row. Traced ids cannot be checked: steps beyond `length` and ids beyond
            `num_sequences` are dropped, and if two sequences share an id, each step may come from either.

    Returns:
        A `Masked` with values `(num_sequences, length, ...)`, zero at padding, which is on the right. An id without
        steps gives an empty row. Gradients follow the steps; padding of `x` has none. Sequences move between rows, so
        where explicit axes of a mesh divide the rows of `x`, every device gets all rows of the result.

    Raises:
        TypeError: the values are strings or objects, which JAX arrays cannot hold.
        ValueError: the rows are not packed; or the ids are concrete, and several sequences share one, one is larger
            than `num_sequences`, or a sequence is longer than `length`.

    >>> import jmask as jm
    >>> jm.unpack_batch(jm.pack([[3, 4], [5], [6, 7, 8]]), 3, 4)
    Masked(int32[3, 4], lengths=[2 1 3])
    [[3 4 · ·]
     [5 · · ·]
     [6 7 8 ·]]
    """
    _check_packed(x, "unpack_batch")
    num_rows, width = checked_size("num_sequences", num_sequences, 0), checked_size("length", length, 0)
    if is_host_only(x.values):
        raise TypeError(f"`unpack_batch` takes what JAX can hold; received dtype {x.dtype}. Use `jm.unpack(x)`.")
    if is_concrete(x.segment_ids) and is_concrete(x.mask):
        _check_lengths(*found_sequences(x.mask, ids_of(x), "unpack_batch", num_rows), width)
    return sequence_rows(x, num_rows, width)


def plan(lengths: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray]:
    """First-fit decreasing, all sequences of one length at once.

    Sequences of one length fill the rows in turn, each row with as many as its free steps hold. So there is one pass
    over the rows for each distinct length, rather than one for each sequence; the result is the same.

    Args:
        lengths: number of steps of each sequence, at most `width`.
        width: number of steps of a row.

    Returns:
        Where each sequence begins, counted in steps over all rows (an empty one at the end of the last row); and the
        number of used steps of each row.
    """
    by_length = np.argsort(-lengths, kind="stable")[: np.count_nonzero(lengths)]
    distinct, firsts, counts = np.unique(-lengths[by_length], return_index=True, return_counts=True)
    slots, free, opened = np.zeros(len(lengths), np.int64), np.full(len(by_length), width), 0
    for length, first, count in zip((-distinct).tolist(), firsts.tolist(), counts.tolist(), strict=True):
        with_room = np.flatnonzero(free[:opened] >= length)
        room = free[with_room] // length
        num_new = -(-max(count - int(room.sum()), 0) // (width // length))
        rows = np.append(with_room, np.arange(opened, opened + num_new))
        room = np.append(room, np.full(num_new, width // length))
        ends = np.minimum(np.cumsum(room), count)
        taken = np.diff(ends, prepend=0)
        begins = np.repeat(rows * width + width - free[rows], taken)
        nth = np.arange(count) - np.repeat(ends - taken, taken)  # counted among those of its length in its row
        slots[by_length[first : first + count]] = begins + nth * length
        free[rows] -= taken * length
        opened += num_new
    slots[lengths == 0] = opened * width
    return slots, width - free[:opened]


def _sequences_of(x: Masked, dtype: Any) -> tuple[list[np.ndarray], Any]:
    """The real steps of each row, and their dtype: their own, unless another one is requested."""
    refuse_tracers(x, "pack", "`jm.left_align` moves the real steps of each row to the front")
    check_not_packed(x, "`pack`", "Pack the sequences anew, `jm.pack(jm.unpack(x), ...)`.")
    if x.mask.ndim != 2:
        raise ValueError(
            f"`pack` takes a `Masked` with a mask (batch, time); received mask {tuple(x.mask.shape)} for values "
            f"{tuple(x.shape)}. Make a list of sequences of it."
        )
    has_dtype = dtype is not None or np.dtype(x.dtype).kind in "OUST"
    return unpad(x), dtype if has_dtype else x.dtype


def _number_of(ragged: RowLists | Flat, num_rows: int | None, num_sequences: int | None) -> int | None:
    found = len(ragged.lengths)
    if num_sequences is None:
        return found if num_rows is None else None
    if found <= num_sequences:
        return num_sequences
    raise ValueError(
        f"`num_sequences={num_sequences}` is less than the {found} sequences; pass `num_sequences={found}` or leave it "
        "out, or fewer sequences."
    )


def _checked_width(ragged: RowLists | Flat, row_length: int | None) -> int:
    if row_length is None or ragged.longest <= row_length:
        return ragged.longest if row_length is None else row_length
    position = int(ragged.lengths.argmax())
    raise ValueError(
        f"Sequence {position} has {ragged.longest} steps, more than `row_length={row_length}`. Pass "
        f"`row_length={ragged.longest}` or leave it out, or cut the sequences, `row[:{row_length}]`."
    )


def _num_empty_rows(ragged: RowLists | Flat, width: int, needed: int, num_rows: int | None) -> int:
    if num_rows is None or needed <= num_rows:
        return 0 if num_rows is None else num_rows - needed
    raise ValueError(
        f"`num_rows={num_rows}` rows of {width} steps are too few for {len(ragged.lengths)} sequences of "
        f"{ragged.lengths.sum()} steps in all. Pass `num_rows={needed}` or leave it out, a larger `row_length`, or "
        "fewer sequences."
    )


def _check_packed(x: Any, name: str) -> None:
    if getattr(x, "segment_ids", None) is None:
        raise ValueError(
            f"`{name}` takes packed rows, a `Masked` with segment ids as `jm.pack` makes it; here each row is one "
            "sequence. Use `jm.unpad(x)` for a list, or say which steps belong together, `x.with_segment_ids(ids)`."
        )


def _check_lengths(ids: np.ndarray, lengths: np.ndarray, width: int) -> None:
    if lengths.max(initial=0) > width:
        raise ValueError(
            f"`unpack_batch`: sequence {ids[lengths.argmax()]} has {lengths.max()} steps, more than `length={width}`; "
            f"pass `length={lengths.max()}`."
        )
