"""`pad_sequences`, `unpad` and attention masks, against plain Python loops over one row at a time."""

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmask as jm
from tests.support.padded import assert_padded, padded_by_hand

NAN, INF = float("nan"), float("inf")

RAGGED = [[7, 8, 9], [], [5], [1, 2, 3, 4, 6]]

CUT_ALL = {"maxlen": 0, "truncating": "post", "pad_to_multiple_of": 2}

UNEVEN = r"must have the same shape; sequence 2 has steps of shape \(3,\), sequence 1 of shape \(2,\)\."


def test_the_example_of_the_guide():
    x = jm.pad_sequences([[711, 632, 71], [73, 8, 3215, 55, 927], [83, 91, 1, 645, 1253, 927]])
    assert x.values.tolist() == [[711, 632, 71, 0, 0, 0], [73, 8, 3215, 55, 927, 0], [83, 91, 1, 645, 1253, 927]]
    assert x.lengths.tolist() == [3, 5, 6]
    assert x.dtype == np.int32


@pytest.mark.parametrize("padding", ["post", "pre"])
@pytest.mark.parametrize("truncating", ["post", "pre"])
@pytest.mark.parametrize("maxlen", [None, 0, 2, 5, 7])
@pytest.mark.parametrize("container", [list, tuple, np.array, jnp.asarray])
def test_options_together(padding, truncating, maxlen, container):
    sequences = [container(row) if row else [] for row in RAGGED]
    x = jm.pad_sequences(sequences, maxlen, padding=padding, truncating=truncating, value=-1)
    expected = padded_by_hand(RAGGED, maxlen=maxlen, padding=padding, truncating=truncating, value=-1)
    assert_padded(x, *expected)
    assert x.dtype == np.int32


numbers = st.one_of(
    st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=9), max_size=7),
    st.lists(st.lists(st.floats(width=32, allow_nan=False), max_size=9), max_size=7),
    st.lists(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=9), max_size=7),
)


@pytest.mark.slow
@given(
    sequences=numbers,
    as_arrays=st.booleans(),
    maxlen=st.none() | st.integers(0, 11),
    padding=st.sampled_from(["post", "pre"]),
    truncating=st.sampled_from(["post", "pre"]),
    multiple=st.none() | st.integers(1, 5),
)
@settings(max_examples=300, deadline=None, derandomize=True, database=None)
def test_pad_then_unpad_gives_the_rows_back(sequences, as_arrays, maxlen, padding, truncating, multiple):
    rows, masks = padded_by_hand(
        sequences, maxlen=maxlen, padding=padding, truncating=truncating, value=None, multiple=multiple
    )
    given_rows = [np.array(row) for row in sequences] if as_arrays else sequences
    x = jm.pad_sequences(given_rows, maxlen, None, padding, truncating, pad_to_multiple_of=multiple)
    assert x.mask.tolist() == masks
    kept = [[step for step in row if step is not None] for row in rows]
    unpadded = [[tuple(step) if np.ndim(step) else step for step in row.tolist()] for row in jm.unpad(x)]
    assert unpadded == kept
    assert not x.values[~x.mask].any()


def test_steps_are_vectors_or_matrices(rng):
    for shape in [(2,), (2, 3)]:
        rows = [rng.normal(size=(length, *shape)).astype(np.float32) for length in (3, 0, 5)]
        for sequences in (rows, [list(row) for row in rows], [row.tolist() for row in rows]):
            for padding in ("post", "pre"):
                x = jm.pad_sequences(sequences, padding=padding, value=NAN)
                assert x.shape == (3, 5, *shape)
                assert x.dtype == np.float32
                assert np.isnan(x.values[~x.mask]).all()
                for row, unpadded in zip(rows, jm.unpad(x), strict=True):
                    np.testing.assert_array_equal(row, unpadded)


