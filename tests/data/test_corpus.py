"""A corpus of columns: what it takes, what it holds, and what it refuses."""

import pickle

import ml_dtypes
import numpy as np
import pytest

import jmask as jm
from jmask import data

ROWS = [[3, 4, 5], [], [6, 7], [8]]


SOURCES = {
    "lists": lambda: ROWS,
    "tuples": lambda: tuple(map(tuple, ROWS)),
    "arrays": lambda: [np.array(row, np.int64) for row in ROWS],
    "an array of objects": lambda: np.array([*map(np.array, ROWS), None], object)[:-1],
    "padded": lambda: jm.pad_sequences(ROWS, padding="pre"),
    "packed": lambda: jm.pack(ROWS),
    "values and offsets": lambda: data.Column(np.array([1, 3, 4, 5, 6, 7, 8, 1]), [1, 4, 4, 6, 7]),
}


@pytest.mark.parametrize("source", SOURCES)
def test_sequences_of_every_source(source):
    column = data.Ragged(x=SOURCES[source]())["x"]
    assert [column[i].tolist() for i in range(len(column))] == ROWS
    assert column.lengths.tolist() == [*map(len, ROWS)]
    assert column.lengths.dtype == column.offsets.dtype == np.int64
    assert column.offsets[0] == 0
    assert column.offsets[-1] == len(column.values)
    assert column.dtype == np.int32


def test_rows_and_columns_of_a_corpus():
    corpus = data.Ragged(words=ROWS, label=["a", "b", "c", "d"], **{"a name": np.eye(4)})
    assert len(corpus) == 4
    assert list(corpus.columns) == ["words", "label", "a name"]
    assert {name: lengths.tolist() for name, lengths in corpus.lengths.items()} == {
        "words": [3, 0, 2, 1],
        "a name": [4, 4, 4, 4],
    }
    row = corpus[-2]
    assert (row["words"].tolist(), row["label"], row["a name"].tolist()) == ([6, 7], "c", [0, 0, 1, 0])
    assert [len(row["words"]) for row in corpus] == [3, 0, 2, 1]
    boolean = np.array([True, False, True, True])
    for index in (slice(1, 3), slice(None, None, -2), [2, 0, 2], np.array([3]), boolean, np.zeros(0, int)):
        some, numbers = corpus[index], np.arange(4)[index].tolist()
        assert len(some) == len(numbers)
        assert [some[i]["words"].tolist() for i in range(len(some))] == [ROWS[i] for i in numbers]
        assert some["label"].values.tolist() == ["abcd"[i] for i in numbers]
    assert list(corpus[["label", "words"]].columns) == ["label", "words"]
    assert list(corpus.replace(words=None, label=[1, 2, 3, 4]).columns) == ["label", "a name"]
    again = pickle.loads(pickle.dumps(corpus))
    assert repr(again) == repr(corpus)


def test_nothing_is_copied_where_values_are_flat_already():
    flat = np.arange(7, dtype=np.int32)
    column = data.Column(flat, np.array([0, 3, 3, 7]))
    corpus = data.Ragged(x=column, y=np.ones((3, 5), np.float32))
    for part in (corpus["x"], corpus[1:]["x"]):
        assert np.shares_memory(part.values, flat)
    assert not corpus["x"].values.flags.writeable
    assert flat.flags.writeable


def test_a_memory_map_stays_one(tmp_path):
    np.save(tmp_path / "values.npy", np.arange(9))
    values = np.load(tmp_path / "values.npy", mmap_mode="r")
    corpus = data.Ragged(x=data.Column(values, [0, 4, 9]))
    assert np.shares_memory(corpus["x"].values, values)
    assert corpus[1]["x"].tolist() == [4, 5, 6, 7, 8]


def test_numbers_that_do_not_fit_are_found_before_a_batch_is_made():
    assert data.Ragged(x=np.array([2**31 - 1]))["x"].dtype == np.int32
    column = data.Ragged(x=np.array([3, 2**31]))["x"]
    with pytest.raises(OverflowError, match="2147483648 does not fit int32"):
        column.dtype  # noqa: B018
    with pytest.raises(TypeError, match=r"JAX has no dtype datetime64\[s\]. Convert the values first"):
        data.Ragged(x=np.array(["2020-01-01"], "M8[s]"))["x"].dtype  # noqa: B018


