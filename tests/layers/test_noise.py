"""Noise in training, and penalties: moments, what is drawn for whom, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
KEY = jax.random.key(5)


NOISY = [L.SpatialDropout1D(0.5), L.GaussianDropout(0.5), L.GaussianNoise(0.5), L.AlphaDropout(0.5)]


@pytest.mark.parametrize("layer", NOISY, ids=str)
def test_noise_is_the_identity_except_in_training(layer, x, getkey):
    assert layer(x) is x
    assert type(layer)(0.0)(x, training=True) is x
    assert layer.init(getkey(), x) == {}
    what = "noise" if isinstance(layer, L.GaussianNoise) else "dropout"
    with pytest.raises(ValueError, match=rf"^sequential/a: {what} in training draws at random; pass a key: "):
        jm.Sequential([type(layer)(0.5, name="a")]).apply({}, x, training=True)


@pytest.mark.parametrize("name", ["spatial_dropout", "gaussian_dropout", "gaussian_noise", "alpha_dropout"])
def test_no_noise_leaves_the_values(name, x):
    function = getattr(jm.ops, name)
    assert function(x, 0.0, KEY) is x
    assert isinstance(function(np.ones((2, 3, 4), "float32"), 0.0, KEY), jax.Array)
    with pytest.raises(TypeError, match=f"`{name}` works on floats; received dtype int32"):
        function(jnp.ones((2, 3, 4), jnp.int32), 0.5, KEY)


def test_moments_of_noise(getkey):
    ones = jnp.full((50, 40, 30), 3.0)
    y = L.GaussianDropout(0.2)(ones, training=True, key=getkey())
    assert_close([y.mean(), y.std()], [3, 1.5], precision="bfloat16")
    y = L.GaussianNoise(0.25)(ones, training=True, key=getkey())
    assert_close([y.mean(), y.std()], [3, 0.25], precision="bfloat16")
    normal = jax.random.normal(getkey(), ones.shape)
    y = L.AlphaDropout(0.2)(normal, training=True, key=getkey())
    assert_close([y.mean() + 1, y.std()], [1, 1], precision="bfloat16")
    limit = np.asarray(jax.nn.selu(jnp.asarray(-100.0)))
    a = ((1 - 0.2) * (1 + 0.2 * limit**2)) ** -0.5
    share = jnp.isclose(y, a * limit - a * limit * 0.2).mean()
    assert 0.19 < share < 0.21


@pytest.mark.parametrize("layer", NOISY[1:], ids=str)
def test_noise_differs_between_entries(layer, getkey):
    output = layer(jnp.ones((40, 41, 42)), training=True, key=getkey())
    for axis in range(3):
        assert (output.take(0, axis) == output.take(1, axis)).mean() < 0.7


def test_spatial_dropout_drops_features_of_sequences(getkey):
    layer = L.SpatialDropout1D(0.25)
    x = jm.from_lengths(jnp.ones((300, 5, 40)), np.arange(300) % 6)
    y = np.asarray(layer(x, training=True, key=getkey()).values)
    assert_close(np.unique(y), [0, 1 / 0.75])
    np.testing.assert_array_equal(y, np.where(np.asarray(x.mask)[..., None], y[:, :1], 0))
    kept = y[5::6, 0] > 0  # of the rows without padding
    assert 0.7 < kept.mean() < 0.8
    assert (kept[0] != kept[1]).any()
    assert not L.SpatialDropout1D(1.0)(x, training=True, key=getkey()).values.any()


@pytest.mark.slow
def test_spatial_dropout_draws_for_each_sequence_of_packed_rows():
    ids = np.array([[1, 1, 2, 0, 2, 3], [0, 5, 0, 0, 5, 5]])
    y = np.asarray(jm.ops.spatial_dropout(jm.from_segment_ids(jnp.ones((2, 6, 200)), ids), 0.5, KEY).values)
    for row, first, second in ((0, 0, 1), (0, 2, 4), (1, 1, 4), (1, 4, 5)):
        assert (y[row, first] == y[row, second]).all()
    for row, first, second in ((0, 1, 2), (0, 4, 5)):
        assert 0.35 < (y[row, first] == y[row, second]).mean() < 0.65
    alone = jm.ops.spatial_dropout(jm.from_lengths(jnp.ones((2, 3, 200)), [2, 3]), 0.5, KEY).values
    np.testing.assert_array_equal(alone[:, 0], y[[0, 1], [0, 1]])  # the first of a row draws as if it were alone


def test_spatial_dropout_needs_features():
    for values in (jnp.ones((2, 3)), jnp.ones(3), jm.from_lengths(jnp.ones((2, 3)), [1, 2])):
        with pytest.raises(
            ValueError, match=r"`spatial_dropout` drops features behind the time axis; received values \("
        ):
            jm.ops.spatial_dropout(values, 0.5, KEY)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.GaussianNoise(-1.0), "`stddev` of `GaussianNoise` is a finite number from 0 on; received -1.0"),
        (lambda: L.GaussianNoise(float("inf")), "received inf"),
        (lambda: L.GaussianDropout(1.0), r"`rate` of `GaussianDropout` is a probability in \[0, 1\); received 1.0"),
        (lambda: L.AlphaDropout(1.0), r"`rate` of `AlphaDropout` is a probability in \[0, 1\); received 1.0"),
        (lambda: L.SpatialDropout1D(1.5), r"`rate` of `SpatialDropout1D` is a probability in \[0, 1\]; received 1.5"),
        (lambda: jm.ops.gaussian_dropout(jnp.ones(3), 1.0, KEY), r"`rate` is a probability in \[0, 1\); received 1.0"),
        (lambda: jm.ops.gaussian_noise(jnp.ones(3), -1.0, KEY), "`stddev` must not be negative; received -1.0"),
        (lambda: jm.ops.activity_penalty(jnp.ones(3), l1=-1.0), "must not be negative; received -1.0 and 0.0"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# Penalty


def test_a_penalty_is_a_sum_over_real_steps(x):
    real = np.asarray(x.values)[np.asarray(x.mask)]
    assert_close(jm.ops.activity_penalty(x, l1=0.5), 0.5 * np.abs(real).sum())
    assert_close(jm.ops.activity_penalty(x, l2=0.5), 0.5 * np.square(real).sum())
    assert jm.ops.activity_penalty(x) == 0
    packed = x.with_segment_ids(jnp.where(x.mask, jnp.arange(5) // 2 + 1, 0))
    assert_close(jm.ops.activity_penalty(packed, l1=0.5), 0.5 * np.abs(real).sum())
    large = jm.ops.activity_penalty(jnp.full((300, 300), 0.5, "bfloat16"), l1=1.0)
    assert_close(large, jnp.asarray(45000.0, "bfloat16"))
    assert large.dtype == jnp.bfloat16


def test_a_penalty_needs_floats():
    with pytest.raises(TypeError, match="`activity_penalty` works on floats; received dtype int32"):
        jm.ops.activity_penalty(jnp.ones((2, 3), jnp.int32))


def test_a_penalty_of_an_activity_inside_a_model(x, getkey):
    inputs = jm.Input((None, 4), masked=True)
    hidden = L.Dense(3, activation="relu")(inputs)
    model = jm.Model(inputs, [L.GlobalAveragePooling1D()(hidden), hidden])
    params = model.init(getkey(), x)

    def loss(params):
        outputs, activity = model.apply(params, x)
        return jm.ops.sum(outputs**2) + jm.ops.activity_penalty(activity, l1=0.1)

    assert all(jnp.isfinite(g).all() for g in jax.tree.leaves(jax.grad(loss)(params)))