def test_many_long_rows_of_vectors_are_converted_in_blocks(rng):
    rows = [rng.normal(size=(length, 3)) for length in rng.integers(1, 6, size=131)]
    x = jm.pad_sequences(rows, maxlen=4, truncating="pre", padding="pre")
    assert x.dtype == np.float32
    for row, unpadded in zip(rows, jm.unpad(x), strict=True):
        np.testing.assert_array_equal(row[-4:].astype(np.float32), unpadded)


def test_sequences_may_be_one_array_or_mixed():
    assert jm.pad_sequences(np.arange(6).reshape(2, 3)).lengths.tolist() == [3, 3]
    x = jm.pad_sequences([[1, 2], np.array([3.5]), (4,), range(3), jnp.array([7])])
    assert x.dtype == np.float32
    assert x.fill(0).tolist() == [[1, 2, 0], [3.5, 0, 0], [4, 0, 0], [0, 1, 2], [7, 0, 0]]


def test_strings_and_objects():
    x = jm.pad_sequences([["a", "bcd"], ["e"]])
    assert x.dtype == object
    assert x.values.tolist() == [["a", "bcd"], ["e", ""]]
    assert jm.pad_sequences([["a"], []], value="[PAD]", padding="pre").values.tolist() == [["a"], ["[PAD]"]]
    assert jm.pad_sequences([[b"a"], []]).values.tolist() == [[b"a"], [b""]]
    assert jm.pad_sequences([np.array(["a", "bc"]), np.array(["def"])]).values.tolist() == [["a", "bc"], ["def", ""]]
    assert jm.pad_sequences([[{"a": 1}], []]).values.tolist() == [[{"a": 1}], [0]]
    assert jm.pad_sequences([[1, "a"], []]).values.tolist() == [[1, "a"], [0, 0]]
    assert jm.pad_sequences([[1, None], []], dtype=object, value=None).values.tolist() == [[1, None], [None, None]]
    assert jm.pad_sequences([[1, 2], [3]], dtype=object).values.tolist() == [[1, 2], [3, 0]]
    assert jm.pad_sequences([["a"], []], value=[1, 2]).values.tolist() == [["a"], [[1, 2]]]
    vectors = jm.pad_sequences([np.array([["a", "b"]]), np.array([["cd", "e"], ["f", "g"]])])
    assert vectors.values.tolist() == [[["a", "b"], ["", ""]], [["cd", "e"], ["f", "g"]]]


def test_value_may_be_a_vector():
    x = jm.pad_sequences([[[1, 2]], [[3, 4], [5, 6]]], value=[8, 9])
    assert x.values.tolist() == [[[1, 2], [8, 9]], [[3, 4], [5, 6]]]


@pytest.mark.parametrize(
    ("multiple", "maxlen", "width"),
    [(8, None, 8), (5, None, 5), (2, None, 6), (4, 3, 4), (4, 0, 4), (np.int64(3), 9, 9)],
)
def test_pad_to_multiple_of(multiple, maxlen, width):
    x = jm.pad_sequences(RAGGED, maxlen, truncating="post", pad_to_multiple_of=multiple)
    assert x.shape == (4, width)
    assert x.lengths.tolist() == [min(len(row), 5 if maxlen is None else maxlen) for row in RAGGED]


def test_pad_to_multiple_of_is_at_least_one_multiple():
    assert jm.pad_sequences([[], []], pad_to_multiple_of=8).shape == (2, 8)


