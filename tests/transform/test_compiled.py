"""Eager calls of `jm.vmap`: traced each time, so nothing is stale, and compiled once."""

import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.core import programs
from jmask.testing import assert_close
from jmask.testing.counting import num_compiles

W = jnp.linspace(-1.0, 1.0, 16).reshape(4, 4)
FUNCTIONS = {
    "mean": jnp.mean,
    "softmax": lambda x: jax.nn.softmax(x),
    "table": lambda x: jnp.tanh(x[:, None] * W[0]) @ W,
    "scan": lambda x: jax.lax.scan(lambda c, s: (c + jax.nn.relu(s), c), 0.0, x)[1],
    "steps": lambda x: x[1:] * x.shape[0],
}


def batch(lengths=(4, 2, 0, 1)):
    return jm.from_lengths(jnp.arange(1.0, 17.0).reshape(4, 4), list(lengths))


def total(fn, values):
    results = jax.tree.leaves(jm.vmap(fn)(batch().with_values(values)), is_leaf=lambda x: isinstance(x, jm.Masked))
    return sum((x.fill(0) if isinstance(x, jm.Masked) else x).sum() for x in results)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_second_call_compiles_nothing(name):
    fn = FUNCTIONS[name]
    calls = [
        lambda lengths: jm.vmap(lambda x: fn(x))(batch(lengths)),
        lambda lengths: jm.layers.PerSequence(lambda x: fn(x)).apply({}, batch(lengths)),
        lambda lengths: jax.grad(lambda v: total(lambda x: fn(x), v))(batch(lengths).values),
    ]
    for call in calls:
        call((4, 2, 0, 1))
        batch((3, 3, 3, 3))
        with num_compiles() as compiles:
            call((4, 2, 0, 1))
            call((3, 3, 3, 3))
        assert compiles.count == 0


def test_two_arguments_compile_once():
    def run(first, second):
        return jm.vmap(lambda a, b: (a.sum() + b.sum(), a[:, None] * b))(batch(first), batch(second))

    run((4, 2, 0, 1), (1, 1, 1, 1))
    batch((0, 0, 3, 0))
    with num_compiles() as compiles:
        run((4, 2, 1, 1), (0, 0, 3, 0))
    assert compiles.count == 0


def test_what_a_function_closes_over_is_not_stale():
    def run(scale, array):
        return jm.vmap(lambda x: x.sum() * scale + array.sum())(batch())

    assert_close(run(2, jnp.ones(3)), [23, 25, 0, 29])
    assert_close(run(3, jnp.ones(3)), [33, 36, 0, 42])
    other = jnp.asarray([1.0, 1.0, 2.0])
    with num_compiles() as compiles:
        assert_close(run(3, other), [34, 37, 0, 43])
    assert compiles.count == 0
    values = [0.0]
    fn = lambda x: x.sum() + values[0]  # noqa: E731 - one function, twice
    first = jm.vmap(fn)(batch())
    values[0] = 1.0
    assert_close(jm.vmap(fn)(batch()) - first, [1, 1, 0, 1])


def test_draws_of_numpy_are_new():
    def noise(x):
        return x.sum() * 0 + np.random.uniform()  # noqa: NPY002 - the global generator is the point

    assert float(jm.vmap(noise)(batch())[0]) != float(jm.vmap(noise)(batch())[0])


def test_a_lost_mask_is_reported_at_every_call():
    class Mystery(jm.Layer):
        def call(self, params, inputs):
            return inputs.sum()

    documents = jm.masked(jnp.ones((2, 3, 4)), np.ones((2, 3, 4), bool))
    run = jm.vmap(lambda document: Mystery()(document))
    for _ in range(2):
        with pytest.warns(jm.MaskDroppedWarning):
            run(documents)
    for _ in range(2):
        with jm.strict(), pytest.raises(jm.MaskDroppedError):
            run(documents)


def test_derivatives_of_ones_own_are_not_mixed_up():
    def slope(factor):
        @jax.custom_jvp
        def fn(x):
            return 2 * x

        fn.defjvp(lambda primals, tangents: (2 * primals[0], factor * tangents[0]))
        return jax.grad(lambda v: total(lambda x: fn(x), v))(batch().values)[0, 0]

    assert [float(slope(factor)) for factor in (3, 4, 3)] == [3, 4, 3]


@pytest.mark.slow
def test_programs_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(programs.kept_programs, "_most", 2)
    for size in range(2, 7):
        jm.vmap(jnp.sum)(jm.from_lengths(jnp.ones((1, size)), [1]))
    assert len(programs.kept_programs) <= 2


@pytest.mark.slow
def test_short_lived_functions_are_let_go():
    alive = []

    def call():
        array = jnp.ones(3)

        def fn(x):
            return x.sum() + array.sum()

        jm.vmap(fn)(batch())
        alive.append(weakref.ref(fn))

    for _ in range(5):
        call()
    jax.clear_caches()
    gc.collect()
    assert all(ref() is None for ref in alive)


@pytest.mark.slow
def test_traces_do_not_pile_up(monkeypatch):
    monkeypatch.setattr(programs.kept_programs, "_most", 8)

    def call(i):
        jm.vmap(lambda x: x.sum() + i)(batch())  # another constant, so another program each time

    counts = []
    for i in range(90):
        call(i)
        if i in (29, 59, 89):
            gc.collect()
            counts.append(len(gc.get_objects()))
    assert counts[2] - counts[1] < 0.05 * counts[1]

    for _ in range(500):
        jm.vmap(lambda x: x.sum())(batch())  # another function, one program
    gc.collect()
    assert len(gc.get_objects()) < 1.05 * counts[2]
