"""Choosing, ordering, stacking and weighing: packed rows, ties, dtypes, derivatives, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close


def values(x):
    return np.asarray(getattr(x, "values", x))


@pytest.fixture
def x():
    mask = np.array([[0, 1, 1, 0, 1], [0, 0, 0, 0, 0], [1, 1, 0, 1, 1]], bool)
    array = np.where(mask, [[9, 3, 1, 9, 3], [9] * 5, [2, 8, 9, 8, -5]], np.nan)
    return jm.masked(jnp.asarray(array, "float32"), mask)


@pytest.mark.slow
def test_indices_count_real_steps(x):
    assert values(jm.ops.argmax(x, 1)).tolist() == [0, 0, 1]
    assert values(jm.ops.argmin(x, 1)).tolist() == [1, 0, 3]
    assert values(jm.ops.argmax(x, 1, keepdims=True)).shape == (3, 1)
    assert values(jm.ops.take(x, values(jm.ops.argmax(x, 1)))).tolist() == [3, 0, 8]
    assert jm.ops.argsort(x, 1).fill(-1).tolist() == [[-1, 1, 0, -1, 2], [-1] * 5, [3, 0, -1, 1, 2]]
    assert jm.ops.argsort(x, 1, descending=True).fill(-1).tolist() == [[-1, 0, 2, -1, 1], [-1] * 5, [1, 2, -1, 0, 3]]
    assert jm.ops.sort(x, 1, descending=True).fill(0).tolist() == [[0, 3, 3, 0, 1], [0] * 5, [8, 8, 0, 2, -5]]


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["int8", "uint8", "bfloat16", "float16", "bool"])
def test_real_steps_that_equal_what_stands_for_padding(dtype):
    """The lowest and the highest of a dtype are values like others."""
    dtype = jnp.dtype(dtype)
    if dtype == bool:
        low, high = False, True
    else:
        info = jnp.finfo(dtype) if jnp.issubdtype(dtype, jnp.floating) else jnp.iinfo(dtype)
        low, high = (-jnp.inf, jnp.inf) if jnp.issubdtype(dtype, jnp.floating) else (info.min, info.max)
    mask = jnp.asarray([[False, True, True], [False, False, True]])
    for bound in (low, high):
        x = jm.masked(jnp.full((2, 3), bound, dtype), mask)
        assert values(jm.ops.argmax(x, 1)).tolist() == values(jm.ops.argmin(x, 1)).tolist() == [0, 0]
        assert jm.ops.sort(x, 1).mask.tolist() == mask.tolist()
        if dtype != bool:
            found, index = jm.ops.top_k(x, 2, axis=1)
            assert index.fill(-1).tolist() == [[0, 1], [0, -1]]
            assert found.mask.tolist() == [[True, True], [True, False]]


@pytest.mark.slow
def test_packed_sequences_are_sorted_each_in_its_place():
    ids = jnp.asarray([[2, 2, 0, 2, 1, 1, 2, 2]])
    x = jm.from_segment_ids(jnp.asarray([[5.0, 3, jnp.nan, 4, 9, 1, 8, 7]]), ids)
    y = jm.ops.sort(x, 1)
    assert y.fill(0).tolist() == [[3, 4, 0, 5, 1, 9, 7, 8]]
    assert y.segment_ids.tolist() == ids.tolist()
    assert jm.ops.argsort(x, 1, descending=True).fill(-1).tolist() == [[0, 2, -1, 1, 0, 1, 0, 1]]
    with pytest.raises(ValueError, match=r"`top_k` over time gives one result for each sequence .*num_sequences=2"):
        jm.ops.top_k(x, 1, axis=1)
    one = jm.from_segment_ids(x.values[..., None], ids)
    assert jm.ops.argmax(one, -1).segment_ids is one.segment_ids


def test_few_steps_for_many_places(x):
    found, index = jm.ops.top_k(x, 9, axis=1)
    assert found.shape == index.shape == (3, 9)
    assert found.mask.sum(1).tolist() == [3, 0, 4]
    assert values(found)[2, :4].tolist() == [8, 8, 2, -5]
    array, _ = jm.ops.top_k(jnp.asarray([[1.0, 3.0, 2.0]]), 2)
    assert array.tolist() == [[3, 2]]
    with pytest.raises(TypeError, match="integer"):
        jm.ops.top_k(x, 1.0, axis=1)


def test_what_would_mix_sequences_is_refused(x):
    for name in ("sort", "argsort", "argmax", "argmin"):
        with pytest.raises(ValueError, match=rf"`{name}` works along time, axis 1, .* Fill the padding first, `x.fil"):
            getattr(jm.ops, name)(x[..., None], 0)
        with pytest.raises(ValueError, match=f"`axis=5` of `{name}` is out of bounds for values of rank 2"):
            getattr(jm.ops, name)(x, 5)
    with pytest.raises(ValueError, match=r"`argmax` of everything would be an index that counts padding; name one"):
        jm.ops.argmax(x)
    with pytest.raises(TypeError, match=r"Use `jm.ops.argmax\(x, axis=...\)`"):
        x.argmax(axis=1)


@pytest.mark.slow
def test_derivatives(x):
    """First and second ones, under jit and vmap, are finite, and 0 at padding."""
    functions = {
        "logsumexp": lambda x: jm.ops.logsumexp(x[:1], 1),
        "sort": lambda x: jm.ops.sort(x * x, 1) * jnp.arange(5.0),
        "top_k": lambda x: jm.ops.top_k(x * x, 2, axis=1)[0],
        "where": lambda x: jm.ops.where(x > 2, x * x, -x),
        "std": lambda x: jm.ops.std(x, 1, ddof=1),
        "mean": lambda x: jm.ops.mean(x * x, 1, weights=jm.ops.where(x > 2, x * x, 1.0)),
        "append": lambda x: jm.ops.append(jm.ops.concatenate([x, jm.Masked(x.values, x.mask & False)], 1), x * x),
    }
    for name, function in functions.items():

        def total(array, function=function):
            y = function(jm.Masked(array, x.mask))
            y = y.fill(0) if isinstance(y, jm.Masked) else y
            return jnp.sum(y * jnp.arange(1.0, 1 + y.size).reshape(y.shape))

        first = jax.grad(total)
        second = jax.jit(jax.vmap(jax.grad(lambda array, first=first: jnp.sum(first(array) ** 2))))(x.values[None])[0]
        for gradient in (first(x.values), second):
            assert jnp.isfinite(gradient).all(), name
            assert not np.asarray(gradient)[~np.asarray(x.mask)].any(), name


# putting batches together


@pytest.mark.slow
def test_batches_of_different_widths():
    a, b = jm.pad_sequences([[1, 2], [3]]), jm.pad_sequences([[4, 5, 6]], padding="pre")
    y = jm.ops.concatenate([a, b, jnp.asarray([[7]])], axis=0)
    assert y.fill(0).tolist() == [[1, 2, 0], [3, 0, 0], [4, 5, 6], [7, 0, 0]]
    assert y.lengths.tolist() == [2, 1, 3, 1]
    packed = jm.pack([[8], [9, 9]], row_length=3)
    both = jm.ops.concatenate([packed, b], axis=0)
    assert both.fill(0).tolist() == [[9, 9, 8], [4, 5, 6]]
    assert jm.ops.concatenate([a, packed], axis=0).segment_ids.tolist() == [[1, 1, 0], [1, 0, 0], [2, 2, 1]]
    documents = jm.ops.stack([a, jm.ops.concatenate([b, b, b], axis=0)])
    assert documents.fill(0).tolist() == [[[1, 2, 0], [3, 0, 0], [0, 0, 0]], [[4, 5, 6]] * 3]
    assert jm.ops.concatenate([documents, documents[:, :1, :1]], axis=0).mask.sum().tolist() == 12 + 2


@pytest.mark.slow
def test_stacks(x):
    rows = [jm.masked(jnp.asarray(row), jnp.ones(len(row), bool)) for row in ([1, 2, 3], [4])]
    assert jm.ops.stack(rows).fill(0).tolist() == [[1, 2, 3], [4, 0, 0]]
    assert jm.ops.stack([rows[0], jnp.asarray([5, 6, 7])], 1).fill(0).tolist() == [[1, 5], [2, 6], [3, 7]]
    other = jm.masked(x.values, jnp.roll(x.mask, 1, axis=1))
    both = jm.ops.stack([x, other], -1)
    assert both.mask.tolist() == (x.mask & other.mask).tolist()
    assert jm.ops.stack([x, other], 1).mask.tolist() == np.stack([x.mask, other.mask], 1).tolist()
    assert jm.ops.stack([jnp.ones(2), jnp.ones(2)], 1).shape == (2, 2)
    packed = jm.pack([[8], [9, 9]], row_length=3)
    assert jm.ops.stack([packed, packed], -1).segment_ids is packed.segment_ids
    assert jm.ops.stack([packed, packed]).segment_ids.shape == (2, 1, 3)
    with pytest.raises(ValueError, match="`stack` takes inputs of one rank with masks of one rank"):
        jm.ops.stack([x, rows[0]])
    with pytest.raises(ValueError, match="`axis=3` of `stack` is out of bounds for a stack of rank 3"):
        jm.ops.stack([x, x], 3)


# where, classes, weights


@pytest.mark.slow
def test_where_of_scalars_arrays_and_packed_rows(x):
    assert jm.ops.where(x > 2, 1, jnp.zeros(5, int)).fill(7).tolist()[2] == [0, 1, 7, 1, 0]
    assert jm.ops.where(jnp.asarray([True, False]), 1, 2).tolist() == [1, 2]
    words = jm.pad_sequences([["a", "b"], ["c"]])
    assert jm.ops.where(words == "a", "x", words).fill("").tolist() == [["x", "b"], ["c", ""]]
    packed = jm.pack([[8], [9, 9]], row_length=3)
    chosen = jm.ops.where(packed > 8, packed, -packed)
    assert chosen.segment_ids.tolist() == packed.segment_ids.tolist()
    assert jm.ops.where(jnp.ones((3, 1), bool), x[:1], 0.0).mask.shape == (3, 5)
    with pytest.raises(ValueError, match=r"`where` takes `Masked` of one rank .* e.g. `condition\[..., None\]`"):
        jm.ops.where(x > 0, x[..., None], 0)


@pytest.mark.slow
def test_classes_of_narrow_ids():
    ids = jm.masked(jnp.asarray([[3, -1, 100]], "int8"), jnp.asarray([[True, True, False]]))
    y = jm.ops.one_hot(ids, 300)
    assert y.shape == (1, 3, 300)
    assert y.values.sum(-1).tolist() == [[1, 0, 0]]
    assert jm.ops.one_hot(jnp.asarray([255], "uint8"), 256)[0, 255] == 1
    with pytest.raises(TypeError, match="Ids must be integers; received dtype float32"):
        jm.ops.one_hot(jnp.ones(2), 3)


@pytest.mark.slow
def test_weights_and_degrees_of_freedom(x, rng):
    w = jnp.asarray(rng.random((3, 5)), "float32").at[0, 0].set(jnp.nan)
    rows = [
        (np.asarray(v)[np.asarray(m)], np.asarray(a)[np.asarray(m)])
        for v, m, a in zip(x.values, x.mask, w, strict=True)
    ]
    expected = [np.average(v, weights=a) if len(v) else 0 for v, a in rows]
    for weights in (w, jm.Masked(w, x.mask)):
        assert_close(values(jm.ops.mean(x, 1, weights=weights)), expected)
    spread = [np.average((v - np.average(v, weights=a)) ** 2, weights=a) if len(v) else 0 for v, a in rows]
    assert_close(values(jm.ops.var(x, 1, weights=w)), spread)
    assert_close(values(jm.ops.std(x, 1, ddof=1)), [np.std(v, ddof=1) if len(v) else 0 for v, _ in rows])
    assert float(jm.ops.mean(x, weights=w[:, 1])) != float(jm.ops.mean(x))
    assert_close(jm.ops.var(x, ddof=2), np.var(np.concatenate([v for v, _ in rows]), ddof=2))
    assert values(jm.ops.var(x[:, :2], 1, ddof=1)).tolist()[:2] == [0, 0]
    assert_close(jm.ops.mean(x.values[2:, :2], weights=jnp.asarray([[1.0, 3.0]])), 6.5)
    assert values(jm.ops.mean(x, 1, weights=jnp.zeros(3))).tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match=r"`weights` of `mean` are one for each sequence .* received shape \(5,\)"):
        jm.ops.mean(x, 1, weights=jnp.ones(5))
    with pytest.raises(ValueError, match="`var` takes `ddof` or `weights`, not both"):
        jm.ops.std(x, weights=w, ddof=1)


@pytest.mark.slow
def test_logarithms_of_sums(rng):
    x = jm.from_lengths(jnp.asarray([[-jnp.inf, -jnp.inf, jnp.nan], [1000.0, 1000.0, 9.0], [1.0, 2.0, 3.0]]), [2, 2, 0])
    found = values(jm.ops.logsumexp(x, 1))
    assert_close(found, np.asarray([-np.inf, 1000 + np.log(2), -np.inf], "float32"))
    gradient = jax.grad(
        lambda v: jnp.sum(jnp.exp(jm.as_masked(jm.ops.logsumexp(jm.Masked(v, x.mask), 1)).values - 1000))
    )(x.values)
    assert gradient.round(3).tolist() == [[0, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert jm.ops.logsumexp(x.astype("bfloat16"), 1).dtype == "bfloat16"
    with pytest.raises(TypeError, match="`logsumexp` works on floats"):
        jm.ops.logsumexp(x.astype("int32"), 1)
