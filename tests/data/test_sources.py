"""Ragged data of other libraries: values and offsets as they are, beside the same sequences as lists."""

import ml_dtypes
import numpy as np
import pytest

import jmask as jm
from tests.support import foreign
from tests.support.columns_of_libraries import NULLS, ROWS, SOURCES, WITH_NULLS
from tests.support.foreign import Column, lists_of_numbers, validity
from tests.support.padded import assert_padded, padded_by_hand

pytestmark = pytest.mark.extras


def assert_rows(x, rows, dtype=np.int32, **options):
    """The padded batch of these rows, a None in them being a hole."""
    values, masks = padded_by_hand(rows, value=None, **options)
    assert_padded(
        x, [[0 if v is None else v for v in row] for row in values], [[v is not None for v in r] for r in values]
    )
    assert x.dtype == dtype
    assert np.shape(masks) == x.mask.shape


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("options", [{}, {"padding": "pre"}, {"maxlen": 2, "truncating": "pre"}, {"maxlen": 7}])
def test_every_source_is_padded_like_lists(source, options):
    assert_rows(jm.pad_sequences(SOURCES[source](ROWS), **options), ROWS, **options)


@pytest.mark.parametrize("source", ["a column", "pyarrow, chunks", "polars", "awkward", "TensorFlow", "datasets"])
def test_every_source_is_packed_like_lists(source):
    x, expected = jm.pack(SOURCES[source](ROWS)), jm.pack(ROWS)
    assert x.values.tolist() == expected.values.tolist()
    assert x.segment_ids.tolist() == expected.segment_ids.tolist()


@pytest.mark.parametrize("source", WITH_NULLS)
def test_what_is_null_or_masked_is_a_hole(source):
    assert_rows(jm.pad_sequences(WITH_NULLS[source](), value=0), NULLS)
    cut = [row[-2:] for row in NULLS]
    assert_rows(jm.pad_sequences(WITH_NULLS[source](), 2, truncating="pre", padding="pre"), cut, padding="pre")
    closed = jm.pack([[7, 9], [], [], [1, 2]])
    packed = jm.pack(WITH_NULLS[source]())
    assert packed.values.tolist() == closed.values.tolist()
    assert packed.segment_ids.tolist() == closed.segment_ids.tolist()


def test_a_hole_holds_the_value_whatever_stood_there():
    rows = [np.ma.array([1.0, np.nan], mask=[0, 1]), np.ma.array([3.0], mask=[0])]
    assert jm.pad_sequences(rows, value=-1).values.tolist() == [[1, -1], [3, -1]]
    text = jm.pad_sequences([np.ma.array(["a", "b"], mask=[1, 0])])
    assert (text.values.tolist(), text.mask.tolist()) == ([["", "b"]], [[False, True]])


@pytest.mark.filterwarnings("ignore:Warning. converting a masked element to nan")
@pytest.mark.parametrize("others", [[1.5], [2], []])
def test_masked_steps_in_lists(others):
    row = [*others, np.ma.masked, 3.5]
    for rows in ([row], [[1.0], row], [row[::-1]]):
        with pytest.raises(TypeError, match=r"a step in a list is masked, .*`np.ma.array\(row\)`"):
            jm.pad_sequences(rows)
    assert jm.pad_sequences([np.ma.array(row)]).fill(0).tolist() == [[*others, 0, 3.5]]
    vectors = list(np.ma.array([[1, 2], [3, 4]], mask=[[0, 0], [1, 1]]))
    with pytest.raises(TypeError, match="or a masked array of NumPy, whose mask would be lost"):
        jm.pad_sequences([vectors])
    assert jm.pad_sequences([np.ma.array(vectors)]).mask.tolist() == [[True, False]]
    assert np.isnan(jm.pad_sequences([[1.0, float("nan")]]).values[0, 1])


def test_a_whole_masked_array_of_numpy_is_read_row_by_row():
    x = np.ma.array([[1, 2, 3], [4, 5, 6]], mask=[[0, 0, 1], [1, 1, 1]])
    for result in (jm.pad_sequences(x), jm.as_masked(x)):
        assert result.mask.tolist() == [[True, True, False], [False] * 3]
        assert result.fill(0).tolist() == [[1, 2, 0], [0, 0, 0]]


