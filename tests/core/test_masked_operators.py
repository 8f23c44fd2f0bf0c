"""Operators and reductions of `Masked` against NumPy on the real steps, in values and in gradients."""

import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmask as jm
from jmask.testing import assert_close
from tests.support.masked import broadcast_mask, checked, garbage_at, ragged

ARITHMETIC = [
    operator.add,
    operator.sub,
    operator.mul,
    operator.truediv,
    operator.floordiv,
    operator.mod,
    operator.pow,
]
COMPARISONS = [operator.lt, operator.le, operator.gt, operator.ge, operator.eq, operator.ne]
BITWISE = [operator.and_, operator.or_, operator.xor]
DTYPES = [np.dtype(np.float32), np.dtype(np.int32), np.dtype(bool)]


@st.composite
def operands(draw):
    """An operator, a `Masked` and what stands on its other side, with the NumPy arrays that they are made of."""
    dtype = draw(st.sampled_from(DTYPES))
    allowed = {"f": [*ARITHMETIC, *COMPARISONS], "b": [*COMPARISONS, *BITWISE]}
    function = draw(st.sampled_from(allowed.get(dtype.kind, [*ARITHMETIC, *COMPARISONS, *BITWISE])))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    # Few sizes, so that few shapes are compiled.
    ndim = draw(st.integers(1, 3))
    shape = tuple(draw(st.sampled_from([1, (3, 4, 2)[axis]])) for axis in range(ndim))

    def numbers(shape):
        if dtype.kind == "f":
            signs = 1 if function is operator.pow else rng.choice([-1, 1], shape)
            return (signs * rng.uniform(0.5, 2, shape)).astype(dtype)
        return rng.integers(0, 2, shape).astype(bool) if dtype.kind == "b" else rng.integers(1, 4, shape, dtype)

    def a_masked(shape):
        values = numbers(shape)
        mask = rng.random(shape[: draw(st.integers(0, ndim))]) < 0.6
        if dtype.kind == "f":
            values = garbage_at(mask.reshape(mask.shape + (1,) * (ndim - mask.ndim)), values)
        as_array = draw(st.sampled_from([np.asarray, jnp.asarray]))
        return jm.masked(as_array(values), draw(st.sampled_from([np.asarray, jnp.asarray]))(mask))

    x = a_masked(shape)
    other_shape = tuple(draw(st.sampled_from([1, size, (3, 4, 2)[i]])) for i, size in enumerate(shape))
    other_shape = tuple(o if s == 1 or o == 1 else s for s, o in zip(shape, other_shape, strict=True))
    kind = draw(st.sampled_from(["scalar", "numpy scalar", "numpy", "jax", "masked", "same mask", "self"]))
    if kind == "scalar":
        other = numbers(()).item()
    elif kind == "numpy scalar":
        other = numbers(())[()]
    elif kind in ("numpy", "jax"):
        other = numbers(other_shape[draw(st.integers(0, ndim)) :])
        other = jnp.asarray(other) if kind == "jax" else other
    else:
        other = x if kind == "self" else x.with_values(numbers(shape)) if kind == "same mask" else a_masked(other_shape)
    return function, x, other


@pytest.mark.slow
@given(operands(), st.booleans())
@settings(max_examples=120)
def test_operators_are_those_of_numpy_on_real_steps(case, swap):
    function, x, other = case
    result = checked(function(other, x) if swap else function(x, other))

    mask = broadcast_mask(x)
    right = np.asarray(other.values if isinstance(other, jm.Masked) else other)
    if isinstance(other, jm.Masked):
        mask = mask & broadcast_mask(other)
    if not isinstance(other, jm.Masked) or other.mask is x.mask:
        assert result.mask is x.mask or x.mask.shape != result.mask.shape
    with np.errstate(all="ignore"):
        left = np.asarray(x.values)
        expected = function(right, left) if swap else function(left, right)
    assert result.shape == expected.shape
    mask = np.broadcast_to(mask, expected.shape)
    assert np.array_equal(broadcast_mask(result), mask)
    assert result.dtype.kind == expected.dtype.kind
    assert_close(np.asarray(result.values)[mask], expected[mask].astype(result.dtype))


