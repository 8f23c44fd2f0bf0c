"""The fused engine on eight devices: values and gradients are those of one."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jmask as jm
from jmask.rnn import implementations
from jmask.rnn.fused import plan as plans
from jmask.rnn.fused.residuals import slots_per_row
from tests.support.collectives import reduced_shapes
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
        compiled = jax.jit(program(name), compiler_options=QUICKLY).lower(whole, *sharded).compile()
        actual = compiled(whole, *sharded)
    assert_same(jax.tree.map(np.asarray, actual), expected)
    width = params["kernel"].shape[-1]
    assert {shape[-1] for shape in reduced_shapes(compiled)} == {width}  # of the weights; devices run their own rows
    for leaf in (actual.outputs, actual.by_inputs, *actual.state, *actual.by_initial):
        assert leaf.sharding.is_equivalent_to(NamedSharding(mesh, P("batch")), leaf.ndim)


TRANSFORMS = {
    "vmap": lambda f: lambda params, x: jax.vmap(lambda row: f(params, row[None]))(x),
    "vmap, other weights": lambda f: lambda params, x: jax.lax.map(lambda w: f(w, x), twice(params)),
    "remat": jax.checkpoint,
    "second derivative": lambda f: jax.grad(lambda p, x: sum((leaf**2).sum() for leaf in jax.tree.leaves(f(p, x)[0]))),
}


def twice(params):
    return jax.tree.map(lambda leaf: jnp.stack([leaf, 2 * leaf]), params)


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_transforms_over_automatic_axes(transform, rng, x64):
    params, x, *_ = draw(rng, "gru")

    def gradients(implementation, params, x):
        def loss(params, values):
            return (run("gru", params, x.with_values(values), implementation=implementation)[0].fill(0) ** 3).sum()

        return jax.grad(loss, (0, 1))(params, x.values)

    mesh = mesh_of_8(AxisType.Auto)
    divided = jax.device_put(params, NamedSharding(mesh, P())), jax.device_put(x, NamedSharding(mesh, P("batch")))
    expected, compiled = (
        jax.jit(TRANSFORMS[transform](functools.partial(gradients, name)), compiler_options=QUICKLY).lower(*args)
        for name, args in (("scan", (params, x)), ("xla", divided))
    )
    compiled = compiled.compile()
    reduced_shapes(compiled)  # nothing is gathered
    assert_same(jax.tree.map(np.asarray, compiled(*divided)), expected.compile()(params, x))


@pytest.mark.parametrize("where", ["mesh", "one of 8 devices"])
def test_auto_takes_the_engine_with_several_devices(where, rng, monkeypatch):
    monkeypatch.setattr(implementations, "earns_its_compile", lambda *_: True)
    monkeypatch.setattr(implementations, "_run_scan", None)
    params, x, *_ = jax.tree.map(jnp.float32, draw(rng, "lstm"))
    spec = {"mesh": NamedSharding(mesh_of_8(AxisType.Auto), P("batch")), "one of 8 devices": jax.devices()[3]}[where]
    x = jax.device_put(x.with_mask(x.mask > 0), spec)
    outputs, _ = run("lstm", params, x, implementation="auto")
    assert outputs.values.sharding.is_equivalent_to(x.values.sharding, 3)


@pytest.mark.parametrize("rows", [1, 8, 24, 60, 512])
@pytest.mark.parametrize("units", [5, 300])
@pytest.mark.parametrize("time", [1, 7, 100])
def test_slots_are_enough_on_however_many_devices(rows, units, time):
    per_row = slots_per_row(rows, time, units, has_mask=True, are_packed=False)
    for devices in (devices for devices in range(1, 9) if rows % devices == 0):
        own = rows // devices
        assert own * per_row >= plans.num_slots(own, time, plans.widths(own, units)[-1])


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
