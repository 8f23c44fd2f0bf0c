"""Batch normalisation, and the running statistics of layers."""

import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jmask as jm
from jmask.testing import assert_close

LENGTHS = [3, 0, 6, 1, 2, 5, 0, 4]
SPREAD = PartitionSpec("data")


@pytest.fixture
def x(rng):
    mask = rng.permuted(np.arange(6) < np.array(LENGTHS)[:, None], axis=1)
    values = np.where(mask[..., None], 100 + rng.normal(size=(8, 6, 3)), np.nan)
    return jm.masked(jnp.asarray(values, "float32"), mask)


def steps_of(x):
    return np.asarray(x.values)[np.asarray(x.mask)].astype(float)


def train(layer, x, num_steps=1, params=None):
    params = layer.init(jax.random.key(0), x) if params is None else params
    state = layer.init_state(x)
    for _ in range(num_steps):
        y, state = layer.apply_with_state(params, state, x, training=True)
    return y, state


def test_running_statistics_move_by_the_momentum(x):
    _, state = train(jm.layers.BatchNormalization(momentum=0.9), x, num_steps=2)
    mean, variance = steps_of(x).mean(0), steps_of(x).var(0)
    assert_close(state["moving_mean"], (1 - 0.9**2) * mean)
    assert_close(state["moving_variance"], 0.9**2 + (1 - 0.9**2) * variance)


def test_an_empty_batch_leaves_them_as_they_are(x):
    layer = jm.layers.BatchNormalization()
    _, state = train(layer, x)
    empty = jm.masked(x.values, jnp.zeros_like(x.mask))
    params = layer.init(jax.random.key(0), x)
    _, after = layer.apply_with_state(params, state, empty, training=True)
    jax.tree.map(np.testing.assert_array_equal, after, state)
    gradient = jax.grad(
        lambda v: layer.apply_with_state(params, state, empty.with_values(v), training=True)[0].fill(0).sum()
    )
    assert not gradient(x.values).any()


def test_at_inference_they_are_used_and_stay(x):
    layer = jm.layers.BatchNormalization(moving_mean_initializer="ones", center=False, scale=False, epsilon=0.0)
    state = layer.init_state(x)
    y, after = layer.apply_with_state({}, state, x)
    assert_close(y.values[y.mask], steps_of(x) - 1)
    jax.tree.map(np.testing.assert_array_equal, after, state)