def test_one_value_a_row_and_the_other_reading_of_an_array():
    matrix = np.arange(6.0).reshape(3, 2)
    assert data.Ragged(x=[1.5, 2, 3])["x"].values.tolist() == [1.5, 2, 3]
    assert data.Ragged(x=matrix)["x"].lengths.tolist() == [2, 2, 2]
    vectors = data.Ragged(x=data.Column(matrix))["x"]
    assert vectors.lengths is None
    assert vectors[1].tolist() == [2, 3]
    assert vectors.as_sequences()[1].tolist() == [2, 3]
    assert np.shares_memory(data.Ragged(x=matrix)["x"].as_vectors().values, matrix)
    assert data.Ragged(x=matrix[:, 0, None])["x"].lengths.tolist() == [1, 1, 1]
    with pytest.raises(ValueError, match="Vectors must have one length"):
        data.Ragged(x=ROWS)["x"].as_vectors()


def test_missing_steps_are_kept_and_are_not_real():
    rows = [np.ma.array([1, 2, 3], mask=[0, 1, 0]), np.ma.array([4])]
    column = data.Ragged(x=rows)["x"]
    assert column.real.tolist() == [True, False, True, True]
    assert column[0].tolist() == [1, None, 3]
    assert column[1:].real is None
    assert column[[0]].real.tolist() == [True, False, True]
    padded = data.Ragged(x=np.ma.array([[1, 2], [3, 4]], mask=[[0, 0], [0, 1]]))["x"]
    assert [padded[i].tolist() for i in range(2)] == [[1, 2], [3]]


@pytest.mark.parametrize(
    ("columns", "error", "message"),
    [
        ({}, ValueError, "A corpus needs a column"),
        ({"a": [[1]], "b": [1, 2]}, ValueError, "same number of rows, one for each example; 'a' has 1, 'b' has 2"),
        ({"a": [[1], None, [2]]}, ValueError, "Column 'a': Row 1 is missing, and 1 of 3 are. Leave them out"),
        ({"a": [1, None]}, ValueError, "Column 'a': Row 1 is missing"),
        ({"a": np.ma.array([1, 2], mask=[0, 1])}, ValueError, "Column 'a': Row 1 is missing"),
        ({"a": "abc"}, TypeError, "Column 'a': A column is a list, .* received 'abc' of type str"),
        ({"a": (i for i in [1])}, TypeError, r"A generator becomes a list by `list\(...\)`"),
        ({"a": 3}, TypeError, "one sequence or one value for each row; received 3 of type int"),
        ({"a": [1, [2]]}, TypeError, "Each of `sequences` must be a list or an array of steps; sequence 0 is of type"),
        ({"a": jm.masked([1, 2], [True, False])}, ValueError, r"take the real ones, .* `x.values\[x.mask\]`"),
    ],
)
def test_what_is_no_column_is_refused_by_name(columns, error, message):
    with pytest.raises(error, match=message):
        data.Ragged(**columns)


def test_columns_without_names_are_told_how_they_get_them():
    words = [[1, 2], [3]]
    for columns in (words, {"words": words}, [{"words": [1, 2]}]):
        with pytest.raises(
            TypeError, match=r"have names; received a (list|dict) without one.*`data.from_table\(table\)`"
        ):
            data.Ragged(columns)
    assert list(data.from_table({"words": words}).columns) == ["words"]


