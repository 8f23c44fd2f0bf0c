"""Converts ragged data to `Masked`, and back."""

from collections.abc import Sequence
from typing import Any, SupportsIndex

import jax
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import ArrayLike

from ..core.addressable import host_rows
from ..core.checks import check_one_of, checked_option
from ..core.constructors import as_masked
from ..core.masked import Masked, values_of
from ..core.segment_ids import check_not_packed
from ..core.types import Rows
from ..sources import Flat, FlatSteps, find_marks
from ..sources.conversion import OBJECT, convert_exactly, default_dtype, requested_dtype
from .loading import split_rows
from .row_lengths import ENDS, End, arrange_rows, mask_of_lengths
from .row_lists import RowLists, read_nested

Sizes = SupportsIndex | Sequence[SupportsIndex | None] | None


def pad_sequences(
    sequences: Any,
    maxlen: Sizes = None,
    dtype: DTypeLike | None = None,
    padding: End = "post",
    truncating: End | None = None,
    value: Any = 0,
    *,
    pad_to_multiple_of: Sizes = None,
    ragged_rank: SupportsIndex | None = None,
) -> Masked:
    """Pads sequences to the same length, and returns them with a mask of the real steps.

    Runs on the host, in NumPy. `padding` defaults to "post", unlike Keras, where it is "pre".

    Args:
        sequences: a list of sequences; each is a list or an array of steps, and a step is a number, a string, an
            object, or a vector or matrix (all steps of the same shape). Or a list column of Arrow, polars, pandas or
            Hugging Face `datasets`, an awkward array, a torch nested tensor or `PackedSequence`, or a TensorFlow
            `RaggedTensor`: their values and offsets are read directly, at least ten times as fast as lists. Steps that
            are null in a column, or masked in a NumPy masked array, become holes in the mask.
        maxlen: number of steps of each row. A longer sequence is an error unless `truncating` says which end to cut
            off; the part cut off is never read. None: the number of steps of the longest sequence.
        dtype: of the values. None takes it from the data as JAX does: Python integers and int64 become int32, floats
            become float32, unless x64 is on; strings become objects. An explicit int64 stays int64 on the host.
        padding: "post" pads after the steps, "pre" before them.
        truncating: "post" cuts steps off the end, "pre" off the beginning; None raises instead of cutting.
        value: what padded positions hold: a number, or an array that broadcasts against a step. Strings are padded
            with "" by default.
        pad_to_multiple_of: rounds the number of steps up to a multiple of this, at least one, so that batches of many
            lengths have few shapes and `jax.jit` rarely recompiles.
        ragged_rank: how many axes vary in length: 1 for sequences, 2 for documents (lists of lists of steps, whose
            mask has rank 3), and so on. None: 1, or what the type of `sequences` says, as TensorFlow's does. If 2 or
            more, `maxlen` and `pad_to_multiple_of` are tuples with a size or None per axis, the outermost first.

    Returns:
        A `Masked` of NumPy arrays, values `(sequences, steps, ...)`, documents `(documents, sentences, steps, ...)`. An
        empty sequence gives an empty row. If all are empty, the dtype and shape of a step come from any arrays among
        them, otherwise the dtype comes from `value`: `[]` gives `(0, 0)` of int32.

    Raises:
        TypeError: `sequences` or an option has the wrong type, text and numbers are mixed, or a step or sequence is
            None.
        ValueError: steps differ in shape, a sequence is longer than `maxlen`, a fraction or NaN would become an
            integer, a list of a column is null, or an option is out of range.
        OverflowError: a number does not fit the dtype; numbers never wrap around.

    >>> import jmask as jm
    >>> jm.pad_sequences([[3, 4, 5], [6]])
    Masked(int32[2, 3], lengths=[3 1])
    [[3 4 5]
     [6 · ·]]
    >>> jm.pad_sequences([[[3, 4], [5]], [[6, 7, 8]]], ragged_rank=2).mask.shape
    (2, 2, 3)
    """
    check_one_of("padding", padding, ENDS)
    if truncating is not None:
        check_one_of("truncating", truncating, ENDS)
    levels = read_nested(sequences, checked_option("ragged_rank", ragged_rank, minimum=1))
    maxlens = _per_axis("maxlen", maxlen, levels.depth, minimum=0)
    multiples = _per_axis("pad_to_multiple_of", pad_to_multiple_of, levels.depth, minimum=1)
    ragged, rows, width = arrange_rows(levels.items, maxlens, multiples, padding, truncating)
    steps = load_steps(ragged, dtype, value)
    lengths = rows.ravel()
    mask = mask_of_lengths(lengths, width, padding)
    starts = np.arange(len(mask)) * width + (0 if padding == "post" else width - lengths)
    values = arrange(steps, mask, starts[lengths > 0], value)
    make_holes(values, mask, ragged.real, value)
    leading = (*rows.shape, width)
    return Masked(values.reshape(*leading, *values.shape[2:]), mask.reshape(leading))


