"""Loads the steps of lists and arrays, concatenated, in one dtype."""

import array
import itertools
import operator
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from ..sources import FlatSteps
from ..sources.conversion import OBJECT, are_integers, common_dtype, convert_exactly, default_dtype

SLICEABLE = {list, tuple, np.ndarray}
_BLOCK = 64  # rows that are converted at once: few enough to stay in the cache


def split_rows(flat: np.ndarray, lengths: Iterable[int]) -> list[np.ndarray]:
    """The rows that are concatenated in `flat`; `np.split` would take four times as long."""
    ends = itertools.accumulate(lengths, initial=0)
    return [flat[start:end] for start, end in itertools.pairwise(ends)]


class UnevenStepsError(ValueError):
    """The steps differ in shape; a caller that knows all sequences says which."""


def load_arrays(rows: list[Any], part: slice | None, dtype: np.dtype | None) -> FlatSteps:
    """The steps of rows, some of which are arrays: all steps, or those of a part of each row."""
    arrays = [row if isinstance(row, np.ndarray) else load_lists([row], None, dtype) for row in rows]
    if part is not None:
        arrays = [row[part] for row in arrays]
    has_vectors = set(map(operator.attrgetter("ndim"), arrays)) != {1}
    if has_vectors and len({row.shape[1:] for row in arrays}) > 1:
        raise UnevenStepsError
    dtypes = {row.dtype for row in arrays}
    if dtype is None:
        dtype = common_dtype(dtypes)
    if len(dtypes) > 1:
        arrays = [convert_exactly(row, dtype, "sequences") for row in arrays]
    if has_vectors and dtype != OBJECT:
        # A loop over rows: they are long, and joining them first would copy all the data once more.
        return FlatSteps(convert_exactly(arrays[0][:1], dtype, "sequences"), _converted(arrays, dtype))
    return FlatSteps(convert_exactly(np.concatenate(arrays), dtype, "sequences"))


def _converted(arrays: list[np.ndarray], dtype: np.dtype) -> Iterator[np.ndarray]:
    """Each array in `dtype`; several at once, since a call of `convert_exactly` costs more than a short array."""
    if arrays[0].dtype == dtype:
        yield from arrays
        return
    for start in range(0, len(arrays), _BLOCK):
        block = arrays[start : start + _BLOCK]
        yield from split_rows(convert_exactly(np.concatenate(block), dtype, "sequences"), [len(row) for row in block])


def load_lists(rows: list[Any], part: slice | None, dtype: np.dtype | None) -> np.ndarray:
    """The steps of lists and tuples: all steps, or those of a part of each row."""
    flat = _packed(_parts(rows, part), type(rows[0][0]), dtype)
    if flat is not None and flat.dtype.kind == "f" and np.isnan(flat).any():
        _refuse_masked(itertools.chain.from_iterable(_parts(rows, part)))  # which turn into NaN
    if flat is None:
        steps = list(itertools.chain.from_iterable(_parts(rows, part)))
        _refuse_masked(steps)
        try:
            flat = _discovered(steps, dtype)
        except ValueError:
            raise UnevenStepsError from None
    if dtype is None:
        dtype = default_dtype(np.dtype(int) if are_integers(flat) else flat.dtype)
    return convert_exactly(flat, dtype, "sequences")


def _refuse_masked(steps: Iterable[Any]) -> None:
    """Raises for masked steps and for masked arrays, whose mask NumPy drops when it makes an array of them."""
    if any(issubclass(kind, np.ma.MaskedArray) for kind in set(map(type, steps))):
        raise TypeError(
            "`sequences`: a step in a list is masked, or a masked array of NumPy, whose mask would be lost. Make a "
            "masked array of the whole sequence, `np.ma.array(row)`."
        )


def _parts(rows: list[Any], part: slice | None) -> Iterable[Any]:
    # Lazily: a list of 100,000 new lists would trigger the garbage collector, which takes longer than all the rest.
    return rows if part is None else map(operator.itemgetter(part), rows)


def _packed(rows: Iterable[Any], number: type, dtype: np.dtype | None) -> np.ndarray | None:
    """Lists of Python numbers, read with the `array` module, or None where it does not accept them.

    It is twice as fast as `np.array`, which looks at every number twice, and stricter than `np.fromiter`, which
    truncates fractions: anything that does not fit the type of the first number is an error here.
    """
    if number not in (int, float) or dtype == OBJECT:
        return None
    target = default_dtype(np.dtype(number)) if dtype is None else dtype
    packed = array.array(target.char if number is int and target.kind in "iu" else "d")
    try:
        for row in rows:
            packed.fromlist(row if type(row) is list else list(row))
    except (TypeError, OverflowError):
        return None
    return np.asarray(packed)


def _discovered(steps: list[Any], dtype: np.dtype | None) -> np.ndarray:
    """The steps in the dtype that NumPy infers for them, or as objects where that would change them."""
    if dtype == OBJECT:
        return _objects(steps)
    found = np.array(steps)
    if found.dtype.kind in "US":  # NumPy turns numbers among strings into strings
        return _objects(steps)
    if found.dtype == np.uint64 or (found.dtype == np.float64 and (np.abs(found) >= 2.0**63).any()):
        exact = _objects(steps)  # NumPy also turns Python integers beyond int64 into uint64 or float64
        return exact if are_integers(exact) else found
    return found


def _objects(steps: list[Any]) -> np.ndarray:
    objects = np.array(steps, object)
    if not SLICEABLE.isdisjoint(map(type, objects.flat)):
        raise ValueError("vectors of different lengths")  # NumPy would keep these as objects, but raises in other cases
    return objects
