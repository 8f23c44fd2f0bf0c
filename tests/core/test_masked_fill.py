"""`fill`, `map` and `astype` of `Masked`: what stands at padded positions reaches no result and no gradient."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.masked import broadcast_mask, checked, ragged

FITTING = [
    (np.bool_, 0, False),
    (np.bool_, True, True),
    (np.int32, -3, -3),
    (np.int32, True, 1),
    (np.uint8, 255, 255),
    (np.float32, 2, 2.0),
    (np.float32, 0.1, np.float32(0.1)),
    (np.float32, -np.inf, -np.inf),
    (np.float32, np.float64(0.5), 0.5),
    (jnp.bfloat16, np.float32(1.5), 1.5),
    (np.complex64, 1j, 1j),
    (np.float64, 0, 0.0),
    (np.int64, 0, 0),
    ("<U2", "long", "long"),
    ("S2", b"x", b"x"),
    (np.dtypes.StringDType(), "x", "x"),
    (object, None, None),
    (object, 0, 0),
    ("M8[D]", np.datetime64("2026-01-01"), np.datetime64("2026-01-01")),
]


@pytest.mark.parametrize(("dtype", "value", "expected"), FITTING)
def test_fill_with_a_value_that_fits(dtype, value, expected):
    values = np.array([["2020-01-02"] * 3] * 2).astype(dtype) if dtype == "M8[D]" else np.ones((2, 3), dtype)
    x = jm.masked(values, np.array([[True, True, False], [False] * 3]))
    filled = np.asarray(x.fill(value))
    assert (filled[~x.mask] == expected).all()
    assert (filled[x.mask] == values[x.mask]).all()
    on_host = values.dtype.kind in "OUSTM"
    assert isinstance(x.fill(value), np.ndarray if on_host else jax.Array)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        (np.bool_, 2),
        (np.bool_, 0.0),
        (np.int32, 0.5),
        (np.int32, np.nan),
        (np.int32, np.float32(1)),
        (np.int32, 2**40),
        (np.int32, 2**70),
        (np.int32, 1j),
        (np.int32, "int32"),
        (np.int32, "x"),
        (np.int32, None),
        (np.int32, jnp.float32(1)),
        (np.uint8, -1),
        (np.uint8, 300),
        (np.float16, 1e9),
        (np.float32, 1e300),
        (np.float32, 1j),
        (np.float32, "0"),
        (np.float32, object()),
        ("<U2", 0),
        ("<U2", None),
        ("<U2", b"x"),
        ("S2", "x"),
        (np.dtypes.StringDType(), 1),
    ],
)
def test_fill_with_a_value_that_does_not_fit(dtype, value):
    x = jm.masked(np.zeros((2, 3), dtype), np.ones((2, 3), bool))
    with pytest.raises(TypeError, match=r"`fill`: the value .* does not fit values of dtype .*x.astype\(") as error:
        x.fill(value)
    assert f"{value!r}" in str(error.value)
    assert f"{x.dtype}" in str(error.value)


def test_fill_with_an_array(rng):
    x = ragged(rng)
    means = jnp.arange(2, dtype=np.float32)
    assert np.array_equal(x.fill(means), np.where(broadcast_mask(x), x.values, means))
    assert np.array_equal(jax.jit(lambda x, value: x.fill(value))(x, means), x.fill(means))


def test_fill_gives_padding_a_gradient_of_exactly_0(rng):
    x = ragged(rng)
    gradient = jax.grad(lambda values: (x.with_values(values).fill(0) ** 2).sum())(x.values)
    assert np.array_equal(gradient, np.where(broadcast_mask(x), 2 * x.values, 0))


def test_random_keys_are_values_too(getkey):
    keys = jm.masked(jax.random.split(getkey(), (2, 3)), np.array([[True, True, False], [True, False, False]]))
    drawn = checked(keys.map(jax.vmap(jax.vmap(jax.random.uniform))))
    assert drawn.dtype == np.float32
    assert jnp.issubdtype(keys.fill(getkey()).dtype, jax.dtypes.prng_key)
    with pytest.raises(TypeError, match="does not fit values of dtype key"):
        keys.fill(0)


@pytest.mark.parametrize(
    "function",
    [jnp.log, jnp.sqrt, jnp.reciprocal, lambda v: v / jnp.linalg.norm(v, axis=-1, keepdims=True), lambda v: v**-0.5],
)
def test_map_gives_no_nan_to_what_it_closes_over(rng, function):
    x = ragged(rng)
    scale = jnp.asarray(rng.uniform(0.5, 2, 2), np.float32)

    def loss(values, scale):
        return checked_trace(x.with_values(values).map(lambda v: function(v * scale))).fill(0).sum()

    def checked_trace(y):
        assert y.mask is x.mask
        return y

    gradients = jax.grad(loss, argnums=(0, 1))(x.values, scale)
    rows = np.asarray(x.values)[np.asarray(x.mask)]
    expected = jax.grad(lambda rows, scale: function(rows * scale).sum(), argnums=(0, 1))(rows, scale)
    assert_close(np.asarray(gradients[0])[np.asarray(x.mask)], expected[0])
    assert_close(gradients[1], expected[1])
    assert not np.asarray(gradients[0])[~np.asarray(x.mask)].any()


def test_map_may_change_the_features_but_not_the_steps(rng):
    x = ragged(rng)
    assert checked(x.map(lambda v: v.sum(-1))).shape == (3, 5)
    assert x.map(jnp.isnan).fill(True).sum() == (~np.asarray(x.mask)).sum() * 2
    with pytest.raises(ValueError, match=r"received mask \(3, 5\) for values \(3, 4, 2\)"):
        x.map(lambda v: v[:, 1:])


def test_map_of_strings_and_objects_sees_real_ones_only():
    vocabulary = {"the": 1, "cat": 2}
    for dtype in ("<U3", object, np.dtypes.StringDType()):
        words = jm.masked(np.array([["", "the"], ["cat", ""]], dtype), np.array([[False, True], [True, False]]))
        ids = checked(words.map(np.vectorize(vocabulary.__getitem__)))
        assert ids.fill(0).tolist() == [[0, 1], [2, 0]]
    empty = jm.masked(np.array([["", ""]]), np.zeros((1, 2), bool))
    assert empty.map(np.strings.upper).fill("-").tolist() == [["-", "-"]]


def test_astype(rng):
    x = ragged(rng)
    y = checked(x.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert y.mask is x.mask
    gradient = jax.grad(lambda v: x.with_values(v).astype(jnp.float16).fill(0).astype(np.float32).sum())(x.values)
    assert np.array_equal(gradient, broadcast_mask(x))


def test_astype_does_not_look_at_padding():
    mask = np.array([[True, False], [True, True]])
    assert jm.masked(np.array([["1", ""], ["22", "3"]]), mask).astype(int).fill(0).tolist() == [[1, 0], [22, 3]]
    assert jm.masked(np.array([[1, np.nan], [2, 3]]), mask).astype(np.int32).fill(0).tolist() == [[1, 0], [2, 3]]
    assert jm.masked(np.array([[10, 0], [2, 3]]), mask).astype(str).fill("").tolist() == [["10", ""], ["2", "3"]]
    assert jm.masked(np.array([["", ""]]), np.zeros((1, 2), bool)).astype(float).shape == (1, 2)
