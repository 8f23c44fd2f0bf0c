"""Training steps on eight devices: the numbers are those of one, and devices send each other sums alone."""

from typing import Any

import jax
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

from jmask import train
from jmask.testing import assert_close
from tests.support.collectives import reduced_shapes, sizes_of
from tests.support.training_on_eight import MODELS, QUICKLY, ROWS, TIME, draw, put, training_of

by_model = pytest.mark.parametrize("name", MODELS)


def sizes_in(state):
    """Of parameters, counts, and statistics, which have the shape of some parameter: none is that of the batch."""
    shapes = {leaf.shape for leaf in jax.tree.leaves(state)}
    assert not {ROWS, ROWS // 8, TIME}.intersection(size for shape in shapes for size in shape)
    return sizes_of(shapes)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
@by_model
def test_devices_send_sums_of_gradients_counts_and_statistics_alone(name, kind):
    if kind == AxisType.Explicit and jax.__version_info__ < (0, 10):
        pytest.skip("there JAX cannot differentiate a product whose rows are divided by an explicit axis")
    training = training_of(name)
    mesh = jax.make_mesh((8,), ("data",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        state, batch = put(mesh, P(), training.start()), put(mesh, P("data"), training.batch)
        compiled = training.step.lower(state, batch).compile(QUICKLY)
        assert sizes_of(reduced_shapes(compiled)) <= sizes_in(state)
        training.assert_expected(compiled(state, batch))


@pytest.mark.parametrize("name", ["tagger", "encoder"])
def test_inside_a_shard_map(name):
    training = training_of(name)
    params, batch = training.start().params, training.batch

    def gradient(params, batch):
        return jax.grad(lambda params: training.loss(params, batch).psum("data").value)(params)

    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    mapped = jax.jit(jax.shard_map(gradient, mesh=mesh, in_specs=(P(), P("data")), out_specs=P()))
    compiled = mapped.lower(params, batch).compile(QUICKLY)
    assert sizes_of(reduced_shapes(compiled)) <= sizes_in(training.start())
    moved = jax.tree.map(lambda leaf, g: leaf - 0.1 * g, params, compiled(params, batch))
    jax.tree.map(lambda a, b: assert_close(np.asarray(a), np.asarray(b)), moved, training.expected[0].params)


def test_one_program_for_all_lengths(rng):
    training = training_of("tagger")
    mesh = jax.make_mesh((8,), ("data",), axis_types=(AxisType.Auto,))
    step: Any = train.step(training.loss, optax.sgd(0.1))
    state = put(mesh, P(), step.init(training.start().params))
    for _ in range(20):
        state, _ = step(state, put(mesh, P("data"), draw(rng)))
    assert step._programs.size() == 1
    assert state.step == 20
