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


@pytest.mark.slow
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


@pytest.mark.slow
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
        "fewer steps": jm.masked(x.values, x.mask & (x.fill(0)[..., 0] > 0))
        if x.segment_ids is None
        else x.with_segment_ids(x.segment_ids * (x.fill(0)[..., 0] > 0), num_sequences=x.num_sequences),
        "pooled": pooled,
        "array": jm.vmap(lambda s: s.sum())(x),
        "beside": x * jm.ops.broadcast_to_steps(pooled, like=x),
    }


@pytest.mark.slow
def test_results_go_back_to_their_places(rng):
    skipping, plain = jax.jit(jm.skip_padding(moved, fractions=[FRACTION])), jax.jit(moved)
    for where in ("right", "left", "holes"):
        x, *_ = batch(rng, LENGTHS["some"], where)
        assert_same(skipping(x), plain(x))


@pytest.mark.slow
def test_differentiated_from_outside_and_vmapped(rng):
    """Exact, at any price: in both modes, of parameters and inputs, also those that the function closes over."""
    x, *_ = batch(rng, LENGTHS["some"], "holes")
    scale, tangent = jnp.arange(1.0, 4.0), jnp.ones(3)

    def results(transform, scale, values):
        def function(x):
            return jm.ops.cumsum(jnp.tanh(1.0) * x * scale[None, None]) ** 2

        return transform(function)(x.with_values(values)).fill(0).sum()

    def derivatives(transform):
        of = functools.partial(results, transform)
        gradients = jax.grad(of, (0, 1))(scale, x.values)
        slope = jax.jvp(lambda scale: of(scale, x.values), (scale,), (tangent,))
        twice = jax.vmap(of, (0, None))(jnp.stack([scale, -2 * scale]), x.values)
        return gradients, slope, twice

    skip = functools.partial(jm.skip_padding, fractions=[FRACTION])
    expected = jax.jit(lambda: derivatives(lambda f: f))()
    assert_same(jax.jit(lambda: derivatives(skip))(), expected)
    assert_same(derivatives(skip), expected)
    masks = jnp.stack([x.mask, jnp.roll(x.mask, 1, 0), jnp.ones_like(x.mask)])
    batches = jm.Masked(jnp.nan_to_num(jnp.stack([x.values] * 3)), masks)
    plain, skipping = (jax.vmap(f(jm.ops.cumsum)) for f in (lambda f: f, skip))
    assert_same(skipping(batches), plain(batches))


