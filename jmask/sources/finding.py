"""Finds out which library ragged data comes from."""

from typing import Any

from .arrow import read_column
from .awkward_arrays import is_awkward, read_awkward
from .capsules import is_exporter
from .datasets_columns import dataset_column, read_dataset_column
from .marks import is_pandas
from .nested import Leaf, Lists
from .tensors import read_nested_tensor, read_packed, read_ragged


def find_lists(x: Any) -> Lists | None:
    """The lists that another library holds as values and offsets; None for anything to be read row by row.

    Args:
        x: anything.

    Raises:
        ValueError, TypeError: lists are null, or have a type without a JAX dtype.
    """
    found = find_items(x)
    return found if isinstance(found, Lists) else None


def find_items(x: Any) -> Leaf | Lists | None:
    """As `find_lists`, and also a `Leaf` of numbers or strings that are in no lists."""
    if isinstance(x, (list, dict)):
        return None
    if is_awkward(x):
        return read_awkward(x)
    if hasattr(x, "nested_row_splits"):
        return read_ragged(x)
    if _is_packed(x):
        return read_packed(x)
    if getattr(x, "is_nested", False) is True:
        return read_nested_tensor(x)
    of_dataset = dataset_column(x)
    if of_dataset is not None:
        return read_dataset_column(of_dataset)
    column = _arrow_column(x)
    return None if column is None else read_column(column)


def refuse_lists(x: Any) -> None:
    """Raises for ragged tensors of other libraries where an array is expected."""
    if hasattr(x, "nested_row_splits") or _is_packed(x) or getattr(x, "is_nested", False) is True:
        raise TypeError(
            f"Expected an array, received a {type(x).__name__} of sequences of different lengths; "
            "`jm.pad_sequences(x)` makes a `Masked` of it."
        )


def _is_packed(x: Any) -> bool:
    """Whether `x` is a `PackedSequence` of torch."""
    return hasattr(x, "batch_sizes") and hasattr(x, "unsorted_indices")


def _arrow_column(x: Any) -> Any:
    """The object that offers Arrow's C interface, if it does so without a conversion."""
    if is_pandas(x):
        if hasattr(x, "columns"):
            raise TypeError('`sequences` is a table, not a column; take one by its name, e.g. `table["words"]`.')
        is_arrow = hasattr(getattr(x, "dtype", None), "pyarrow_dtype")
        return getattr(x, "array", x).__arrow_array__() if is_arrow else None
    return x if is_exporter(x) else None
