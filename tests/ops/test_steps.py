"""Moving, taking and accumulating steps: dtypes, refusals, packed rows, and edges that the table does not reach."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

MOVES = {
    "flip": jm.ops.flip,
    "reverse": jm.ops.reverse,
    "roll": lambda x: jm.ops.roll(x, 1),
    "shift": lambda x: jm.ops.shift(x, fill_value=0),
}
PICKS = {"first": jm.ops.first, "last": jm.ops.last, "take": lambda x: jm.ops.take(x, 1)}
RUNNING = {name: getattr(jm.ops, name) for name in ("cumsum", "cumprod", "cummax", "cummin", "cumlogsumexp")}


@pytest.fixture
def x(rng):
    """Holes, an empty row, NaN in the padding."""
    mask = np.array([[1, 0, 1, 1, 0], [0, 0, 0, 0, 0], [0, 1, 1, 1, 1]], bool)
    values = rng.normal(size=(3, 5, 2)).astype("float32")
    return jm.masked(jnp.asarray(np.where(mask[..., None], values, np.nan)), mask)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("name", [name for name in (*MOVES, *RUNNING) if name != "flip"])
def test_a_true_hint_stays(name, side):
    x = jm.from_lengths(jnp.arange(15.0).reshape(3, 5), [3, 0, 5], padding_side=side)
    y = (MOVES | RUNNING)[name](x)
    assert y.mask is x.mask
    without = (MOVES | RUNNING)[name](jm.masked(x.values, x.mask))
    np.testing.assert_array_equal(y.fill(0), without.fill(0))


@pytest.mark.parametrize("name", [*MOVES, *PICKS, *RUNNING])
def test_without_time_there_is_nothing_to_do(name, x):
    function = (MOVES | PICKS | RUNNING)[name]
    for one_step in (x[0, 0], jnp.asarray(1.0)):
        with pytest.raises(ValueError, match=f"`{name}` needs a time axis; received values"):
            function(one_step)
    empty = function(jm.from_lengths(jnp.ones((3, 0, 2)), [0, 0, 0]))
    assert empty.shape == ((3, 2) if name in PICKS else (3, 0, 2))
    assert function(jnp.ones((3, 0, 2))).shape == empty.shape


@pytest.mark.parametrize("name", [*MOVES, *PICKS, *RUNNING])
def test_arrays_of_other_ranks_and_of_numpy(name):
    function = (MOVES | PICKS | RUNNING)[name]
    values = np.asarray([[3.0, 1, 2], [4, 4, 5]], "float32")
    result = function(values)
    assert isinstance(result, jax.Array)
    for row in range(2):
        np.testing.assert_array_equal(result[row], function(values[row]))
    np.testing.assert_array_equal(function(values[..., None])[..., 0], result)
    host = function(jm.Masked(values, np.ones((2, 3), bool)))
    np.testing.assert_array_equal(host.values, result)


# moving


def test_moves_by_any_number_of_steps(x):
    for n in (-7, -2, 0, 3, 11):
        shifted = jm.ops.shift(x, n, fill_value=0)
        for row, moved, rolled in zip(jm.unpad(x), shifted, jm.ops.roll(x, n), strict=True):
            np.testing.assert_array_equal(rolled.values[rolled.mask], np.roll(row, n, axis=0))
            expected = [row[i - n] if 0 <= i - n < len(row) else np.zeros(2) for i in range(len(row))]
            np.testing.assert_array_equal(moved.values[moved.mask], np.reshape(expected, row.shape))
    np.testing.assert_array_equal(jm.ops.shift(x, 0).fill(0), x.fill(0))


def test_reversing_twice_changes_nothing(x):
    np.testing.assert_array_equal(jm.ops.reverse(jm.ops.reverse(x)).fill(0), x.fill(0))
    np.testing.assert_array_equal(jm.ops.roll(jm.ops.roll(x, 2), -2).fill(0), x.fill(0))


def test_what_comes_in_by_a_shift(x):
    y = jm.ops.shift(x, fill_value=jnp.asarray([7.0, 8.0]))
    assert y.values[2, 1].tolist() == [7, 8]
    assert (y.values[1] == jnp.asarray([7.0, 8.0])).all()  # padding, too
    targets = jm.pad_sequences([[4, 5, 6], [7]])
    assert jm.ops.shift(targets, fill_value=1).fill(0).tolist() == [[1, 4, 5], [1, 0, 0]]
    with pytest.raises(TypeError, match=r"the value 0\.5 does not fit values of dtype int32"):
        jm.ops.shift(targets, fill_value=0.5)


@pytest.mark.slow
def test_the_targets_of_a_language_model(rng):
    """Each step against the next one: in rows with holes, on the left, packed, and each sequence alone."""
    ids = jm.masked(jnp.arange(24).reshape(3, 8), rng.random((3, 8)) < 0.7)
    logits = ids.map(lambda values: jax.nn.one_hot(values, 24))
    pairs = [(a, b) for row in jm.unpad(ids) for a, b in itertools.pairwise(row)]
    targets = jm.ops.shift(ids, -1)
    both = np.asarray(ids.mask & targets.mask)
    assert [*zip(np.asarray(ids.values)[both], np.asarray(targets.values)[both], strict=True)] == pairs
    loss = jm.losses.softmax_cross_entropy_with_integer_labels(logits, targets, reduction=None)
    assert int(loss.mask.sum()) == len(pairs)
    packed = jm.pack([[3, 4, 5], [6], [7, 8]], row_length=6)
    moved = jm.ops.shift(packed, -1)
    assert moved.fill(0).tolist() == [[4, 5, 0, 8, 0, 0]]
    assert moved.segment_ids.tolist() == [[1, 1, 0, 3, 0, 0]]
    array = jm.ops.shift(jnp.asarray([[1, 2, 3]]), 1)
    assert array.fill(0).tolist() == [[0, 1, 2]]
    assert array.mask.tolist() == [[False, True, True]]
    steps = jm.masked(jnp.asarray([[1.0, jnp.nan, 4.0, 9.0]]), jnp.asarray([[True, False, True, True]]))
    assert (steps - jm.ops.shift(steps)).fill(0).tolist() == [[0, 0, 3, 5]]


@pytest.mark.parametrize("n", [1.0, None, "1"])
@pytest.mark.parametrize("name", ["roll", "shift"])
def test_a_number_of_steps_is_an_integer(name, n, x):
    with pytest.raises(TypeError, match=f"`n` of `{name}` is a number of steps, an integer; received {n!r}"):
        getattr(jm.ops, name)(x, n)


# taking


def test_take_from_each_row_another_step(x):
    last = jm.ops.take(x, jnp.asarray([1, 0, -2]), fill_value=9)
    assert last.mask.tolist() == [True, False, True]
    np.testing.assert_array_equal(last.values, [x.values[0, 2], [9, 9], x.values[2, 3]])
    np.testing.assert_array_equal(jm.ops.take(x, np.uint8(1)).values, jm.ops.take(x, 1).values)
    assert jm.ops.take(x, 100, fill_value=9).values.tolist() == [[9, 9]] * 3
    assert jm.ops.take(x, -4, fill_value=9).values.tolist() == [[9, 9], [9, 9], x.values[2, 1].tolist()]
    assert jm.ops.last(x, fill_value=-1).values[1].tolist() == [-1, -1]
    assert jm.ops.first(x, fill_value=-1).values[1].tolist() == [-1, -1]


def test_take_of_documents_leaves_sentences():
    words = jm.masked(
        jnp.arange(12).reshape(2, 3, 2), np.array([[[1, 1], [0, 1], [0, 0]], [[1, 0], [0, 0], [0, 0]]], bool)
    )
    sentences = jm.ops.last(words)
    assert sentences.fill(-1).tolist() == [[1, 3, -1], [6, -1, -1]]
    assert jm.ops.last(sentences).values.tolist() == [3, 6]


def test_what_take_refuses(x):
    with pytest.raises(ValueError, match=r"`n` of `take` is one integer, or one for each row, \(3,\); received \(2,\)"):
        jm.ops.take(x, jnp.asarray([0, 1]))
    with pytest.raises(TypeError, match=r"`n` of `take` counts steps, so it is an integer; received 1\.0"):
        jm.ops.take(x, 1.0)
    with pytest.raises(TypeError, match=r"the value 0\.5 does not fit values of dtype int32"):
        jm.ops.first(jm.pad_sequences([[4]]), fill_value=0.5)
    packed = jm.from_segment_ids(jnp.asarray([[1, 2, 3]]), jnp.asarray([[1, 1, 2]]))
    with pytest.raises(ValueError, match=r"`last`.*`x\.with_segment_ids\(x\.segment_ids, num_sequences=2\)`"):
        jm.ops.last(packed)


# accumulating


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int32", "float16", "bfloat16", "float32"])
def test_dtypes_of_running_reductions(dtype):
    values = jnp.asarray([[1, 0, 1, 1, 1]], dtype)
    x = jm.masked(values, jnp.asarray([[False, True, True, True, False]]))
    wide = jnp.sum(values).dtype
    for reverse in (False, True):
        for form in (x, x.with_segment_ids(jnp.asarray([[0, 1, 1, 1, 0]])), values):
            assert jm.ops.cumsum(form, reverse=reverse).dtype == wide
            assert jm.ops.cumprod(form, reverse=reverse).dtype == wide
            if dtype != "bool":
                assert jm.ops.cummax(form, reverse=reverse).dtype == dtype
                assert jm.ops.cummin(form, reverse=reverse).dtype == dtype
    assert jm.ops.cumsum(x).values[0, 1:4].tolist() == [0, 1, 2]
    assert jm.ops.cumsum(x, reverse=True).values[0, 1:4].tolist() == [2, 2, 1]


def test_many_small_numbers_are_summed_in_float32():
    total = jm.ops.cumsum(jnp.full(3000, 1.0, "bfloat16"))[-1]
    assert_close(total, jnp.asarray(3000.0, "bfloat16"))


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_weights_of_zero_have_gradients(reverse):
    x = jm.masked(jnp.asarray([[9.0, -jnp.inf, -jnp.inf, 1.0, 9.0]]), jnp.asarray([[False, True, True, True, False]]))
    value, gradient = jax.value_and_grad(
        lambda v: jm.ops.sum(jm.ops.cumlogsumexp(x.with_values(v), reverse=reverse).map(jnp.exp))
    )(x.values)
    assert_close(value, (3 if reverse else 1) * np.e)
    assert_close(gradient, np.asarray([[0, 0, 0, 3 if reverse else 1, 0]]) * np.e)


@pytest.mark.slow
@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 3e38])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("name", RUNNING)
def test_a_sequence_of_a_row_knows_nothing_of_its_neighbours(name, reverse, bad, rng):
    """Not in its values and not in its gradients."""
    ids = np.array([[1, 1, 2, 0, 2, 2, 3, 3]])
    values = jnp.asarray(np.where(ids == 2, rng.normal(size=(1, 8)), bad).astype("float32"))
    is_middle = ids == 2

    def middle(v):
        y = RUNNING[name](jm.from_segment_ids(v, ids), reverse=reverse)
        return jnp.where(is_middle, y.values, 0).sum(), y.values[is_middle]

    def alone(v):
        y = RUNNING[name](v, reverse=reverse)
        return y.sum(), y

    gradient, found = jax.grad(middle, has_aux=True)(values)
    expected_gradient, expected = jax.grad(alone, has_aux=True)(values[is_middle])
    assert_close(found, expected)
    assert_close(gradient[is_middle], expected_gradient)
