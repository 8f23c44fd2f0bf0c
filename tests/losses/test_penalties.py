"""Penalties of activities: how they leave a model, what they count, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
LENGTHS = [4, 0, 5]


def penalty_of(layer, x, params=None, state=None):
    state = layer.init_state(x) if state is None else state
    return jm.losses.penalties(layer.apply_with_state(params or {}, state, x, training=True)[1])


def alone(x, l1=0.0, l2=0.0):
    """What each row adds."""
    return [l1 * np.abs(s).sum() + l2 * np.square(s).sum() for s in jm.unpad(x)]


def test_the_layer_is_the_identity(x, getkey):
    layer = L.ActivityRegularization(l1=0.5)
    assert layer(x) is x
    assert layer.init(getkey(), x) == {}
    y, state = jax.jit(layer.apply_with_state)({}, layer.init_state(x), x)
    np.testing.assert_array_equal(y.fill(0), x.fill(0))
    assert_close(state["penalty"], penalty_of(layer, x))  # as Keras adds it in evaluation, too


def test_in_training_it_needs_a_state(x):
    model = jm.Sequential([L.ActivityRegularization(l1=0.5)], name="model")
    message = (
        r"^model/activity_regularization: `ActivityRegularization` gives out a state .*, which `apply` cannot return: "
    )
    with pytest.raises(TypeError, match=message + r"make the state by `state = model.init_state\(x\)`, and call"):
        model.apply({}, x, training=True)


def test_it_is_the_mean_over_sequences(x):
    layer = L.ActivityRegularization(l1=0.5, l2=0.25)
    expected = sum(alone(x, 0.5, 0.25)) / 2
    assert_close(penalty_of(layer, x), expected)
    assert_close(penalty_of(layer, x[:2]), alone(x, 0.5, 0.25)[0])
    assert penalty_of(layer, x[1:2]) == 0
    full = x.fill(0)  # Keras: the sum over all values, divided by the size of the batch
    assert_close(penalty_of(layer, full), expected * 2 / 3)
    assert_close(penalty_of(layer, full[:, 0]), np.sum(0.5 * np.abs(full[:, 0]) + 0.25 * full[:, 0] ** 2) / 3)


def test_sequences_are_what_shares_a_row_and_documents_are_one(x):
    total = 2 * sum(alone(x, 0.5)) / 2
    penalty = lambda x: jm.ops.activity_penalty(x, l1=0.5, reduction="sequences")  # noqa: E731
    ids = jnp.where(x.mask, jnp.asarray([[1, 1, 2, 1, 1]]), 0)  # 3 sequences in a row that is full, 3 in the other
    assert_close(penalty(x.with_segment_ids(ids)), total / 6)
    documents = jax.tree.map(lambda leaf: leaf[None], x)
    assert_close(penalty(documents), total)
    assert_close(penalty(x[0]), alone(x, 0.5)[0] / x[0].mask.sum())  # a mask of rank 1 is one of rows
    assert_close(penalty(x[0, 0]), 0.5 * np.abs(x.values[0, 0]).sum())
    assert penalty(x[1, 0]) == 0
    assert penalty(jnp.asarray(-2.0)) == 1
    assert penalty(jnp.zeros((0, 3))) == 0


def test_every_call_begins_anew(x):
    layer = L.ActivityRegularization(l2=1.0)
    state = layer.init_state(x)
    _, state = layer.apply_with_state({}, state, x, training=True)
    _, again = layer.apply_with_state({}, state, x, training=True)
    assert_close(again["penalty"], state["penalty"])
    assert_close(penalty_of(layer, x, state={}), state["penalty"])  # what was there before does not matter


def test_a_shared_layer_adds_up_and_others_have_their_own(x):
    shared = L.ActivityRegularization(l1=0.5, name="shared")
    own = jm.Sequential([L.ActivityRegularization(l2=1.0)], name="own")
    model = jm.trace(lambda x: own(shared(shared(x) * 3)), jm.Input((None, 4)))
    _, state = model.apply_with_state({}, model.init_state(), x, training=True)
    once = sum(alone(x, 0.5)) / 2
    assert_close(state["shared"]["penalty"], 4 * once)
    assert_close(state["own"]["activity_regularization"]["penalty"], 9 * sum(alone(x, l2=1.0)) / 2)
    assert_close(jm.losses.penalties(state), 4 * once + 9 * sum(alone(x, l2=1.0)) / 2)


def test_steps_of_training(x, getkey):
    """With statistics of another kind beside it, in a scan, which wants a state that keeps shapes and dtypes."""
    model = jm.Sequential([L.Dense(3), L.ActivityRegularization(l1=0.5), L.BatchNormalization(momentum=0.5)])
    params, state = model.init(getkey(), x), model.init_state(x)

    def loss(params, state):
        y, state = model.apply_with_state(params, state, x, training=True)
        return jm.ops.sum(y, axis=(0, 1)).sum() + jm.losses.penalties(state), state

    def step(carry, _):
        params, state = carry
        (value, state), gradient = jax.value_and_grad(loss, has_aux=True)(params, state)
        return (jax.tree.map(lambda p, g: p - 0.01 * g, params, gradient), state), value

    (_, after), values = jax.jit(lambda carry: jax.lax.scan(step, carry, length=5))((params, state))
    assert values[-1] < values[0]
    assert jax.tree.map(jnp.shape, after) == jax.tree.map(jnp.shape, state)
    explicit = lambda p: jm.ops.activity_penalty(model.layers[0].apply(p, x), l1=0.5, reduction="sequences")  # noqa: E731
    found = jax.grad(lambda p: jm.losses.penalties(loss(p, state)[1]))(params)
    jax.tree.map(assert_close, found["dense"], jax.grad(explicit)(params["dense"]))


def test_half_precision_has_penalties_in_float32(x):
    layer = L.ActivityRegularization(l1=1.0)
    y, state = layer.apply_with_state({}, {}, x.astype("bfloat16"), training=True)
    assert y.dtype == "bfloat16"
    assert state["penalty"].dtype == layer.init_state(x.astype("bfloat16"))["penalty"].dtype == "float32"
    assert_close(state["penalty"], sum(alone(x.astype("bfloat16").astype("float32"), 1.0)) / 2)


class Balance(jm.Layer):
    """A layer of one's own with something to add to a loss."""

    supports_masking = True
    resets_state = True

    def init_state(self, inputs):
        return {"penalty": jnp.zeros(()), "calls": jnp.zeros((), int)}

    def call(self, params, inputs, state):
        return inputs, {"penalty": state["penalty"] + inputs.sum(), "calls": state["calls"] + 1}


def test_a_penalty_of_ones_own(x):
    balance = Balance()
    model = jm.Sequential([balance, balance, L.ActivityRegularization(name="penalty")])
    y, state = model.apply_with_state({}, model.init_state(x), x, training=True)
    assert y.mask is x.mask
    assert state["balance"]["calls"] == 2
    assert_close(jm.losses.penalties(state), 2 * np.asarray(x.fill(0)).sum())
    assert jm.losses.penalties({}) == 0
    assert jm.losses.penalties({"penalty": {"moving_mean": jnp.ones(3)}}) == 0  # a name of a layer is no penalty


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: L.ActivityRegularization(l1=-1.0),
            "`l1` of `ActivityRegularization` .* from 0 on; received -1.0",
        ),
        (lambda: L.ActivityRegularization(l2=float("nan")), "`l2` of .* is a finite number from 0 on; received nan"),
        (
            lambda: jm.ops.activity_penalty(jnp.ones(3), reduction="steps"),
            "`reduction` of `activity_penalty` must be 'sum' or 'sequences'; received 'steps'. A mean over real steps",
        ),
    ],
)
def test_what_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()
