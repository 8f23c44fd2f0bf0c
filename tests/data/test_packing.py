"""`pack` and its ways back: against a naive first-fit decreasing, and round trips of every kind of sequence."""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.data.packing import plan
from tests.support.batches import holes
from tests.support.masked import checked

SEQUENCES = [[3, 4], [], [5], [6, 7, 8, 9], [1, 2], [0]]


def naive_plan(lengths, width):
    """One sequence at a time into the first row that has room."""
    used, places = [], {}
    for i in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        if lengths[i]:
            row = next((r for r, n in enumerate(used) if n + lengths[i] <= width), len(used))
            used += [0] * (row == len(used))
            places[i] = row * width + used[row]
            used[row] += lengths[i]
    return places, used


def drawn_lengths(rng):
    size, width = rng.integers(0, 40), int(rng.integers(1, 30))
    kinds = (rng.integers(0, width + 1, size), np.minimum(rng.lognormal(1, 1, size).astype(int), width))
    return kinds[rng.integers(2)], width


def drawn_sequences(rng, *features, size=11, longest=7):
    return [rng.normal(size=(n, *features)).astype(np.float32) for n in rng.integers(0, longest + 1, size)]


def assert_same(actual, expected):
    assert len(actual) == len(expected)
    for row, expected_row in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(row, expected_row)


@pytest.mark.parametrize("draw", range(60))
def test_the_plan_is_first_fit_decreasing(rng, draw):
    lengths, width = drawn_lengths(rng)
    slots, used = plan(lengths, width)
    places, expected_used = naive_plan(lengths.tolist(), width)
    assert used.tolist() == expected_used
    assert {i: int(slots[i]) for i in places} == places
    assert (slots[lengths == 0] == len(used) * width).all()


def test_what_a_packed_batch_looks_like():
    x = checked(jm.pack(SEQUENCES))
    assert x.values.tolist() == [[6, 7, 8, 9], [3, 4, 1, 2], [5, 0, 0, 0]]
    assert x.segment_ids.tolist() == [[4, 4, 4, 4], [1, 1, 5, 5], [3, 6, 0, 0]]
    assert (x.segment_ids.dtype, x.dtype) == (np.int32, np.int32)
    assert np.array_equal(x.mask, x.segment_ids > 0)
    assert x.positions.tolist() == [[0, 1, 2, 3], [0, 1, 0, 1], [0, 0, 0, 0]]


@pytest.mark.slow
@pytest.mark.parametrize("features", [(), (2,), (2, 3)])
@pytest.mark.parametrize("options", [{}, {"row_length": 13}, {"row_length": 29, "num_rows": 5}])
def test_round_trips(rng, features, options):
    sequences = drawn_sequences(rng, *features)
    x = checked(jm.pack(sequences, **options))
    if "num_rows" in options:
        assert x.mask.shape == (5, 29)
    assert_same(jm.unpack(x, num_sequences=len(sequences)), sequences)
    assert_same(jm.unpack(x), [row for row in sequences if len(row)])
    assert not x.values[~x.mask].any()
    assert_same(jm.unpad(jm.unpack_batch(x, len(sequences), 7)), sequences)
    assert_same(jm.unpad(jm.unpack_batch(jax.tree.map(jnp.asarray, x), len(sequences), 9)), sequences)


def test_labels_of_the_same_lengths_land_on_the_same_slots(rng):
    tokens = [rng.integers(1, 99, n).tolist() for n in rng.integers(0, 12, 50)]
    labels = [[f"{i}:{t}" for t in range(len(row))] for i, row in enumerate(tokens)]
    x, y = jm.pack(tokens, row_length=17), jm.pack(labels, row_length=17)
    np.testing.assert_array_equal(x.segment_ids, y.segment_ids)
    assert y.values[y.mask].tolist() == [
        f"{k - 1}:{t}" for k, t in zip(x.segment_ids[x.mask], np.asarray(x.positions)[x.mask], strict=True)
    ]
    assert set(y.values[~y.mask]) <= {""}


