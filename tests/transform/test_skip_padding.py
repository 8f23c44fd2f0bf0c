"""`jm.skip_padding` beside the function itself on the padded batch, which has its own oracle."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jmask as jm
from jmask.core.masked import is_masked
from jmask.testing import assert_close
from jmask.testing.examples import layout

L = jm.layers
ROWS, TIME = 11, 7
LENGTHS = {
    "few": (3, 0, 1, 2, 0, 1, 0, 0, 2, 1, 1),  # 2 packed rows
    "some": (7, 0, 1, 2, 7, 0, 5, 1, 3, 2, 0),  # 4
    "many": (7, 6, 5, 7, 6, 4, 7, 7, 5, 6, 7),  # the padded batch
    "none": (0,) * ROWS,
}
FRACTION = 0.45  # 5 of 11 rows
xent = jm.losses.softmax_cross_entropy_with_integer_labels


def batch(rng, lengths, where="right"):
    """Floats, ids and labels of one batch; garbage in the padding."""
    mask = layout(lengths, TIME, "left" if where == "left" else "right")
    if where == "holes":
        mask = rng.permuted(mask, axis=1)
    values = np.where(mask[..., None], rng.normal(size=(ROWS, TIME, 3)), np.nan).astype("float32")
    ids, labels = (np.where(mask, rng.integers(0, 5, mask.shape), -1) for _ in range(2))
    some = mask & (rng.random(mask.shape) < 0.7)  # not every step has a label
    x = jm.masked(values, mask), jm.masked(ids.astype("int32"), mask), jm.masked(labels.astype("int32"), some)
    return jax.tree.map(jnp.asarray, x)


def without_padding(tree):
    """Values with zeros in the padding, and masks."""
    return jax.tree.map(lambda x: (x.fill(0), x.mask) if is_masked(x) else x, tree, is_leaf=is_masked)


def assert_same(found, expected):
    assert jax.tree.structure(found) == jax.tree.structure(expected)
    for a, b in zip(jax.tree.leaves(without_padding(found)), jax.tree.leaves(without_padding(expected)), strict=True):
        assert a.dtype == b.dtype
        assert_close(np.asarray(a), np.asarray(b))
    for x in jax.tree.leaves(found, is_leaf=is_masked):
        assert not is_masked(x) or not np.asarray(x.values)[~np.asarray(x.mask)].any()


CLASSIFIER = jm.Sequential([L.Dense(4), L.Conv1D(4, 3, padding="same"), L.BatchNormalization(), L.GRU(3), L.Dense(5)])


def tagged(params, ids):
    h = L.PositionEmbedding(TIME).apply(params["positions"], L.Embedding(5, 4).apply(params["ids"], ids))
    return L.Dense(5).apply(params["dense"], L.MultiHeadAttention(2, 2).apply(params["attention"], h, h))


def make_params(key):
    h = jax.ShapeDtypeStruct((ROWS, TIME, 4), "float32")
    ids, values = jax.ShapeDtypeStruct((ROWS, TIME), "int32"), jax.ShapeDtypeStruct((ROWS, TIME, 3), "float32")
    tagger = {
        "ids": L.Embedding(5, 4).init(key, ids),
        "positions": L.PositionEmbedding(TIME).init(key, h),
        "attention": L.MultiHeadAttention(2, 2).init(key, h, h),
        "dense": L.Dense(5).init(key, h),
    }
    return tagger, CLASSIFIER.init(key, values), CLASSIFIER.init_state(values)


def training(params, statistics, x, ids, labels, classes):
    """Losses of steps and of sequences, their gradients, new statistics, metrics, and results of every kind."""

    def loss(params):
        tags, (logits, new) = (
            tagged(params[0], ids),
            CLASSIFIER.apply_with_state(params[1], statistics, x, training=True),
        )
        total = xent(tags, labels) + xent(logits, classes, sample_weight=jnp.arange(ROWS) + 1.0)
        return total, (tags, logits, new, jm.metrics.accuracy(tags, labels), jm.ops.max(tags, 1), classes)

    return jax.value_and_grad(loss, has_aux=True)(params)


def test_a_training_step(rng, getkey):
    """One program for all lengths, wherever padding stands and whatever it holds."""
    traces = []

    def counted(*args):
        traces.append(args)
        return training(*args)

    skipping = jax.jit(jm.skip_padding(counted, fractions=[FRACTION]))
    plain = jax.jit(training)
    *params, statistics = make_params(getkey())
    for lengths, where in [("some", "right"), ("few", "holes"), ("many", "left"), ("none", "right"), ("some", "left")]:
        x, ids, labels = batch(rng, LENGTHS[lengths], where)
        args = params, statistics, x, ids, labels, jnp.asarray(rng.integers(0, 5, ROWS))
        assert_same(skipping(*args), plain(*args))
    assert len(traces) == 2


def test_rows_really_share_rows(rng):
    """Outside of jit the function sees the batch in the branch that its lengths need."""
    seen = []

    def function(x):
        seen.append(x)
        return jm.ops.mean(x)

    for lengths, shape in [("few", (3, TIME, 3)), ("some", (5, TIME, 3)), ("many", (ROWS, TIME, 3))]:
        x, *_ = batch(rng, LENGTHS[lengths])
        assert_close(jm.skip_padding(function, fractions=(FRACTION, 0.2))(x), function(x))
        assert seen[-2].shape == shape
        assert (seen[-2].num_sequences == ROWS) == (lengths != "many")
    assert jm.skip_padding(function)(jnp.ones((ROWS, TIME))) == 1  # no padded batch


def moved(x):
    """Results whose steps are not those of the batch, and results of sequences."""
    pooled = jm.ops.mean_pool(x)
    return {
        "pooled windows": L.MaxPooling1D(2)(x),
        "valid": L.AveragePooling1D(3, strides=1)(x),
        "strides": L.MaxPooling1D(3, strides=2, padding="same")(x),
        "cropped": jm.ops.crop(x, (1, 0)),
        "repeated": jm.ops.up_sample(x, 2),
        "reversed": jm.ops.reverse(x),
        "shifted": jm.ops.shift(x, fill_value=0),
        "joined": jm.ops.concatenate([x, -x], axis=1),
        "of a function": jm.vmap(jnp.diff, in_axes=0)(x[..., 0]),
        "fewer steps": jm.masked(x.values, x.mask & (x.fill(0)[..., 0] > 0)) if x.segment_ids is None else
        x.with_segment_ids(x.segment_ids * (x.fill(0)[..., 0] > 0), num_sequences=x.num_sequences),
        "pooled": pooled,
        "array": jm.vmap(lambda s: s.sum())(x),
        "beside": jm.ops.add([x, pooled]) if x.segment_ids is not None else x + pooled.values[:, None],
    }


def test_results_go_back_to_their_places(rng):
    skipping, plain = jax.jit(jm.skip_padding(moved, fractions=[FRACTION])), jax.jit(moved)
    for where in ("right", "left", "holes"):
        x, *_ = batch(rng, LENGTHS["some"], where)
        assert_same(skipping(x), plain(x))