@pytest.mark.parametrize(
    ("function", "dtype"),
    [(f, d) for f in (operator.neg, operator.pos, abs) for d in (np.float32, np.int32)] + [(operator.invert, np.int32)],
)
def test_unary_operators(rng, function, dtype):
    values = rng.integers(-5, 5, (2, 3, 4)).astype(dtype)
    x = jm.masked(jnp.asarray(values), rng.random((2, 3)) < 0.5)
    y = checked(function(x))
    assert y.mask is x.mask
    assert np.array_equal(np.asarray(y.values)[x.mask], function(values)[x.mask])
    flags = x > 0
    assert np.array_equal((~flags).fill(0), np.where(broadcast_mask(x), ~(values > 0), False))


def test_two_masks_combine_by_and_and_the_same_mask_stays_the_same_object(rng):
    x, y = ragged(rng, (3, 0, 5)), ragged(rng, (4, 2, 1))
    assert np.array_equal((x + y).mask, np.asarray(x.mask) & np.asarray(y.mask))
    for result in (x + x, x * 2, x.with_values(y.values) / x, -x, x == x, x @ np.ones((2, 7), np.float32), 2.0**x):
        assert result.mask is x.mask
    assert np.array_equal(x.mask, ragged(rng, (3, 0, 5)).mask)


def test_a_size_of_1_is_broadcast_and_the_mask_with_it(rng):
    x = ragged(rng, (1, 0), time=1)
    y = checked(x + jnp.ones((2, 4, 2)))
    assert y.mask.tolist() == [[True] * 4, [False] * 4]
    z = checked(x * ragged(rng, (1, 3), time=4))
    assert z.mask.tolist() == [[True, False, False, False], [False] * 4]
    words = jm.masked(jnp.ones((2, 3, 1)), np.array([True, False]))
    assert checked(words - ragged(rng, (2, 2), time=3)).mask.tolist() == [[True, True, False], [False] * 3]


def test_ranks_that_do_not_match(rng):
    x, tokens = ragged(rng), ragged(rng)[..., 0]
    with pytest.raises(ValueError, match=r"`add` of two `Masked` needs values of the same rank.*\(3, 5, 2\) and"):
        x + tokens
    with pytest.raises(ValueError, match=r"Add axes with indexing, e.g. `y\[..., None\]`"):
        operator.lt(tokens, x)
    assert (x + tokens[..., None]).shape == x.shape
    with pytest.raises(ValueError, match=r"an array of higher rank would move its masked axes; received \(3, 5\) and"):
        tokens * x.values
    with pytest.raises(ValueError, match=r"`mul` of a `Masked` and an array of higher rank"):
        np.ones((1, 3, 5)) * tokens
    with pytest.raises(ValueError, match=r"Incompatible shapes for broadcasting.*\(3, 5, 2\).*\(3, 4, 2\)"):
        x + ragged(rng, time=4)


def test_what_operators_leave_to_python(rng):
    x = ragged(rng)
    for other in ([1.0, 2.0], None, "a", {}):
        with pytest.raises(TypeError, match=r"unsupported operand|does not know of padding"):
            x + other
    assert (x == None) is False  # noqa: E711 - the comparison is what is tested
    assert x not in [None, "a"]


def test_operators_of_symbolic_dimensions_and_array_likes(rng):
    class Variable:
        def __jax_array__(self):
            return jnp.full(2, 3.0)

    x = ragged(rng)
    assert np.array_equal((x * Variable()).fill(0), x.fill(0) * 3)
    assert np.array_equal((Variable() - x).fill(0), np.where(broadcast_mask(x), 3 - x.values, 0))


# An operand each side, and both differentiable; the `Masked` has real zeros where the other one is padded.
DIFFERENTIABLE = [operator.add, operator.sub, operator.mul, operator.truediv, operator.mod, operator.pow]


