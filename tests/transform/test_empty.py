"""Rows in which some sequences are empty and others are not; lengths of one name that differ."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

A, B = [[1.0, 2.0], [3.0], [], [], [4.0]], [[5.0], [], [6.0, 7.0, 8.0], [], [9.0]]


def edit_distance(a, b):
    """A row of the table for each element of `a`."""
    first = jnp.arange(b.shape[0] + 1)

    def row(above, x):
        def cell(left, inputs):
            diagonal, up, y = inputs
            best = jnp.minimum(jnp.minimum(left, up) + 1, diagonal + (x != y))
            return best, best

        start = above[0] + 1
        _, rest = jax.lax.scan(cell, start, (above[:-1], above[1:], b))
        return jnp.concatenate([start[None], rest]), None

    return jax.lax.scan(row, first, a)[0][-1]


FUNCTIONS = {
    "sums": lambda a, b: a.sum() + 10 * b.sum(),
    "guarded means": lambda a, b: a.sum() / jnp.maximum(a.shape[0], 1) + b.sum() / jnp.maximum(b.shape[0], 1),
    "concatenate": lambda a, b: jnp.concatenate([a, b]),
    "outer": lambda a, b: a[:, None] + b,
    "one of them": lambda a, b: a * 2,
    "edit distance": edit_distance,
    "attention": lambda a, b: jax.nn.softmax(a[:, None] * b, axis=-1) @ b,
    "cache": lambda a, b: jax.nn.softmax(a[:, None] * jnp.concatenate([b, a]), axis=-1).sum(0)[-1],
    "not without a": lambda a, b: a.max() + b.sum(),
}


def alone(fn, a, b):
    """The result of two sequences alone; None where it is not defined, or neither has a step."""
    if not a and not b:
        return None
    try:
        return np.asarray(fn(jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)))
    except ValueError:
        return None


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] if name == "sums" else []) for name in FUNCTIONS]
)
def test_each_row_is_that_of_its_sequences_alone(name):
    fn = FUNCTIONS[name]
    a, b = jm.pad_sequences(A), jm.pad_sequences(B)
    results = jax.jit(jm.vmap(fn))(a, b)
    for i, (x, y) in enumerate(zip(A, B, strict=True)):
        expected = alone(fn, x, y)
        if not isinstance(results, jm.Masked):
            assert_close(results[i], 0.0 if expected is None else expected)
            continue
        real = np.asarray(results.values)[i][np.asarray(results.mask)[i]]
        assert_close(real, np.zeros(0) if expected is None else expected.ravel())
        assert not np.asarray(results.values)[i][~np.asarray(results.mask)[i]].any()


def test_gradients_of_rows_with_an_empty_sequence():
    a, b = jm.pad_sequences(A), jm.pad_sequences(B)

    def loss(v, w):
        return jm.vmap(lambda a, b: jnp.sqrt(a).sum() * 2 + jnp.log(b).sum())(a.with_values(v), b.with_values(w)).sum()

    hidden = [jnp.where(x.mask, x.values, jnp.nan) for x in (a, b)]
    first, second = jax.grad(loss, (0, 1))(*hidden)
    assert_close(first, jnp.where(a.mask, 1 / jnp.sqrt(jnp.where(a.mask, a.values, 1)), 0))
    assert_close(second, jnp.where(b.mask, 1 / jnp.where(b.mask, b.values, 1), 0))


def test_three_lengths():
    rows = [[[1.0], [], [2.0]], [[], [3.0], [4.0]], [[], [], [5.0]]]
    batches = [jm.pad_sequences(column) for column in rows]
    assert_close(jm.vmap(lambda a, b, c: a.sum() + b.sum() + c.sum())(*batches), [1, 3, 11])


def test_lengths_of_one_name_that_differ():
    a, b = jm.from_lengths(jnp.ones((2, 3)), [3, 1]), jm.from_lengths(jnp.ones((2, 3)), [2, 1])
    run = jm.vmap(lambda a, b: ((a * b).sum(), a + b, jnp.int32(1) * a.shape[0]), lengths="t")
    with pytest.raises(ValueError, match="in row 0 they are 3 and 2"):
        run(a, b)
    total, both, count = jax.jit(run)(a, b)
    assert_close(total, [jnp.nan, 1])
    assert np.isnan(both.values[0, 0])
    assert_close(both.values[1], [2, 0, 0])
    assert count.tolist() == [np.iinfo(np.int32).min, 1]
