"""Indices past the end of a row: what JAX reads and writes for the row alone, whatever stands in the padding."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmask as jm
from jmask.testing import assert_close

ROWS = [[1.0, 2.0], [3.0, 4.0, 5.0], [6.0, 7.0, 8.0, 9.0, 10.0]]
BEYOND = jnp.array([3, -1, -7, 2, 0])
PROMISE = "promise_in_bounds"

READS = {
    "an array": lambda x: x[jnp.array([3])],
    "steps ahead": lambda x: x[jnp.arange(x.shape[0]) + 1],
    "two steps ahead": lambda x: x[jnp.arange(2, x.shape[0] + 2)],
    "steps behind": lambda x: x[jnp.arange(x.shape[0]) - x.shape[0] - 2],
    "promised": lambda x: x.at[BEYOND].get(mode=PROMISE),
    "clipped": lambda x: x.at[BEYOND].get(mode="clip"),
    "filled": lambda x: x.at[BEYOND].get(mode="fill", fill_value=7.0),
    "dropped": lambda x: x.at[BEYOND].get(mode="drop", fill_value=7.0),
    "take": lambda x: jnp.take(x, BEYOND, mode="clip"),
    "take, filled": lambda x: jnp.take(x, BEYOND, fill_value=7.0),
    "one index": lambda x: x[jnp.argmax(x) + 1],
    "pairs": lambda x: jnp.outer(x, x)[BEYOND, BEYOND[::-1]],
    "windows": lambda x: x[jnp.minimum(jnp.arange(x.shape[0]), 3)[:, None] + jnp.arange(3)],
    "take_along_axis": lambda x: jnp.take_along_axis(x, BEYOND, 0, mode="clip"),
    "take_along_axis, filled": lambda x: jnp.take_along_axis(x, BEYOND, 0, mode="fill", fill_value=7.0),
    "digitize": lambda x: x[jnp.digitize(x, jnp.array([0.0, 1.5, 4.5, 7.0, 9.5]))],
    "dynamic_slice": lambda x: lax.dynamic_slice(x, (jnp.int32(3),), (2,)),
    "dynamic_slice, negative": lambda x: lax.dynamic_slice(x, (jnp.int32(-1),), (2,)),
    "dynamic_index": lambda x: lax.dynamic_index_in_dim(x, 3, keepdims=False),
    "dynamic_index, negative": lambda x: lax.dynamic_index_in_dim(x, -9, keepdims=False),
    "static": lambda x: x[1:4],
    "vmapped": lambda x: jax.vmap(lambda i: x[i])(BEYOND),
}
WRITES = {
    "set": lambda x: x.at[BEYOND].set(2 * x[0]),
    "set, clipped": lambda x: x.at[jnp.array([3])].set(2 * x[0], mode="clip"),
    "set, promised": lambda x: x.at[BEYOND[:3]].set(jnp.float32(7), mode=PROMISE),
    "add": lambda x: x.at[jnp.array([3, -1, -7])].add(jnp.arange(3.0) * x[0]),
    "add, clipped": lambda x: x.at[jnp.array([3, -1])].add(x[0] * jnp.array([1.0, 2.0]), mode="clip"),
    "add, steps ahead": lambda x: jnp.zeros_like(x).at[jnp.arange(x.shape[0]) + 1].add(x),
    "max": lambda x: x.at[BEYOND[:3]].max(8 * x[0]),
    "a window promised": lambda x: lax.scatter(
        x,
        x.shape[0] - jnp.ones((1,), jnp.int32),
        jnp.array([5.0, 6.0]),
        lax.ScatterDimensionNumbers((0,), (), (0,)),
        mode=PROMISE,
    ),
    "dynamic_update_slice": lambda x: lax.dynamic_update_slice(x, x[:2] * 2, (jnp.int32(4),)),
}


@pytest.mark.slow
@pytest.mark.parametrize("side", ["post", "pre"])
def test_it_is_what_jax_does_for_the_row_alone(side):
    """All in one program: values and gradients."""
    x = jm.pad_sequences(ROWS, padding=side)
    x = x.with_values(jnp.where(x.mask, x.values, jnp.nan))
    functions = READS | WRITES

    def weigh(result):
        return (result * jnp.cos(jnp.arange(result.size, dtype=jnp.float32)).reshape(result.shape)).sum()

    def all_of(row):
        return {name: weigh(fn(row)) for name, fn in functions.items()}

    def batched(values):
        return jm.vmap(all_of, constraints=["t >= 2"])(x.with_values(values))

    found, slopes = jax.jit(lambda v: (batched(v), jax.jacrev(batched)(v)))(x.values)
    for i, row in enumerate(ROWS):
        expected, gradients = jax.jit(lambda v: (all_of(v), jax.jacrev(all_of)(v)))(jnp.array(row))
        for name in functions:
            np.testing.assert_allclose(found[name][i], expected[name], rtol=1e-5, err_msg=name)
            if name == "one index" and jax.__version_info__ < (0, 8):
                continue  # there it has a gradient for a row alone, and none in a program for all lengths
            np.testing.assert_allclose(
                slopes[name][i, i][np.asarray(x.mask)[i]], gradients[name], rtol=1e-5, atol=1e-6, err_msg=name
            )
            assert not np.asarray(slopes[name])[i, i][~np.asarray(x.mask)[i]].any(), name


def test_results_have_the_rows_lengths():
    x = jm.pad_sequences(ROWS)
    ahead = jm.vmap(READS["steps ahead"])(x)
    assert ahead.lengths.tolist() == [2, 3, 5]
    assert_close(ahead.fill(0), [[2, 2, 0, 0, 0], [4, 5, 5, 0, 0], [7, 8, 9, 10, 10]])
    assert jm.vmap(lambda x: x[jnp.array([3])])(x).tolist() == [[2], [5], [9]]


INFINITE = {
    "first": [-np.inf, 1.0, 2.0],
    "all": [-np.inf, -np.inf, -np.inf],
    "first two": [-np.inf, -np.inf, 1.0],
    "last": [1.0, -np.inf, -np.inf],
    "inf": [np.inf, 1.0, 2.0],
    "zeros": [0.0, 0.0, 2.0],
}


@pytest.mark.parametrize(
    ("name", "reverse"),
    [
        ("cumlogsumexp", True),
        *(
            pytest.param(name, reverse, marks=pytest.mark.slow)
            for name in ("cumlogsumexp", "cummax", "cummin", "cumsum", "cumprod")
            for reverse in (False, True)
            if (name, reverse) != ("cumlogsumexp", True)
        ),
    ],
)
def test_running_reductions_of_infinite_steps(name, reverse):
    """Gradients are those of the row alone, and finite where those are."""
    rows = [row for key, row in INFINITE.items() if name != "cumprod" or key == "zeros"]
    x = jm.pad_sequences([*rows, [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]])
    x = x.with_values(jnp.where(x.mask, x.values, jnp.nan))

    def fn(x):
        return getattr(lax, name)(x, reverse=reverse)

    def weigh(result):
        return (jnp.where(jnp.isfinite(result), result, 0) * jnp.arange(1.0, result.shape[-1] + 1)).sum()

    found = jax.grad(lambda v: weigh(jm.vmap(fn)(x.with_values(v)).fill(0)))(x.values)
    for i, row in enumerate(rows):
        np.testing.assert_array_equal(jm.vmap(fn)(x).values[i, :3], fn(jnp.array(row)))
        np.testing.assert_allclose(found[i, :3], jax.grad(lambda v: weigh(fn(v)))(jnp.array(row)), rtol=1e-5)
        assert not found[i, 3:].any()


@pytest.mark.slow
def test_new_rules_where_one_of_two_sequences_is_empty():
    a, b = jm.pad_sequences([[1.0, 2.0, 3.0], [1.0, 2.0], [], []]), jm.pad_sequences([[1.0, 3.0], [], [4.0, 5.0], []])

    def fn(a, b):
        states = jm.ops.linear_recurrence(0.5, a)
        return jnp.linalg.slogdet(jnp.outer(b, b) + jnp.eye(b.shape[0]))[1] + states.sum() + lax.cumlogsumexp(b).sum()

    found = jm.vmap(fn)(a, b)
    for i, rows in enumerate(zip(jm.unpad(a), jm.unpad(b), strict=True)):
        expected = fn(*map(jnp.asarray, rows)) if any(map(len, rows)) else 0
        np.testing.assert_allclose(found[i], expected, rtol=1e-5)
