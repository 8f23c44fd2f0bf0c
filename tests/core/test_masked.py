"""`Masked`: its constructors, what it refuses rather than lose the mask."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from tests.support.masked import broadcast_mask, checked, ragged


@pytest.mark.parametrize("rank", [0, 1, 2, 3])
def test_a_mask_of_any_rank_that_is_a_prefix(rng, rank):
    values = rng.normal(size=(3, 5, 2, 7)).astype(np.float32)
    mask = rng.random(values.shape[:rank]) < 0.5
    x = checked(jm.masked(jnp.asarray(values), mask))
    assert x.shape == values.shape
    assert (x.ndim, x.dtype) == (4, np.float32)
    assert np.array_equal(x.fill(-1), np.where(broadcast_mask(x), values, -1))
    assert x.unmasked() is x.values
    if rank:
        assert x.lengths.dtype == np.int32
        assert np.array_equal(x.lengths, mask.sum(-1))
    else:
        with pytest.raises(ValueError, match="`lengths` needs a mask with a time axis; this mask has rank 0"):
            _ = x.lengths


def test_lists_and_numbers_become_arrays():
    x = jm.masked([[1, 2], [3, 4]], [[True, True], [True, False]])
    assert isinstance(x.values, jax.Array)
    assert isinstance(x.mask, jax.Array)
    words = jm.masked([["a", "bc"]], [[True, False]])
    assert isinstance(words.values, np.ndarray)
    assert words.fill("").tolist() == [["a", ""]]
    assert jm.masked(2.5, True).fill() == 2.5


def test_a_mask_of_floats():
    """1.0 or 0.0 may be real, so nobody can tell; both remedies work."""
    values, factors, terms = jnp.ones((1, 2)), jnp.array([[1.0, 0.0]]), jnp.array([[0.0, -jnp.inf]])
    for mask in (factors, terms):
        with pytest.raises(TypeError, match=r"Of 1.0 .* take `mask == 1`, of 0.0 .* `mask == 0`"):
            jm.masked(values, mask)
        with pytest.raises(TypeError, match=r"Of 1.0 .* take `mask == 1`, of an additive mask, 0.0 .* `mask == 0`"):
            jm.from_attention_mask(values, mask)
    assert jm.masked(values, factors == 1).mask.tolist() == jm.masked(values, terms == 0).mask.tolist()


@pytest.mark.parametrize("dtype", [np.int32, np.uint8])
def test_a_mask_that_is_not_bool(dtype):
    with pytest.raises(TypeError, match=rf"must be bool.*received dtype {np.dtype(dtype)}.*astype\(bool\).*from_len"):
        jm.masked(jnp.ones((2, 3)), np.ones((2, 3), dtype))


@pytest.mark.parametrize("shape", [(2, 4), (3,), (2, 3, 4, 1), (3, 2)])
def test_a_mask_of_another_shape(shape):
    x = jm.as_masked(jnp.ones((2, 3, 4)))
    received = "(" + ", ".join(map(str, shape)) + ("," if len(shape) == 1 else "") + ")"
    for build in (lambda m: jm.masked(x.values, m), x.with_mask, lambda m: jm.as_masked(x, m)):
        with pytest.raises(ValueError, match="must be a prefix of the values' shape") as error:
            build(np.ones(shape, bool))
        assert f"received mask {received} for values (2, 3, 4)" in str(error.value)


def test_a_masked_is_not_an_array():
    x = jm.as_masked(jnp.ones((2, 3)))
    with pytest.raises(TypeError, match=r"a `Masked` already; use `x.with_mask\(mask\)`"):
        jm.masked(x, x.mask)
    for call in (lambda: jm.masked(x.values, x > 0), lambda: jm.from_lengths(x, [1, 2]), lambda: x.with_values(x)):
        with pytest.raises(TypeError, match=r"Expected an array, received a `Masked`; pass on its `x.values`"):
            call()
    with pytest.raises(TypeError, match="received a `Masked`"):
        x.map(lambda values: jm.as_masked(values))


def test_none_is_not_a_mask():
    x = jm.as_masked(jnp.ones((2, 3)))
    for call in (lambda: jm.masked(x.values, None), lambda: x.with_mask(None), lambda: x.with_values(None)):
        with pytest.raises(TypeError, match=r"Expected an array, received None; `jm.as_masked\(values\)` marks all"):
            call()


def test_a_padding_side_that_is_no_side():
    with pytest.raises(ValueError, match="must be 'right' or 'left'; received None"):
        jm.from_lengths(jnp.ones((2, 3)), [1, 2], padding_side=None)


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray, list])
def test_from_lengths(side, as_array):
    x = checked(jm.from_lengths(jnp.ones((4, 3, 2)), as_array([2, 0, 3, 3]), padding_side=side))
    right = np.array([[1, 1, 0], [0, 0, 0], [1, 1, 1], [1, 1, 1]], bool)
    assert np.array_equal(x.mask, right if side == "right" else right[:, ::-1])
    assert x.lengths.tolist() == [2, 0, 3, 3]


def test_from_lengths_of_one_sequence_and_of_documents():
    assert jm.from_lengths(jnp.ones((4, 2)), 3).mask.tolist() == [True, True, True, False]
    documents = checked(jm.from_lengths(jnp.ones((2, 2, 3)), [[1, 0], [3, 2]]))
    assert documents.mask.shape == (2, 2, 3)
    assert documents.lengths.tolist() == [[1, 0], [3, 2]]


@pytest.mark.parametrize("lengths", [[2, 4], [2, -1], [[2, 0], [3, 99]]])
@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray, list])
def test_lengths_beyond_the_steps(lengths, as_array):
    """An error, and the remedy that it names; where nobody can look, they are clipped."""
    values = jnp.ones((*np.shape(lengths), 3))
    message = r"`lengths` must lie between 0 and the number of steps, 3; received (4|-1|99) for row (1|\(1, 1\))\. If "
    with pytest.raises(ValueError, match=message + r".*`np.clip\(lengths, 0, 3\)`"):
        jm.from_lengths(values, as_array(lengths))
    clipped = np.clip(lengths, 0, 3)
    assert np.array_equal(jm.from_lengths(values, clipped).lengths, clipped)
    assert np.array_equal(jax.jit(jm.from_lengths)(values, jnp.asarray(lengths)).lengths, clipped)


def test_lengths_that_do_not_fit():
    values = jnp.ones((2, 3))
    for lengths in ([1.0, 2.0], [True, False]):
        with pytest.raises(TypeError, match="`lengths` must be integers; received dtype"):
            jm.from_lengths(values, lengths)
    for lengths in ([1, 2, 3], [[1, 2, 3], [1, 2, 3]]):
        with pytest.raises(ValueError, match=r"prefix of the values' shape \(2, 3\) and leaves a time axis; received"):
            jm.from_lengths(values, lengths)


def test_as_masked():
    x = jm.from_lengths(jnp.ones((2, 3)), [1, 2])
    assert jm.as_masked(x) is x
    for shape, mask_shape in [((2, 3, 4), (2, 3)), ((2, 3), (2, 3)), ((3,), (3,)), ((), ())]:
        full = checked(jm.as_masked(jnp.ones(shape)))
        assert full.mask.shape == mask_shape
        assert np.asarray(full.mask).all()
    other = jm.as_masked(x, np.array([[True, False, True], [False] * 3]))
    assert other.values is x.values
    assert other.lengths.tolist() == [2, 0]
    assert jm.as_masked(jnp.ones((2, 3)), x.mask).mask is x.mask


def test_with_mask_takes_the_mask_itself():
    x = jm.from_lengths(jnp.ones((2, 3)), [1, 2])
    assert x.with_mask(x.mask).mask is x.mask


def test_with_values_keeps_the_mask():
    x = jm.from_lengths(jnp.ones((2, 3)), [1, 2])
    y = checked(x.with_values([[[1.0], [2.0], [3.0]], [[4.0], [5.0], [6.0]]]))
    assert y.shape == (2, 3, 1)
    assert y.mask is x.mask
    with pytest.raises(ValueError, match=r"received mask \(2, 3\) for values \(3, 2\)"):
        x.with_values(jnp.ones((3, 2)))


REFUSING_FUNCTIONS = {
    "jnp.asarray": jnp.asarray,
    "jnp.array": jnp.array,
    "np.asarray": np.asarray,
    "np.array": np.array,
    "np.asarray of a list": lambda x: np.asarray([x, x]),
    "jnp.asarray of a list": lambda x: jnp.asarray([x, x]),
    "jnp.sin": jnp.sin,
    "jnp.sum": jnp.sum,
    "jnp.mean": jnp.mean,
    "jnp.exp": jnp.exp,
    "jnp.isnan": jnp.isnan,
    "jnp.maximum": lambda x: jnp.maximum(x, 0),
    "jnp.where": lambda x: jnp.where(True, x, 0),
    "jnp.stack": lambda x: jnp.stack([x, x]),
    "jnp.concatenate": lambda x: jnp.concatenate([x, x]),
    "jnp.einsum": lambda x: jnp.einsum("btf->bt", x),
    "jnp.dot": lambda x: jnp.dot(x, jnp.ones(2)),
    "jnp.take": lambda x: jnp.take(jnp.ones(9), x),
    "jnp.expand_dims": lambda x: jnp.expand_dims(x, 0),
    "jax.nn.relu": jax.nn.relu,
    "jax.nn.softmax": jax.nn.softmax,
    "jax.nn.one_hot": lambda x: jax.nn.one_hot(x, 3),
    "jax.lax.exp": jax.lax.exp,
    "jax.lax.add": lambda x: jax.lax.add(x, x),
    "at.set": lambda x: jnp.zeros(x.shape).at[...].set(x),
    "np.sin": np.sin,
    "np.sum": np.sum,
    "np.mean over features": lambda x: np.mean(x, axis=-1),
    "np.concatenate": lambda x: np.concatenate([x, x]),
    "np.where": lambda x: np.where(True, x, 0),
    "float": lambda x: float(x[0, 0, 0]),
    "int": lambda x: int(x[0, 0, 0]),
    "hash": hash,
    "jit": lambda x: jax.jit(jnp.asarray)(x),
}


@pytest.mark.parametrize("name", REFUSING_FUNCTIONS)
def test_functions_that_would_lose_the_mask(rng, name):
    with pytest.raises(
        (TypeError, ValueError)
    ):  # jax 0.7.2 finds the segment ids to be None before it asks for an array
        REFUSING_FUNCTIONS[name](ragged(rng))


def test_the_error_of_asarray_says_what_to_do_instead(rng):
    remedy = r"its mask would be lost. Say what becomes of the padding: `x.fill\(0\)`, `x.unmasked\(\)`, or `jm.unpad"
    with pytest.raises(TypeError, match=remedy):
        np.asarray(ragged(rng))


def test_a_table_is_not_indexed_by_a_masked(rng):
    tokens = jm.masked(jnp.ones((2, 3), int), np.ones((2, 3), bool))
    with pytest.raises((TypeError, IndexError, ValueError)):
        jnp.ones(9)[tokens]
    with pytest.raises(TypeError):
        np.ones(9)[tokens]


def test_truth_is_refused(rng):
    x = ragged(rng)
    with pytest.raises(TypeError, match=r"truth of a `Masked` is ambiguous; reduce it first, e.g. `jm.ops.any\(x\)`"):
        bool(x == x)
    with pytest.raises(TypeError, match="ambiguous"):
        max(x[0, 0], x[0, 1])


def test_iteration_yields_rows_and_ends(rng):
    x = ragged(rng)
    rows = list(x)
    assert len(x) == len(rows) == 3
    for i, row in enumerate(rows):
        assert np.array_equal(row.mask, x.mask[i])
        assert np.array_equal(row.fill(0), x.fill(0)[i])
    first, *_ = x
    assert [step.shape for step in first] == [(2,)] * 5
    with pytest.raises(TypeError):
        len(jm.masked(1.0, True))


def test_a_masked_is_not_written_into(rng):
    x = ragged(rng)
    with pytest.raises(TypeError, match="does not support item assignment"):
        x[0] = 1
    with pytest.raises(AttributeError):
        x.values = x.values
