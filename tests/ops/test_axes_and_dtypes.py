"""The edges of `jm.ops`: axes, ranks, dtypes, arrays, and what is refused; `test_laws.py` holds the rest."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

REDUCTIONS = {
    "sum": (np.sum, 0),
    "mean": (np.mean, 0),
    "max": (np.max, 0),
    "min": (np.min, 0),
    "prod": (np.prod, 1),
    "any": (np.any, False),
    "all": (np.all, True),
    "var": (np.var, 0),
    "std": (np.std, 0),
}
EVERY_REDUCTION = pytest.mark.parametrize("name", REDUCTIONS)
LENGTHS = [4, 0, 5]


def batch(rng, shape=(3, 5, 2)):
    values = rng.normal(size=shape).astype("float32")
    values[np.arange(shape[1]) >= np.array(LENGTHS)[:, None]] = np.nan
    return jm.from_lengths(jnp.asarray(values), LENGTHS)


def documents(rng):
    """Values `(documents, sentences, words, features)`; the last document is empty, and so is a sentence."""
    mask = np.array([[[1, 1, 1], [1, 0, 0]], [[0, 1, 1], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]], bool)
    values = np.where(mask[..., None], rng.normal(size=(3, 2, 3, 5)), np.nan).astype("float32")
    return jm.masked(jnp.asarray(values), jnp.asarray(mask))


def reduced(name, items, axis):
    function, empty = REDUCTIONS[name]
    if items.shape[axis] == 0:
        return np.full(np.delete(items.shape, axis), empty)
    return function(items, axis=axis)


# Reductions


@EVERY_REDUCTION
def test_over_time(name, rng):
    x = batch(rng)
    expected = np.stack([reduced(name, np.asarray(x.values)[row, :n], 0) for row, n in enumerate(LENGTHS)])
    for axis in (1, -2, (1,), [-2], np.int64(1)):
        result = getattr(jm.ops, name)(x, axis)
        assert result.mask.tolist() == [True, False, True]
        assert_close(result, expected)
    assert_close(getattr(jm.ops, name)(x, axis=1, keepdims=True), expected[:, None])


@EVERY_REDUCTION
def test_over_features_the_mask_stays(name, rng):
    x = batch(rng)
    result = getattr(jm.ops, name)(x, -1)
    assert result.mask is x.mask
    real = np.asarray(x.mask)
    expected = REDUCTIONS[name][0](np.asarray(x.values)[real], axis=-1)
    assert_close(np.asarray(result.values)[real], expected)
    kept = getattr(jm.ops, name)(x, -1, keepdims=True)
    assert (kept.shape, kept.mask.shape) == ((3, 5, 1), (3, 5))
    assert_close(np.asarray(kept.values)[real][:, 0], expected)


@EVERY_REDUCTION
def test_over_several_axes_and_all(name, rng):
    x = batch(rng)
    function, _ = REDUCTIONS[name]
    rows = [np.asarray(x.values)[row, :n] for row, n in enumerate(LENGTHS)]
    every = np.concatenate(rows)
    assert_close(getattr(jm.ops, name)(x), function(every))
    assert_close(getattr(jm.ops, name)(x, (0, 1)), function(every, axis=0))
    assert_close(getattr(jm.ops, name)(x, (-1, 0, 1), keepdims=True), function(every).reshape(1, 1, 1))
    assert_close(getattr(jm.ops, name)(x, (1, 2))[::2], np.stack([function(rows[0]), function(rows[2])]))
    assert_close(getattr(jm.ops, name)(x, 0)[0], function(np.stack([rows[0][0], rows[2][0]]), axis=0))
    assert_close(getattr(jm.ops, name)(x, ()).fill(0).shape, (3, 5, 2))


@EVERY_REDUCTION
def test_documents_of_sentences_of_words(name, rng):
    x = documents(rng)
    function, empty = REDUCTIONS[name]
    sentences = getattr(jm.ops, name)(x, 2)
    assert sentences.mask.tolist() == [[True, True], [True, False], [False, False]]
    assert_close(sentences.values[1, 0], function(np.asarray(x.values)[1, 0, 1:], axis=0))
    assert_close(sentences.values[2, 0], np.full(5, empty))
    whole = getattr(jm.ops, name)(x, (1, 2))
    assert whole.mask.tolist() == [True, True, False]
    assert_close(whole[0], function(np.concatenate([x.values[0, 0], x.values[0, 1, :1]]), axis=0))
    kept = getattr(jm.ops, name)(x, 2, keepdims=True)
    assert (kept.shape, kept.mask.shape) == ((3, 2, 1, 5), (3, 2, 1))
    assert getattr(jm.ops, name)(x, -1).mask is x.mask


@EVERY_REDUCTION
def test_one_sequence(name, rng):
    values = rng.normal(size=(5, 3)).astype("float32")
    x = jm.masked(jnp.asarray(values), jnp.asarray([True, False, True, True, False]))
    assert_close(getattr(jm.ops, name)(x, 0), REDUCTIONS[name][0](values[[0, 2, 3]], axis=0))


@EVERY_REDUCTION
def test_an_array_has_no_padding_and_gives_an_array(name, rng):
    values = rng.normal(size=(3, 5, 2)).astype("float32")
    for axis in (None, 0, 1, -1, (0, 2), ()):
        for given in (values, jnp.asarray(values)):
            result = getattr(jm.ops, name)(given, axis)
            assert isinstance(result, jax.Array)
            assert_close(result, REDUCTIONS[name][0](values, axis=axis))
    assert getattr(jm.ops, name)(values, 1, keepdims=True).shape == (3, 1, 2)


@EVERY_REDUCTION
def test_no_steps_at_all(name):
    x = jm.from_lengths(jnp.ones((3, 0, 2)), [0, 0, 0])
    expected = np.full((3, 2), REDUCTIONS[name][1])
    assert_close(getattr(jm.ops, name)(x, 1), expected)
    assert_close(getattr(jm.ops, name)(x.values, 1), expected)


@EVERY_REDUCTION
def test_integers_and_bools(name):
    for values in ([[3, -7, 100], [1, 2, 3]], [[True, False, True], [False, True, True]]):
        values = np.array(values)
        x = jm.from_lengths(jnp.asarray(values), [2, 0])
        result = getattr(jm.ops, name)(x, 1)
        alone = getattr(jnp, name)(jnp.asarray(values[:1, :2]), axis=1)
        assert result.dtype == alone.dtype
        assert_close(result[:1], alone)
        assert result.values[1] == REDUCTIONS[name][1]


@EVERY_REDUCTION
@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8", "uint8"])
def test_narrow_dtypes_are_those_of_jax(name, dtype):
    values = jnp.asarray([[1, 2, 3, 9]], dtype)
    result = getattr(jm.ops, name)(jm.from_lengths(values, [3]), 1)
    expected = getattr(jnp, name)(values[:, :3], axis=1)
    assert result.dtype == expected.dtype
    assert_close(result, expected)


@pytest.mark.parametrize(("name", "value"), [("mean", 100.0), ("var", 0.0), ("std", 0.0)])
def test_a_mean_in_half_precision_does_not_overflow_on_the_way(name, value):
    x = jm.from_lengths(jnp.full((1, 3000), 100, "float16"), [2000])
    assert_close(getattr(jm.ops, name)(x, 1), [value])
    peak = jm.from_lengths(jnp.asarray([[300] + 11 * [0]], "float16"), [10])
    assert_close(jm.ops.var(peak, 1), [300**2 / 10 * 9 / 10])
    assert_close(jm.ops.std(peak, 1), [90.0])
    large = jm.masked(jnp.asarray([[2**30, 2**30, 2**30, 5]]), jnp.asarray([[True, True, True, False]]))
    assert_close(jm.ops.mean(large), 2.0**30)


def test_extremes_of_floats_and_integers():
    x = jm.from_lengths(jnp.asarray([[-np.inf, -np.inf, 0], [np.inf, np.inf, 0]]), [2, 2])
    assert jm.ops.max(x, 1).values.tolist() == [-np.inf, np.inf]
    assert jm.ops.min(x, 1).values.tolist() == [-np.inf, np.inf]
    for dtype in ("int8", "uint8", "int32"):
        info = np.iinfo(dtype)
        x = jm.from_lengths(jnp.asarray([[info.min, info.min, info.max]], dtype), [2])
        assert jm.ops.max(x, 1).values.tolist() == [info.min]
        x = jm.from_lengths(jnp.asarray([[info.max, info.max, info.min]], dtype), [2])
        assert jm.ops.min(x, 1).values.tolist() == [info.max]


@pytest.mark.slow
def test_nan_at_a_real_step_shows():
    x = jm.from_lengths(jnp.asarray([[1.0, np.nan, 2.0]]), [2])
    for name in ("sum", "mean", "max", "min", "prod", "var", "std"):
        assert jnp.isnan(getattr(jm.ops, name)(x, 1).values).all(), name
    assert jnp.isnan(jm.ops.softmax(x, 1).values[0, :2]).all()


def test_a_large_mean_costs_the_variance_no_digits(rng):
    values = rng.normal(size=(1, 50)).astype("float32")
    x = jm.from_lengths(jnp.asarray(values) + 4096, [40])
    assert_close(jm.ops.var(x, 1), [np.var((values + 4096)[0, :40])])


def test_complex_variance():
    values = np.array([[1 + 2j, 3 - 1j, -2 + 0.5j, 9]], "complex64")
    x = jm.from_lengths(jnp.asarray(values), [3])
    assert_close(jm.ops.var(x, 1), [values[0, :3].var()])
    assert jm.ops.var(x, 1).dtype == jnp.float32


@EVERY_REDUCTION
def test_axes_that_are_not_there_are_refused(name, rng):
    x = batch(rng)
    for given in (x, x.values):
        with pytest.raises(ValueError, match=r"`axis=3` is out of bounds for values of rank 3\."):
            getattr(jm.ops, name)(given, 3)
        with pytest.raises(ValueError, match=r"`axis=\(0, -4\)` is out of bounds"):
            getattr(jm.ops, name)(given, (0, -4))
        with pytest.raises(ValueError, match=r"`axis=\(1, -2\)` names an axis of values of rank 3 twice\."):
            getattr(jm.ops, name)(given, (1, -2))
        with pytest.raises(TypeError):
            getattr(jm.ops, name)(given, "time")


@pytest.mark.slow
def test_mean_pool_of_all_ranks(rng):
    x = batch(rng)
    assert_close(jm.ops.mean_pool(x), jm.ops.mean(x, 1))
    assert jm.ops.mean_pool(x, keepdims=True).shape == (3, 1, 2)
    assert_close(jm.ops.mean_pool(x[..., 0]), jm.ops.mean(x, 1)[:, 0])
    assert jm.ops.mean_pool(documents(rng)).mask.shape == (3, 2)
    assert_close(jm.ops.mean_pool(x.values[2:]), x.values[2:].mean(1))
    one = x[2]
    assert_close(jm.ops.mean_pool(one), one.values.mean(0))


# Softmax, normalisation, dropout


@pytest.mark.slow
def test_softmax_of_all_ranks(rng):
    x = documents(rng)
    words = jm.ops.softmax(x, 2)
    assert words.mask is x.mask
    assert_close(words.values[..., 0].sum(2), np.any(x.mask, axis=2).astype(float))
    sentences = jm.ops.softmax(x, 1)
    assert_close(sentences.values[..., 0].sum(1), np.any(x.mask, axis=1).astype(float))
    one = jm.masked(jnp.asarray([1.0, 2.0, np.nan]), jnp.asarray([True, True, False]))
    assert_close(jm.ops.softmax(one).values, [*jax.nn.softmax(jnp.asarray([1.0, 2.0])), 0])
    assert_close(jm.ops.softmax(np.array([[1.0, 2.0]], "float32")), jax.nn.softmax(jnp.asarray([[1.0, 2.0]])))
    assert_close(jm.ops.softmax(jnp.full((1, 3), -np.inf)), np.zeros((1, 3)))


@pytest.mark.parametrize("values", [jnp.ones((2, 3), "int32"), np.ones((2, 3), bool)], ids=["int32", "bool"])
def test_what_needs_floats_says_so(values):
    functions = {
        "softmax": jm.ops.softmax,
        "layer_norm": jm.ops.layer_norm,
        "dropout": lambda v: jm.ops.dropout(v, 0.5, jax.random.key(0)),
    }
    for name, function in functions.items():
        text = rf"`{name}` works on floats; received dtype {values.dtype}\. Convert with `x.astype\('float32'\)`"
        with pytest.raises(TypeError, match=text):
            function(values)
        with pytest.raises(TypeError, match=text):
            function(jm.from_lengths(values[..., None], [1, 3]))


def test_dropout_of_arrays_and_its_rates(getkey):
    key = getkey()
    values = np.ones((6, 7), "float32")
    assert jm.ops.dropout(values, 0.0, key).tolist() == values.tolist()
    assert not jm.ops.dropout(values, 1.0, key).any()
    np.testing.assert_array_equal(
        jm.ops.dropout(values, 0.5, key), jm.ops.dropout(jm.as_masked(values), 0.5, key).values
    )
    assert jm.ops.dropout(jnp.ones(()), 0.5, key).shape == ()
    assert jm.ops.dropout(jnp.ones(5), 0.5, key).shape == (5,)
    for rate in (-0.1, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"`rate` is a probability in \[0, 1\]; received"):
            jm.ops.dropout(values, rate, key)


# Time, merging, maps


def test_flip_of_all_ranks(rng):
    x = batch(rng)
    flipped = jm.ops.flip(x)
    np.testing.assert_array_equal(flipped.mask, x.mask[:, ::-1])
    assert_close(flipped.fill(0), x.fill(0)[:, ::-1])
    assert_close(jm.ops.flip(x.values), x.values[:, ::-1])
    assert jm.ops.flip(jnp.arange(3)).tolist() == [2, 1, 0]
    deep = documents(rng)
    np.testing.assert_array_equal(jm.ops.flip(deep).mask, deep.mask[:, :, ::-1])


def test_add_and_concatenate_of_documents(rng):
    x = documents(rng)
    assert jm.ops.add([x, x]).mask is x.mask
    assert jm.ops.concatenate([x, x], axis=2).mask.shape == (3, 2, 6)
    assert jm.ops.concatenate([x, x], axis=1).mask.shape == (3, 4, 3)
    assert jm.ops.concatenate([x, x[..., :1]]).shape == (3, 2, 3, 6)
    with pytest.raises(TypeError, match="concatenat"):
        jm.ops.concatenate([x, x[:, :1]], axis=2)


def test_dense_and_embed_take_weights_of_any_kind():
    weights = np.ones((2, 3), "float32")
    assert jm.ops.dense(np.ones((1, 2), "float32"), weights, np.ones(3, "float32")).tolist() == [[3, 3, 3]]
    assert jm.ops.embed(np.array([1], np.uint8), weights).shape == (1, 3)
    with pytest.raises(TypeError, match="Ids must be integers; received dtype float32"):
        jm.ops.embed(jnp.ones(3), weights)


# NaN


def everything(x, params):
    """All functions at once, with gradients."""
    ops, key = jm.ops, jax.random.key(0)
    parts = [
        *(getattr(ops, name)(x, 1) for name in REDUCTIONS if name not in ("any", "all")),
        *(ops.softmax(x, axis) for axis in (1, 2)),
        ops.layer_norm(x, params["gamma"], params["beta"]),
        ops.layer_norm(ops.dense(x, params["kernel"]), epsilon=0.0),
        ops.dropout(x, 0.5, key),
        ops.add([x, x * 2], merge="union"),
        ops.concatenate([x, ops.flip(x)], 1),
        ops.mean_pool(x),
    ]
    leaves = [part.fill(0) if part.mask.ndim > 1 else part.values for part in parts]  # empty rows have values, too
    return sum((leaf**2).sum() for leaf in leaves)


WEIGHTS = {"gamma": jnp.ones(2), "beta": jnp.ones(2), "kernel": jnp.asarray([[1.0, 2.0, 3.0], [3.0, 2.0, 0.0]])}


def gradients_of_everything(x):
    return jax.grad(lambda v, p: everything(x.with_values(v), p), argnums=(0, 1))(x.values, WEIGHTS)


@pytest.mark.slow
def test_no_nan_is_computed_on_the_way(rng):
    x = batch(rng)
    clean = x.with_values(x.fill(7.0))
    with jax.debug_nans(True):  # not compiled, because of a compiled function it sees no more than the result
        gradients = gradients_of_everything(clean)
    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(gradients))


def test_garbage_in_the_padding_reaches_no_gradient(rng):
    x = batch(rng)
    expected = jax.jit(gradients_of_everything)(x.with_values(x.fill(7.0)))
    actual = jax.jit(gradients_of_everything)(x)
    assert (np.asarray(actual[0])[~np.asarray(x.mask)] == 0).all()
    for a, b in zip(jax.tree.leaves(actual), jax.tree.leaves(expected), strict=True):
        assert_close(a, b)
