"""Columns of Hugging Face `datasets`, read from the Arrow table that a dataset keeps."""

import dataclasses
from typing import Any

import numpy as np

from .arrow import read_column
from .nested import Leaf, Lists

_FEW = 10  # of rows that are fewer than one in so many, a copy of these alone is made


@dataclasses.dataclass(frozen=True)
class DatasetColumn:
    """A column of a dataset, whatever the format in which the dataset returns rows."""

    dataset: Any
    name: str


def is_dataset(x: Any) -> bool:
    """Whether it is a dataset of `datasets`, iterable ones included."""
    return hasattr(x, "with_format") and hasattr(x, "select_columns") and hasattr(x, "column_names")


def is_transformed(dataset: Any) -> bool:
    """Whether what the rows hold is made by a function of the user's, `set_transform`."""
    return (getattr(dataset, "format", None) or {}).get("type") == "custom"


def dataset_column(x: Any) -> DatasetColumn | None:
    """What stands for a column: one of ours, or what `dataset["words"]` returns, unless a format decodes its rows."""
    if isinstance(x, DatasetColumn):
        return x
    source: Any = getattr(x, "source", None)
    if not hasattr(x, "column_name") or not is_dataset(source):
        return None
    plain = (getattr(source, "format", None) or {}).get("type") in (None, "arrow")
    return DatasetColumn(source, x.column_name) if plain else None


def read_dataset_column(x: DatasetColumn) -> Leaf | Lists:
    """A column as the table of the dataset holds it.

    A dataset that is shuffled, filtered or split keeps its table, and the numbers of its rows. Rows of the column are
    taken by these at once, where the library itself takes them one by one.
    """
    dataset, name = x.dataset, x.name
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