@pytest.mark.parametrize(
    ("index", "error", "message"),
    [
        ("c", KeyError, "There is no column 'c'; there are 'a'"),
        (["c"], KeyError, "There is no column 'c'"),
        (3, IndexError, "There are 3 rows, numbered from 0; received 3"),
        ([0, -4], IndexError, "received -4"),
        (1.5, TypeError, "Rows are chosen by an integer"),
        (np.array([True]), TypeError, r"one of bool \(3,\)"),
    ],
)
def test_rows_and_columns_that_are_not_there(index, error, message):
    with pytest.raises(error, match=message):
        data.Ragged(a=[1, 2, 3])[index]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ((3,), TypeError, "`values` of a column must be an array; received 3"),
        (([1, 2], [0.0, 2.0]), TypeError, "`offsets` must be integers; received dtype float64"),
        (([1, 2], [0, 3]), ValueError, r"from 0 to the number of steps, 2, .* received \[0, 3\]. Of lengths they are"),
        (([1, 2], [0, 2, 1]), ValueError, r"never less than the one before; received \[0, 2, 1\]"),
        (([1, 2], [-1, 2]), ValueError, r"received \[-1, 2\]"),
        (([1, 2], [0, 2], [1, 0]), TypeError, "`real` must be bool"),
        (([1, 2], [0, 2], [True]), ValueError, r"one entry for each step, \(2,\); received \(1,\)"),
        ((np.ma.array([1, 2], mask=[0, 1]),), TypeError, "with 1 masked or missing entries"),
        (([1, 2], None, [True, False]), ValueError, "there are no `offsets`"),
    ],
)
def test_offsets_and_steps_that_do_not_fit(arguments, error, message):
    with pytest.raises(error, match=message):
        data.Column(*arguments)


def test_strings_are_refused_where_numbers_are_needed(tmp_path):
    corpus = data.Ragged(words=[["a", "b"], ["c"]], ids=[[1, 2], [3]])
    with pytest.raises(TypeError, match=r"Column 'words' holds strings .* `words = data.Vocabulary.of") as error:
        corpus.save(tmp_path / "strings")
    assert list(tmp_path.iterdir()) == []
    first, second, third = str(error.value).split("`")[1::2]
    namespace = {"corpus": corpus, "data": data}
    exec(first, namespace)
    for i, remedy in enumerate((second, third)):
        eval(remedy, namespace).save(tmp_path / str(i))


def test_a_corpus_in_a_folder_is_memory_mapped(tmp_path):
    rows = [np.ma.array([1.5, 2.0, 3.0], mask=[0, 1, 0]), np.ma.array([4.0])]
    corpus = data.Ragged(
        x=rows,
        big=data.Column(np.array([2**31 - 1, 5, 6]), [0, 1, 3]),
        vectors=data.Column(np.arange(6, dtype=ml_dtypes.bfloat16).reshape(2, 3)),
        empty=[[], []],
        flag=[True, False],
    )
    corpus.save(tmp_path / "new" / "corpus")
    again = data.Ragged.load(tmp_path / "new" / "corpus")
    assert list(again.columns) == list(corpus.columns)
    for name, column in corpus.columns.items():
        for left, right in zip(again[name], column, strict=True):
            assert np.ma.allequal(left, right)
            assert (np.shape(left), left.dtype) == (np.shape(right), column.dtype)
    assert again["x"][0].tolist() == [1.5, None, 3.0]
    base = again["big"].values
    while isinstance(base, np.ndarray) and not isinstance(base, np.memmap):
        base = base.base
    assert isinstance(base, np.memmap)
    with pytest.raises(FileExistsError, match="is there already"):
        corpus.save(tmp_path / "new" / "corpus")
    with pytest.raises(OverflowError):
        data.Ragged(x=np.array([2**31])).save(tmp_path / "other")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]
    with pytest.raises(FileNotFoundError, match="holds no corpus"):
        data.Ragged.load(tmp_path)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=repr)
def test_a_save_that_is_cut_short_leaves_nothing(tmp_path, monkeypatch, error):
    corpus = data.Ragged(words=[[1, 2], [3]], weight=[0.5, 1.5])

    def cut(*_, **__):
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(np, "save", cut)
        with pytest.raises(type(error)):
            corpus.save(tmp_path / "corpus")
    assert not list(tmp_path.iterdir())
    corpus.save(tmp_path / "corpus")
    assert data.Ragged.load(tmp_path / "corpus")["words"][1].tolist() == [3]
