"""The fused engine under the transforms of JAX, beside `implementation="scan"`, of which JAX knows every derivative."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmask as jm
from jmask.testing.counting import Counted
from tests.support.fused_runs import NAMES, QUICKLY, assert_same, draw_params, draw_state, draw_values, run

EXAMPLES, ROWS, TIME = 2, 3, 5
SHARED, EACH, WEIGHTS = (None, 0, 0, 0), (0, 0, 0, 0), (0, None, None, None)


def loss_of(name, implementation, *, reverse):
    """`loss(params, values, mask, initial)`, to which every output and state matters, with results as aux."""

    def loss(params, values, mask, initial):
        x = jm.masked(values, mask)
        outputs, state = run(name, params, x, initial, implementation=implementation, reverse=reverse)
        weights = jnp.cos(jnp.arange(outputs.values.size)).reshape(outputs.shape)
        total = (outputs.fill(0) * weights).sum() + sum((part**3).sum() for part in state)
        return total, (outputs.values, state)

    return loss


def value_of(loss):
    return lambda *args: loss(*args)[0]


def gradients_of(loss):
    return jax.value_and_grad(loss, (0, 1, 3), has_aux=True)


def mean_of(loss, in_axes):
    """Of the examples."""
    return lambda *args: jax.vmap(loss, in_axes)(*args)[0].mean()


def gradient_norm(loss):
    """A function whose gradient is a second derivative."""

    def norm(params, values, mask, initial):
        gradients = jax.grad(value_of(loss), (0, 1, 3))(params, values, mask, initial)
        return sum((g**2).sum() for g in jax.tree.leaves(gradients))

    return norm


def by_row(function):
    """The rows of the first example one by one, each a batch of one."""
    return lambda params, *arrays: jax.vmap(function, SHARED)(params, *(first(arrays, lambda a: a[0][:, None])))


def first(tree, take=lambda a: a[0]):
    return jax.tree.map(take, tree)


def scanned(loss):
    """A loss over examples, one after another in a loop."""

    def total(params, *arrays):
        return lax.scan(lambda s, example: (s + loss(params, *example)[0], None), 0.0, arrays)[0]

    return total


def over_examples(transform, in_axes):
    return lambda loss: jax.vmap(transform(loss), in_axes)


def on_first(transform):
    """For the first example."""
    return lambda loss: lambda params, *arrays: transform(loss)(first(params), *first(arrays))


TRANSFORMS = {
    "vmap of the gradient": over_examples(gradients_of, SHARED),
    "vmap of the gradient, weights of their own": over_examples(gradients_of, EACH),
    "vmap over weights alone": over_examples(gradients_of, WEIGHTS),
    "vmap over the initial state alone": over_examples(gradients_of, (None, None, None, 0)),
    "vmap over rows": lambda loss: by_row(gradients_of(loss)),
    "vmap of vmap over rows": lambda loss: jax.vmap(
        lambda params, *arrays: by_row(gradients_of(loss))(params, *jax.tree.map(lambda a: a[None], arrays)), SHARED
    ),
    "vmap over weights of vmap": lambda loss: jax.vmap(jax.vmap(gradients_of(loss), SHARED), WEIGHTS),
    "gradient of vmap": lambda loss: jax.grad(mean_of(loss, SHARED), (0, 1, 3)),
    "gradient of vmap, weights of their own": lambda loss: jax.grad(mean_of(loss, EACH), (0, 1, 3)),
    "jacrev": on_first(lambda loss: jax.jacrev(lambda *args: loss(*args)[1][1], (0, 3))),
    "checkpoint": on_first(lambda loss: jax.grad(jax.checkpoint(value_of(loss)), (0, 1, 3))),
    "a loop around": lambda loss: jax.value_and_grad(scanned(loss), (0, 1, 3)),
    "lax.map": lambda loss: lambda params, *arrays: lax.map(lambda a: gradients_of(loss)(params, *a), arrays),
    "second derivative": on_first(lambda loss: jax.grad(gradient_norm(loss), (0, 1, 3))),
    "vmap of the second derivative": over_examples(lambda loss: jax.grad(gradient_norm(loss), (0, 1, 3)), SHARED),
    "second derivative of vmap": lambda loss: jax.grad(gradient_norm(lambda *a: (mean_of(loss, SHARED)(*a), None))),
}
HAVE_WEIGHTS_PER_EXAMPLE = (
    "vmap of the gradient, weights of their own",
    "vmap over weights alone",
    "vmap over weights of vmap",
    "gradient of vmap, weights of their own",
    "jacrev",
    "checkpoint",
    "second derivative",
)
FOR_EVERY_CELL = ("vmap of the gradient", "second derivative")
TRIALS = [
    (transform, name)
    for index, transform in enumerate(TRANSFORMS)
    for name in (NAMES if transform in FOR_EVERY_CELL else [NAMES[index % len(NAMES)]])
]


def draw(rng, name, transform, rows=ROWS, examples=EXAMPLES):
    """Parameters, of each example where the transform has them, and arrays `(examples, rows, ...)`."""
    mask = rng.random((examples, rows, TIME)) < 0.6
    mask[0, 1] = False
    values = np.stack([draw_values(rng, one) for one in mask])
    initial = jax.tree.map(lambda *parts: np.stack(parts), *(draw_state(rng, name, rows) for _ in range(examples)))
    several = [draw_params(rng, name) for _ in range(examples)]
    params = jax.tree.map(lambda *p: np.stack(p), *several) if transform in HAVE_WEIGHTS_PER_EXAMPLE else several[0]
    arrays = jax.tree.map(jnp.asarray, (values, mask, initial))
    if transform == "vmap over the initial state alone":
        arrays = (*first(arrays[:2]), arrays[2])
    if transform == "vmap over weights alone":
        arrays = first(arrays)
    return jax.tree.map(jnp.asarray, params), *arrays


@pytest.mark.slow
@pytest.mark.parametrize(("transform", "name"), TRIALS)
def test_a_transform_gives_what_it_gives_of_the_scan(transform, name, rng, x64):
    args, reverse = draw(rng, name, transform), name in ("gru", "simple_rnn")
    actual, expected = (
        jax.jit(TRANSFORMS[transform](loss_of(name, implementation, reverse=reverse)), compiler_options=QUICKLY)(*args)
        for implementation in ("xla", "scan")
    )
    assert_same(actual, expected)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(actual))


@pytest.mark.slow
def test_vmap_shares_the_lanes_of_many_rows(rng, x64):
    """Twenty rows of four examples have three numbers of lanes to choose from; nothing is compiled for new masks."""
    loss = loss_of("lstm", "xla", reverse=False)
    counted = Counted(jax.vmap(gradients_of(loss), SHARED))
    mapped: Any = jax.jit(counted, compiler_options=QUICKLY)
    single = jax.jit(gradients_of(loss_of("lstm", "scan", reverse=False)))
    for _ in range(4):
        params, *arrays = draw(rng, "lstm", "vmap", rows=5, examples=4)
        for example, actual in enumerate(zip(*jax.tree.leaves(mapped(params, *arrays)), strict=True)):
            one = jax.tree.map(lambda a, example=example: a[example], arrays)
            assert_same(list(actual), jax.tree.leaves(single(params, *one)))
    assert counted.num_traces == 1


@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def test_forward_mode_is_refused_but_for_the_scan(name, rng, x64):
    params, *arrays = first(draw(rng, name, "checkpoint"))
    xla, scan = (value_of(loss_of(name, way, reverse=False)) for way in ("xla", "scan"))
    directions = jax.tree.map(jnp.cos, params)

    def derivative(loss):
        return jax.jvp(lambda p: loss(p, *arrays), (params,), (directions,))[1]

    gradient = jax.grad(xla)(params, *arrays)
    expected = sum(jax.tree.leaves(jax.tree.map(jnp.vdot, gradient, directions)))
    assert_same(derivative(scan), expected)
    with pytest.raises(TypeError, match=r"forward-mode .*custom_vjp"):
        derivative(xla)


@pytest.mark.slow
def test_the_hessian_is_that_of_reverse_over_reverse(rng, x64):
    params, *arrays = first(draw(rng, "lstm", "checkpoint"))
    xla, scan = (
        functools.partial(lambda loss, bias: loss({**params, "bias": bias}, *arrays), value_of(loss))
        for loss in (loss_of("lstm", way, reverse=True) for way in ("xla", "scan"))
    )
    with pytest.raises(TypeError, match="custom_vjp"):
        jax.hessian(xla)(params["bias"])
    hessian = jax.jit(jax.jacrev(jax.jacrev(xla)), compiler_options=QUICKLY)(params["bias"])
    assert_same(hessian, jax.jit(jax.hessian(scan), compiler_options=QUICKLY)(params["bias"]))