@pytest.mark.parametrize(
    ("sequences", "dtype"),
    [
        ([[1, 2], [3]], np.int32),
        ([[1.5], [2, 3]], np.float32),
        ([[1, 2], [3.5]], np.float32),
        ([[True], [False, True]], np.bool_),
        ([[True], [2]], np.int32),
        ([[1], [True]], np.int32),
        ([[1j]], np.complex64),
        ([[np.int64(3)], [4]], np.int32),
        ([np.array([1, 2])], np.int32),
        ([np.array([1.5]), np.array([2])], np.float32),
        ([np.array([1], np.uint8), np.array([2], np.uint8)], np.uint8),
        ([np.array([1], np.uint8), np.array([2], np.int8)], np.int16),
        ([np.array([1], np.float16)], np.float16),
        ([np.array([1], ml_dtypes.bfloat16)], ml_dtypes.bfloat16),
        ([np.array([1, 2], ml_dtypes.bfloat16), np.array([1], np.float32)], np.float32),
        ([np.array([], np.float64), np.array([1, 2])], np.int32),
        ([np.zeros((0, 5)), np.ones((2, 5), np.float16)], np.float16),
        ([jnp.array([1.5], jnp.bfloat16), [1]], np.float32),
        ([np.array([1.5], ml_dtypes.float8_e4m3fn), np.array([17], np.int8)], np.float32),
    ],
)
def test_dtype_from_the_data(sequences, dtype):
    x = jm.pad_sequences(sequences)
    assert x.dtype == dtype
    assert jnp.asarray(x.values).dtype == dtype  # what JAX would have made of it


def test_small_floats_beside_integers_lose_nothing():
    x = jm.pad_sequences([np.array([1.5], ml_dtypes.float8_e4m3fn), np.array([17], np.int8)])
    assert x.values.tolist() == [[1.5], [17.0]]


def test_dtype_from_the_data_under_x64(x64):
    assert jm.pad_sequences([[1]]).dtype == np.int64
    assert jm.pad_sequences([[1.0]]).dtype == np.float64
    assert jm.pad_sequences([[2**40], [-(2**40)]]).values.tolist() == [[2**40], [-(2**40)]]
    assert jm.pad_sequences([]).dtype == np.int64
    with pytest.raises(OverflowError, match=f"{2**63} does not fit int64"):
        jm.pad_sequences([[2**63, 1]])


@pytest.mark.parametrize(
    ("sequences", "dtype", "expected"),
    [
        ([[1, 2], [3]], "float32", np.float32),
        ([[1, 2], [3]], "uint8", np.uint8),
        ([[1, 2], [3]], np.int64, np.int64),
        ([[1, 2], [3]], "bfloat16", ml_dtypes.bfloat16),
        ([[1, 2], [3]], "int4", ml_dtypes.int4),
        ([[1, 2], [3]], int, np.int32),
        ([[1.0, 2.0], [3]], "int32", np.int32),
        ([[1, 2.0], [3]], "int32", np.int32),
        ([np.array([1.0, 2.0]), [3]], "int32", np.int32),
        ([np.array([1, 2], object), [3]], "int32", np.int32),
        ([np.array([1, 2.0], object), [3]], "int32", np.int32),
        ([[1, 2], [3]], jnp.complex64, np.complex64),
    ],
)
def test_explicit_dtype(sequences, dtype, expected):
    x = jm.pad_sequences(sequences, dtype=dtype)
    assert x.dtype == expected
    assert x.fill(0).astype(int if expected != np.complex64 else complex).tolist() == [[1, 2], [3, 0]]


def test_explicit_dtype_of_large_and_small_numbers():
    assert jm.pad_sequences([[2**63, 1]], dtype="uint64").values.tolist() == [[2**63, 1]]
    assert jm.pad_sequences([[[2**63, 1]]], dtype="uint64").values.tolist() == [[[2**63, 1]]]
    assert jm.pad_sequences([[2**40, 1]], dtype="float32").values.tolist() == [[2**40, 1]]
    assert jm.pad_sequences([[2**70, 1]], dtype="float32").values.tolist() == [[2**70, 1]]
    assert jm.pad_sequences([[2.0**70, 2**70]]).values.tolist() == [[2**70, 2**70]]
    assert jm.pad_sequences([[0, 1, True]], dtype=bool).values.tolist() == [[False, True, True]]
    assert jm.pad_sequences([[True]], dtype="float32").values.tolist() == [[1.0]]


def test_floats_may_be_rounded_and_may_not_be_finite():
    x = jm.pad_sequences([np.array([0.1, NAN]), np.array([-INF])], value=INF)
    np.testing.assert_array_equal(x.values, np.array([[0.1, NAN], [-INF, INF]], np.float32))
    assert jm.pad_sequences([[0.1, INF]], dtype=np.float16).values.tolist() == [[float(np.float16(0.1)), INF]]


