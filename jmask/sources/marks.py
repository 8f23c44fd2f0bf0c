"""Arrays of other libraries that say which of their entries are missing."""

from typing import Any, NamedTuple

import jax
import numpy as np

from .arrow import read_column
from .capsules import is_exporter
from .nested import Leaf, flat_steps
from .tensors import host_array


class Marked(NamedTuple):
    """An array and which of its entries are real.

    Attributes:
        values: the entries; anything where one is missing.
        real: bool of the shape of the values; None if no entry is missing.
        remedy: how to fill the missing entries, for errors.
        explicit: whether the only purpose of its type is to mark missing entries, as in `np.ma`.
    """

    values: np.ndarray
    real: np.ndarray | None
    remedy: str
    explicit: bool = False


def find_marks(x: Any) -> Marked | None:
    """The entries and the validity of an array of another library; None for anything without a validity.

    Args:
        x: a masked array of NumPy; a nullable or Arrow array of pandas, in a Series or alone; an array of pyarrow or a
            series of polars, of numbers; a `MaskedTensor` of torch.

    Raises:
        TypeError: a column of lists, which is not an array.
    """
    if isinstance(x, np.ma.MaskedArray):
        mask = np.ma.getmaskarray(x)
        return Marked(np.asarray(x.data), ~mask, "x.filled({fill})", explicit=True)
    if isinstance(x, (np.ndarray, jax.Array, list, tuple)):
        return None
    if _is_masked_tensor(x):
        return Marked(host_array(x.get_data()), np.asarray(x.get_mask()), "x.to_tensor({fill})", explicit=True)
    if is_pandas(x):
        return _of_pandas(x)
    return _of_arrow(x, "x.fill_null({fill})") if is_exporter(x) else None


def refuse_marks(x: Any) -> None:
    """Raises for objects with a mask of another library, which would be lost here."""
    if isinstance(x, jax.Array) or type(x) is np.ndarray or (marks := find_marks(x)) is None:
        return
    if marks.explicit or not _all_real(marks.real):
        raise TypeError(_lost_mask(x, marks))


def prefix_of(marks: Marked, rank: int) -> tuple[np.ndarray, np.ndarray]:
    """The entries, and which steps are real: a mask over the first `rank` axes.

    Raises:
        ValueError: part of a step is missing.
    """
    leading = marks.values.shape[:rank]
    real = None if marks.real is None else np.broadcast_to(marks.real, marks.values.shape)
    vectors = marks.values.reshape(int(np.prod(leading)), *marks.values.shape[rank:])
    leaf = flat_steps(Leaf(vectors, None if real is None else real.reshape(vectors.shape)))
    mask = np.ones(leading, bool) if leaf.real is None else leaf.real.reshape(leading)
    return leaf.values.reshape(marks.values.shape), mask


def as_host_array(x: Any) -> np.ndarray | None:
    """An array of another library without missing entries as a NumPy array; None for anything JAX itself accepts.

    Raises:
        TypeError: entries are missing.
    """
    marks = find_marks(x)
    if marks is None:
        return host_array(x) if "bfloat16" in str(getattr(x, "dtype", "")) and hasattr(x, "unbind") else None
    refuse_marks(x)
    return marks.values


def is_pandas(x: Any) -> bool:
    """Whether `x` is a pandas object."""
    return type(x).__module__.partition(".")[0] == "pandas"


def _of_pandas(x: Any) -> Marked | None:
    """A pandas extension array, alone or in a Series; NumPy arrays in pandas have no missing entries."""
    dtype = getattr(x, "dtype", None)
    if dtype is None or isinstance(dtype, np.dtype) or not hasattr(x, "isna"):
        return None
    array = getattr(x, "array", x)
    if hasattr(dtype, "pyarrow_dtype"):
        return _of_arrow(array.__arrow_array__(), "x.fillna({fill})")
    real = ~np.asarray(array.isna())
    numbers = getattr(dtype, "numpy_dtype", None)
    if numbers is None or numbers == object:
        return Marked(np.asarray(array, object), real, "x.fillna({fill})")
    return Marked(array.to_numpy(dtype=numbers, na_value=numbers.type(0)), real, "x.fillna({fill})")


def _of_arrow(column: Any, remedy: str) -> Marked:
    leaf = read_column(column)
    if not isinstance(leaf, Leaf):
        raise TypeError("A column of lists is not an array; `jm.pad_sequences(column)` makes a `Masked` of it.")
    return Marked(leaf.values, leaf.real, remedy)


def _is_masked_tensor(x: Any) -> bool:
    return hasattr(x, "get_mask") and hasattr(x, "get_data")


def _all_real(real: np.ndarray | None) -> bool:
    return real is None or bool(real.all())


def _lost_mask(x: Any, marks: Marked) -> str:
    is_bool = marks.values.dtype == bool
    missing = 0 if marks.real is None else int((~marks.real).sum())
    return (
        f"Received a {type(x).__module__.partition('.')[0]} {type(x).__name__} with {missing} masked or missing "
        "entries, and its mask would be lost here. `jm.as_masked(x)` makes a `Masked` of it; or fill what is missing, "
        f"`{marks.remedy.format(fill='False' if is_bool else '0')}`."
    )