def unpad(x: Masked | ArrayLike, *, keep_empty: bool = False) -> Rows:
    """The real steps of each sequence, as NumPy arrays without padding.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`. Padding may be anywhere; holes are removed too.
        keep_empty: whether a document keeps its empty sentences, which otherwise count as padding, in their places.

    Returns:
        A list of arrays `(steps, ...)`; an empty row gives an array without steps. For one sequence (a mask of rank 1),
        its array; for documents (rank 3), a list of lists of arrays, without the sentences that have no real step. An
        array, which has no padding, gives the list of its rows. Under a mask of rows, `(batch,)`, as pooling returns
        it, the rows are treated as one sequence: the result is an array of the real rows.

    Raises:
        TypeError: `x` is traced; the shapes of the result depend on data.
        ValueError: there is no time axis, or the rows are packed.

    >>> import jmask as jm
    >>> [row.tolist() for row in jm.unpad(jm.pad_sequences([[3, 4, 5], [6]]))]
    [[3, 4, 5], [6]]
    """
    if not isinstance(x, Masked):
        x = as_masked(x) if find_marks(x) else x
    refuse_tracers(x, "unpad", "`jm.left_align` moves the real steps to the front")
    check_not_packed(
        x, "`unpad`", "Use `jm.unpack(x)`, or `x.with_segment_ids(None)` to take each row for one sequence."
    )
    values = host_rows(values_of(x))
    mask = host_rows(x.mask) if isinstance(x, Masked) else np.ones(values.shape[:2], bool)
    if mask.ndim == 0:
        raise ValueError(f"`unpad` needs a time axis; received values {values.shape} with a mask of rank 0.")
    return _real_steps(values, mask, keep_empty)


def load_steps(ragged: RowLists | Flat, dtype: DTypeLike | None, value: Any = 0) -> FlatSteps:
    """All steps in the requested dtype, or in their own; where nothing says what a step is, like `value`."""
    dtype = None if dtype is None else requested_dtype(dtype)
    steps = ragged.load(dtype)
    if steps is None:
        return FlatSteps(np.empty(0, default_dtype(np.asarray(value).dtype) if dtype is None else dtype))
    return steps


def arrange(steps: FlatSteps, mask: np.ndarray, starts: np.ndarray, value: Any = 0) -> np.ndarray:
    """The steps where the mask is True, and `value` elsewhere; `starts` as in `FlatSteps.write`."""
    values = _padded(value, steps.flat, mask.shape)
    if len(starts):
        steps.write(values, mask, starts)
    return values


def make_holes(values: np.ndarray, mask: np.ndarray, real: np.ndarray | None, value: Any = 0) -> None:
    """Removes the steps that are not `real` from the mask, in place, and writes `value` there."""
    if real is None:
        return
    held = mask.copy()
    mask[held] = real
    values[held & ~mask] = _padded(value, values[held], (1,))[0]


def refuse_tracers(x: Any, name: str, inside: str) -> None:
    """Raises for a traced `x`, for functions that make arrays whose shapes depend on data."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x)):
        raise TypeError(
            f"`{name}` makes arrays whose shapes depend on data, so it cannot be traced by `jax.jit`, `jax.vmap` or "
            f"`jax.grad`. Call it outside of them; inside, {inside}."
        )


def _padded(value: Any, flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Padding only, of this leading shape, otherwise like `flat`."""
    step = flat.shape[1:]
    if flat.dtype == OBJECT:
        fitting = np.empty((), object)  # a box, so that a list stays one object
        fitting[()] = _default_text(flat) if type(value) is int and value == 0 else value
        return np.full((*shape, *step), fitting)
    fitting = convert_exactly(np.asarray(value), flat.dtype, "value")
    try:
        np.broadcast_to(fitting, step)
    except ValueError:
        raise ValueError(
            f"`value` must be a number, or an array that broadcasts against a step, which has shape {step}; "
            f"received shape {fitting.shape}."
        ) from None
    if not fitting.any():
        return np.zeros((*shape, *step), flat.dtype)  # the system provides zeroed memory, nothing is written
    return np.full((*shape, *step), fitting, flat.dtype)


def _default_text(flat: np.ndarray) -> Any:
    """The default padding of objects: the empty string for strings, 0 for others."""
    kinds = set(map(type, flat.flat))
    for text in ("", b""):
        if kinds and all(issubclass(kind, type(text)) for kind in kinds):
            return text
    return 0


def _per_axis(name: str, sizes: Any, num_axes: int, minimum: int) -> list[int | None]:
    """A size or None for each axis that varies in length."""
    if num_axes == 1 and not isinstance(sizes, (list, tuple)):
        return [checked_option(name, sizes, minimum)]
    given = (None,) * num_axes if sizes is None else sizes
    if not isinstance(given, (list, tuple)) or len(given) != num_axes:
        raise ValueError(
            f"`{name}` needs a size or None for each of the {num_axes} axes that differ in length, "
            f"`{name}=({'None, ' * (num_axes - 1)}{sizes if isinstance(sizes, SupportsIndex) else 8})`; "
            f"received {sizes!r}."
        )
    return [checked_option(name, size, minimum) for size in given]


def _real_steps(values: np.ndarray, mask: np.ndarray, keep_empty: bool) -> Any:
    if mask.ndim == 1:
        return values[mask]
    if mask.ndim == 2:
        return split_rows(values[mask], mask.sum(axis=1).tolist())
    return [
        _real_steps(*(row, row_mask) if keep_empty else _without_empty(row, row_mask), keep_empty)
        for row, row_mask in zip(values, mask, strict=True)
    ]


def _without_empty(values: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    has_steps = mask.any(axis=tuple(range(1, mask.ndim)))
    return values[has_steps], mask[has_steps]
