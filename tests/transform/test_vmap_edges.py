"""`jm.vmap` at the edges: no rows, no steps, narrow dtypes, keys, and gradients that NaN or inf could reach."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmask as jm
from jmask.testing import assert_close


def test_a_batch_of_no_rows():
    assert jm.vmap(jnp.mean)(jm.masked(jnp.ones((0, 3)), np.ones((0, 3), bool))).shape == (0,)


@pytest.mark.parametrize("time", [0, 1, 2])
def test_rows_shorter_than_the_function_needs(time):
    x = jm.masked(jnp.ones((2, time)), np.ones((2, time), bool))
    assert_close(jm.vmap(lambda x: lax.top_k(x, 3)[0].sum(), constraints=["t >= 3"])(x), [0, 0])
    assert jm.vmap(lambda x: x * x[2], constraints=["t >= 3"])(x).shape == (2, time)


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: jnp.log(x[1:]),
        lambda x: lax.scan(lambda c, s: (c + s, c), 0.0, x[1:]),
        lambda x: jax.nn.softmax(x[1:]),
        lambda x: lax.cumsum(x[1:], reverse=True),
        lambda x: x[jnp.arange(1, x.shape[0])],
        lambda x: jnp.flip(x[1:]),
    ],
)
def test_results_of_no_steps(fn):
    """Of one step, padded to one step, the rest after the first."""
    x = jm.masked(jnp.full((2, 1), 2.0), np.ones((2, 1), bool))
    results, expected = jm.vmap(fn)(x), jax.vmap(fn)(x.values)
    leaves = jax.tree.leaves(results, is_leaf=lambda leaf: isinstance(leaf, jm.Masked))
    for result, alone in zip(leaves, jax.tree.leaves(expected), strict=True):
        assert_close(_total(result), alone)


def test_narrow_indices():
    x = jm.from_lengths(jnp.arange(600.0).reshape(2, 300), [4, 200])
    found = jm.vmap(lambda x: jnp.take(x, jnp.array([0, 100], jnp.int8), mode="fill", fill_value=5.0))(x)
    assert_close(found[0], [0, 5])


def test_keys():
    keys = jax.random.split(jax.random.key(0), 4)
    assert jm.vmap(lambda key: jax.random.fold_in(key, 1))(keys).shape == (4,)
    ragged = jm.masked(jax.random.split(keys[0], (2, 3)), np.arange(3) < np.array([[2], [3]]))
    result = jm.vmap(lambda keys: jax.vmap(jax.random.uniform)(keys))(ragged)
    assert_close(result.values[0, :2], jax.vmap(jax.random.uniform)(ragged.values[0, :2]))


def finite_gradients(fn, x):
    gradients = jax.grad(lambda w, v: jnp.sum(_total(jm.vmap(lambda row: fn(w, row))(x.with_values(v)))), (0, 1))
    return jax.tree.all(jax.tree.map(lambda g: jnp.isfinite(g).all(), gradients(jnp.float32(1.5), x.values)))


def _total(result):
    return result.fill(0) if isinstance(result, jm.Masked) else result


@pytest.mark.parametrize(
    "fn",
    [
        lambda w, x: w * lax.reduce_window(x, -jnp.inf, lax.max, (2,), (2,), "SAME"),
        lambda w, x: w * lax.top_k(x, x.shape[0])[0],
        lambda w, x: lax.scan(lambda c, a: (a, w * jnp.sqrt(a - c)), 0.0, jnp.cumsum(x))[1],
        lambda w, x: lax.scan(lambda c, a: (a, w * jnp.sqrt(a - c)), 0.0, jnp.cumsum(x)[::-1], reverse=True)[1],
        lambda w, x: lax.scan(lambda c, a: (a, w / (a - c)), 0.0, x)[1],
        lambda w, x: w * jnp.cumprod(x),
        lambda w, x: (w * jnp.log(jnp.array([1.0, 2.0] + [3.0] * 198 + [0.0] * 50)[: x.shape[0]])).sum(),
        lambda w, x: jnp.linalg.norm(w * (x - 0.9 * x.mean())),
    ],
    ids=["pool", "top_k", "scan", "reverse scan", "quotient", "cumprod", "table", "norm"],
)
@pytest.mark.parametrize("lengths", [[1, 3], [3, 0], [0, 0]])
def test_no_nan_from_padding_in_any_gradient(fn, lengths):
    x = jm.from_lengths(jnp.linspace(2.0, 3.0, 400).reshape(2, 200), lengths)
    x = x.with_values(jnp.where(x.mask, x.values, jnp.nan))
    assert finite_gradients(fn, x)


def test_no_nan_where_all_rows_are_empty():
    assert finite_gradients(lambda w, x: jnp.linalg.norm(w * (x - x.mean())), jm.from_lengths(jnp.ones((2, 3)), [0, 0]))


def test_custom_tangents_through_a_quotient():
    @jax.custom_jvp
    def root(x):
        return jnp.sqrt(x)

    root.defjvp(lambda primals, tangents: (root(*primals), tangents[0] / (2 * root(*primals))))
    x = jm.from_lengths(jnp.linspace(1.0, 2.0, 8).reshape(2, 4), [3, 1])

    def gradient(fn):
        return jax.grad(lambda v: jm.vmap(lambda row: fn(row).sum())(x.with_values(v)).sum())(x.values)

    assert_close(gradient(root), gradient(jnp.sqrt))
    assert_close(gradient(lambda x: root(x)[1:]), gradient(lambda x: jnp.sqrt(x)[1:]))


def test_the_gradient_of_a_product_at_an_index():
    x = jm.from_lengths(jnp.linspace(1.0, 2.0, 8).reshape(2, 4), [3, 1])
    gradient = jax.grad(lambda w: jm.vmap(lambda x: x.at[0].multiply(w).sum())(x).sum())(2.0)
    assert_close(gradient, x.values[:, 0].sum())


def test_a_loop_over_an_explicit_mesh():
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    x = jm.from_lengths(jnp.linspace(1.0, 2.0, 12).reshape(4, 3), [3, 0, 2, 1])
    expected = jm.vmap(lambda x: lax.scan(lambda c, a: (c + a, c), jnp.zeros_like(x[0]), x)[0])(x)
    with jax.set_mesh(mesh):
        rows = jax.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
        x = jm.Masked(jax.device_put(x.values, rows), jax.device_put(x.mask, rows))
        run = jm.vmap(lambda x: lax.scan(lambda c, a: (c + a, c), jnp.zeros_like(x[0]), x)[0])
        assert_close(jax.jit(run)(x), expected)
