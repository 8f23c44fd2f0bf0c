"""A state that is written inside a transformation in a layer's `call` cannot leave it; the remedies work."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
KEY = jax.random.key(0)


def twice(function, params, x):
    return jax.lax.scan(lambda x, _: (function(params, x), None), x, None, length=2)[0]


TRANSFORMS = {
    "checkpoint": lambda function, params, x: jax.checkpoint(function)(params, x),
    "jit": lambda function, params, x: jax.jit(function)(params, x),
    "scan": twice,
    "vmap": lambda function, params, x: jax.vmap(function, (None, 0))(params, x[None])[0],
    "grad": lambda function, params, x: jax.grad(lambda v: function(params, x.with_values(v)).fill(0).sum())(x.values),
    "cond": lambda function, params, x: jax.lax.cond(x.mask.any(), function, lambda params, x: x, params, x),
}


class Transformed(jm.Layer):
    raw_inputs = True
    layer: jm.Layer
    how: str

    def call(self, params, inputs, training=False):
        def inside(params, x):
            return self.layer.apply(params, x, training=training)

        return TRANSFORMS[self.how](inside, params.get("layer", {}), inputs)


@pytest.fixture
def x(rng):
    return jm.from_lengths(jnp.asarray(rng.normal(size=(2, 3, 4)), "float32"), [3, 1])


@pytest.mark.parametrize("how", TRANSFORMS)
@pytest.mark.parametrize("layer", [L.BatchNormalization(), L.ActivityRegularization(l1=0.1)], ids=str)
@pytest.mark.parametrize("under_jit", [False, True])
def test_it_is_refused(how, layer, under_jit, x):
    model = jm.Sequential([L.Dense(4), Transformed(layer, how)], name="net")
    params, state = model.init(KEY, x), model.init_state(x)

    def call(params, state, x):
        return model.apply_with_state(params, state, x, training=True)

    name = type(layer).__name__
    with pytest.raises(ValueError, match=rf"net/transformed/\S+: `{name}` has a new state inside .* whole model"):
        (jax.jit(call) if under_jit else call)(params, state, x)


@pytest.mark.slow
def test_around_the_whole_model_it_is_right(x):
    model = jm.Sequential([L.Dense(4), L.BatchNormalization()])
    params, state = model.init(KEY, x), model.init_state(x)
    expected, after = model.apply_with_state(params, state, x, training=True)
    remat = jax.checkpoint(lambda params, state, x: model.apply_with_state(params, state, x, training=True))
    found, found_after = remat(params, state, x)
    assert_close(found.fill(0), expected.fill(0))
    jax.tree.map(assert_close, found_after, after)
    jax.grad(lambda p: remat(p, state, x)[0].fill(0).sum())(params)


def test_handed_through_it_is_right(x):
    class Remat(jm.Layer):
        raw_inputs = True
        norm: jm.Layer = L.BatchNormalization()

        def init(self, key, inputs):
            return self.norm.init(key, inputs)

        def init_state(self, inputs):
            return self.norm.init_state(inputs)

        def call(self, params, inputs, state=None, training=False):
            def inside(params, state, x):
                return self.norm.apply_with_state(params, state, x, training=training)

            return jax.checkpoint(inside)(params, state, inputs)

    layer, plain = Remat(), L.BatchNormalization()
    params, state = layer.init(KEY, x), layer.init_state(x)
    found, after = jax.jit(lambda p, s: layer.apply_with_state(p, s, x, training=True))(params, state)
    expected, expected_after = plain.apply_with_state(params, state, x, training=True)
    assert_close(found.fill(0), expected.fill(0))
    jax.tree.map(np.testing.assert_allclose, after, expected_after)


def test_what_is_only_read_may_be_transformed(x):
    layer = Transformed(L.Dense(4), "checkpoint")
    model = jm.Sequential([layer, L.BatchNormalization()])
    params, state = model.init(KEY, x), model.init_state(x)
    assert model.apply_with_state(params, state, x, training=True)[0].lengths.tolist() == [3, 1]