def test_another_axis(rng):
    images = jm.from_lengths(jnp.asarray(rng.normal(size=(2, 5, 3, 4)), "float32"), [2, 5])
    y, state = train(jm.layers.BatchNormalization(axis=2), images)
    assert state["moving_mean"].shape == (3,)
    expected = steps_of(images)
    expected = (expected - expected.mean((0, 2), keepdims=True)) / np.sqrt(expected.var((0, 2), keepdims=True) + 1e-3)
    assert_close(y.values[y.mask], expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_half_precision_has_statistics_in_float32(x, dtype):
    y, state = train(jm.layers.BatchNormalization(momentum=0.0), x.astype(dtype))
    assert y.dtype == dtype
    assert state["moving_mean"].dtype == "float32"
    assert_close(state["moving_mean"], steps_of(x.astype(dtype).astype("float32")).mean(0))


def test_moments_over_several_devices_are_those_of_the_batch(x):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
    expected = jm.ops.batch_moments(x)
    values, mask = (jax.device_put(a, NamedSharding(mesh, SPREAD)) for a in (x.values, x.mask))
    by_name = functools.partial(jm.ops.batch_moments, axis_name="data")
    for run in (
        jax.jit(jm.ops.batch_moments),
        jax.shard_map(by_name, mesh=mesh, in_specs=SPREAD, out_specs=PartitionSpec()),
    ):
        jax.tree.map(assert_close, run(jm.Masked(values, mask)), expected)
    parts = jax.tree.map(lambda leaf: leaf.reshape(4, 2, *leaf.shape[1:]), x)
    found = jax.vmap(by_name, axis_name="data", out_axes=None)(parts)
    jax.tree.map(assert_close, found, expected)


def test_gradients_over_several_devices_are_those_of_the_batch(x):
    mesh = jax.make_mesh((4,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))

    def loss(values, mask, axis_name=None):
        layer = jm.layers.BatchNormalization(axis_name=axis_name, center=False, scale=False)
        y, _ = layer.apply_with_state({}, layer.init_state(values), jm.Masked(values, mask), training=True)
        return jnp.tanh(y.fill(0)).sum() if axis_name is None else jax.lax.psum(jnp.tanh(y.fill(0)).sum(), axis_name)

    spread = jax.shard_map(
        functools.partial(loss, axis_name="data"), mesh=mesh, in_specs=(SPREAD, SPREAD), out_specs=PartitionSpec()
    )
    assert_close(jax.jit(jax.grad(spread))(x.values, x.mask), jax.grad(loss)(x.values, x.mask))


class Twice(jm.Layer):
    """A layer made of layers, with statistics of both."""

    raw_inputs = True

    first: jm.Layer
    second: jm.Layer

    def call(self, params, inputs, training=False):
        h = self.first.apply(params["first"], inputs, training=training)
        return self.second.apply(params["second"], h, training=training)


def normalization(name):
    return jm.layers.BatchNormalization(momentum=0.5, name=name)


@pytest.mark.parametrize(
    "make",
    [
        lambda: jm.Sequential([normalization("first"), normalization("second")]),
        lambda: jm.Sequential([jm.Input((None, 3)), normalization("first"), normalization("second")]),
        lambda: jm.trace(lambda x: normalization("second")(normalization("first")(x)), jm.Input((None, 3))),
        lambda: Twice(normalization("first"), normalization("second")),
    ],
    ids=["sequential", "sequential from an input", "model", "composite"],
)
def test_a_model_keeps_them_by_name(make, x):
    model = make()
    params, state = model.init(jax.random.key(0), x), model.init_state(x)
    assert sorted(state) == ["first", "second"]
    y, state = jax.jit(model.apply_with_state, static_argnames="training")(params, state, x, training=True)
    expected, first = train(normalization(None), x)
    expected, second = train(normalization(None), expected)
    assert_close(y.values[y.mask], expected.values[expected.mask])
    jax.tree.map(assert_close, state, {"first": first, "second": second})


def test_models_within_models(x):
    inner = jm.Sequential([normalization("norm")], name="inner")
    model = jm.trace(lambda x: inner(x) + x, jm.Input((None, 3)))
    assert list(model.init_state()) == ["inner"]
    _, state = train(model, x)
    assert_close(state["inner"]["norm"]["moving_mean"], steps_of(x).mean(0) / 2)


def test_a_shared_layer_goes_on_from_its_last_call(x):
    norm = normalization("norm")
    model = jm.trace(lambda x: norm(norm(x)), jm.Input((None, 3)))
    _, state = train(model, x)
    assert_close(state["norm"]["moving_mean"], steps_of(x).mean(0) / 4)


class Probed(jm.Layer):
    """A layer made of a layer, whose call is followed once more to see what becomes of the mask."""

    supports_masking = "auto"

    inner: jm.Layer

    def call(self, params, inputs, training=False):
        return self.inner.apply(params["inner"], inputs, training=training)


class Asked(Probed):
    """The same, but it is the inner layer that is asked."""

    def compute_mask(self, inputs, mask=None):
        return self.inner.compute_mask(inputs, mask)


@pytest.mark.filterwarnings("ignore::jmask.MaskDroppedWarning")
@pytest.mark.parametrize("make", [Probed, Asked])
@pytest.mark.parametrize("inner", [normalization("norm"), jm.layers.ActivityRegularization(l1=1.0, name="norm")])
def test_a_call_that_is_only_looked_at_leaves_them_alone(make, inner, x):
    _, state = train(make(jm.Sequential([inner], name="inner")), x)
    _, expected = train(inner, x.fill(0))
    jax.tree.map(assert_close, state["inner"]["norm"], expected)


def test_layers_without_statistics_have_none(x):
    model = jm.Sequential([jm.layers.Dense(2)])
    assert model.init_state(x) == {}
    params = model.init(jax.random.key(0), x)
    y, state = model.apply_with_state(params, {}, x, training=True)
    assert state == {}
    assert_close(y.fill(0), model.apply(params, x).fill(0))


def test_models_with_statistics_come_back(x):
    model = jm.Sequential([jm.Input((None, 3)), normalization("norm")])
    for other in (pickle.loads(pickle.dumps(model)), jm.from_config(jm.to_config(model))):
        jax.tree.map(np.testing.assert_array_equal, other.init_state(), model.init_state())


def test_errors(x):
    layer = jm.layers.BatchNormalization()
    model = jm.Sequential([layer], name="model")
    params, state = model.init(jax.random.key(0), x), model.init_state(x)
    message = r"model/batch_normalization: .* has running statistics, which `apply` cannot return: make the"
    with pytest.raises(TypeError, match=message):
        model.apply(params, x)
    with pytest.raises(ValueError, match=r"model/batch_normalization: the state has no statistics .* \['other/a'\]"):
        model.apply_with_state(params, {"other": {"a": jnp.ones(3)}}, x)
    with pytest.raises(ValueError, match=r"features along axis 3, .* shape \(8, 6, 3\)"):
        jm.layers.BatchNormalization(axis=3).init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"behind the 2 masked axes of values \(8, 6, 3\); received `axis=1`"):
        train(jm.layers.BatchNormalization(axis=1), x)
    with pytest.raises(ValueError, match=r"`momentum` .* received 1\.5"):
        jm.layers.BatchNormalization(momentum=1.5)
    with pytest.raises(TypeError, match="`batch_moments` works on floats"):
        jm.ops.batch_moments(jnp.ones((2, 3), int))
    twice = Twice(jm.layers.BatchNormalization(), jm.layers.BatchNormalization())
    with pytest.raises(ValueError, match="two layers share the statistics of this name"):
        twice.init_state(x)
    assert state["batch_normalization"]["moving_mean"].shape == (3,)
