"""A corpus of columns and tables of other libraries, beside the same rows as lists; nothing is copied that is flat."""

import json
import sys

import numpy as np
import pytest

import jmask as jm
from jmask import data
from tests.support import foreign
from tests.support.columns_of_libraries import NULLS, ROWS, SOURCES, WITH_NULLS, arrow

pytestmark = pytest.mark.extras

COLUMNS = {"words": [[1, 2], [3], []], "label": ["a", "b", "a"], "weight": [0.5, 1.0, 2.0]}


def rows_of(column):
    return [column[i].tolist() for i in range(len(column))]


@pytest.mark.parametrize("source", SOURCES)
def test_every_column_is_read_like_lists(source):
    column = data.Ragged(x=SOURCES[source](ROWS))["x"]
    assert rows_of(column) == ROWS
    assert (column.real, column.dtype) == (None, np.int32)


@pytest.mark.parametrize("source", WITH_NULLS)
def test_steps_that_are_null_are_kept_and_are_not_real(source):
    column = data.Ragged(x=WITH_NULLS[source]())["x"]
    assert rows_of(column) == NULLS
    assert column.real.tolist() == [True, False, True, False, True, True]


@pytest.mark.parametrize("kind", ["list", "large list", "column", "slice"])
def test_values_of_arrow_are_not_copied(kind):
    pyarrow = pytest.importorskip("pyarrow")
    source = arrow(ROWS, kind)
    items = source.chunk(0) if kind == "column" else source
    held = np.frombuffer(items.values.buffers()[1], np.int32 if kind == "large list" else np.int64)
    corpus = data.Ragged(x=source)
    for column in (corpus["x"], corpus[1:]["x"]):
        assert np.shares_memory(column.values, held)
    del source, items
    assert rows_of(corpus["x"]) == ROWS  # the corpus keeps the data alive
    assert pyarrow.array(COLUMNS["weight"]).equals(pyarrow.array(data.Ragged(x=pyarrow.array([0.5, 1, 2]))["x"].values))


def test_values_of_other_libraries_are_not_copied():
    rows = [[1.5, 2], [3.0]]
    series = pytest.importorskip("polars").Series(rows)
    assert np.shares_memory(data.Ragged(x=series)["x"].values, series.explode().to_numpy(allow_copy=False))
    awkward = pytest.importorskip("awkward").Array(rows)
    assert np.shares_memory(data.Ragged(x=awkward)["x"].values, np.asarray(awkward.layout.content.data))
    jagged = foreign.jagged_tensor(np.arange(3.0), [0, 2, 3])
    assert np.shares_memory(data.Ragged(x=jagged)["x"].values, jagged.values().values)
    ragged = foreign.ragged_tensor(np.arange(3.0), [0, 2, 3])
    assert np.shares_memory(data.Ragged(x=ragged)["x"].values, ragged.flat_values)


