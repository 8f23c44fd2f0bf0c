"""Models of jmask as modules of Flax: the outputs, gradients and statistics of the model, in the transforms of Flax."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen, nnx

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
MODEL = jm.Sequential(
    [jm.Input((None, 4)), L.Dense(3, activation="tanh"), L.BatchNormalization(), L.Dense(2, name="last")]
)
DROPPING = jm.Sequential([jm.Input((None, 4)), L.Dropout(0.5)])


def loss(outputs):
    return jm.losses.squared_error(outputs, outputs.with_values(jnp.ones_like(outputs.values)))


def weights(module):
    """Parameters and statistics of a module of nnx, as the model has them."""
    return (nnx.to_pure_dict(nnx.state(part)) for part in (module.params, module.statistics))


def same(found, expected):
    jax.tree.map(assert_close, found, expected)


def test_nnx_has_the_outputs_gradients_and_statistics_of_the_model(x):
    module = jm.flax.to_nnx(MODEL, rngs=nnx.Rngs(0))
    params, state = weights(module)
    assert jax.tree.structure(params) == jax.tree.structure(MODEL.init(jax.random.key(0)))

    module.eval()
    assert_close(
        nnx.jit(lambda module, x: module(x))(module, x).fill(0), MODEL.apply_with_state(params, state, x)[0].fill(0)
    )
    same(tuple(weights(module)), (params, state))

    def of_model(params):
        outputs, new = MODEL.apply_with_state(params, state, x, training=True)
        return loss(outputs), new

    module.train()
    value, gradients = nnx.jit(nnx.value_and_grad(lambda module: loss(module(x))))(module)
    (expected, new), expected_gradients = jax.value_and_grad(of_model, has_aux=True)(params)
    assert_close(value, expected)
    same(nnx.to_pure_dict(gradients)["params"], expected_gradients)
    same(tuple(weights(module)), (params, new))


def test_a_module_of_nnx_trains_with_a_model_inside(x):
    class Net(nnx.Module):
        def __init__(self, rngs):
            self.inner, self.head = jm.flax.to_nnx(MODEL, rngs=rngs), nnx.Linear(2, 1, rngs=rngs)

        def __call__(self, x):
            h = self.inner(x)
            return h.with_values(self.head(h.fill(0)))

    @nnx.jit
    def step(net, optimizer):
        value, gradients = nnx.value_and_grad(lambda net: loss(net(x)))(net)
        optimizer.update(net, gradients)
        return value

    net = Net(nnx.Rngs(0))
    optimizer = nnx.Optimizer(net, optax.adam(0.1), wrt=nnx.Param)
    values = [float(step(net, optimizer)) for _ in range(5)]
    assert values[-1] < values[0] / 2
    graph, state = nnx.split(net)
    net.eval(), (again := nnx.merge(graph, state)).eval()
    assert_close(again(x).fill(0), net(x).fill(0))


def test_dropout_of_nnx_draws_from_its_stream(x):
    module = jm.flax.to_nnx(DROPPING, rngs=nnx.Rngs(params=0, dropout=1))
    first, second = module(x).fill(0), module(x).fill(0)
    assert not np.array_equal(first, second)
    module.eval()
    np.testing.assert_array_equal(module(x).fill(0), x.fill(0))
    with pytest.raises(ValueError, match="key"):
        jm.flax.to_nnx(DROPPING, rngs=nnx.Rngs(params=0))(x)


def test_what_a_module_of_nnx_needs():
    with pytest.raises(TypeError, match=r"from an example: `jm\.flax\.to_nnx\(model, x, rngs=rngs\)`"):
        jm.flax.to_nnx(L.Dense(2), rngs=nnx.Rngs(0))
    with pytest.raises(TypeError, match=r"`rngs=nnx\.Rngs\(0\)`; received 0"):
        jm.flax.to_nnx(MODEL, rngs=0)


def test_linen_has_the_outputs_and_statistics_of_the_model(x):
    module = jm.flax.to_linen(MODEL)
    variables = module.init(jax.random.key(3), x)
    params, state = variables["params"], variables["batch_stats"]
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, MODEL.init(jax.random.key(0)))
    assert_close(module.apply(variables, x).fill(0), MODEL.apply_with_state(params, state, x)[0].fill(0))
    outputs, new = module.apply(variables, x, training=True, mutable=["batch_stats"])
    expected, new_state = MODEL.apply_with_state(params, state, x, training=True)
    assert_close(outputs.fill(0), expected.fill(0))
    same(new["batch_stats"], new_state)
    module.apply(variables, x, training=True)  # statistics that are not mutable stay


def test_a_module_of_linen_holds_a_model(x):
    class Net(linen.Module):
        @linen.compact
        def __call__(self, x, training=False):
            h = jm.flax.to_linen(DROPPING, name="dropout")(x, training=training)
            h = jm.flax.to_linen(L.Dense(2), name="inner")(h)
            return linen.Dense(1)(h.fill(0))

    net = Net()
    variables = net.init(jax.random.key(0), x)
    assert variables["params"]["inner"]["kernel"].shape == (4, 2)
    draws = [net.apply(variables, x, training=True, rngs={"dropout": jax.random.key(i)}) for i in range(2)]
    assert not np.array_equal(*draws)
