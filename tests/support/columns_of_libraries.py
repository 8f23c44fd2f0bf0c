"""The same sequences as columns of other libraries, each skipped where its library is not installed."""

import numpy as np
import pytest

from tests.support import foreign
from tests.support.foreign import lists_of_numbers

ROWS = [[7, 8, 9], [], [5], [1, 2, 3, 4, 6]]
NULLS = [[7, None, 9], [], [None], [1, 2]]


def arrow(rows, kind):
    pyarrow = pytest.importorskip("pyarrow")
    types = {
        "list": pyarrow.list_(pyarrow.int64()),
        "large list": pyarrow.large_list(pyarrow.int32()),
        "view": pyarrow.list_view(pyarrow.int64()),
        "large view": pyarrow.large_list_view(pyarrow.int64()),
    }
    if kind == "chunks":
        return pyarrow.chunked_array([pyarrow.array(rows[:2], types["list"]), pyarrow.array(rows[2:], types["list"])])
    if kind == "column":
        return pyarrow.table({"ids": rows})["ids"]
    if kind == "slice":
        return pyarrow.array([[0, 0], *rows, [3]])[1:-1]
    return pyarrow.array(rows, types[kind])


def pandas_column(rows):
    pyarrow, pandas = pytest.importorskip("pyarrow"), pytest.importorskip("pandas")
    return pandas.Series(rows, dtype=pandas.ArrowDtype(pyarrow.list_(pyarrow.int64())))


def datasets_column(rows, form, change=None):
    pytest.importorskip("datasets")
    from datasets import Dataset

    dataset = Dataset.from_dict({"ids": rows})
    return (dataset.select(change) if change else dataset).with_format(form)["ids"]


SOURCES = {
    "a column": lists_of_numbers,
    **{f"pyarrow, {k}": (lambda rows, k=k: arrow(rows, k)) for k in ("list", "large list", "view", "large view")},
    **{f"pyarrow, {k}": (lambda rows, k=k: arrow(rows, k)) for k in ("chunks", "column", "slice")},
    "polars": lambda rows: pytest.importorskip("polars").Series(rows),
    "pandas": lambda rows: pytest.importorskip("pandas").Series(rows),
    "pandas, Arrow": pandas_column,
    "datasets": lambda rows: datasets_column(rows, None),
    "datasets, Arrow": lambda rows: datasets_column(rows, "arrow"),
    "datasets, NumPy": lambda rows: datasets_column(rows, "numpy"),
    "datasets, selected": lambda rows: datasets_column([*rows[::-1], [9]], None, [3, 2, 1, 0]),
    "awkward": lambda rows: pytest.importorskip("awkward").Array(rows),
    "awkward, reversed": lambda rows: pytest.importorskip("awkward").Array(rows[::-1])[::-1],
    "torch, jagged": lambda rows: foreign.jagged_tensor(
        [step for row in rows for step in row], np.cumsum([0, *map(len, rows)])
    ),
    "torch, strided": lambda rows: foreign.strided_tensor([np.array(row, int) for row in rows]),
    "TensorFlow": lambda rows: foreign.ragged_tensor(
        [step for row in rows for step in row], np.cumsum([0, *map(len, rows)])
    ),
    "NumPy, masked": lambda rows: [np.ma.array(row, int) for row in rows],
    "torch, tensors": lambda rows: [foreign.Tensor(np.array(row, int)) for row in rows],
}

WITH_NULLS = {
    "a column": lambda: lists_of_numbers([[7, -1, 9], [], [-1], [1, 2]], real=[True, False, True, False, True, True]),
    "pyarrow": lambda: pytest.importorskip("pyarrow").array(NULLS),
    "polars": lambda: pytest.importorskip("polars").Series(NULLS),
    "pandas, Arrow": lambda: pandas_column(NULLS),
    "datasets": lambda: datasets_column(NULLS, None),
    "awkward": lambda: pytest.importorskip("awkward").Array(NULLS),
    "pandas, nullable rows": lambda: [pytest.importorskip("pandas").array(row, dtype="Int64") for row in NULLS],
    "pandas, nullable series": lambda: [pytest.importorskip("pandas").Series(row, dtype="Int64") for row in NULLS],
    "pyarrow, rows": lambda: [pytest.importorskip("pyarrow").array(row, "int64") for row in NULLS],
    "polars, rows": lambda: [pytest.importorskip("polars").Series(row, dtype=int) for row in NULLS],
    "NumPy, masked": lambda: [
        np.ma.array([2**40 if step is None else step for step in row], int, mask=[step is None for step in row])
        for row in NULLS
    ],
    "torch, masked": lambda: [
        foreign.MaskedTensor([0 if s is None else s for s in row], np.array([s is not None for s in row], bool))
        for row in NULLS
    ],
}  # fmt: skip
