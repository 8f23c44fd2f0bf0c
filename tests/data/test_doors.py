"""Masks and boundaries that others describe in their own ways: understood, or refused with a remedy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from tests.support import foreign

pytestmark = pytest.mark.extras

NAN = float("nan")
IDS = np.arange(10, 17)
LENGTHS = [3, 1, 0, 2]


def sequences(x):
    return [row.tolist() for row in jm.unpack(x)]


def test_a_flattening_collator_says_it_in_three_ways():
    """What Hugging Face's `DataCollatorWithFlattening` returns beside the ids, for sequences of 3, 1 and 2 steps."""
    ids = IDS[None, :6]
    expected = [[10, 11, 12], [13], [14, 15]]
    seq_idx, position_ids = [[0, 0, 0, 1, 2, 2]], [[0, 1, 2, 0, 0, 1]]
    cu_seqlens = np.array([0, 3, 4, 6], np.int32)
    for x in (
        jm.from_segment_ids(ids, seq_idx, first_id=0),
        jm.from_position_ids(ids, position_ids),
        jm.from_cu_seqlens(ids, cu_seqlens[None]),
        jm.from_cu_seqlens(ids[0], cu_seqlens),
        jm.from_cu_seqlens(jnp.asarray(ids[0]), jnp.asarray(cu_seqlens)),
        jax.jit(jm.from_position_ids)(ids, position_ids),
        jax.jit(jm.from_cu_seqlens)(ids[0], cu_seqlens),
        jax.jit(lambda ids, segment_ids: jm.from_segment_ids(ids, segment_ids, first_id=0))(ids, jnp.array(seq_idx)),
    ):
        assert sequences(x) == expected
        assert x.segment_ids.dtype == np.int32


def test_ids_that_count_from_0_have_padding_at_minus_1():
    x = jm.from_segment_ids(IDS[None, :4], np.array([[-1, 0, 0, 1]]), first_id=0)
    assert (x.segment_ids.tolist(), x.mask.tolist()) == ([[0, 1, 1, 2]], [[False, True, True, True]])
    bytes_ = jm.from_segment_ids(IDS[None, :2], np.array([[0, 255]], np.uint8), first_id=0)
    assert bytes_.segment_ids.tolist() == [[1, 256]]
    with pytest.raises(ValueError, match="With `first_id=0`, ids count from 0 and padding is -1; received -2"):
        jm.from_segment_ids(IDS[None, :2], [[0, -2]], first_id=0)
    with pytest.raises(ValueError, match="Number the sequences from 1, or pass `first_id=0` if they count from 0"):
        jm.from_segment_ids(IDS[None, :2], [[0, -1]])
    for first_id in (2, True):
        with pytest.raises(ValueError, match="`first_id` must be 1 or 0"):
            jm.from_segment_ids(IDS[None, :2], [[2, 3]], first_id=first_id)
    with pytest.raises(TypeError, match="`segment_ids` must be integers"):
        jm.from_segment_ids(IDS[None, :2], [[0.0, 1.0]], first_id=0)


def test_cumulative_lengths_of_rows_with_padding_and_empty_sequences():
    values = np.arange(14).reshape(2, 7)
    ends = np.array([[0, 3, 3, 5], [0, 0, 0, 7]])
    for x in (jm.from_cu_seqlens(values, ends), jm.from_cu_seqlens(jnp.asarray(values), jnp.asarray(ends))):
        assert x.segment_ids.tolist() == [[1, 1, 1, 3, 3, 0, 0], [6] * 7]
        assert [row.tolist() for row in jm.unpack(x, num_sequences=6)] == [
            [0, 1, 2], [], [3, 4], [], [], list(range(7, 14)),
        ]  # fmt: skip
    features = jm.from_cu_seqlens(jnp.ones((5, 2)), [0, 2, 5])
    assert features.segment_ids.tolist() == [1, 1, 2, 2, 2]
    assert jm.from_cu_seqlens(np.ones((0, 2)), [0]).segment_ids.tolist() == []
    assert jm.from_cu_seqlens(np.ones(3), [0, 0]).segment_ids.tolist() == [0, 0, 0]