@pytest.mark.parametrize("dtype", ["int64", "float32", "bfloat16", "bool"])
def test_a_masked_is_packed_row_by_row_and_keeps_its_dtype(rng, dtype):
    mask = holes((3, 0, 7, 1, 5), 7)
    x = jm.masked(np.asarray(rng.integers(0, 2, (5, 7, 2)), jnp.dtype(dtype)), mask)
    packed = checked(jm.pack(x, row_length=8))
    assert packed.dtype == x.dtype
    assert_same(jm.unpack(packed, num_sequences=5), jm.unpad(x))


def test_dtypes_are_those_of_pad_sequences():
    assert jm.pack([[1], [2.5]]).dtype == np.float32
    assert jm.pack([np.array([]), np.array([3])]).dtype == np.int32
    assert jm.pack([[1], [2]], dtype="float16").dtype == np.float16
    assert jm.pack(jm.pad_sequences([["a"], ["b", "c"]])).values.tolist() == [["b", "c"], ["a", ""]]


@pytest.mark.slow
def test_nothing_to_pack():
    assert jm.pack([]).shape == (0, 0)
    assert jm.pack([[], []]).shape == (0, 0)
    x = jm.pack([np.ones((0, 3), np.float32)], row_length=4, num_rows=2)
    assert (x.shape, x.dtype, x.mask.any()) == ((2, 4, 3), np.float32, False)
    assert jm.unpack(x) == []
    assert [row.shape for row in jm.unpack(x, num_sequences=1)] == [(0, 3)]
    assert jm.unpack_batch(jm.pack([np.ones((0, 3))]), 2, 3).fill().tolist() == np.zeros((2, 3, 3)).tolist()
    assert jm.unpack_batch(x, 2, 3).fill().tolist() == np.zeros((2, 3, 3)).tolist()


@pytest.mark.slow
def test_ids_of_ones_own_and_padding_anywhere(rng):
    ids = [[0, 5, 5, 0, 5, 2], [9, 0, 7, 7, 0, 0]]
    values = rng.normal(size=(2, 6, 3)).astype(np.float32)
    values[np.array(ids) == 0] = np.nan
    x = jm.from_segment_ids(jnp.asarray(values), ids)
    expected = {2: values[0, 5:], 5: values[0, [1, 2, 4]], 7: values[1, 2:4], 9: values[1, :1]}
    assert_same(jm.unpack(x), list(expected.values()))
    assert_same(jm.unpack(x, num_sequences=9), [expected.get(k, values[0, :0]) for k in range(1, 10)])
    assert_same(jm.unpad(jm.unpack_batch(x, 9, 3)), [expected.get(k, values[0, :0]) for k in range(1, 10)])


@pytest.mark.slow
def test_unpack_batch_under_transforms(rng):
    x = jax.tree.map(jnp.asarray, jm.pack(drawn_sequences(rng, 2), row_length=13))
    x = x.with_values(jnp.where(x.mask[..., None], x.values, jnp.nan))
    weights = rng.normal(size=(11, 7, 2)).astype(np.float32)

    def loss(x):
        return jnp.sum(jm.unpack_batch(x, 11, 7).fill() * weights)

    gradient = jax.jit(jax.grad(loss, allow_int=True))(x)
    expected = np.zeros(x.shape, np.float32)
    for row, step in np.argwhere(x.mask):
        expected[row, step] = weights[x.segment_ids[row, step] - 1, x.positions[row, step]]
    np.testing.assert_array_equal(gradient.values, expected)
    compiled = jax.jit(jm.unpack_batch, static_argnums=(1, 2))(x, 11, 7)
    np.testing.assert_array_equal(compiled.values, jm.unpack_batch(x, 11, 7).values)
    by_row = jax.vmap(lambda row: jm.unpack_batch(row, 11, 7))(x)
    np.testing.assert_array_equal(by_row.fill().sum(0), compiled.fill())
    np.testing.assert_array_equal(by_row.mask.any(0), compiled.mask)


