"""Functions of rows on meshes with automatic axes: the rows stay where they are, and sums are added up."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

from jmask.core.automatic_axes import divides_rows
from jmask.testing import assert_close
from tests.support.collectives import collectives, reduced_shapes


def sort_rows(rows, weights):
    """A loop over as many of a device's rows as have a flag, which XLA cannot divide; and a sum over rows."""
    values, flags = rows
    order = jnp.argsort(~flags)

    def scale(i, values):
        return values.at[order[i]].multiply(weights[0])

    done = jax.lax.fori_loop(0, flags.sum(), scale, values)
    return {"values": done, "first": done[:, 0], "nothing": None}, (weights * values.sum(axis=0), values.sum())


OWN = divides_rows(sort_rows)


def arguments(rng, rows=16):
    values = jnp.asarray(rng.normal(size=(rows, 3)), jnp.float32)
    return (values, jnp.asarray(rng.random(rows) < 0.5)), jnp.asarray([2.0, 3.0, 5.0])


def mesh_of(*sizes):
    names = ("data", "model")[: len(sizes)]
    return jax.make_mesh(sizes, names, axis_types=(AxisType.Auto,) * len(sizes))


def put(mesh, spec, tree):
    return jax.device_put(tree, NamedSharding(mesh, spec))


@pytest.mark.parametrize(
    ("sizes", "by_row"), [((8,), P("data")), ((4, 2), P("data")), ((4, 2), P(("data", "model")))], ids=str
)
def test_each_device_runs_its_own_rows(sizes, by_row, rng):
    rows, weights = arguments(rng)
    mesh = mesh_of(*sizes)
    divided = put(mesh, by_row, rows), put(mesh, P(), weights)
    compiled = jax.jit(OWN).lower(*divided).compile()
    assert reduced_shapes(compiled) == {(3,), ()}
    actual = compiled(*divided)
    jax.tree.map(assert_close, actual, sort_rows(rows, weights))
    assert actual[0]["values"].sharding.is_equivalent_to(NamedSharding(mesh, by_row), 2)


@pytest.mark.parametrize(
    ("of_values", "of_flags", "of_weights"),
    [(P(), P(), P()), (P(), P("data"), P()), (P("data", "model"), P("data"), P()), (P("data"), P("data"), P("model"))],
    ids=["whole", "one array divided", "features divided", "weights divided"],
)
def test_other_layouts_are_right_as_well(of_values, of_flags, of_weights, rng):
    (values, flags), weights = arguments(rng)
    expected = sort_rows((values, flags), weights)
    mesh = jax.make_mesh((2, 3), ("data", "model"), axis_types=(AxisType.Auto,) * 2, devices=jax.devices()[:6])
    rows = put(mesh, of_values, values), put(mesh, of_flags, flags)
    jax.tree.map(assert_close, jax.jit(OWN)(rows, put(mesh, of_weights, weights)), expected)


def test_rows_that_devices_do_not_divide_evenly(rng):
    rows, weights = arguments(rng)

    def first(rows, weights):
        return OWN(jax.tree.map(lambda x: x[:13], rows), weights)

    expected = sort_rows(jax.tree.map(lambda x: x[:13], rows), weights)
    mesh = mesh_of(8)
    jax.tree.map(assert_close, jax.jit(first)(put(mesh, P("data"), rows), put(mesh, P(), weights)), expected)


def test_within_a_loop_and_a_branch(rng):
    rows, weights = arguments(rng)

    def run(function, rows, weights):
        def step(values, _):
            return jax.lax.cond(
                values.sum() > 0,
                lambda: function((values, rows[1]), weights)[0]["values"],
                lambda: function((-values, rows[1]), weights)[0]["values"],
            ), None

        return jax.lax.scan(step, rows[0], length=3)[0]

    mesh = mesh_of(8)
    divided = put(mesh, P("data"), rows), put(mesh, P(), weights)
    compiled = jax.jit(run, static_argnums=0).lower(OWN, *divided).compile()
    assert {sent.kind for sent in collectives(compiled)} == {"all-reduce"}  # of the sum that the branch depends on
    assert_close(compiled(*divided), run(sort_rows, rows, weights))


def test_a_program_for_one_device_is_the_function_itself(rng):
    args = arguments(rng)
    lowered = jax.jit(OWN).lower(*args)
    assert "CustomSPMDPartitioning" not in lowered.as_text()
    last = jax.device_put(args, jax.devices()[-1])
    jax.tree.map(assert_close, jax.jit(OWN)(*last), sort_rows(*args))


def test_inside_a_shard_map_it_is_the_function_itself(rng):
    rows, weights = arguments(rng)

    def local(rows, weights):
        by_row, sums = OWN(rows, weights)
        return by_row, jax.lax.psum(sums, "data")

    mapped = jax.shard_map(local, mesh=mesh_of(8), in_specs=(P("data"), P()), out_specs=(P("data"), P()))
    lowered = jax.jit(mapped).lower(rows, weights)
    assert "CustomSPMDPartitioning" not in lowered.as_text()
    jax.tree.map(
        lambda a, b: assert_close(np.asarray(a), b), lowered.compile()(rows, weights), sort_rows(rows, weights)
    )
