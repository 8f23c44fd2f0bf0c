"""Keys, the training flag, and models inside jit, grad, vmap and other transforms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask import layers as L  # noqa: N812 - it stands in every line
from jmask.testing.counting import Counted
from tests.support.graphs import BATCH, FEATURES, TIME, Block, Noise, Scale, assert_same, sequences, solved

KEYS = jax.random.split(jax.random.key(7), 3)


def ones():
    return jnp.ones((BATCH, TIME, 32))


def dropped(model, key, **kwargs):
    """Which entries a model of ones has set to zero."""
    return jax.tree.map(lambda y: np.asarray(y) == 0, model.apply({}, ones(), key=key, **kwargs))


def model_of(function):
    return jm.trace(function, jm.Input((None, 32)))


# Keys


def test_dropout_follows_from_the_key():
    model = model_of(L.Dropout(0.5))
    first, again, other = (dropped(model, key, training=True) for key in (KEYS[0], KEYS[0], KEYS[1]))
    np.testing.assert_array_equal(first, again)
    assert 0 < (first != other).mean() < 1
    assert not dropped(model, KEYS[0]).any()


@pytest.mark.parametrize("shared", [True, False])
def test_every_call_draws_anew(shared):
    one = L.Dropout(0.5)
    other = one if shared else L.Dropout(0.5)
    inner = jm.Sequential([one, jm.Sequential([other])])
    draws = dropped(model_of(lambda x: [one(x), other(x), one(x), inner(x)]), KEYS[0], training=True)
    for i, draw in enumerate(draws[:3]):
        assert draw.any()
        assert all((draw != other).any() for other in draws[:i])
    assert draws[3].mean() > 0.6  # two draws on top of each other: a quarter is left


def test_a_sequential_draws_as_its_graph():
    model = jm.Sequential([jm.Input((None, 32)), L.Dropout(0.3), L.Dropout(0.3)])
    assert_same(dropped(model, KEYS[0], training=True), dropped(model.graph(), KEYS[0], training=True))


def test_dropout_without_a_key_is_refused_with_its_path():
    model = jm.trace(lambda x: jm.Sequential([L.Dropout(0.5)], name="inner")(x), jm.Input((None, 2)), name="outer")
    with pytest.raises(ValueError, match=r"outer/inner/dropout: dropout in training draws at random; pass a key"):
        model.apply({}, jnp.ones((3, 4, 2)), training=True)


def test_a_layer_may_draw_outside_of_training():
    model = jm.Model(x := jm.Input((None, FEATURES)), L.Dense(3)(Noise()(x)))
    row = jm.Sequential([Noise(), L.Dense(3)])
    params = model.init(KEYS[0])
    assert_same(row.init(KEYS[0], jnp.ones((1, 2, FEATURES))), params)
    first, other = (model.apply(params, jnp.ones((3, 4, FEATURES)), key=key) for key in KEYS[:2])
    assert (first != other).any()


# The training flag


def test_the_training_flag_reaches_every_layer():
    inner = jm.Sequential([Scale(), L.Lambda(jnp.negative, supports_masking=True)], name="inner")
    model = model_of(lambda x: inner(Scale()(x)))
    params = model.init(KEYS[0])
    outside, inside = params["scale"]["scale"], params["inner"]["scale"]["scale"]
    expected = -outside * inside * ones()
    np.testing.assert_allclose(model.apply(params, ones()), expected, rtol=1e-6)
    np.testing.assert_allclose(model.apply(params, ones(), training=True), 100 * expected, rtol=1e-6)


def test_a_call_has_a_training_flag_of_its_own():
    scale = Scale()
    model = model_of(lambda x: [scale(x), scale(x, training=True), scale(x, training=False)])
    params = model.init(KEYS[0])
    y = params["scale"]["scale"] * ones()
    for training, factors in ((False, (1, 10, 1)), (True, (10, 10, 1))):
        for found, factor in zip(model.apply(params, ones(), training=training), factors, strict=True):
            np.testing.assert_allclose(found, factor * y, rtol=1e-6)


def test_dropout_can_be_on_outside_of_training_and_off_inside():
    model = model_of(lambda x: [L.Dropout(0.5)(x, training=True), L.Dropout(0.5)(x, training=False)])
    for training in (False, True):
        on, off = dropped(model, KEYS[0], training=training)
        assert on.any()
        assert not off.any()


# Transforms


def tagger():
    x = jm.Input((None, FEATURES), masked=True)
    lstm = L.LSTM(3, return_sequences=True, recurrent_initializer="normal")  # the default compiles slowly
    h = lstm(L.Dense(4, activation="tanh")(x))
    model = jm.Model(x, L.GlobalAveragePooling1D()(L.Add()([h, L.Dense(3)(h)])))
    return model, model.init(jax.random.key(0))


def test_new_lengths_compile_nothing_new_and_take_nothing_from_the_caller():
    model, params = tagger()
    counted = Counted(model.apply)
    apply = jax.jit(counted)
    results = [apply(params, sequences(lengths)) for lengths in ((4, 0, 1), (1, 1, 1), (4, 4, 4))]
    assert counted.num_traces == 1
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(params))
    for found, lengths in zip(results, ((4, 0, 1), (1, 1, 1), (4, 4, 4)), strict=True):
        np.testing.assert_allclose(found.values, model.apply(params, sequences(lengths)).values, rtol=1e-5, atol=1e-6)


@pytest.mark.slow
def test_gradients_are_finite_and_zero_at_padding():
    model, params = tagger()
    x = sequences()
    loss = lambda p, x: jm.ops.sum(model.apply(p, x) ** 2)  # noqa: E731
    of_params, of_values = jax.jit(jax.grad(lambda p, v: loss(p, x.with_values(v)), argnums=(0, 1)))(params, x.values)
    assert all(np.isfinite(leaf).all() and np.any(leaf) for leaf in jax.tree.leaves(of_params))
    real = np.asarray(x.mask)
    assert np.isfinite(of_values).all()
    assert not np.any(np.asarray(of_values)[~real])
    assert np.asarray(of_values)[real].all()
    again = jax.jit(jax.grad(jax.checkpoint(loss)))(params, x)
    for a, b in zip(jax.tree.leaves(again), jax.tree.leaves(of_params), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_vmap_over_batches_and_over_parameters():
    model, params = tagger()
    xs = [sequences((4, 0, 1)), sequences((2, 3, 4), seed=1)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *xs)
    found = jax.jit(jax.vmap(model.apply, in_axes=(None, 0)))(params, stacked)
    for one, x in zip(found, xs, strict=True):
        np.testing.assert_allclose(one.values, model.apply(params, x).values, rtol=1e-5, atol=1e-6)
    ensemble = jax.jit(jax.vmap(model.init))(KEYS)
    assert all(leaf.shape[0] == len(KEYS) for leaf in jax.tree.leaves(ensemble))
    second = jax.tree.map(lambda leaf: leaf[1], ensemble)
    for a, b in zip(jax.tree.leaves(second), jax.tree.leaves(model.init(KEYS[1])), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_a_model_inside_a_scan():
    model, params = tagger()
    x = sequences()
    step = lambda total, scale: (total + jm.ops.sum(model.apply(params, x * scale)), None)  # noqa: E731
    total, _ = jax.lax.scan(step, 0.0, jnp.array([1.0, 2.0]))
    expected = sum(float(jm.ops.sum(model.apply(params, x * scale))) for scale in (1.0, 2.0))
    np.testing.assert_allclose(total, expected, atol=1e-6)  # the terms are about 1 and cancel


def test_shapes_without_numbers():
    found = solved("states")
    spec = jax.eval_shape(found.graph.apply, found.params, *found.example.inputs)
    kinds = [jax.tree.map(lambda leaf: f"{leaf.dtype}{leaf.shape}", tree) for tree in (spec, found.outputs)]
    assert jax.tree.leaves(kinds[0]) == jax.tree.leaves(kinds[1])
    shapes = jax.eval_shape(found.graph.init, jax.random.key(0))
    assert jax.tree.map(jnp.shape, shapes) == jax.tree.map(jnp.shape, found.params)


# Parameters


def test_parameters_depend_on_the_key_and_the_name_alone():
    def build(order, extra):
        x = jm.Input((None, FEATURES))
        makers = {"a": lambda: L.Dense(3, name="a")(x), "b": lambda: Block(name="b")(x)}
        made = {name: makers[name]() for name in order}
        return jm.Model(x, [*([L.Dense(5, name="extra")(x)] if extra else []), *made.values()]).init(KEYS[0])

    first = build("ab", extra=False)
    for other in (build("ba", extra=False), build("ab", extra=True), build("ba", extra=True)):
        assert_same({name: other[name] for name in "ab"}, first)
    renamed = jm.Model(x := jm.Input((None, FEATURES)), L.Dense(3, name="c")(x)).init(KEYS[0])
    assert (renamed["c"]["kernel"] != first["a"]["kernel"]).all()


def test_layers_of_one_kind_start_differently():
    model = jm.Model(x := jm.Input((None, 2)), [L.Dense(2)(x), L.Dense(2)(x)])
    params = model.init(KEYS[0])
    assert (params["dense"]["kernel"] != params["dense_1"]["kernel"]).all()
    assert (model.init(KEYS[1])["dense"]["kernel"] != params["dense"]["kernel"]).all()
    assert_same(jax.jit(model.init)(KEYS[0]), params)


def test_parameters_of_layers_without_any_are_left_out():
    model = jm.Model(x := jm.Input((None, 2)), L.Dropout(0.5)(x * 2) + 1)
    assert model.init(KEYS[0]) == {}
    assert jm.Sequential([L.Dropout(0.5)]).init(KEYS[0], jnp.ones((1, 2, 3))) == {}