@pytest.mark.parametrize("function", DIFFERENTIABLE)
@pytest.mark.parametrize("kind", ["masked", "same mask", "array", "features", "per step", "scalar"])
@pytest.mark.parametrize("swap", [False, True], ids=["left", "right"])
def test_gradients_are_those_of_the_real_steps_alone(rng, function, kind, swap):
    mask = np.array([[True, True, False, False], [False] * 4, [True, True, True, False]])
    other_mask = np.array([[True, False, True, False], [True] * 4, [True, True, False, True]])
    both = mask & other_mask if kind == "masked" else mask
    values = rng.uniform(0.5, 2, (3, 4, 2)).astype(np.float32)
    values[mask & ~both] = 0.0
    values = garbage_at(mask[..., None], values)
    other = rng.uniform(0.5, 2, {"features": (2,), "per step": (4, 1), "scalar": ()}.get(kind, (3, 4, 2)))
    other = other.astype(np.float32)
    if other.ndim == 3:
        other = garbage_at(both[..., None], other)
    weights = rng.normal(size=(3, 4, 2)).astype(np.float32)

    def loss(values, other):
        x = jm.masked(values, mask)
        if kind in ("masked", "same mask"):
            other = jm.masked(other, other_mask) if kind == "masked" else x.with_values(other)
        result = function(other, x) if swap else function(x, other)
        return (result.fill(0) * weights).sum()

    def loss_of_real_steps(values, other):
        other = jnp.broadcast_to(other, (3, 4, 2))[both]
        result = function(other, values[both]) if swap else function(values[both], other)
        return (result * weights[both]).sum()

    value, gradients = jax.value_and_grad(loss, argnums=(0, 1))(values, other)
    expected_value, expected = jax.value_and_grad(loss_of_real_steps, argnums=(0, 1))(values, other)
    assert_close(value, expected_value)
    for gradient, expected_gradient in zip(gradients, expected, strict=True):
        assert np.isfinite(gradient).all()
        assert_close(gradient, expected_gradient)
    assert not np.asarray(gradients[0])[~both].any()
    if other.ndim == 3:
        assert not np.asarray(gradients[1])[~both].any()


@pytest.mark.parametrize("function", [operator.neg, abs, lambda x: x**2, lambda x: x**-1.5, lambda x: 2.0**x])
def test_gradients_of_one_operand(rng, function):
    x = ragged(rng)
    gradient = jax.grad(lambda values: function(x.with_values(values)).fill(0).sum())(x.values)
    mask = np.asarray(x.mask)
    assert_close(np.asarray(gradient)[mask], jax.grad(lambda v: function(v).sum())(x.values[mask]))
    assert not np.asarray(gradient)[~mask].any()


def test_the_gradient_of_abs_of_complex_padding():
    values = jnp.array([3 + 4j, jnp.nan, 0, jnp.inf])
    x = jm.masked(values, np.array([True, False, False, False]))
    gradient = jax.grad(lambda v: abs(x.with_values(v)).fill(0).sum())(values)
    assert_close(gradient, np.array([0.6 - 0.8j, 0, 0, 0], np.complex64))


@pytest.mark.parametrize("shape", [(2, 7), (2,)])
@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_matmul_and_its_gradients(rng, shape, as_array):
    x = ragged(rng)
    weight = as_array(rng.normal(size=shape).astype(np.float32))
    y = checked(x @ weight)
    mask = np.asarray(x.mask)
    rows = np.asarray(x.values)[mask]
    assert y.mask is x.mask
    assert_close(np.asarray(y.values)[mask], rows @ np.asarray(weight))
    gradients = jax.grad(lambda v, w: ((x.with_values(v) @ w).fill(0) ** 2).sum(), argnums=(0, 1))(x.values, weight)
    expected = jax.grad(lambda rows, w: ((rows @ w) ** 2).sum(), argnums=(0, 1))(rows, jnp.asarray(weight))
    assert_close(np.asarray(gradients[0])[mask], expected[0])
    assert_close(gradients[1], expected[1])
    assert not np.asarray(gradients[0])[~mask].any()


def test_matmul_refuses_to_contract_steps(rng):
    x = ragged(rng)
    rule = "must lie behind the mask; received values"
    with pytest.raises(ValueError, match=rf"{rule} \(3, 5\), mask \(3, 5\) and \(5,\)"):
        x[..., 0] @ jnp.ones(5)
    with pytest.raises(ValueError, match=rf"{rule} \(3, 5, 2\), mask \(3, 5\) and \(3, 2, 2\)"):
        x @ jnp.ones((3, 2, 2))
    for left, right in ((x, x), (jnp.ones((4, 5)), x), (np.ones((4, 5)), x), (x, [[1.0], [2.0]])):
        with pytest.raises(TypeError, match=r"unsupported operand|does not know of padding"):
            left @ right
    assert ((x > 1) @ jnp.ones((2, 1))).shape == (3, 5, 1)


def test_numpy_bfloat16_is_a_number_and_not_an_object(rng):
    values = np.ones((2, 3), jnp.bfloat16)
    x = jm.masked(values, np.ones((2, 3), bool))
    assert isinstance((x * 2).values, jax.Array)
    assert isinstance(x.fill(0), jax.Array)
    assert x.fill(0).dtype == jnp.bfloat16


