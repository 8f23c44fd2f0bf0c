"""The fused engine on eight devices: values and gradients are those of one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jmask as jm
from tests.support.fused_runs import (
    NAMES,
    QUICKLY,
    assert_same,
    differentiate,
    draw_cotangents,
    draw_params,
    draw_state,
    draw_values,
    run,
)

ROWS, TIME = 24, 7  # three rows a device, some of whose devices have none but empty rows
REVERSE = {"lstm": False, "gru": True, "gru_reset_before": False, "simple_rnn": True}


def mesh_of_8(kind):
    return jax.make_mesh((8,), ("batch",), axis_types=(kind,))


def draw(rng, name):
    """Arguments of `differentiate`."""
    lengths = rng.integers(0, TIME + 1, ROWS)
    lengths[:4] = 0
    mask = np.arange(TIME) < lengths[:, None]
    args = draw_params(rng, name), jm.from_lengths(jnp.asarray(draw_values(rng, mask)), lengths)
    args = *args, draw_state(rng, name, ROWS), draw_cotangents(rng, name, ROWS, TIME)
    return jax.tree.map(jnp.asarray, args)


def program(name):
    return functools.partial(differentiate, name, reverse=REVERSE[name])


def expected_of(name, args):
    return jax.jit(functools.partial(program(name), implementation="scan"), compiler_options=QUICKLY)(*args)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
@pytest.mark.parametrize("name", ["lstm", "gru"])
def test_sharded_jit(name, kind, rng, x64):
    params, *by_row = draw(rng, name)
    expected = expected_of(name, (params, *by_row))
    mesh = mesh_of_8(kind)
    with jax.set_mesh(mesh):
        sharded = jax.device_put(by_row, NamedSharding(mesh, P("batch")))
        whole = jax.device_put(params, NamedSharding(mesh, P()))
        actual = jax.jit(program(name), compiler_options=QUICKLY)(whole, *sharded)
    assert_same(jax.tree.map(np.asarray, actual), expected)
    if kind == AxisType.Explicit:  # then each device runs its own rows, and their results stay where they are
        for leaf in (actual.outputs, actual.by_inputs, *actual.state, *actual.by_initial):
            assert leaf.sharding.is_equivalent_to(NamedSharding(mesh, P("batch")), leaf.ndim)


@pytest.mark.parametrize("name", NAMES)
def test_inside_shard_map(name, rng, x64):
    """With the gradient inside: the sum over devices that weights need is made by JAX, since no device owns them."""
    args = draw(rng, name)
    batch = P("batch")
    specs = {"in_specs": (P(), batch, batch, batch), "out_specs": (batch, batch, P(), batch, batch)}

    def local(*args):
        return tuple(program(name)(*args))

    mapped = jax.jit(jax.shard_map(local, mesh=mesh_of_8(AxisType.Auto), **specs), compiler_options=QUICKLY)
    assert_same(mapped(*args), tuple(expected_of(name, args)))


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before"])
def test_the_gradient_of_a_shard_map(name, rng, x64):
    params, x, initial, (douts, _) = draw(rng, name)

    def results(params, x, initial):
        outputs, state = run(name, params, x, initial, reverse=REVERSE[name])
        return outputs.values, state

    specs = {"in_specs": (P(), P("batch"), P("batch")), "out_specs": P("batch")}
    mapped = jax.shard_map(results, mesh=mesh_of_8(AxisType.Auto), **specs)

    def total(function, params, values, initial):
        outputs, state = function(params, x.with_values(values), initial)
        return (outputs * douts).sum() + sum((part**2).sum() for part in state)

    actual, expected = (
        jax.jit(jax.value_and_grad(functools.partial(total, function), (0, 1, 2)), compiler_options=QUICKLY)(
            params, x.values, initial
        )
        for function in (mapped, results)
    )
    assert_same(actual, expected)
