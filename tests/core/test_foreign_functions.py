"""Functions of NumPy, JAX and optax that are handed a `Masked`: they compute what is right, or say what to do."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.flatten_util import ravel_pytree

import jmask as jm

X = jm.from_lengths(jnp.array([[[1.0], [-2.0], [9.0]], [[3.0], [9.0], [9.0]]]), jnp.array([2, 1]))
FOREIGN = {
    "jnp.mean": lambda: jnp.mean(X),
    "jax.nn.relu": lambda: jax.nn.relu(X),
    "jax.nn.softmax": lambda: jax.nn.softmax(X),
    "jnp.stack": lambda: jnp.stack([X, X]),
    "jnp.add": lambda: jnp.add(X, 1),
    "jnp.where": lambda: jnp.where(X.mask[..., None], X, 0),
    "jnp.einsum": lambda: jnp.einsum("btf->b", X),
    "np.mean": lambda: np.mean(X),
    "np.sum": lambda: np.sum(X, axis=1),
    "np.sin": lambda: np.sin(X),
    "np.stack": lambda: np.stack([X, X]),
    "np.add.reduce": lambda: np.add.reduce(X),
    "np.maximum": lambda: np.maximum(X, 0),
    "np.matmul": lambda: np.ones((2, 2, 3)) @ X,
}
REMEDIES = {
    "`jm.ops.mean(x)`": lambda x: jm.ops.mean(x),
    "`x.map(jax.nn.relu)`": lambda x: x.map(jax.nn.relu),
    "`x.fill(0)`": lambda x: x.fill(0),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_foreign_functions_say_what_to_do(name):
    with pytest.raises(TypeError) as caught:
        FOREIGN[name]()
    for remedy, run in REMEDIES.items():
        assert remedy in str(caught.value)
        assert np.isfinite(jax.tree.leaves(run(X))[0]).all()


def test_ufuncs_that_say_what_to_do():
    with pytest.raises(TypeError, match=r"`np.sin` does not know of padding: .* `x.map\(jnp.sin\)`"):
        np.sin(X)
    assert X.map(jnp.sin).mask is X.mask


def test_arrays_become_no_arrays():
    for function in (jnp.asarray, jnp.array, np.asarray, np.array):
        with pytest.raises(TypeError, match=r"x.fill\(0\)"):
            function(X)


@pytest.mark.parametrize("as_array", [np.asarray, jnp.asarray])
def test_ufuncs_that_are_operators(as_array):
    y = as_array(np.array([[[2.0], [4], [5]], [[1], [2], [3]]], np.float32))
    for name in ("add", "subtract", "multiply", "divide", "less", "greater_equal", "equal", "not_equal"):
        ufunc = getattr(np, name)
        real = np.asarray(X.mask)
        for got, expected in (
            (ufunc(X, np.asarray(y)), ufunc(np.asarray(X.values), np.asarray(y))),
            (ufunc(np.asarray(y), X), ufunc(np.asarray(y), np.asarray(X.values))),
        ):
            assert got.mask is X.mask
            np.testing.assert_allclose(np.asarray(got.values)[real], expected[real], rtol=1e-6)
    assert (y - X).values[0, 0, 0] == 1
    assert (y < X).values[1, 0, 0]
    with pytest.raises(TypeError, match="does not know of padding"):
        np.multiply(np.ones((2, 3, 1)), X, out=np.ones((2, 3, 1)))


def test_shape_and_rank_are_no_secret():
    assert np.shape(X) == (2, 3, 1)
    assert np.ndim(X) == 3


def test_weights_of_steps_need_an_axis_behind():
    x = jm.from_lengths(jnp.ones((2, 3, 4)), [1, 2])
    weights = jnp.arange(6.0).reshape(2, 3)
    text = r"`mul` of a `Masked` .* received \(2, 3, 4\) and \(2, 3\). A number for each step .*, `y\[\.\.\., None\]`"
    for function in (lambda: x * weights, lambda: weights * x, lambda: x * np.asarray(weights)):
        with pytest.raises(ValueError, match=text):
            function()
    assert (x * weights[..., None]).fill(0)[1, 1].tolist() == [4] * 4
    with pytest.raises(ValueError, match=r"broadcasts against its own; received \(2, 3, 4\) and \(5,\). \("):
        _ = x + jnp.ones(5)


def test_what_counts_the_numbers_of_all_leaves_is_given_the_real_ones():
    assert optax.tree.norm({"x": X.fill(0)}) == pytest.approx(np.sqrt(1 + 4 + 9))
    assert ravel_pytree({"x": X.fill(0)})[0].tolist() == [1, -2, 0, 3, 0, 0]
    state = optax.adam(0.1).init({"x": X.values})
    assert {leaf.dtype for leaf in jax.tree.leaves(state[0].mu)} == {jnp.dtype("float32")}


@pytest.mark.parametrize("flag", ["jax_debug_nans", "jax_enable_checks"])
def test_operators_under_flags(flag):
    weights = jnp.ones((2, 3, 1))
    nan = X.with_values(jnp.where(X.mask[..., None], X.values, jnp.nan))
    before = getattr(jax.config, flag)
    jax.config.update(flag, True)
    try:
        y = (nan * weights + 1) / 2 - abs(nan)
        total = jm.left_align(y)[0].fill(0).sum()
        gradient = jax.grad(lambda v: (nan.with_values(v) ** 2).fill(0).sum())(
            jnp.where(X.mask[..., None], X.values, 0)
        )
    finally:
        jax.config.update(flag, before)
    assert np.isfinite(total)
    assert gradient.ravel().tolist() == [2, -4, 0, 6, 0, 0]


def test_operators_where_jax_promotes_no_ranks():
    with jax.numpy_rank_promotion("raise"):
        y = ((X * 2 + X.values) / X - 1).astype("float32")
        aligned, restore = jm.left_align(y[:, ::-1])
        assert restore(aligned).fill(0).shape == (2, 3, 1)
        assert y.map(jnp.exp).lengths.tolist() == [2, 1]
        assert y.positions.tolist() == [[0, 1, 0], [0, 0, 0]]
        packed = jm.from_segment_ids(X.values, jnp.array([[1, 2, 0], [3, 3, 0]]))
        assert jm.left_align(packed * packed)[0].positions.tolist() == [[0, 0, 0], [0, 1, 0]]
        assert jm.left_align(jm.from_lengths(jnp.ones((2, 3)), [1, 2], padding_side="left"))[0].lengths.tolist() == [
            1,
            2,
        ]