@pytest.mark.parametrize(
    ("sequences", "options", "shape", "dtype"),
    [
        ([], {}, (0, 0), np.int32),
        ([], {"maxlen": 3}, (0, 3), np.int32),
        ([], {"value": 0.0}, (0, 0), np.float32),
        ([], {"dtype": "uint8"}, (0, 0), np.uint8),
        ([], {"pad_to_multiple_of": 4}, (0, 4), np.int32),
        ([[], []], {}, (2, 0), np.int32),
        ([[], []], {"value": False}, (2, 0), np.bool_),
        ([[], []], {"value": ""}, (2, 0), object),
        ([[], []], {"maxlen": 3, "value": NAN}, (2, 3), np.float32),
        ([np.zeros(0, np.float16), []], {}, (2, 0), np.float16),
        ([np.zeros((0, 5), np.float32), np.zeros((0, 5), np.float32)], {"maxlen": 2}, (2, 2, 5), np.float32),
        ([[1.5, 2.5], [1.5]], {"maxlen": 0, "truncating": "pre"}, (2, 0), np.float32),
        ([np.ones((2, 5), np.float16)], {"maxlen": 0, "padding": "pre", "truncating": "pre"}, (1, 0, 5), np.float16),
        ([np.ones((2, 5), np.float16)], CUT_ALL, (1, 2, 5), np.float16),
        ([[1], []], CUT_ALL, (2, 2), np.int32),
    ],
)
def test_nothing_to_pad(sequences, options, shape, dtype):
    x = jm.pad_sequences(sequences, **options)
    assert x.shape == shape
    assert x.dtype == dtype
    assert x.mask.shape == shape[:2]
    assert not x.mask.any()


def test_empty_row_holds_the_value():
    assert jm.pad_sequences([[], [1, 2]], value=7).values.tolist() == [[7, 7], [1, 2]]