def test_kinds_of_arrow_columns():
    flags = Column("b", 3, [None, validity(True, False, True)])
    assert jm.pad_sequences(Column("+l", 2, [None, np.array([0, 1, 3], np.int32)], flags)).values.tolist() == [
        [True, False],
        [False, True],
    ]
    words = Column("u", 3, [None, np.array([0, 1, 3, 3], np.int32), np.frombuffer(b"xyz", np.uint8)])
    assert jm.pad_sequences(Column("+L", 1, [None, np.array([0, 3])], words)).values.tolist() == [["x", "yz", ""]]
    coded = Column("c", 3, [validity(1, 0, 1), np.array([1, 99, 0], np.int8)], dictionary=words)
    x = jm.pad_sequences(Column("+l", 1, [None, np.array([0, 3], np.int32)], coded))
    assert (x.fill("").tolist(), x.mask.tolist()) == ([["yz", "", "x"]], [[True, False, True]])
    views = np.zeros((2, 4), np.int32)
    views[:, 0] = (2, 13)
    views.view(np.uint8).reshape(2, 16)[0, 4:6] = list(b"ab")
    views[1, 2:] = (0, 1)
    texts = Column("vu", 2, [None, views, np.frombuffer(b"-thirteen byte", np.uint8), np.zeros(1, np.int64)])
    x = jm.pad_sequences(Column("+vl", 2, [None, np.array([1, 0], np.int32), np.array([1, 2], np.int32)], texts))
    assert x.values.tolist() == [["thirteen byte", ""], ["ab", "thirteen byte"]]
    assert jm.pad_sequences(lists_of_numbers(ROWS, offset=2)).fill().tolist() == [[5, 0, 0, 0, 0], ROWS[3]]
    assert jm.pad_sequences(lists_of_numbers(ROWS, np.float16, "e")).dtype == np.float16


def test_nothing_in_a_column():
    pyarrow = pytest.importorskip("pyarrow")
    assert jm.pad_sequences(pyarrow.chunked_array([], pyarrow.list_(pyarrow.float32()))).dtype == np.float32
    assert jm.pad_sequences(pyarrow.array([[], []])).shape == (2, 0)
    x = jm.pad_sequences(pyarrow.array([[None], []]))
    assert (x.mask.tolist(), x.dtype) == ([[False], [False]], np.int32)


def test_vectors_of_a_given_size_are_steps():
    pyarrow = pytest.importorskip("pyarrow")
    rows = [[[1, 2], [3, 4]], [], [[5, 6]]]
    vectors = pyarrow.list_(pyarrow.list_(pyarrow.float32(), 2))
    x = jm.pad_sequences(pyarrow.array(rows, vectors))
    assert x.mask.tolist() == [[True, True], [False, False], [True, False]]
    assert [row.tolist() for row in jm.unpad(x)] == rows
    same = jm.pad_sequences(pyarrow.array(rows), ragged_rank=1)
    assert same.values.tolist() == x.values.tolist()
    with pytest.raises(ValueError, match=r"A part of a step is missing: of step 1 of all, \[3.0, 0.0\], some entries"):
        jm.pad_sequences(pyarrow.array([[[1, 2], [3, None]]], vectors))
    whole = jm.pad_sequences(pyarrow.array([[[1, 2], [None, None]]], vectors))
    assert whole.mask.tolist() == [[True, False]]


def test_sequences_of_torch_and_tensorflow():
    for rows in (ROWS[::2], [[1.5], [2.5, 3.5], [4.5, 5.5, 6.5]]):
        x = jm.pad_sequences(foreign.packed_sequence(rows))
        assert [row.tolist() for row in jm.unpad(x)] == rows
    with_gaps = foreign.jagged_tensor(np.arange(12), [0, 4, 8, 12], [2, 0, 3])
    assert [row.tolist() for row in jm.unpad(jm.pad_sequences(with_gaps))] == [[0, 1], [], [8, 9, 10]]
    vectors = foreign.ragged_tensor(np.arange(6).reshape(3, 2), [0, 2, 3])
    assert jm.pad_sequences(vectors).shape == (2, 2, 2)
    documents = foreign.ragged_tensor([1, 2, 3, 4], [0, 2, 2, 3], [0, 2, 3, 4])
    assert [[row.tolist() for row in d] for d in jm.unpad(jm.pad_sequences(documents))] == [[[1, 2], [3]], [], [[4]]]
    x = jm.pad_sequences([foreign.bfloat16_tensor([1, 2.5]), foreign.bfloat16_tensor([3])])
    assert (x.dtype, x.fill(0).tolist()) == (ml_dtypes.bfloat16, [[1, 2.5], [3, 0]])
    with pytest.raises(ValueError, match=r"the tensors of this nested tensor have steps of shapes \(2,\), \(3,\)"):
        jm.pad_sequences(foreign.strided_tensor([np.ones((1, 2)), np.ones((1, 3))]))


