"""Activations with options, and the identity: what Keras gives, what is not finite, refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.parameters import shapes

L = jm.layers


def test_identity_hands_on_what_it_gets(x):
    nest = {"a": x, "b": [x.values, None]}
    assert L.Identity()(nest) is nest
    assert L.Identity()(x) is x


def test_relu_is_that_of_keras():
    v = jnp.asarray([-10.0, -5.0, 0.0, 5.0, 10.0])
    assert L.ReLU(10.0, negative_slope=0.5)(v).tolist() == [-5, -2.5, 0, 5, 10]
    assert L.ReLU(6.0)(v).tolist() == [0, 0, 0, 5, 6]
    assert L.ReLU(threshold=5.0)(v).tolist() == [0, 0, 0, 0, 10]
    assert L.ReLU(4.0, negative_slope=0.5, threshold=6.0)(v).tolist() == [-8, -5.5, -3, -0.5, 4]
    assert L.LeakyReLU()(v).tolist() == pytest.approx([-3, -1.5, 0, 5, 10])
    assert L.LeakyReLU(0.5)(v).tolist() == [-5, -2.5, 0, 5, 10]


def test_rectifiers_of_what_is_not_finite():
    v = jnp.asarray([-jnp.inf, jnp.inf, jnp.nan])
    np.testing.assert_array_equal(L.ReLU()(v), [0, np.inf, np.nan])
    np.testing.assert_array_equal(L.ReLU(6.0, negative_slope=0.5)(v), [-np.inf, 6, np.nan])
    np.testing.assert_array_equal(L.ELU(2.0)(v), [-2, np.inf, np.nan])
    slopes = jax.grad(lambda alpha: jm.ops.prelu(v[:2], alpha).sum())(jnp.ones(2))
    np.testing.assert_array_equal(slopes, [-np.inf, 0])


def test_relu_keeps_integers():
    assert jm.ops.relu(jnp.asarray([-3, 4])).dtype == jnp.int32


def test_slopes_of_prelu(x, getkey):
    assert shapes(L.PReLU().init(getkey(), x.values)) == {"alpha": (5, 4)}
    assert shapes(L.PReLU(shared_axes=[1, 2]).init(getkey(), x)) == {"alpha": (1, 1)}
    layer = L.PReLU(shared_axes=1, alpha_initializer=lambda key, shape, dtype: jnp.arange(4.0)[None])
    real = np.asarray(x.mask)
    v = np.asarray(x.values)[real]
    output = layer.apply(layer.init(getkey(), x), x)
    assert output.mask is x.mask
    assert_close(np.asarray(output.values)[real], np.where(v > 0, v, np.arange(4) * v))


def test_prelu_refuses_a_slope_for_each_step(x, getkey):
    message = r"axes \[1\] of values \(3, 5, 4\) are those of a mask \(3, 5\), and .*: `shared_axes=\[1, 2\]`"
    with pytest.raises(ValueError, match=message):
        L.PReLU(shared_axes=[2]).init(getkey(), x)
    with pytest.raises(ValueError, match=r"`alpha` of `prelu` has shape \(5, 4\), so it differs along the masked axes"):
        jm.ops.prelu(x, jnp.ones((5, 4)))
    with pytest.raises(ValueError, match=r"`alpha` of `prelu` has shape \(5,\), so it differs"):
        jm.ops.prelu(x[..., 0], jnp.ones(5))
    with pytest.raises(ValueError, match=r"`shared_axes` \[3\] of `PReLU` are out of bounds for values \(3, 5, 4\)"):
        L.PReLU(shared_axes=[3]).init(getkey(), x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.ReLU(-1.0), "`max_value` of `ReLU` is a number from 0 on or None; received -1.0"),
        (lambda: L.ReLU(negative_slope=-1.0), "`negative_slope` of `ReLU` is a finite number from 0 on; received -1.0"),
        (lambda: L.ReLU(threshold=float("nan")), "`threshold` of `ReLU` is a finite number from 0 on; received nan"),
        (lambda: L.LeakyReLU(-0.1), "`negative_slope` of `LeakyReLU` is a finite number from 0 on; received -0.1"),
        (lambda: L.PReLU(shared_axes=[0]), r"`shared_axes` of `PReLU` count the axes .* from 1, .* received \[0\]"),
        (lambda: L.PReLU(shared_axes=-1), "received -1"),
    ],
)
def test_numbers_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("name", ["elu", "prelu"])
def test_integers_are_refused(name):
    with pytest.raises(TypeError, match=f"`{name}` works on floats; received dtype int32"):
        getattr(jm.ops, name)(jnp.ones((2, 3, 4), jnp.int32), *[jnp.ones(4)] * (name == "prelu"))
