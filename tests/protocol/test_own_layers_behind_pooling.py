"""Layers of one's own behind pooling: a mask of rows goes on where it is proved that every row is treated alone."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from jmask.testing import assert_close

ROWS = np.array([True, True, False])


class Scale(jm.Layer):
    """Says nothing about masks."""

    def init(self, key, x):
        return {"w": jnp.full(x.shape[-1], 2.0)}

    def call(self, params, x):
        return x * params["w"]


class Centre(jm.Layer):
    """Mixes rows."""

    def call(self, params, x):
        return x - x.mean(0)


class Head(jm.Layer):
    """Layers that see no mask."""

    layer: Any = dataclasses.field(default_factory=lambda: L.Dense(3))

    def call(self, params, x, training=False):
        return self.layer.apply(params["layer"], x, training=training)


def pooled(getkey):
    values = jax.random.normal(getkey(), (3, 4)).at[2].set(jnp.nan)
    return jm.masked(values, jnp.asarray(ROWS))


@pytest.mark.parametrize(
    "layer", [Scale(), L.Lambda(jax.nn.softmax), Head(), L.Lambda(lambda x: {"a": x[:, 0], "b": x.T.T * 2})]
)
def test_what_treats_every_row_alone_keeps_their_mask(layer, getkey):
    x = pooled(getkey)
    params = layer.init(getkey(), x)
    with jm.strict():
        y = layer.apply(params, x)
        under_jit = jax.jit(layer.apply)(params, x)
    for leaf in jax.tree.leaves((y, under_jit), is_leaf=lambda v: isinstance(v, jm.Masked)):
        assert leaf.mask.tolist() == ROWS.tolist()
    alone = layer.apply(params, x.values[:2])
    jax.tree.map(lambda a, b: assert_close(a.values[:2], b), y, alone, is_leaf=lambda v: isinstance(v, jm.Masked))


def test_an_array_of_the_same_rows_and_one_for_all_of_them_go_with_it(getkey):
    x = pooled(getkey)
    with jm.strict():
        assert L.Lambda(lambda xs: xs[0] + xs[1])([x, jnp.ones((3, 4))]).mask.tolist() == ROWS.tolist()
        assert L.Lambda(lambda xs: xs[0][:, :3] @ xs[1])([x, jnp.ones((3, 5))]).mask.tolist() == ROWS.tolist()


@pytest.mark.slow
def test_a_model_of_such_layers_counts_real_rows_alone(rng, getkey):
    values = rng.normal(size=(5, 4, 3)).astype("float32")
    x = jm.from_lengths(jnp.asarray(values), [3, 4, 0, 0, 0])
    model = jm.Sequential([L.GlobalMaxPooling1D(), Scale(), L.Lambda(jnp.tanh), L.BatchNormalization(), L.Dense(2)])
    params, state = model.init(getkey(), x), model.init_state(x)
    labels = jnp.array([1, 0, 1, 1, 1])
    with jm.strict():
        y, after = model.apply_with_state(params, state, x, training=True)
        y_alone, after_alone = model.apply_with_state(params, state, x[:2], training=True)
    loss = jm.losses.softmax_cross_entropy_with_integer_labels
    assert_close(loss(y, labels), loss(y_alone, labels[:2]))
    jax.tree.map(assert_close, after, after_alone)


@pytest.mark.parametrize("layer", [Centre(), L.Lambda(lambda x: x[::-1]), L.Lambda(lambda x: jnp.flip(x, 0))])
def test_what_mixes_rows_warns_and_the_remedies_work(layer, getkey):
    x = pooled(getkey)
    with pytest.warns(jm.MaskDroppedWarning, match="cannot be proved to treat every row alone. Set `supports_masking"):
        assert not isinstance(layer.apply({}, x), jm.Masked)
    with jm.strict():
        assert not isinstance(layer.apply({}, x, mask=jm.NO_MASK), jm.Masked)


def test_the_remedies_of_a_layer_that_uses_the_mask_of_rows(getkey):
    class Centred(jm.Layer):
        def call(self, params, x, mask=None):
            return x - x.mean(0, where=mask[:, None])

    class Says(Centred):
        supports_masking = True

    class Computes(Centred):
        def compute_mask(self, x, mask):
            return mask

    x = pooled(getkey)
    with pytest.warns(jm.MaskDroppedWarning, match="uses it, but does not say what becomes of it. Set `supports_mask"):
        Centred()(x)
    with jm.strict():
        for layer in (Says(), Computes()):
            assert_close(layer(x).values[:2], x.values[:2] - x.values[:2].mean(0))


def test_a_layer_whose_penalty_counts_all_rows_is_not_proved(getkey):
    x = pooled(getkey)
    layer = Head(L.ActivityRegularization(l2=0.1))
    state = layer.init_state(x)
    with pytest.warns(jm.MaskDroppedWarning, match="raw_inputs = True"):
        layer.apply_with_state(layer.init(getkey(), x), state, x)
