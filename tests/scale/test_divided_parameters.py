"""Parameters that are divided over devices by rules on their names: the numbers are those of one device."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jmask as jm
from jmask import train
from tests.support.collectives import collectives, sizes_of
from tests.support.training_on_eight import QUICKLY, ROWS, put, training_of

LARGE = 20  # numbers, all of whose parameters have an axis that eight devices divide
FULLY = jm.sharding.fsdp("data", min_size=LARGE)
TENSOR = {
    "tagger": [
        ("embeddings", P(None, "model")),
        ("bidirectional.*kernel", P(None, "model")),
        ("dense/kernel", P("model")),
    ],
    "encoder": [
        ("embeddings", P(None, "model")),
        ("(query|key|value)/kernel", P(None, "model")),
        ("output/kernel", P("model")),
        ("dense/kernel", P(None, "model")),
        ("dense_1/kernel", P("model")),
    ],
}
BOTH = {
    "tagger": [("embeddings", P("data", "model")), ("", FULLY)],
    "encoder": [*TENSOR["encoder"][1:4], ("", FULLY)],
}
LAYOUTS = {"fsdp": ({"data": 8}, dict.fromkeys(TENSOR, FULLY)), "tensor": ({"data": 4, "model": 2}, TENSOR)}
LAYOUTS["both"] = ({"data": 4, "model": 2}, BOTH)


def mesh_of(sizes: dict[str, int]) -> Any:
    return jax.make_mesh(tuple(sizes.values()), tuple(sizes), axis_types=(AxisType.Auto,) * len(sizes))


def bytes_on_a_device(tree: Any) -> int:
    return sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree))


def check_steps(name: str, layout: str) -> Any:
    """Two steps of one program, in the layout that was asked for; returns the program and the last state."""
    training, (sizes, rules) = training_of(name), LAYOUTS[layout]
    mesh = mesh_of(sizes)
    shardings = jm.sharding.named_shardings(mesh, rules[name], jax.eval_shape(training.start))
    state: Any = jax.device_put(training.start(), shardings)
    batch = put(mesh, P("data"), training.batch)
    compiled = training.step.lower(state, batch).compile(QUICKLY)
    state, sums = compiled(state, batch)
    training.assert_expected((state, sums))
    state, _ = compiled(state, batch)  # which takes states of one layout
    assert jax.tree.map(lambda leaf: leaf.sharding, state) == shardings
    return compiled, state


@pytest.mark.parametrize("name", [pytest.param("tagger", marks=pytest.mark.slow), "encoder"])
def test_fully_sharded_parameters_are_all_that_is_gathered(name):
    compiled, state = check_steps(name, "fsdp")
    gathered = {sent.shape for sent in collectives(compiled) if sent.kind != "all-reduce"}
    assert gathered
    large = [leaf for leaf in jax.tree.leaves(state.params) if leaf.size >= LARGE]
    assert sizes_of(gathered) <= sizes_of(leaf.shape for leaf in large)
    assert bytes_on_a_device(large) * 8 == sum(leaf.nbytes for leaf in large)


@pytest.mark.parametrize(
    ("name", "layout"),
    [*(pytest.param("tagger", layout, marks=pytest.mark.slow) for layout in ("tensor", "both")), ("encoder", "both")],
)
def test_tensor_parallel_parameters_gather_no_rows(name, layout):
    compiled, state = check_steps(name, layout)
    assert not [sent for sent in collectives(compiled) if ROWS in sent.shape or (sent.shape and sent.dtype != "f32")]
    assert bytes_on_a_device(state.params) < 0.7 * sum(leaf.nbytes for leaf in jax.tree.leaves(state.params))


def no_loss(params: Any, batch: Any) -> Any:
    return jm.losses.Mean(jnp.zeros(()), jnp.zeros(()))


def make_large() -> tuple[Any, Any]:
    layers = [jm.Input((None,), "int32"), jm.layers.Embedding(512, 64), jm.layers.Dense(256), jm.layers.Dense(3)]
    model = jm.Sequential(layers)
    step: Any = train.step(no_loss, optax.adam(1e-3), average=0.9, accumulate=2)
    return step, lambda key: step.init(model.init(key), key)


def test_a_state_is_divided_when_it_is_made():
    _, make = make_large()
    key, mesh = jax.random.key(0), mesh_of({"data": 8})
    rules = [("bias", P()), ("dense_1", P("data")), ("", jm.sharding.fsdp("data", min_size=1000))]
    shardings = jm.sharding.named_shardings(mesh, rules, jax.eval_shape(make, key))
    compiled = jax.jit(make, out_shardings=shardings).lower(key).compile()
    state, whole = compiled(key), make(key)
    assert not collectives(compiled)
    most: Any = compiled.memory_analysis()
    size = sum(leaf.nbytes for leaf in jax.tree.leaves(state) if leaf.ndim)
    assert most.output_size_in_bytes + most.temp_size_in_bytes < size / 4
    assert bytes_on_a_device(state.replace(key=None)) < size / 7
    for path, leaf in jax.tree.leaves_with_path(state.replace(key=None)):
        at = jax.tree_util.keystr(path)
        np.testing.assert_array_equal(leaf, dict(jax.tree.leaves_with_path(whole))[path], at)
        mirrored = state.params
        for part in ("embedding", "dense", "dense_1"):
            if f"'{part}'" in at:
                mirrored = mirrored[part][at.split("'")[-2]]
                assert leaf.sharding == mirrored.sharding


def test_parameters_that_are_divided_already_divide_their_state():
    step, make = make_large()
    params = make(jax.random.key(0)).params
    shardings = jm.sharding.named_shardings(mesh_of({"data": 8}), jm.sharding.fsdp("data", min_size=1000), params)
    state: Any = step.init(jax.device_put(params, shardings), jax.random.key(1))
    assert {len(leaf.sharding.device_set) for leaf in jax.tree.leaves(state)} == {8}
    for part in (state.params, state.average, state.opt_state[0].mu, state.pending["gradients"]):
        assert jax.tree.map(lambda leaf: leaf.sharding, part) == shardings


def test_a_checkpoint_is_restored_in_the_layout_asked_for(tmp_path):
    pytest.importorskip("orbax.checkpoint")
    _, make = make_large()
    key = jax.random.key(0)
    shapes = jax.eval_shape(make, key)
    fully = jm.sharding.named_shardings(mesh_of({"data": 8}), jm.sharding.fsdp("data", min_size=1000), shapes)
    other = jm.sharding.named_shardings(mesh_of({"data": 2, "model": 4}), [("kernel", P("model"))], shapes)
    saved = jax.jit(make, out_shardings=fully)(key)
    with train.Run(tmp_path, progress=False) as run:
        run.restore(saved, [], epochs=1)
        run.save(saved.replace(step=saved.step + 3))
    state: Any = jax.jit(make, out_shardings=other)(jax.random.key(1))
    with train.Run(tmp_path, progress=False) as run:
        state, _ = run.restore(state, [], epochs=1)
    assert int(state.step) == 3
    jax.tree.map(np.testing.assert_array_equal, state.params, saved.params)
    assert jax.tree.map(lambda leaf: leaf.sharding, state.params) == other.params