def test_what_does_not_fit_is_left_out_where_nobody_can_look():
    x = jm.pack([[1, 2, 3], [4], [5, 6]])
    assert jax.jit(jm.unpack_batch, static_argnums=(1, 2))(x, 2, 2).fill().tolist() == [[1, 2], [4, 0]]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jm.pack([[1], [1, 2, 3]], row_length=2), r"Sequence 1 has 3 steps, more than `row_length=2`. Pass "
         r"`row_length=3` or leave it out, or cut the sequences, `row\[:2\]`."),
        (lambda: jm.pack([[1, 2]] * 3, num_rows=2), "`num_rows=2` rows of 2 steps are too few for 3 sequences of 6 "
         "steps in all. Pass `num_rows=3` or leave it out, a larger `row_length`, or fewer sequences."),
        (lambda: jm.pack([[1]], row_length=0), "`row_length` must be at least 1; received 0"),
        (lambda: jm.pack(jm.pack([[1]])), r"`pack` does not keep .* Pack the sequences anew, `jm.pack\(jm.unpack"),
        (lambda: jm.pack(jm.masked(np.ones(3), np.ones(3, bool))), r"mask \(batch, time\); received mask \(3,\)"),
        (lambda: jm.pack([np.ones((1, 2)), np.ones((2, 3))]), "sequence . has steps of shape .*sequence . of shape"),
        (lambda: jm.unpack(jm.pad_sequences([[1]])), "`unpack` takes packed rows.* each row is one sequence.*unpad"),
        (lambda: jm.unpack_batch(jm.pad_sequences([[1]]), 1, 1), "`unpack_batch` takes packed rows"),
        (lambda: jm.unpack(jm.from_segment_ids([[1, 2], [3, 4]], [[1, 2], [2, 2]])), "`unpack` needs an id for each "
         "sequence of the batch; id 2 stands for 2 of them. Number the sequences over all rows, as `jm.pack` does."),
        (lambda: jm.unpack_batch(jm.from_segment_ids([[1, 2, 3]], [[1, 2, 1]]), 2, 2), "id 1 stands for 2 of them"),
        (lambda: jm.unpack(jm.pack([[1], [2]]), num_sequences=1), "an id 2, more than `num_sequences=1`; pass "
         "`num_sequences=2`."),
        (lambda: jm.unpack_batch(jm.pack([[1], [2, 3]]), 2, 1), "sequence 2 has 2 steps, more than `length=1`; pass "
         "`length=2`."),
    ],
)  # fmt: skip
def test_what_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_options_are_integers_and_strings_stay_on_the_host():
    with pytest.raises(TypeError, match=r"`row_length` must be an integer or None; received 2.5"):
        jm.pack([[1]], row_length=2.5)
    with pytest.raises(TypeError, match=r"`length` must be an integer; received None"):
        jm.unpack_batch(jm.pack([[1]]), 1, None)
    with pytest.raises(
        TypeError, match=r"`unpack_batch` takes what JAX can hold; received dtype object. Use `jm.unpack"
    ):
        jm.unpack_batch(jm.pack([["a"]]), 1, 1)
    assert [row.tolist() for row in jm.unpack(jm.pack([["a"], ["b", "c"]]))] == [["a"], ["b", "c"]]


def test_steps_of_different_shapes_are_named_by_their_place_in_the_input():
    with pytest.raises(ValueError, match=r"sequence 0 has steps of shape \(2,\), sequence 2 of shape \(3,\)"):
        jm.pack([np.ones((1, 2)), [], np.ones((2, 3))])


@pytest.mark.parametrize("name", ["pack", "unpack"])
def test_what_runs_on_the_host_refuses_tracers(name):
    x = jm.pad_sequences([[1.0]]) if name == "pack" else jm.pack([[1.0]])
    with pytest.raises(TypeError, match=f"`{name}` makes arrays whose shapes depend on data"):
        jax.jit(getattr(jm, name))(x)


def test_packing_is_fast(rng):
    """A tenth of a second on an idle machine, a naive plan a minute: the bound is between them."""
    lengths = np.minimum(np.maximum(rng.lognormal(4, 0.7, 100_000), 1).astype(int), 1000)
    start = time.perf_counter()
    slots, used = plan(lengths, 1000)
    assert time.perf_counter() - start < 5
    assert len(np.unique(slots)) == len(lengths)
    assert lengths.sum() / (len(used) * 1000) > 0.99