def test_a_memory_mapped_file_of_arrow_stays_on_the_disk(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    table = pyarrow.table(COLUMNS)
    with pyarrow.OSFile(str(tmp_path / "a.arrow"), "wb") as file, pyarrow.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    with pyarrow.memory_map(str(tmp_path / "a.arrow")) as file:
        mapped = pyarrow.ipc.open_file(file).read_all()
    corpus = data.from_table(mapped)
    assert corpus["words"].values.ctypes.data == mapped["words"].chunk(0).values.buffers()[1].address
    assert rows_of(corpus["words"]) == COLUMNS["words"]
    dataset = pytest.importorskip("datasets").Dataset.from_file(str(_stream(pyarrow, table, tmp_path / "b.arrow")))
    buffer = dataset.data["words"].chunk(0).values.buffers()[1]
    assert data.from_table(dataset)["words"].values.ctypes.data == buffer.address


def _stream(pyarrow, table, path):
    with pyarrow.OSFile(str(path), "wb") as file, pyarrow.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    return path


def libraries(name):
    return pytest.importorskip(name)


TABLES = {
    "dict": lambda: COLUMNS,
    "list of rows": lambda: [dict(zip(COLUMNS, row, strict=True)) for row in zip(*COLUMNS.values(), strict=True)],
    "corpus": lambda: data.Ragged(**COLUMNS),
    "pyarrow": lambda: libraries("pyarrow").table(COLUMNS),
    "pyarrow, batch": lambda: libraries("pyarrow").RecordBatch.from_pydict(COLUMNS),
    "polars": lambda: libraries("polars").DataFrame(COLUMNS),
    "pandas": lambda: libraries("pandas").DataFrame(COLUMNS, index=[7, 8, 9]),
    "datasets": lambda: libraries("datasets").Dataset.from_dict(COLUMNS),
    "datasets, NumPy": lambda: libraries("datasets").Dataset.from_dict(COLUMNS).with_format("numpy"),
    "datasets, selected": lambda: (
        libraries("datasets").Dataset.from_dict({k: v[::-1] for k, v in COLUMNS.items()}).select([2, 1, 0])
    ),
    "datasets, transform": lambda: libraries("datasets").Dataset.from_dict(COLUMNS).with_transform(dict),
    "awkward": lambda: libraries("awkward").Array([*map(dict, data.from_table(COLUMNS))]),
    "Arrow by a stream": lambda: Stream(libraries("pyarrow").table(COLUMNS)),
}  # fmt: skip


class Stream:
    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize("kind", TABLES)
def test_whole_tables(kind):
    corpus = data.from_table(TABLES[kind]())
    assert list(corpus.columns) == list(COLUMNS)
    assert rows_of(corpus["words"]) == COLUMNS["words"]
    assert [corpus[name].values.tolist() for name in ("label", "weight")] == [COLUMNS["label"], COLUMNS["weight"]]
    assert list(corpus.lengths) == ["words"]
    some = data.from_table(TABLES[kind](), columns=["weight", "words"])
    assert list(some.columns) == ["weight", "words"]
    with pytest.raises(KeyError, match="There is no column 'z'"):
        data.from_table(TABLES[kind](), columns=["z"])


def test_a_table_is_also_given_column_by_column():
    table = pytest.importorskip("polars").DataFrame(COLUMNS)
    corpus = data.Ragged(**{name: table[name] for name in table.columns})
    assert rows_of(corpus["words"]) == COLUMNS["words"]


def test_a_table_without_rows():
    corpus = data.from_table(pytest.importorskip("pyarrow").table(COLUMNS).slice(0, 0))
    assert len(corpus) == 0
    assert list(corpus.lengths) == ["words"]
    assert corpus["label"].values.dtype == object


def test_an_array_of_records():
    records = np.array([(1, 0.5), (2, 1.5)], [("id", int), ("weight", float)])
    assert data.from_table(records)["weight"].values.tolist() == [0.5, 1.5]
    with pytest.raises(TypeError, match=r"`data.from_table\(array\)` takes its fields .*weight"):
        data.Ragged(x=records)


def test_parquet(tmp_path):
    pyarrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "a.parquet"
    parquet.write_table(pyarrow.table(COLUMNS), path, row_group_size=2)
    for where in (path, str(tmp_path)):
        corpus = data.read_parquet(where, columns=["weight", "words"])
        assert list(corpus.columns) == ["weight", "words"]
        assert rows_of(corpus["words"]) == COLUMNS["words"]
    assert len(data.read_parquet(path).columns) == 3
    with pytest.raises(KeyError, match="no column 'z'; there are 'words', 'label', 'weight'"):
        data.read_parquet(path, columns=["z"])
    with pytest.raises(FileNotFoundError):
        data.read_parquet(tmp_path / "missing")


def test_what_needs_pyarrow_says_so(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        data.read_parquet("a.parquet")
    with pytest.raises(ImportError, match="pip install pyarrow"):
        data.from_table(Stream(None))


class Lazy:
    def collect(self): ...


@pytest.mark.parametrize(
    ("table", "error", "message"),
    [
        ("a.parquet", TypeError, "`table` must be a table of pyarrow, .* received str"),
        ([], TypeError, "received an empty list"),
        ([3], TypeError, "received rows of type int"),
        ([{"a": 1}, {"b": 1}], ValueError, r"columns of the first, \['a'\]; row 1 has \['b'\]"),
        ({3: [1]}, TypeError, r"names of columns are strings; received 3. .*`table.rename\(columns=str\)`"),
        (Lazy(), TypeError, r"is not computed yet; pass `table.collect\(\)`"),
    ],
)
def test_what_is_no_table_is_refused(table, error, message):
    with pytest.raises(error, match=message):
        data.from_table(table)


REFUSED = {
    "null list": (lambda: libraries("pyarrow").array([[1], None]), ValueError, "list 1 is null, and 1 of 2 are"),
    "null": (lambda: libraries("pyarrow").array([1, None]), ValueError, "Row 1 is missing, and 1 of 2 are"),
    "NA": (lambda: libraries("pandas").array([1, None], dtype="Int64"), ValueError, "Row 1 is missing"),
    "nested": (lambda: libraries("pyarrow").array([[[1], [2, 3]]]), ValueError, "Make a row of each inner list"),
    "nested lists": (lambda: [[[1], [2, 3]]], ValueError, "Make a row of each inner list"),
    "nested tensor": (lambda: foreign.ragged_tensor([1, 2], [0, 1, 2], [0, 1, 2]), ValueError, "lists of lists"),
    "records": (lambda: libraries("pyarrow").array([{"a": 1}]), TypeError, "Column 'x': .* column of records"),
    "frame": (lambda: libraries("pandas").DataFrame({"a": [1]}), TypeError, "is a table, not a column"),
    "None in a list": (lambda: [[1, None]], TypeError, r"A step in a list is missing, .*`pyarrow.array\(rows\)`"),
    "too large": (lambda: [[2**40]], OverflowError, "does not fit int32 .*np.unique"),
    "shapes": (lambda: [np.ones((2, 2)), np.ones(2)], ValueError, "All steps of `sequences` must have the same shape"),
    "documents": (lambda: jm.pad_sequences([[[1], [2]]], ragged_rank=2), ValueError, r"a mask \(batch, time\)"),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_column_of_a_corpus_is_refused(kind):
    column, error, message = REFUSED[kind]
    with pytest.raises(error, match=message):
        data.Ragged(x=column())


def test_several_splits_and_iterable_datasets_are_refused():
    datasets = pytest.importorskip("datasets")
    dataset = datasets.Dataset.from_dict(COLUMNS)
    with pytest.raises(TypeError, match=r"several tables, \['train'\]; take one, e.g. `table\['train'\]`"):
        data.from_table(datasets.DatasetDict(train=dataset))
    with pytest.raises(TypeError, match="load it without `streaming=True`"):
        data.from_table(dataset.to_iterable_dataset())


def test_rows_of_a_dataset_that_were_chosen():
    datasets = pytest.importorskip("datasets")
    rows = [[i] * (i % 3) for i in range(100)]
    dataset = datasets.Dataset.from_dict({"ids": [*rows, None], "text": [*map(str, range(100)), "x"]})
    for chosen in (dataset.filter(lambda row: row["ids"] is not None), dataset.shuffle(seed=1).select([5, 3])):
        expected = chosen["text"][:]
        corpus = data.from_table(chosen)
        assert corpus["text"].values.tolist() == expected
        assert rows_of(corpus["ids"]) == [rows[int(text)] for text in expected]
    shuffled = dataset.select(range(100)).shuffle(seed=0)
    assert rows_of(data.Ragged(x=shuffled["ids"])["x"]) == [rows[int(text)] for text in shuffled["text"][:]]


def test_a_column_of_a_dataset_that_is_refused_is_named():
    dataset = pytest.importorskip("datasets").Dataset.from_dict({"a": [1], "b": [{"x": 1}]})
    with pytest.raises(TypeError, match=r"Column 'b': .* column of records"):
        data.from_table(dataset)


def test_names_that_occur_twice_are_refused():
    frame = pytest.importorskip("pandas").DataFrame([[1, 2]], columns=["a", "a"])
    with pytest.raises(TypeError, match="Several columns have the name 'a'"):
        data.from_table(frame)


def test_objects_of_tables_become_json_and_back():
    rows = json.loads(json.dumps([{"ids": [3, 4], "label": "a"}, {"ids": [], "label": "b"}]))
    assert [row["ids"].tolist() for row in data.from_table(rows)] == [[3, 4], []]
