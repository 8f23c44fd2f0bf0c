"""Makes a column of whatever holds sequences, or one value a row."""

import numbers
from collections.abc import Mapping, Set
from typing import Any

import numpy as np

from ..core.masked import Masked
from ..sources import Lists, find_items, find_marks, flatten_lists, host_array
from ..sources.conversion import OBJECT, is_missing
from ..sources.marks import is_pandas
from .columns import Column, offsets_of, sequences_of_array
from .packing import unpack
from .row_lists import read_sequences

_SCALARS = (str, bytes, numbers.Number, np.generic)


def as_column(x: Any) -> Column:
    """The column that a caller's data makes; see `data.Ragged` for what may be given.

    Raises:
        TypeError, ValueError: it is neither sequences nor values, rows are missing, or steps differ in shape.
    """
    if isinstance(x, Column):
        return x
    if isinstance(x, Masked):
        return _of_masked(x)
    if isinstance(x, (list, tuple)):
        return _of_rows(list(x))
    found = find_items(x)
    if found is not None:
        return _of_lists(found) if isinstance(found, Lists) else _of_values(found.values, found.real)
    marks = find_marks(x)
    if marks is not None:
        return _of_values(marks.values, marks.real)
    if isinstance(x, (str, bytes, Mapping, Set)) or not (hasattr(x, "__len__") and hasattr(x, "__iter__")):
        raise TypeError(
            f"A column is a list, an array or a column of a table, with one sequence or one value for each row; "
            f"received {_described(x)}. A generator becomes a list by `list(...)`."
        )
    if is_pandas(x) and not hasattr(x, "columns") and x.dtype != OBJECT:
        return _of_array(x.to_numpy())
    if hasattr(x, "__array__") and not is_pandas(x):
        return _of_array(host_array(x))
    return _of_rows(list(x))


def _of_rows(rows: list[Any]) -> Column:
    """Of lists, arrays or tensors, one for each row; or of numbers and strings, one for each row."""
    kinds = set(map(type, rows))
    if (kinds and all(_is_scalar(kind) for kind in kinds)) or _are_tensors_of_rank_0(rows, kinds):
        return _of_scalars(rows)
    missing = next((i for i, row in enumerate(rows) if is_missing(row)), None)
    if missing is not None:
        raise _missing_row(missing, sum(map(is_missing, rows)), len(rows))
    try:
        sequences = read_sequences(rows)
        steps = sequences.load(None)
    except (TypeError, ValueError, OverflowError) as error:
        raise _explained(error, rows) from None
    if steps is None:
        values = np.zeros(0, np.int32)
    else:
        values = steps.flat if steps.rows is None else np.concatenate(list(steps.rows))
    return Column(values, offsets_of(sequences.lengths), sequences.real)


def _of_scalars(rows: list[Any]) -> Column:
    if any(isinstance(row, (str, bytes)) for row in rows):
        values = np.empty(len(rows), object)
        values[:] = rows
        return Column(values)
    return Column(_of_rows([rows]).values)


def _explained(error: Exception, rows: list[Any]) -> Exception:
    """The error of `jm.pad_sequences` about these rows, with a remedy that a corpus has."""
    if isinstance(error, OverflowError):
        return OverflowError(
            f"{str(error).partition('.')[0]}. Number such ids anew, `np.unique(ids, return_inverse=True)`, or keep "
            "int64 by `jax.config.update('jax_enable_x64', True)`."
        )
    steps = [step for row in rows if isinstance(row, (list, tuple)) for step in row]
    if isinstance(error, ValueError) and any(isinstance(step, (list, tuple, np.ndarray)) for step in steps):
        return documents_error()
    if any(map(is_missing, steps)):
        return TypeError(
            "A step in a list is missing, None or NA. Leave it out; or pass a column of Arrow, `pyarrow.array(rows)`, "
            "whose missing steps keep their places and are not real."
        )
    return error