@pytest.mark.parametrize(
    ("sequences", "options", "error", "match"),
    [
        # numbers that do not fit
        ([[1], [2, 3_000_000_000]], {}, OverflowError, r"`sequences`: 3000000000 does not fit int32 \(-2147483648 to "),
        ([[-3_000_000_000]], {}, OverflowError, "Pass a wider `dtype`; integers become int64 by default"),
        ([np.array([1, 3_000_000_000])], {}, OverflowError, "`sequences`: 3000000000 does not fit int32"),
        ([[[1, 3_000_000_000]]], {}, OverflowError, "3000000000 does not fit int32"),
        ([[np.int64(3_000_000_000)]], {}, OverflowError, "3000000000 does not fit int32"),
        ([[2**63, 1]], {}, OverflowError, f"{2**63} does not fit int32"),
        ([[2**63, -1]], {}, OverflowError, f"{2**63} does not fit int32"),
        ([[[2**63, -1]]], {}, OverflowError, f"{2**63} does not fit int32"),
        ([[2**70]], {}, OverflowError, f"{2**70} does not fit int32"),
        ([[np.uint64(2**40)]], {}, OverflowError, f"{2**40} does not fit uint32"),
        ([[2**63]], {"dtype": "int64"}, OverflowError, f"{2**63} does not fit int64"),
        ([[1, 256]], {"dtype": "uint8"}, OverflowError, r"256 does not fit uint8 \(0 to 255\)"),
        ([[1, -1]], {"dtype": "uint8"}, OverflowError, "-1 does not fit uint8"),
        ([[1, 8]], {"dtype": "int4"}, OverflowError, r"8 does not fit int4 \(-8 to 7\)"),
        ([[0, 2]], {"dtype": bool}, OverflowError, r"2 does not fit bool \(0 to 1\)"),
        ([[1e300]], {"dtype": "int32"}, OverflowError, r"1e\+300 does not fit int32"),
        ([[1, 2**99999]], {}, OverflowError, "an integer of 100000 bits does not fit int32"),
        ([[1.0, 1e300]], {}, OverflowError, r"`sequences`: 1e\+300 is beyond the range of float32. Pass"),
        ([np.ones((2, 3)), np.full((2, 3), 1e300)], {}, OverflowError, r"1e\+300 is beyond the range of float32"),
        ([[1.0, 70_000.0]], {"dtype": "float16"}, OverflowError, "70000.0 is beyond the range of float16"),
        ([[70_000]], {"dtype": "float16"}, OverflowError, "70000.0 is beyond the range of float16"),
        ([[1e5]], {"dtype": "float8_e4m3fn"}, OverflowError, "100000.0 is beyond the range of float8_e4m3fn"),
        ([[2**2000]], {"dtype": "float32"}, OverflowError, "an integer of 2001 bits is beyond every float"),
        # numbers that would change
        ([[1, 1.9]], {"dtype": "int32"}, ValueError, "`sequences`: 1.9 is not an integer, so int32 would change"),
        ([[1.9]], {"dtype": "int32"}, ValueError, "1.9 is not an integer"),
        ([np.array([1.9])], {"dtype": "int32"}, ValueError, "Round it first, or pass a float `dtype`"),
        ([[1.0, NAN]], {"dtype": "int32"}, ValueError, "nan is not an integer"),
        ([[INF]], {"dtype": "int32"}, ValueError, "inf is not an integer"),
        ([[0.5]], {"dtype": bool}, ValueError, "0.5 is not an integer, so bool would change it"),
        ([[1j]], {"dtype": "float32"}, TypeError, "complex128 does not turn into float32; take `.real` or `abs`"),
        # no numbers, or no common dtype
        ([["a"]], {"dtype": "int32"}, TypeError, "`sequences`: 'a' is not a number and cannot be converted to int32"),
        ([[None]], {"dtype": "int32"}, TypeError, "None is not a number"),
        ([np.array(["a"])], {"dtype": "int32"}, TypeError, "is not a number"),
        ([[1]], {"dtype": str}, TypeError, "`dtype` must be a dtype of JAX, or object, which is also how strings are"),
        ([[1]], {"dtype": "datetime64[D]"}, TypeError, "`dtype` must be a dtype of JAX"),
        ([[1]], {"dtype": "int31"}, TypeError, "int31"),
        ([np.array(["2024-01-01"], "datetime64[D]")], {}, TypeError, "JAX has no dtype datetime64.*`dtype=object`"),
        ([np.ones(1, np.longdouble)], {}, TypeError, "JAX has no dtype"),
        ([np.ones(1, np.int64), np.ones(1, np.uint64)], {}, TypeError, "dtypes int64, uint64 have no dtype in common"),
        # value
        ([[1]], {"value": 0.5}, ValueError, "`value`: 0.5 is not an integer, so int32 would change it"),
        ([[1]], {"value": NAN}, ValueError, "`value`: nan is not an integer"),
        ([[1]], {"value": -1, "dtype": "uint8"}, OverflowError, "`value`: -1 does not fit uint8"),
        ([[1.0]], {"value": 1e300}, OverflowError, "`value`: 1e.300 is beyond the range of float32"),
        ([[1]], {"value": "x"}, TypeError, "`value`: 'x' is not a number and cannot be converted to int32"),
        ([[1]], {"value": None}, TypeError, "`value`: None is not a number"),
        ([[1]], {"value": 2**2000}, OverflowError, "`value`: an integer of 2001 bits does not fit int32"),
        ([[1.0]], {"value": 2**2000}, OverflowError, "`value`: an integer of 2001 bits is beyond every float"),
        ([[1]], {"value": [1, 2]}, ValueError, r"broadcasts against a step, which has shape \(\); received shape"),
        # what is no sequence of sequences
        ((row for row in RAGGED), {}, TypeError, "`sequences` must be a list of sequences; received of type generator"),
        (5, {}, TypeError, r"`sequences` must be a list of sequences; received of type int, 5\. A"),
        ("abc", {}, TypeError, "must be a list of sequences; received of type str, 'abc'"),
        ({"a": [1]}, {}, TypeError, "must be a list of sequences; received of type dict"),
        (["abc"], {}, TypeError, "Each of `sequences` must be a list or an array of steps; sequence 0 is of type str"),
        ([[1], b"abc"], {}, TypeError, "sequence 1 is of type bytes, b'abc'. A single sequence goes into"),
        ([1, 2], {}, TypeError, "sequence 0 is of type int, 1"),
        ([[1], None], {}, TypeError, "sequence 1 is of type NoneType"),
        ([[1], {1}], {}, TypeError, "sequence 1 is of type set"),
        ([[[1], [2, 3]], np.array(3)], {}, TypeError, "sequence 1 is of type ndarray"),
        (np.arange(3), {}, TypeError, "sequence 0 is of type int64"),
        ([[1], iter([2])], {}, TypeError, "sequence 1 is of type list_iterator"),
        # steps of different shapes
        ([[], [[1, 2], [3, 4]], [[1, 2, 3]]], {}, ValueError, UNEVEN),
        ([np.ones((4, 2)), np.ones((1, 3))], {}, ValueError, r"sequence 1 has steps of shape \(3,\), sequence 0"),
        ([np.ones((2, 2)), np.ones(2)], {}, ValueError, r"sequence 1 has steps of shape \(\), sequence 0"),
        ([np.ones((2, 2)), [[1, 2, 3]]], {}, ValueError, r"sequence 1 has steps of shape \(3,\)"),
        ([np.zeros((0, 2)), np.zeros((0, 3))], {}, ValueError, r"sequence 1 has steps of shape \(3,\)"),
        ([[1, [2]]], {}, ValueError, r"sequence 0 has steps of shape \(1,\), sequence 0 of shape \(\)"),
        ([[[1, [2, 3]]]], {}, ValueError, r"sequence 0 has steps of shape \(ragged\)"),
        ([[[1]], [[2, 3]]], {"maxlen": 1, "dtype": object}, ValueError, r"sequence 1 has steps of shape \(2,\)"),
        # options
        ([[1]], {"maxlen": -1}, ValueError, "`maxlen` must be at least 0; received -1"),
        ([[1]], {"maxlen": 2.0}, TypeError, "`maxlen` must be an integer or None; received 2.0"),
        ([[1]], {"maxlen": True}, TypeError, "`maxlen` must be an integer or None; received True"),
        ([[1]], {"pad_to_multiple_of": 0}, ValueError, "`pad_to_multiple_of` must be at least 1; received 0"),
        ([[1]], {"pad_to_multiple_of": "8"}, TypeError, "`pad_to_multiple_of` must be an integer or None; received"),
        ([], {"padding": "Post"}, ValueError, "`padding` must be 'post' or 'pre'; received 'Post'"),
        ([[], []], {"truncating": "left"}, ValueError, "`truncating` must be 'post' or 'pre'; received 'left'"),
    ],
)
def test_errors_of_pad_sequences(sequences, options, error, match):
    with pytest.raises(error, match=match):
        jm.pad_sequences(sequences, **options)