def test_a_source_and_its_translation(rng):
    """Batches of two widths share the rows, each sequence with its own."""

    def decode(source, target):
        context = jm.ops.mean(jm.ops.cumsum(source), 1)
        return jm.ops.cumsum(target * jm.ops.broadcast_to_steps(context, like=target)), context

    skipping, plain = jax.jit(jm.skip_padding(decode, fractions=[FRACTION])), jax.jit(decode)
    for _ in range(4):
        masks = [np.arange(time) < rng.integers(0, 1 + time // 2, ROWS)[:, None] for time in (13, 5)]
        args = [jm.masked(jnp.asarray(rng.normal(size=(*m.shape, 4)), "float32"), jnp.asarray(m)) for m in masks]
        assert_same(skipping(*args), plain(*args))


def mesh_of(number, kind=AxisType.Auto):
    return jax.make_mesh((number,), ("data",), axis_types=(kind,))


@pytest.mark.parametrize("check", [True, False])
def test_inside_shard_map(check, rng):
    """Each device packs its rows; the function may add up over devices, though they have unequal lengths."""
    lengths = np.concatenate([np.minimum(LENGTHS["few"], 1), LENGTHS["some"]])
    mask = np.arange(TIME) < lengths[:, None]
    x = jm.masked(jnp.asarray(rng.normal(size=(2 * ROWS, TIME, 3)), "float32"), jnp.asarray(mask))

    def function(scale, x, axis=None):
        def loss(scale):
            y = jm.ops.cumsum(x * scale[None, None])
            mean = jm.losses.squared_error(y, jnp.zeros(()) * y, divide=False)
            mean = mean.psum(axis) if axis else mean
            return mean.value, y

        (value, y), gradient = jax.value_and_grad(loss, has_aux=True)(scale)
        if axis and not check:
            gradient = jax.lax.psum(gradient, axis) / jax.lax.axis_size(axis)
        return value, gradient, y

    local = functools.partial(jm.skip_padding(function, fractions=[FRACTION]), axis="data")
    specs = {"in_specs": (P(), P("data")), "out_specs": (P(), P(), P("data")), "check_vma": check}
    mapped = jax.jit(jax.shard_map(local, mesh=mesh_of(2), **specs))
    assert_same(mapped(jnp.arange(1.0, 4.0), x), jax.jit(function)(jnp.arange(1.0, 4.0), x))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_on_a_mesh(kind, rng):
    """On explicit axes no row leaves its device."""
    lengths = np.concatenate([LENGTHS["few"], LENGTHS["some"]])
    mask = np.arange(TIME) < lengths[:, None]
    x = jm.masked(jnp.asarray(rng.normal(size=(2 * ROWS, TIME, 3)), "float32"), jnp.asarray(mask))

    def function(scale, x):
        def loss(scale):
            y = jm.ops.cumsum(x * scale)
            return jm.ops.mean(y), (y, jm.ops.crop(y, (1, 0)), L.MaxPooling1D(2)(y))

        return jax.value_and_grad(loss, has_aux=True)(scale)

    mesh, skipping = mesh_of(2, kind), jax.jit(jm.skip_padding(function, fractions=[FRACTION]))
    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, NamedSharding(mesh, P("data")))
        found = skipping(jax.device_put(2.0, NamedSharding(mesh, P())), sharded)
        if kind == AxisType.Explicit:
            text = skipping.lower(2.0, sharded).compile().as_text()
            assert not any(word in text for word in ("all-gather", "all-to-all", "collective-permute"))
            steps = jm.Masked(jnp.ones((22, 6)), jnp.ones((22, 6), bool))
            with pytest.raises(ValueError, match=r"may divide the rows.*received float32\[22,6@data\]"):
                jm.skip_padding(jm.ops.mean)(jax.device_put(steps, NamedSharding(mesh, P(None, "data"))))
    assert_same(jax.tree.map(np.asarray, found), jax.tree.map(np.asarray, function(2.0, x)))


def refusals(x):
    labels = jnp.ones((ROWS, TIME))
    documents = jm.masked(jnp.ones((2, 3, 4)), jnp.ones((2, 3, 4), bool))
    packed = jm.from_segment_ids(jnp.ones((2, 3)), jnp.ones((2, 3), jnp.int32))
    squared = jm.losses.squared_error
    return [
        (lambda x: x, packed, "these are packed already. Call the function itself"),
        (lambda x: x, documents, r"under a mask \(batch, time\); received masks \(2, 3, 4\)"),
        (lambda x: x[0], (x, x[:4]), r"equally many rows; received masks \(11, 7\), \(4, 7\)"),
        (lambda x: x.fill(0), x, r"result is float32\[11, 7, 3\] for the padded batch, and float32\[5, 7, 3\]"),
        (lambda x: {"a": x.fill(0).sum(1)}, x, r"result \['a'\] is .* by functions that know"),
        (lambda x: (x,) * (1 + (x.segment_ids is None)), x, "Return the same whatever the rows are"),
        (lambda x: squared(x[0][..., 0], x[1]), (x, labels), r"An array \(11, 7\).*`x.with_values\(labels\)`"),
        (lambda x: jm.ops.mean(x, 0), x, "11 sequences in 5 rows of 7 steps; docs/packed.md says what works"),
        (lambda x: x.lengths, x, "`jm.unpack_batch"),
    ]


def test_what_is_refused(rng):
    x, *_ = batch(rng, LENGTHS["some"])
    for function, argument, text in refusals(x):
        skipping = jm.skip_padding(function, fractions=[FRACTION])
        with pytest.raises((ValueError, TypeError), match=text) as caught:
            jax.eval_shape(skipping, argument)
        assert "skip_padding" in str(caught.value) + "".join(getattr(caught.value, "__notes__", []))
    names = jm.masked(np.array([["a", "b"]] * 3), np.ones((3, 2), bool))
    with pytest.raises(TypeError, match="holds numbers; received dtype <U1"):
        jm.skip_padding(lambda x: x)(names)
    for bad in (0.5, [], [1.0], "ab", [True]):
        with pytest.raises(ValueError, match=r"`fractions` are parts of the rows.*Received"):
            jm.skip_padding(lambda x: x, fractions=bad)  # pyright: ignore[reportArgumentType]


def test_few_rows_and_no_steps(rng):
    """Nothing to share, so the function is called as it is."""
    for shape in [(0, 4), (3, 0), (1, 4), (2, 4)]:
        x = jm.masked(jnp.ones(shape), jnp.zeros(shape, bool))
        assert_same(jax.jit(jm.skip_padding(jm.ops.cumsum))(x), jm.ops.cumsum(x))


@pytest.mark.slow
def test_the_checks_of_users_find_what_does_not_raise():
    def sums_of_rows(x):
        return jnp.tanh(x.fill(0).sum(1)).sum()

    with pytest.raises(jm.testing.LawBroken):
        jm.testing.check_function(jm.skip_padding(sums_of_rows), jm.Input((None, 3)))