@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: Column("+l", 2, [validity(1, 0), np.array([0, 1, 1], np.int32)], lists_of_numbers([[1]])), ValueError,
         r"list 1 is null, and 1 of 2 are. Make them empty, `column.fill_null\(\[\]\)`, or leave them out"),
        (lambda: Column("+l", 1, [None, np.array([0, 1], np.int32)], Column("tdD", 1, [None, np.ones(1, np.int32)])),
         TypeError, r"JAX has no numbers for Arrow's type 'tdD'; make lists of .*`column.to_pylist\(\)`"),
        (lambda: Column("+s", 1, [None]), TypeError, r'A table or .* take one by its name, e.g. `table\["words"\]`'),
        (lambda: Column("+m", 1, [None, np.array([0, 1], np.int32)], Column("l", 1, [None, np.ones(1)])), TypeError,
         r"Columns of Arrow's type '\+m' are not read"),
        (lambda: [[1, 2], [None]], TypeError, "`sequences`: a step is missing, None or NA. Leave it out, or pass"),
        (lambda: [["a", None]], TypeError, "a step is missing"),
        (lambda: [[1], None], TypeError, r"sequence 1 is of type NoneType, None\. A sequence that is missing is left"),
        (lambda: [np.ma.array([[1, 2]], mask=[[0, 1]])], ValueError, "A part of a step is missing: .* fill them"),
    ],
)  # fmt: skip
def test_what_is_refused(make, error, message):
    with pytest.raises(error, match=message):
        jm.pad_sequences(make())


def test_remedies_for_null_lists_and_tables():
    pyarrow = pytest.importorskip("pyarrow")
    column = pyarrow.array([[1], None])
    with pytest.raises(ValueError, match="list 1 is null"):
        jm.pad_sequences(column)
    assert jm.pad_sequences(column.fill_null([])).mask.tolist() == [[True], [False]]
    assert jm.pad_sequences(column.drop_null()).mask.tolist() == [[True]]
    with pytest.raises(TypeError, match="take one by its name"):
        jm.pad_sequences(pyarrow.table({"words": column}))
    dates = pyarrow.array([[None, 1]], pyarrow.list_(pyarrow.date32()))
    with pytest.raises(TypeError, match="no numbers for Arrow's type 'tdD'"):
        jm.pad_sequences(dates)
    assert jm.pad_sequences(dates.to_pylist(), dtype=object).shape == (1, 2)


def test_remedies_in_polars_awkward_and_pandas():
    polars, awkward = pytest.importorskip("polars"), pytest.importorskip("awkward")
    column = polars.Series([[1], None])
    with pytest.raises(ValueError, match=r"column.fill_null\(\[\]\)"):
        jm.pad_sequences(column)
    assert jm.pad_sequences(column.fill_null([])).mask.tolist() == [[True], [False]]
    array = awkward.Array([[1], None])
    with pytest.raises(ValueError, match=r"`ak.fill_none\(array, \[\], axis=0\)`"):
        jm.pad_sequences(array)
    assert jm.pad_sequences(awkward.fill_none(array, [], axis=0)).mask.tolist() == [[True], [False]]
    with pytest.raises(TypeError, match="records or unions; take one field"):
        jm.pad_sequences(awkward.Array([[{"words": 1}]]))
    table = pytest.importorskip("pandas").DataFrame({"words": [[1], [2, 3]]})
    with pytest.raises(TypeError, match="is a table, not a column"):
        jm.pad_sequences(table)
    assert jm.pad_sequences(table["words"]).shape == (2, 2)


def test_arrow_memory_is_read_in_place_and_outlives_its_column():
    pyarrow = pytest.importorskip("pyarrow")
    from jmask.sources import find_lists

    flat = np.arange(6)
    column = pyarrow.LargeListArray.from_arrays(pyarrow.array([0, 2, 6]), pyarrow.array(flat))
    values = find_lists(column).items.values
    assert np.shares_memory(values, flat)
    column = pyarrow.chunked_array([pyarrow.array([[1, 2], [3] * 999])])
    values = find_lists(column).items.values
    del column
    assert values[:3].tolist() == [1, 2, 3]


DOCUMENTS = [[[1, 2], [3]], [], [[4], [5, 6, 7], [8]]]


def rank_3(documents, **options):
    """The padded documents by a loop over them: the oracle."""
    width = max((len(row) for document in documents for row in document), default=0)
    height = max(map(len, documents), default=0)
    rows = [padded_by_hand([*d, *[[]] * (height - len(d))], maxlen=width)[i] for i in (0, 1) for d in documents]
    return rows[: len(documents)], rows[len(documents) :]


