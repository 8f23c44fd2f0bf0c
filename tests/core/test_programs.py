"""Eager calls that trace anew do not compile anew, and nothing that a function reads is stale."""

import functools
import gc
import weakref

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.core.programs import Kept, key_of, run_kept
from jmask.testing.counting import num_compiles

X = jnp.asarray(np.linspace(-1.0, 2.0, 12, dtype="float32").reshape(3, 4))


def reverses(scale):
    """A gradient that is turned round, and scaled by what the rule closes over."""

    @jax.custom_vjp
    def same(x):
        return x

    same.defvjp(lambda x: (x, None), lambda _, g: (-scale * g,))
    return same


def key(function):
    return key_of(jax.make_jaxpr(function)(X))


@pytest.mark.parametrize(
    "make",
    [
        lambda: lambda x: jax.nn.relu(x) + jnp.where(x > 0, x, 0),
        lambda: lambda x: jax.lax.scan(lambda c, v: (c + jax.nn.softplus(v).sum(), c * v), 0.0, x),
        lambda: lambda x: jax.lax.cond(x.sum() > 0, lambda v: v + 1, lambda v: v * 2, x),
        lambda: lambda x: reverses(0.5)(x),
        lambda: lambda x: x + np.arange(4),
        lambda: lambda x: jax.checkpoint(jnp.sin)(x) + jax.random.normal(jax.random.key(3), x.shape),
    ],
    ids=["relu", "scan", "cond", "rule", "array", "checkpoint"],
)
def test_functions_that_trace_alike_have_one_key(make):
    assert key(make()) == key(make())
    assert hash(key(make())) == hash(key(make()))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (lambda x: x + 1, lambda x: x + 2),
        (lambda x: x + 1.0, lambda x: x + np.nextafter(np.float32(1), np.float32(2))),
        (lambda x: x * 0.0, lambda x: x * -0.0),
        (lambda x: x - x[1:2], lambda x: x - x[2:3]),
        (lambda x: x[0] - x[1], lambda x: x[1] - x[0]),
        (lambda x: reverses(0.5)(x), lambda x: reverses(0.25)(x)),
        (lambda x: jax.nn.relu(x), lambda x: jax.nn.relu6(x)),
        (lambda x: x.astype("float16"), lambda x: x.astype("bfloat16")),
    ],
)
def test_functions_that_differ_have_two(one, other):
    assert key(one) != key(other)


def test_a_rule_counts_with_what_it_closes_over():
    def gradient(scale):
        return jax.grad(lambda x: run_kept(lambda y: reverses(scale)(y).sum(), x))(X)

    assert gradient(2.0).tolist() == np.full((3, 4), -2.0).tolist()
    assert gradient(3.0).tolist() == np.full((3, 4), -3.0).tolist()
    assert gradient(2.0).tolist() == np.full((3, 4), -2.0).tolist()


def test_arrays_that_are_closed_over_are_not_stale_and_have_gradients():
    def value(weight):
        return run_kept(lambda x: (x * weight).sum(), X)

    total = float(X.sum())
    value(jnp.asarray(1.0))
    with num_compiles() as compiled:
        assert float(value(jnp.asarray(3.0))) == pytest.approx(3 * total)
    assert compiled.count == 0
    assert float(jax.grad(value)(jnp.asarray(3.0))) == pytest.approx(total)
    assert jax.vmap(value)(jnp.arange(2.0)).tolist() == pytest.approx([0, total])


def test_within_a_program_the_function_is_just_called():
    program = jax.make_jaxpr(lambda x: run_kept(jnp.sin, x))(X)
    assert [eqn.primitive.name for eqn in program.eqns][-1] == "sin"


@pytest.mark.slow
def test_the_programs_kept_are_bounded_and_let_functions_go():
    kept = Kept(2)
    for number in (1, 2, 1, 3):
        assert kept.get(number, lambda number=number: -number) == -number
    assert len(kept) == 2
    assert kept.get(1, lambda: "made anew") == -1
    assert kept.get(2, lambda: "made anew") == "made anew"

    def function(x):
        return x * 7.5

    alive = weakref.ref(function)
    run_kept(function, X)
    del function
    gc.collect()
    assert alive() is None


def test_a_cell_of_ones_own_compiles_once_and_is_never_stale():
    class Scale:
        factor = 2.0

        def initial_state(self, inputs):
            return jnp.zeros(())

        def step(self, params, state, inputs):
            return state, jax.nn.relu(inputs * self.factor * params["weight"])

    cell, x = Scale(), jm.from_lengths(jnp.ones((2, 3)), [3, 1])

    def run(weight):
        return jm.rnn.scan(cell, {"weight": weight}, x, return_state=False).fill().tolist()

    run(jnp.asarray(1.0))
    with num_compiles() as compiled:
        assert run(jnp.asarray(3.0)) == [[6, 6, 6], [6, 0, 0]]
    assert compiled.count == 0
    cell.factor = 5.0
    assert run(jnp.asarray(1.0)) == [[5, 5, 5], [5, 0, 0]]


@pytest.mark.parametrize("network", ["lstm", "gru", "simple_rnn"])
def test_an_eager_gradient_of_a_network_compiles_once(network):
    params = {
        "lstm": jm.rnn.LSTMParams(jnp.ones((3, 8)), jnp.ones((2, 8)), jnp.ones(8)),
        "gru": jm.rnn.GRUParams(jnp.ones((3, 6)), jnp.ones((2, 6)), jnp.ones((2, 6))),
        "simple_rnn": jm.rnn.SimpleRNNParams(jnp.ones((3, 2)), jnp.ones((2, 2)), None),
    }[network]

    def gradient(lengths):
        x = jm.from_lengths(jnp.ones((3, 4, 3)), jnp.asarray(lengths))
        run = functools.partial(getattr(jm.rnn, network), implementation="xla", return_state=False)
        return jax.grad(lambda params: run(params, x).fill().sum())(params)

    gradient([4, 1, 0])
    with num_compiles() as compiled:
        gradient([1, 2, 3])
    assert compiled.count == 0
