"""Columns of Hugging Face `datasets`, read from the Arrow table that a dataset keeps."""

from typing import Any

import numpy as np

from .arrow import read_column
from .nested import Leaf, Lists

_FEW = 10  # of rows that are fewer than one in so many, a copy of these alone is made


def is_dataset(x: Any) -> bool:
    """Whether it is a dataset of `datasets`, iterable ones included."""
    return hasattr(x, "with_format") and hasattr(x, "select_columns") and hasattr(x, "column_names")


def is_transformed(dataset: Any) -> bool:
    """Whether what the rows hold is made by a function of the user's, `set_transform`."""
    return (getattr(dataset, "format", None) or {}).get("type") == "custom"


def read_dataset_column(dataset: Any, name: str) -> Leaf | Lists:
    """A column as its table holds it, whatever the format in which the dataset returns rows.

    A dataset that is shuffled, filtered or split keeps its table, and the numbers of its rows. Rows of the column are
    taken by these at once, where the library itself takes them one by one.
    """
    rows = getattr(dataset, "_indices", None)
    if rows is None or len(rows) * _FEW < len(dataset.data):
        return read_column(_own_copy(dataset, name))
    numbers = np.asarray(rows.column(0))
    try:
        column = read_column(dataset.data.column(name))
    except ValueError:  # a list is null, but perhaps in none of these rows
        return read_column(_own_copy(dataset, name))
    return column.taken(numbers)


def _own_copy(dataset: Any, name: str) -> Any:
    return dataset.select_columns([name]).with_format("arrow")[:][name]
