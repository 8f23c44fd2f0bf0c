"""The state is a pytree like any other: pickle, orbax, shardings, donation."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jmask as jm
from jmask import train


def loss(params, batch, key):
    return jm.losses.squared_error(batch * params["w"], batch * 0, sample_weight=None, divide=False)


@pytest.fixture(scope="module")
def state():
    step = train.step(loss, optax.adam(0.1), accumulate=2, average=0.9, loss_scale="dynamic")
    return step.init({"w": np.arange(8, dtype=np.float32)}, jax.random.key(3))


def plain(state):
    return jax.tree.map(np.asarray, state.replace(key=jax.random.key_data(state.key)))


def assert_same(a, b):
    jax.tree.map(np.testing.assert_array_equal, plain(a), plain(b))
    assert a.key.dtype == b.key.dtype


def test_a_state_is_a_pytree(state):
    assert len(jax.tree.leaves(state)) == 12
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(state)]
    assert ".params['w']" in paths
    assert ".pending['gradients']['w']" in paths
    assert_same(jax.tree.map(jnp.copy, state), state)


def test_a_state_survives_pickle(state):
    assert_same(pickle.loads(pickle.dumps(state)), state)


def test_a_state_survives_orbax(state, tmp_path):
    import orbax.checkpoint

    state = state.replace(key=jax.random.key_data(state.key))
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "state", state)
        checkpointer.wait_until_finished()
        device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
        like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), state)
        found = checkpointer.restore(tmp_path / "state", like)
    assert isinstance(found, train.State)
    jax.tree.map(np.testing.assert_array_equal, found, state)


def test_parts_follow_the_sharding_of_the_parameters():
    sharding = NamedSharding(Mesh(np.array(jax.devices()[:2]), ("model",)), PartitionSpec("model"))
    params = {"w": jax.device_put(np.arange(8, dtype=np.float32), sharding)}
    step = train.step(loss, optax.adam(0.1), accumulate=2, average=0.9)
    state = step.init(params, jax.random.key(3))
    batch = jm.from_lengths(np.ones((2, 3, 8), np.float32), [3, 1])
    for _ in range(3):
        parts = (state.params, state.average, state.pending["gradients"], state.opt_state[0].mu)
        assert {leaf.sharding for leaf in jax.tree.leaves(parts)} == {sharding}
        state, _ = step(state, batch)
    np.testing.assert_array_equal(params["w"], np.arange(8))


def test_replace_knows_its_parts(state):
    assert int(state.replace(step=jnp.int32(4)).step) == 4
    with pytest.raises(TypeError, match=r"the parts of a state are step, updates, .*received \['tx'\]"):
        state.replace(tx=None)