def test_positions_with_padding_anywhere():
    ids = np.arange(12).reshape(2, 6)
    positions = [[-1, 0, 1, -1, 2, 0], [0, 0, 1, -1, -1, -1]]
    for x in (jm.from_position_ids(ids, positions), jm.from_position_ids(ids, np.array(positions))):
        assert x.segment_ids.tolist() == [[0, 1, 1, 0, 1, 2], [3, 4, 4, 0, 0, 0]]
        assert jnp.where(x.mask, x.positions, -1).tolist() == positions
    continued = jax.jit(jm.from_position_ids)(ids, jnp.array([[3, 4, 5, 0, 1, 2], [3, 0, 1, -1, -1, -1]]))
    assert continued.segment_ids.tolist() == [[1, 1, 1, 2, 2, 2], [3, 4, 4, 0, 0, 0]]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: jm.from_cu_seqlens(IDS, LENGTHS), ValueError, r"begin with 0 and never decrease; received \[3, 1, 0, "
         r"2\]\. Of lengths it is `np.cumsum\(\[0, \*lengths\]\)`"),
        (lambda: jm.from_cu_seqlens(IDS, [0, 3, 2]), ValueError, "never decrease"),
        (lambda: jm.from_cu_seqlens(IDS[None], [0, 3, 7]), ValueError, r"end at 7, and there are 1 steps on axis 0 of "
         r"the values. For values with a batch axis, \(1, time\), pass `cu_seqlens\[None\]`"),
        (lambda: jm.from_cu_seqlens(IDS, [0, 3, 9]), ValueError, r"clip the ends, `np.minimum\(cu_seqlens, 7\)`"),
        (lambda: jm.from_cu_seqlens(IDS, [[0, 7]]), ValueError, r"received \(1, 2\) for values \(7,\)"),
        (lambda: jm.from_cu_seqlens(IDS, 7), ValueError, r"received \(\) for values"),
        (lambda: jm.from_cu_seqlens(IDS, [0.0, 7.0]), TypeError, "`cu_seqlens` must be integers; received dtype"),
        (lambda: jm.from_position_ids(IDS, [0, 1, 3, 0, 0, 0, 0]), ValueError, "real step 2 of row 0 has position 3 "
         "where 0 or 2 was expected. Padding is -1"),
        (lambda: jm.from_position_ids(IDS[None], [[1, 1, 0, 1, 2, 3, 4]]), ValueError, "real step 0 of row 0 has "
         r"position 1 where 0 or 0 was expected.*`jm.from_attention_mask\(values, attention_mask\)`"),
        (lambda: jm.from_position_ids(IDS, [0, 1]), ValueError, r"received \(2,\) for values \(7,\)"),
        (lambda: jm.from_position_ids(IDS, np.ones(7)), TypeError, "`position_ids` must be integers"),
        (lambda: jm.from_nan_padding([[1, 2]]), TypeError, "takes floats, of which some are NaN; received dtype int32"),
        (lambda: jm.from_nan_padding(np.array([[[1, NAN]]])), ValueError, r"of step \(0, 0\), \[1.0, nan\], only"),
        (lambda: jm.from_nan_padding(np.float32(1)), ValueError, "with a time axis; received a number"),
    ],
)  # fmt: skip
def test_what_is_refused(call, error, message):
    with pytest.raises(error, match=message):
        call()


def test_remedies_for_lengths_and_ends():
    with pytest.raises(ValueError, match=r"`np\.cumsum"):
        jm.from_cu_seqlens(IDS, LENGTHS)
    assert sequences(jm.from_cu_seqlens(IDS, np.cumsum([0, *LENGTHS]))) == [[10, 11, 12], [13], [14, 15]]
    cu_seqlens = np.array([0, 3, 9])
    assert sequences(jm.from_cu_seqlens(IDS, np.minimum(cu_seqlens, 7))) == [[10, 11, 12], [13, 14, 15, 16]]


def test_nan_that_stands_for_padding():
    values = np.array([[[1, 2], [3, 4], [NAN, NAN]], [[NAN, NAN]] * 3], np.float32)
    for x in (
        jm.from_nan_padding(values),
        jm.from_nan_padding(jnp.asarray(values)),
        jax.jit(jm.from_nan_padding)(values),
    ):
        assert x.mask.tolist() == [[True, True, False], [False] * 3]
        assert jm.ops.sum(x, axis=1).values.tolist() == [[4, 6], [0, 0]]
    assert jm.from_nan_padding(np.array([1.0, NAN, 2.0])).mask.tolist() == [True, False, True]


STEPS_MASKED = np.ma.array([[[1.0, 2], [3, NAN]], [[5, 6], [7, 8]]], mask=[[[0, 0], [1, 1]], [[0, 0], [0, 0]]])
MASKED = [[True, False], [True, True]]


def test_a_mask_of_steps_is_understood():
    assert jm.as_masked(STEPS_MASKED).mask.tolist() == MASKED
    assert jm.as_masked(STEPS_MASKED[..., 0]).mask.tolist() == MASKED
    assert jm.as_masked(np.ma.array([[1.0, 2.0]])).mask.tolist() == [[True, True]]
    assert jm.as_masked(foreign.MaskedTensor([[1, 2]], [[True, False]])).mask.tolist() == [[True, False]]
    assert [row.tolist() for row in jm.unpad(STEPS_MASKED)] == [[[1, 2]], [[5, 6], [7, 8]]]
    numbers = foreign.Column("l", 3, [foreign.validity(1, 0, 1), np.array([1, 99, 3])])
    assert jm.as_masked(numbers).fill().tolist() == [1, 0, 3]
    with pytest.raises(ValueError, match="A part of a step is missing"):
        jm.as_masked(np.ma.array(np.ones((1, 2, 2)), mask=[[[0, 1], [0, 0]]]))


