"""Associative scans and linear recurrences: packed rows, holes, states, trees, and the same within `jm.vmap`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmask as jm
from jmask.testing import assert_close

LENGTHS = [3, 1, 0, 5]


def affine(left, right):
    return left[0] * right[0], right[0] * left[1] + right[1]


def loop(a, b, state=0.0):
    states = []
    for decay, step in zip(a, b, strict=True):
        state = decay * state + step
        states.append(state)
    return np.reshape(states, np.shape(b))


def batch(rng, features=2):
    rows = [rng.normal(size=(n, features)).astype("float32") for n in LENGTHS]
    x = jm.pad_sequences(rows)
    return rows, x.with_values(jnp.where(x.mask[..., None], x.values, jnp.nan))


@pytest.mark.parametrize("reverse", [False, True])
def test_packed_rows_begin_anew(reverse, rng):
    rows, _ = batch(rng)
    rows[0][-1] = np.inf  # reaches no other sequence
    packed = jm.pack(rows)
    state = np.float32([1.5, -0.5])
    found = jm.ops.linear_recurrence(0.5, packed, initial_state=state, reverse=reverse)
    halves = packed.map(lambda v: jnp.full_like(v, 0.5))
    scanned = jm.ops.associative_scan(affine, (halves, packed))[1]
    turn = (lambda row: row[::-1]) if reverse else (lambda row: row)
    expected = [turn(loop(np.full_like(row, 0.5), turn(row), state)) for row in rows if len(row)]
    for row, alone in zip(jm.unpack(found), expected, strict=True):
        assert_close(row, alone)
    finite = [loop(np.full_like(row, 0.5), row) for row in rows[1:] if len(row)]
    for row, alone in zip(jm.unpack(scanned)[1:], finite, strict=True):
        assert_close(row, alone)


@pytest.mark.slow
def test_a_function_that_is_bad_for_padding(rng):
    """`1 / (x + y)` of zeros in the padding has no finite slope."""
    x = jm.masked(jnp.array([[2.0, 0.0, 3.0, 0.0], [0.0, 5.0, 0.0, 0.0]]), [[True, False, True, False]] * 2)
    x = x.with_mask(jnp.array([[True, False, True, False], [False, True, False, False]]))

    def harmonic(a, b):
        return 1 / (1 / a + 1 / b)

    value, gradient = jax.value_and_grad(lambda v: jm.ops.associative_scan(harmonic, x.with_values(v)).fill(0).sum())(
        x.values
    )
    assert_close(value, 2 + 1 / (1 / 2 + 1 / 3) + 5)
    assert_close(gradient, jax.grad(lambda v: v[0, 0] + harmonic(v[0, 0], v[0, 2]) + v[1, 1])(x.values))


def test_a_constant_decay_and_a_complex_one(rng):
    rows, x = batch(rng)
    decay = np.complex64([0.5 + 0.5j, 0.9j])
    found = jm.ops.linear_recurrence(decay, x)
    assert found.dtype == jnp.complex64
    for i, row in enumerate(rows):
        assert_close(found.fill(0)[i, : len(row)], loop(np.broadcast_to(decay, row.shape), row))


@pytest.mark.slow
def test_an_array_is_scanned_as_jax_does(rng):
    x = jnp.asarray(rng.normal(size=(5, 3)), jnp.float32)
    assert_close(jm.ops.associative_scan(jnp.add, x, True), lax.associative_scan(jnp.add, x, reverse=True))
    assert_close(jm.ops.associative_scan(jnp.add, x, axis=-1), lax.associative_scan(jnp.add, x, axis=-1))
    state = jnp.ones(3)
    assert_close(jm.ops.linear_recurrence(0.5, x, initial_state=state), loop(np.full((5, 3), 0.5), x, np.ones(3)))
    states = jm.ops.linear_recurrence(0.5, x.T, initial_state=state, axis=1)
    assert_close(states.T, loop(np.full((5, 3), 0.5), x, np.ones(3)))


@pytest.mark.slow
@pytest.mark.parametrize("reverse", [False, True])
def test_within_vmap_it_runs_in_parallel(reverse, rng):
    _, x = batch(rng)

    def fn(w, x):
        return jm.ops.associative_scan(lambda a, b: (w * a[0] * b[0], b[0] * a[1] + b[1]), (jnp.cos(x), x), reverse)

    def total(w, values):
        results = jm.vmap(lambda row: fn(w, row))(x.with_values(values))
        return sum((leaf.fill(0) * jnp.cos(jnp.arange(10.0).reshape(5, 2))).sum() for leaf in results)

    def alone(w, values):
        results = [fn(w, values[i, :n]) for i, n in enumerate(LENGTHS) if n]
        weights = jnp.cos(jnp.arange(10.0).reshape(5, 2))
        return sum((leaf * weights[: len(leaf)]).sum() for result in results for leaf in result)

    found = jax.grad(total, (0, 1))(1.25, x.values)
    for gradient, expected in zip(found, jax.grad(alone, (0, 1))(1.25, x.values), strict=True):
        assert_close(gradient, expected)
    assert "scan[" not in str(jax.make_jaxpr(total)(1.25, x.values))


@pytest.mark.slow
@pytest.mark.parametrize(
    "fn",
    [
        lambda x: jax.grad(lambda x: (jm.ops.associative_scan(jnp.multiply, x) ** 2).sum())(x),
        lambda x: jax.jvp(lambda x: jm.ops.linear_recurrence(x, x), (x,), (x,))[1],
        lambda x: jax.vmap(lambda c: jm.ops.linear_recurrence(0.5, c * x))(jnp.arange(3.0)).sum(0),
        lambda x: jax.vmap(lambda f: jm.ops.associative_scan(jnp.multiply, f), 1, 1)(x),
        lambda x: jax.vmap(lambda s: jm.ops.linear_recurrence(0.5, s * x))(x).sum(0),
        lambda x: jax.checkpoint(lambda x: jm.ops.linear_recurrence(0.5, jnp.sin(x)))(x),
        lambda x: jm.ops.associative_scan(jnp.multiply, x.T, axis=1).T,
        lambda x: jm.ops.associative_scan(jnp.add, x @ x.T)[:, 0],
    ],
    ids=["gradient", "tangent", "vmap", "vmap of axis 1", "vmap of steps", "checkpoint", "axis 1", "ragged steps"],
)
def test_transforms_within_vmap(fn, rng):
    rows, x = batch(rng)
    found = jm.vmap(fn)(x)
    for i, row in enumerate(rows):
        if len(row):
            assert_close(found.fill(0)[i, : len(row)], fn(jnp.asarray(row)))


def test_what_does_not_fit(rng):
    _, x = batch(rng)
    with pytest.raises(
        ValueError, match=r"`associative_scan` scans over time.*axis 0 and masks of rank 2.*`x\.values`"
    ):
        jm.ops.associative_scan(jnp.add, x, axis=0)
    with pytest.raises(ValueError, match="one size along axis 0; received 3, 4"):
        jm.ops.associative_scan(jnp.add, (jnp.ones(3), jnp.ones(4)))
    with pytest.raises(ValueError, match="needs an array to scan over; received none"):
        jm.ops.associative_scan(jnp.add, ())
    with pytest.raises(ValueError, match=r"`linear_recurrence` needs a time axis in every array.*`x\[None\]`"):
        jm.ops.linear_recurrence(0.5, 1.0)
    docs = jm.masked(jnp.ones((2, 3, 4)), np.ones((2, 3, 4), bool))
    with pytest.raises(ValueError, match="masks of rank 2, 3"):
        jm.ops.associative_scan(affine, (docs, jm.masked(jnp.ones((2, 3)), np.ones((2, 3), bool))))