@pytest.mark.parametrize("dtype", ["<U3", object, np.dtypes.StringDType()])
def test_strings_compare_and_are_indexed(dtype):
    words = np.array([["the", "cat", ""], ["a", "", ""]], dtype)
    x = jm.masked(words, np.array([[True, True, False], [True, False, False]]))
    for result, expected in ((x == "a", words == "a"), (x != "the", words != "the"), (x == words, words == words)):
        assert checked(result).dtype == bool
        assert result.mask is x.mask
        assert isinstance(result.values, np.ndarray)
        assert np.array_equal(result.values[x.mask], expected[x.mask])
    both = x == x.with_mask(np.array([[False, True, True], [True, True, True]]))
    assert both.mask.tolist() == [[False, True, False], [True, False, False]]
    assert checked(x[1]).fill("-").tolist() == ["a", "-", "-"]
    assert [row.lengths for row in x] == [2, 1]
    assert [step.fill("-").item() for row in x for step in row] == ["the", "cat", "-", "a", "-", "-"]
    assert checked(x[0, 1] == "cat").values.tolist() is True
    assert (x[0, 1] + "s").fill("").item() == "cats"
    assert (x + "s").fill("").tolist() == [["thes", "cats", ""], ["as", "", ""]]
    assert jm.as_masked(words).mask.all()
    assert jm.from_lengths(words, [1, 2]).fill("").tolist() == [["the", "", ""], ["a", "", ""]]


def test_objects_at_padded_positions_meet_no_operator():
    x = jm.masked(np.array([["a", None], ["b", "c"]], object), np.array([[True, False], [True, True]]))
    assert (x + "!").fill("").tolist() == [["a!", ""], ["b!", "c!"]]
    assert ("!" + x).fill("").tolist() == [["!a", ""], ["!b", "!c"]]
    assert (x < "b").fill(0).tolist() == [[True, False], [False, False]]


def test_dates_compare():
    days = np.array([["2026-01-01", "2026-01-05"]], "M8[D]")
    x = jm.masked(days, np.array([[True, True]]))
    assert (x > np.datetime64("2026-01-03")).values.tolist() == [[False, True]]
    assert (x == x).values.tolist() == [[True, True]]


REDUCTIONS = ["sum", "mean", "prod", "max", "min", "any", "all", "var", "std", "argmax", "argmin"]


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize("axis", [None, 0, 1, -2, -3, (0, 2), (1, 2), (0, 1, 2)])
def test_reductions_over_steps_are_refused(rng, name, axis):
    with pytest.raises(TypeError, match=r"would count padding as data: the mask covers the first 2 of 3 axes") as error:
        getattr(ragged(rng), name)(axis)
    message = str(error.value)
    assert f"`x.{name}(axis={axis})`" in message
    assert f"`jm.ops.{name}(x, axis=...)`" in message


@pytest.mark.parametrize("name", REDUCTIONS)
@pytest.mark.parametrize(("axis", "keepdims"), [(-1, False), (2, True), (np.int64(-1), False), ((2,), False)])
def test_reductions_over_features(rng, name, axis, keepdims):
    axis = axis[0] if name.startswith("arg") and isinstance(axis, tuple) else axis
    x = ragged(rng, features=3)
    y = checked(getattr(x, name)(axis, keepdims=keepdims))
    assert y.mask is x.mask
    mask = np.asarray(x.mask)
    expected = getattr(np, name)(np.asarray(x.values)[mask], axis=-1, keepdims=keepdims)
    assert_close(np.asarray(y.values)[mask], expected)


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std"])
def test_gradients_of_reductions_over_features(rng, name):
    x = ragged(rng, features=3)
    gradient = jax.grad(lambda v: getattr(x.with_values(v), name)(-1).fill(0).sum())(x.values)
    mask = np.asarray(x.mask)
    expected = jax.grad(lambda v: getattr(v, name)(-1).sum())(x.values[mask])
    assert_close(np.asarray(gradient)[mask], expected)
    assert not np.asarray(gradient)[~mask].any()


def test_a_mask_of_rank_0_leaves_all_axes_free():
    x = jm.masked(jnp.arange(3.0), True)
    assert x.sum().fill() == 3
    assert x.max(0).fill() == 2


def test_reductions_over_axes_that_are_not_there(rng):
    for axis in (3, -4, (2, 9)):
        with pytest.raises(np.exceptions.AxisError, match="out of bounds"):
            ragged(rng).sum(axis)
    with pytest.raises(TypeError):
        ragged(rng).sum(-1, dtype=np.float64)
