"""Whole tables as a corpus: of Arrow, polars, pandas, Hugging Face `datasets`, awkward, NumPy and Python."""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..sources.datasets_columns import DatasetColumn, is_dataset, is_transformed
from .corpus import Ragged


def from_table(table: Any, *, columns: Sequence[str] | None = None) -> Ragged:
    """A corpus of the columns of a table.

    Args:
        table: a table of pyarrow (or what `pyarrow.table` takes, such as a relation of DuckDB), a frame of polars or
            pandas (whose index is left out), a dataset of Hugging Face `datasets`, an awkward or NumPy array of
            records, a dict of columns, or a list of rows that are dicts with the same keys.
        columns: the names of the columns to take, in this order; None: all.

    Returns:
        A `data.Ragged`; each column is read as `data.Ragged` reads it. What is in one chunk is not copied, and stays
        memory-mapped if it is; the chunks of a column are joined, which copies it once.

    Raises:
        TypeError: it is no table, a lazy one, or several; a name is no string; a column is of another kind, such as
            records or images.
        KeyError: there is no such column.
        ValueError: rows are missing, as for `data.Ragged`; or a dict in a list has other keys than the first.

    A table without rows gives a corpus without rows.

    >>> from jmask import data
    >>> data.from_table([{"words": [3, 4, 5], "label": 0}, {"words": [6], "label": 1}])
    Ragged of 2 rows
      words: int32, 2 sequences of 1 to 3 steps
      label: int32, 2 values
    """
    if isinstance(table, Ragged):
        return table if columns is None else table[list(columns)]
    found = _columns_of(table)
    names = list(found if columns is None else columns)
    for name in names:
        if name not in found:
            raise KeyError(f"There is no column {name!r}; there are {', '.join(map(repr, found))}.")
    if not all(isinstance(name, str) for name in names):
        wrong = next(name for name in names if not isinstance(name, str))
        raise TypeError(
            f"The names of columns are strings; received {wrong!r}. Rename them, in pandas "
            "`table.rename(columns=str)`, or choose some by `columns=`."
        )
    if is_dataset(table):
        return Ragged(**_columns_of_dataset(table, names))
    return Ragged(**{name: found[name] for name in names})


def read_parquet(path: str | Path, *, columns: Sequence[str] | None = None) -> Ragged:
    """A corpus from a file of Parquet, or from a folder of them. Needs pyarrow.

    Args:
        path: the file or folder.
        columns: the names of the columns to read, in this order; None: all. Others are not read from the disk.

    Returns:
        A `data.Ragged`; see `data.from_table`. Lists of numbers are sequences, numbers and strings one value a row.

    Raises:
        ImportError: pyarrow is not installed.
        FileNotFoundError: there is no such file.
        KeyError: there is no such column.
    """
    parquet = _imported("pyarrow.parquet", "Parquet is read by pyarrow")
    known = parquet.ParquetDataset(path).schema.names
    for name in columns or ():
        if name not in known:
            raise KeyError(f"{path}: there is no column {name!r}; there are {', '.join(map(repr, known))}.")
    return from_table(parquet.read_table(path, columns=None if columns is None else list(columns)))


def _imported(module: str, what: str) -> Any:
    """A module of pyarrow, which is optional."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImportError(f"{what}: `pip install pyarrow`.") from error


class _Lookup(Mapping[Any, Any]):
    """The columns of a table by name, each taken from it only when it is asked for."""

    def __init__(self, table: Any, names: Sequence[Any]):
        self.table, self.names = table, list(names)

    def __getitem__(self, name: Any) -> Any:
        return self.table[name]

    def __contains__(self, name: object) -> bool:
        return name in self.names  # without asking the table, which has an error of its own

    def __iter__(self) -> Iterator[Any]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def _columns_of(table: Any) -> Mapping[Any, Any]:
    """The columns of any kind of table, by name."""
    if isinstance(table, Mapping):
        if any(is_dataset(value) for value in table.values()):
            splits = list(table)
            raise TypeError(f"These are several tables, {splits}; take one, e.g. `table[{splits[0]!r}]`.")
        return table
    if isinstance(table, list):
        return _columns_of_rows(table)
    if hasattr(table, "collect") and not hasattr(table, "__len__"):
        raise TypeError(f"A {type(table).__name__} is not computed yet; pass `table.collect()`.")
    if is_dataset(table) and not hasattr(table, "__len__"):
        raise TypeError(
            "An iterable dataset has no rows to choose from; load it without `streaming=True`, or take its first rows, "
            "`data.from_table(list(table.take(1000)))`."
        )
    names = _names(table)
    if names is not None:
        return _Lookup(table, names)
    if hasattr(table, "__arrow_c_stream__"):
        arrow = _imported("pyarrow", "This table offers itself as Arrow, read by pyarrow").table(table)
        return _Lookup(arrow, arrow.column_names)
    raise TypeError(
        "`table` must be a table of pyarrow, polars, pandas or Hugging Face `datasets`, an array of records, a dict of "
        f"columns, or a list of dicts; received {type(table).__name__}. Files are read by `data.read_parquet` and "
        "others; columns one by one are `data.Ragged(words=...)`."
    )


def _names(table: Any) -> list[Any] | None:
    """The names of the columns of what gives its columns by `table[name]`."""
    if isinstance(table, np.ndarray):
        return None if table.dtype.names is None else list(table.dtype.names)
    names = getattr(table, "column_names", None)  # of pyarrow and `datasets`
    if isinstance(names, list) and hasattr(table, "__len__"):
        return names
    if hasattr(table, "columns") and hasattr(table, "__len__"):  # of polars and pandas
        names = list(table.columns)
        repeated = sorted({str(name) for name in names if names.count(name) > 1})
        if repeated:
            raise TypeError(f"Several columns have the name {repeated[0]!r}; give each its own.")
        return names
    if hasattr(table, "fields") and hasattr(table, "layout") and table.fields:  # of awkward
        return list(table.fields)
    names = getattr(getattr(table, "schema", None), "names", None)  # of a record batch
    return list(names) if names and hasattr(table, "__len__") else None


def _columns_of_rows(rows: list[Any]) -> Mapping[Any, Any]:
    """The columns of rows that are dicts."""
    if not rows or not all(isinstance(row, Mapping) for row in rows):
        other = next((type(row).__name__ for row in rows if not isinstance(row, Mapping)), None)
        shown = "an empty list" if other is None else f"rows of type {other}"
        raise TypeError(f"The rows of a list are dicts, `[{{'words': [3, 4], 'label': 0}}]`; received {shown}.")
    keys = set(rows[0])
    for i, row in enumerate(rows):
        if set(row) != keys:
            raise ValueError(
                f"All rows must have the columns of the first, {list(rows[0])}; row {i} has {list(row)}. Fill what is "
                "missing, e.g. with an empty list."
            )
    return {name: [row[name] for row in rows] for name in rows[0]}


def _columns_of_dataset(dataset: Any, names: list[str]) -> dict[str, Any]:
    if is_transformed(dataset):
        return dict(dataset.select_columns(names)[:])
    return {name: DatasetColumn(dataset, name) for name in names}