def _of_array(array: np.ndarray) -> Column:
    if array.ndim == 0:
        raise TypeError(f"A column has one sequence or one value for each row; received {array!r}.")
    if array.dtype == OBJECT:
        return _of_rows(array.tolist())
    if array.dtype.names:
        raise TypeError(
            f"An array of records is a table; `data.from_table(array)` takes its fields {array.dtype.names}."
        )
    return Column(array) if array.ndim == 1 else sequences_of_array(array)


def _of_values(values: np.ndarray, real: np.ndarray | None) -> Column:
    """Of an array that says which of its entries are real; as padding, the others are left out."""
    if values.ndim == 1 and real is not None and not real.all():
        raise _missing_row(int(real.argmin()), int((~real).sum()), len(real))
    if values.ndim == 1:
        return Column(values)
    if real is None or real.all():
        return _of_array(values)
    steps = real.reshape(*real.shape[:2], -1).all(-1)
    partly = real.reshape(*real.shape[:2], -1).any(-1) & ~steps
    if partly.any():
        raise ValueError(
            f"A part of a step is missing, in row {np.argwhere(partly)[0][0]}: a step is real or missing as a whole. "
            "Fill what is missing, and add the information as a feature if it matters."
        )
    return Column(values[steps], offsets_of(steps.sum(1)))


def _of_lists(lists: Lists) -> Column:
    inner = lists.items
    while isinstance(inner, Lists):
        if inner.size is None and (inner.certain or (inner.lengths != inner.lengths[:1]).any()):
            raise documents_error()
        inner = inner.items
    (lengths,), leaf = flatten_lists(lists, 1)
    return Column(leaf.values, offsets_of(lengths), leaf.real)


def _of_masked(x: Masked) -> Column:
    """The real steps of each row, or of each sequence of packed rows."""
    rank = x.mask.ndim
    if x.segment_ids is not None and rank == 2:
        rows = unpack(x, num_sequences=x.num_sequences)  # with those that have no step, so far as their number is known
        values = np.asarray(x.values)
        empty = values.reshape(-1, *values.shape[2:])[:0]
        return Column(np.concatenate([empty, *rows]), offsets_of(np.array([*map(len, rows)], np.int64)))
    values, mask = np.asarray(x.values), np.asarray(x.mask)
    if rank == 2:
        return Column(values[mask], offsets_of(mask.sum(1)))
    if rank == 1 and mask.all():
        return Column(values)
    raise ValueError(
        f"A column takes a `Masked` with a mask (batch, time), or (batch,) if all its rows are real; received mask "
        f"{mask.shape} for values {values.shape}. Of rows, take the real ones, here and in every column, "
        "`x.values[x.mask]`; of documents, make a row of each sentence."
    )


def documents_error() -> ValueError:
    """The error for lists that are nested deeper than a corpus."""
    return ValueError(
        "A row holds one sequence, and its steps have one shape; these rows are lists of lists that differ in length. "
        "Make a row of each inner list, `[sentence for document in documents for sentence in document]`, with the "
        "number of its document in another column; or one sequence of each row, `[sum(document, []) for document in "
        "documents]`. `jm.pad_sequences(documents, ragged_rank=2)` pads documents as they are."
    )


def _is_scalar(kind: type) -> bool:
    return issubclass(kind, _SCALARS)


def _are_tensors_of_rank_0(rows: list[Any], kinds: set[type]) -> bool:
    return bool(kinds) and all(hasattr(kind, "__array__") for kind in kinds) and all(np.ndim(row) == 0 for row in rows)


def _missing_row(first: int, count: int, num_rows: int) -> ValueError:
    return ValueError(
        f"Row {first} is missing, and {count} of {num_rows} are. Leave them out, here and in every other column, or "
        "fill them: with an empty sequence, or with a number that means `unknown`."
    )


def _described(x: Any) -> str:
    shown = repr(x)
    return f"{shown if len(shown) < 60 else 'an object'} of type {type(x).__name__}"