def test_a_masked_is_padded_already():
    x = jm.pad_sequences(RAGGED)
    with pytest.raises(TypeError, match=r"`sequences` is a `Masked`, which is padded already; `jm.unpad\(x\)`"):
        jm.pad_sequences(x)
    with pytest.raises(TypeError, match="sequence 1 is of type Masked"):
        jm.pad_sequences([[1], x])


def test_what_is_cut_off_is_not_looked_at():
    assert jm.pad_sequences([[1, 2, 2**70], [3]], maxlen=2, truncating="post").values.tolist() == [[1, 2], [3, 0]]


def test_unpad_removes_holes():
    mask = np.array([[False, True, False, True], [False] * 4, [True] * 4])
    values = np.arange(24).reshape(3, 4, 2)
    for x in (jm.masked(values, mask), jm.masked(jnp.asarray(values), jnp.asarray(mask))):
        rows = jm.unpad(x)
        assert all(isinstance(row, np.ndarray) for row in rows)
        assert [row.tolist() for row in rows] == [[[2, 3], [6, 7]], [], values[2].tolist()]
        assert rows[1].shape == (0, 2)


def test_unpad_of_one_sequence_and_of_documents():
    mask = np.array([[[True, True], [True, False]], [[False, True], [False, False]]])
    x = jm.masked(np.arange(8).reshape(2, 2, 2), mask)
    for keep_empty, last in ((False, [[5]]), (True, [[5], []])):
        documents = jm.unpad(x, keep_empty=keep_empty)
        assert [[row.tolist() for row in document] for document in documents] == [[[0, 1], [2]], last]
    assert jm.unpad(x[1, 0]).tolist() == [5]