def test_documents_are_padded_and_come_back():
    expected, masks = rank_3(DOCUMENTS)
    as_arrays = [[np.array(row) for row in document] for document in DOCUMENTS]
    for documents in (DOCUMENTS, as_arrays, tuple(map(tuple, DOCUMENTS))):
        x = jm.pad_sequences(documents, ragged_rank=2)
        assert_padded(x, expected, masks)
        assert [[row.tolist() for row in document] for document in jm.unpad(x)] == DOCUMENTS
    for source in ("pyarrow", "awkward"):
        library = pytest.importorskip(source)
        column = (library.array if source == "pyarrow" else library.Array)(DOCUMENTS)
        assert_padded(jm.pad_sequences(column, ragged_rank=2), expected, masks)
        with pytest.raises(
            ValueError, match=r"nests lists, 2 deep.*Pass `ragged_rank=2` for documents.*`ragged_rank=1`"
        ):
            jm.pad_sequences(column)
        with pytest.raises(ValueError, match=r"steps of 1 and of 3 items. `jm.pad_sequences\(..., ragged_rank=2\)`"):
            jm.pad_sequences(column, ragged_rank=1)


def test_options_of_documents():
    left = jm.pad_sequences(DOCUMENTS, ragged_rank=2, padding="pre", value=-1)
    assert left.values[0].tolist() == [[-1, -1, -1], [-1, 1, 2], [-1, -1, 3]]
    assert jm.pad_sequences(DOCUMENTS, ragged_rank=2, pad_to_multiple_of=(4, None)).shape == (3, 4, 3)
    cut = jm.pad_sequences(DOCUMENTS, (2, None), ragged_rank=2, truncating="pre")
    assert [[row.tolist() for row in d] for d in jm.unpad(cut)] == [[[1, 2], [3]], [], [[5, 6, 7], [8]]]
    cut = jm.pad_sequences(DOCUMENTS, (2, 2), ragged_rank=2, truncating="post")
    assert [[row.tolist() for row in d] for d in jm.unpad(cut)] == [[[1, 2], [3]], [], [[4], [5, 6]]]
    vectors = jm.pad_sequences([[[[1, 2]], [[3, 4], [5, 6]]]], ragged_rank=2)
    assert (vectors.shape, vectors.mask.shape) == ((1, 2, 2, 2), (1, 2, 2))
    deep = [[[[1], [2, 3]], [[4]]], [[[5]]]]
    x = jm.pad_sequences(deep, ragged_rank=3)
    assert x.mask.shape == (2, 2, 2, 2)
    assert [[[r.tolist() for r in s] for s in d] for d in jm.unpad(x)] == deep
    assert jm.pad_sequences([], ragged_rank=2).shape == (0, 0, 0)
    assert jm.pad_sequences([[], []], ragged_rank=2).mask.shape == (2, 0, 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"sequence 0 has steps of shape \(1,\), .* `jm.pad_sequences\(..., ragged_rank=2\)` takes documents"),
        (
            {"ragged_rank": 2, "maxlen": 2},
            r"`maxlen` needs a size or None for each of the 2 axes.*`maxlen=\(None, 2\)`",
        ),
        (
            {"ragged_rank": 2, "maxlen": (2, None)},
            "1 of 3 documents have more than 2 sequences, the longest 3, and 1 of 5",
        ),
        ({"ragged_rank": 2, "maxlen": (None, 1)}, "2 of 5 sequences have more than 1 steps, the longest 3, and 3 of 8"),
        ({"ragged_rank": 0}, "`ragged_rank` must be at least 1"),
    ],
)
def test_errors_of_documents(options, message):
    with pytest.raises(ValueError, match=message):
        jm.pad_sequences(DOCUMENTS, **options)


def test_documents_in_which_something_is_no_list():
    with pytest.raises(TypeError, match="sequence 1 is of type int"):
        jm.pad_sequences([[[1]], 3], ragged_rank=2)
    with pytest.raises(TypeError, match=r"sequence \(1, 1\) is of type NoneType.*left out"):
        jm.pad_sequences([[[1]], [[2], None]], ragged_rank=2)


@pytest.mark.parametrize("truncating", ["post", "pre"])
def test_cutting_is_asked_for(truncating):
    message = (
        r"`maxlen`: 1 of 4 sequences have more than 3 steps, the longest 5, and 2 of 9 steps would be cut off. Pass "
        r'`truncating="post"` to cut them off the end or `truncating="pre"` off the beginning, or `maxlen=5`'
    )
    for sequences in (ROWS, lists_of_numbers(ROWS), [np.array(row, int) for row in ROWS]):
        with pytest.raises(ValueError, match=message):
            jm.pad_sequences(sequences, maxlen=3)
        jm.pad_sequences(sequences, maxlen=5)
        assert jm.pad_sequences(sequences, 3, truncating=truncating).mask.sum() == 7
