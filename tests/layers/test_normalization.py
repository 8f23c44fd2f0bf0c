"""Normalisation of steps and of sequences: parameters, precision, zeros, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.parameters import shapes

L = jm.layers


def test_parameters_of_normalisations(x, getkey):
    assert shapes(L.RMSNormalization().init(getkey(), x)) == {"scale": (4,)}
    assert shapes(L.GroupNormalization(2).init(getkey(), x)) == {"gamma": (4,), "beta": (4,)}
    assert shapes(L.GroupNormalization(2, scale=False).init(getkey(), x)) == {"beta": (4,)}
    assert shapes(L.GroupNormalization(-1, center=False).init(getkey(), x)) == {"gamma": (4,)}
    with pytest.raises(
        ValueError, match="`groups` of `group_norm` divides the number of features, 4, or is -1; received 32"
    ):
        L.GroupNormalization().init(getkey(), x)


NORMS = {
    "rms_norm": lambda x: jm.ops.rms_norm(x, epsilon=0.0),
    "unit_norm": jm.ops.unit_norm,
    "unit_norm over time": lambda x: jm.ops.unit_norm(x, (1, 2)),
    "group_norm": lambda x: jm.ops.group_norm(x, groups=2, epsilon=0.0),
}


@pytest.mark.parametrize("name", NORMS)
def test_without_epsilon_there_is_no_nan_from_padding(name, x):
    gradient = jax.grad(lambda v: (NORMS[name](x.with_values(v)).fill(0) ** 3).sum())(x.values)
    assert jnp.isfinite(gradient).all()
    assert not gradient[~x.mask].any()


@pytest.mark.slow
def test_a_unit_vector_over_several_axes_and_of_zeros(x):
    y = L.UnitNormalization([1, 2])(x)
    assert_close(jnp.square(y.fill(0)).sum((1, 2)), [1, 0, 1])
    zeros = jnp.zeros((2, 3))
    assert not jm.ops.unit_norm(zeros).any()
    assert jnp.isfinite(jax.grad(lambda v: jm.ops.unit_norm(v).sum())(zeros)).all()
    short = jm.ops.unit_norm(jnp.asarray([3e-3, 4e-3]), epsilon=1e-2)
    assert_close(short, [0.3, 0.4])
    with pytest.raises(ValueError, match=r"`epsilon` of `unit_norm` must be positive; received 0\.0"):
        jm.ops.unit_norm(x, epsilon=0.0)


def test_statistics_of_half_precision_are_float32(rng):
    values = jnp.asarray(300 + 2 * rng.integers(0, 5, (2, 50, 4)), "bfloat16")
    for norm in NORMS.values():
        assert norm(values).dtype == jnp.bfloat16
        assert_close(norm(values), norm(values.astype("float32")), precision="bfloat16")


@pytest.mark.slow
def test_groups_of_arrays_are_those_of_keras(rng):
    image = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    parts = image.reshape(2, 15, 2, 2)
    expected = (parts - parts.mean((1, 3), keepdims=True)) / np.sqrt(parts.var((1, 3), keepdims=True) + 1e-3)
    assert_close(jm.ops.group_norm(image, groups=2), expected.reshape(image.shape))
    flat = image[:, 0, 0]
    parts = flat.reshape(2, 2, 2)
    expected = (parts - parts.mean(2, keepdims=True)) / np.sqrt(parts.var(2, keepdims=True) + 1e-3)
    assert_close(jm.ops.group_norm(flat, groups=2), expected.reshape(flat.shape))


def test_one_group_of_one_step_is_layer_normalisation(rng):
    v = jnp.asarray(rng.normal(size=(3, 1, 4)).astype("float32"))
    assert_close(jm.ops.group_norm(v, groups=1), jm.ops.layer_norm(v))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.GroupNormalization(0), "`groups` of `GroupNormalization` is 1 or more, or -1; received 0"),
        (
            lambda: jm.ops.group_norm(jnp.ones((2, 3, 4)), groups=3),
            "divides the number of features, 4, or is -1; received 3",
        ),
    ],
)
def test_groups_that_are_none_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["rms_norm", "unit_norm", "group_norm"])
def test_integers_are_refused(name):
    with pytest.raises(TypeError, match=f"`{name}` works on floats; received dtype int32"):
        getattr(jm.ops, name)(jnp.ones((2, 3, 4), jnp.int32))