def test_masks_of_pandas_polars_and_arrow():
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    pyarrow = pytest.importorskip("pyarrow")
    for numbers, flags in (
        (pandas.Series([1, None, 3], dtype="Int64"), pandas.Series([True, None, False], dtype="boolean")),
        (pandas.array([1, None, 3], dtype="Int64"), pandas.array([True, None, False], dtype="boolean")),
        (
            pandas.Series([1, None, 3], dtype="int64[pyarrow]"),
            pandas.Series([True, None, False], dtype="bool[pyarrow]"),
        ),
        (polars.Series([1, None, 3]), polars.Series([True, None, False])),
        (pyarrow.array([1, None, 3]), pyarrow.array([True, None, False])),
    ):
        assert jm.as_masked(numbers).fill().tolist() == [1, 0, 3]
        fill = flags.fill_null if hasattr(flags, "fill_null") else flags.fillna
        for door in (jm.masked, jm.from_attention_mask):
            with pytest.raises(TypeError, match=r"1 masked or missing .*`x.(fillna|fill_null)\(False\)`"):
                door(np.ones(3), flags)
            assert door(np.ones(3), fill(False)).mask.tolist() == [True, False, False]
        with pytest.raises(TypeError, match="1 masked or missing"):
            jm.masked(numbers, np.ones(3, bool))
        with pytest.raises(TypeError, match="1 masked or missing"):
            jm.from_lengths(np.ones((3, 4)), numbers)
    with pytest.raises(TypeError, match=r"A column of lists is not an array; `jm.pad_sequences\(column\)`"):
        jm.as_masked(pyarrow.array([[1], [2]]))


@pytest.mark.parametrize(
    "make", [lambda: foreign.packed_sequence([[1, 2], [3]]), lambda: foreign.jagged_tensor([1, 2, 3], [0, 2, 3]),
             lambda: foreign.ragged_tensor([1, 2, 3], [0, 2, 3])]
)  # fmt: skip
def test_ragged_tensors_are_no_arrays(make):
    for door in (jm.as_masked, lambda x: jm.masked(x, np.ones((2, 2), bool))):
        with pytest.raises(
            TypeError, match=r"sequences of different lengths; `jm.pad_sequences\(x\)` makes a `Masked`"
        ):
            door(make())
    assert jm.pad_sequences(make()).fill().tolist() == [[1, 2], [3, 0]]


X = jm.from_lengths(jnp.ones((2, 2, 2)), [2, 1])
ENTRIES = STEPS_MASKED[..., 0]
IN_OTHER_PLACES = {
    "masked": lambda m: jm.masked(m, np.ones((2, 2), bool)),
    "mask of masked": lambda m: jm.masked(np.ones((2, 2)), m > 0),
    "as_masked with a mask": lambda m: jm.as_masked(m, np.ones((2, 2), bool)),
    "with_values": lambda m: X.with_values(m),
    "with_mask": lambda m: X.with_mask(m > 0),
    "fill": lambda m: X[..., 0].fill(m),
    "x + m": lambda m: X[..., 0] + m,
    "from_lengths": lambda m: jm.from_lengths(np.ones((2, 2)), m[:, 0].astype(int)),
    "from_attention_mask": lambda m: jm.from_attention_mask(np.ones((2, 2)), m > 0),
    "from_segment_ids": lambda m: jm.from_segment_ids(np.ones((2, 2)), m.astype(int)),
    "sample_weight": lambda m: jm.losses.squared_error(X, X, sample_weight=m),
    "targets": lambda m: jm.losses.squared_error(X[..., 0], m),
    "mask of a layer": lambda m: jm.layers.Activation("relu").apply({}, np.ones((2, 2)), mask=m > 0),
    "reverse": lambda m: jm.ops.reverse(m),
    "shift": lambda m: jm.ops.shift(m),
    "take": lambda m: jm.ops.take(m, 0),
    "positions": lambda m: jm.ops.positions(m),
    "sine positions": lambda m: jm.layers.SinePositionEncoding().apply({}, m[..., None]),
    "labels": lambda m: jm.losses.ctc_loss(np.zeros((2, 5, 3), np.float32), np.ma.array([[1, 2]] * 2, mask=m.mask)),
    "input of a layer": lambda m: jm.layers.Dense(1).apply({"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}, m),
}


@pytest.mark.parametrize("place", IN_OTHER_PLACES)
def test_masked_arrays_of_numpy_are_refused_where_their_mask_would_be_lost(place):
    with pytest.raises(TypeError, match=r"numpy MaskedArray with .*`jm.as_masked\(x\)` makes a `Masked` of it"):
        IN_OTHER_PLACES[place](ENTRIES)


def test_operators_of_numpys_masked_arrays_refuse_too():
    """They ask for an array of the other side before anything of jmask's is asked."""
    with pytest.raises(TypeError, match=r"because its mask would be lost.*`x.fill\(0\)`"):
        ENTRIES * X[..., 0]