def test_unpad_of_arrays_and_of_nothing():
    assert [row.tolist() for row in jm.unpad(jnp.arange(6).reshape(2, 3))] == [[0, 1, 2], [3, 4, 5]]
    assert jm.unpad(np.arange(3)).tolist() == [0, 1, 2]
    assert jm.unpad(jm.pad_sequences([])) == []
    assert [row.tolist() for row in jm.unpad(jm.pad_sequences([["a"], ["b", "c"]]))] == [["a"], ["b", "c"]]


def test_errors_of_unpad():
    x = jm.pad_sequences(RAGGED)
    with pytest.raises(TypeError, match=r"`unpad` makes arrays whose shapes depend on data.*`jm.left_align` moves the"):
        jax.jit(jm.unpad)(x)
    with pytest.raises(ValueError, match=r"`unpad` needs a time axis; received values .* with a mask of rank 0"):
        jm.unpad(jm.Masked(np.arange(3), np.array(True)))


@pytest.mark.parametrize("dtype", [np.int64, np.int32, np.uint8, bool])
def test_attention_masks(dtype):
    attention_mask = np.array([[0, 1, 1], [0, 0, 0]], dtype)
    ids = np.array([[9, 7, 8], [9, 9, 9]])
    for given_mask in (attention_mask, jnp.asarray(attention_mask, jnp.dtype(dtype).name.replace("64", "32"))):
        x = jm.from_attention_mask(ids, given_mask)
        assert x.mask.dtype == bool
        assert x.mask.tolist() == attention_mask.astype(bool).tolist()
        back = jm.to_attention_mask(x)
        assert back.dtype == np.int32
        assert back.tolist() == attention_mask.astype(int).tolist()
    assert jm.to_attention_mask(x, bool).dtype == bool


def test_attention_masks_as_lists_under_jit_and_of_arrays():
    assert jm.from_attention_mask([[7, 8]], [[1, 0]]).mask.tolist() == [[True, False]]
    x = jax.jit(jm.from_attention_mask)(jnp.ones((1, 2, 3)), jnp.array([[1, 0]]))
    assert x.mask.tolist() == [[True, False]]
    assert jax.jit(jm.to_attention_mask)(x).tolist() == [[1, 0]]
    assert jm.to_attention_mask(jnp.zeros((2, 3))).tolist() == [[1, 1, 1], [1, 1, 1]]


@pytest.mark.parametrize(
    ("attention_mask", "error", "match"),
    [
        ([[1, 2]], ValueError, r"`attention_mask` must hold 1 \(real\) and 0 \(padding\) only; received 2\. Ids"),
        (jnp.array([[1, -1]]), ValueError, "received -1"),
        (
            [[0.0, -1e9]],
            TypeError,
            r"`attention_mask` must be bool, or integers.*received float64\. Of 1.0 .* an additive mask",
        ),
        ([[1, 0, 0]], ValueError, r"must be a prefix of the values' shape.*received mask \(1, 3\) for values \(1, 2\)"),
    ],
)
def test_errors_of_attention_masks(attention_mask, error, match):
    with pytest.raises(error, match=match):
        jm.from_attention_mask(np.array([[7, 8]]), attention_mask)
