"""Packed rows: what keeps the sequences of a row apart, against a plain loop over runs of ids, and what refuses."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

import jmask as jm
from jmask.testing import assert_close
from tests.support.masked import checked

BATCH, TIME = 3, 13
IDS = [[4, 4, 4, 0, 4, 2, 2], [0, 7, 7, 1, 0, 0, 7], [0] * 7]


def drawn_ids(rng):
    """Runs of random ids with holes; an id may come again, in its own row and in others."""
    ids = np.repeat(rng.integers(1, 5, (BATCH, TIME)), 3, axis=1)[:, rng.integers(3) :][:, :TIME]
    return (ids * (rng.random((BATCH, TIME)) < 0.8)).astype(np.int32)


def packed(rng, *features, ids=None):
    """Random values with NaN in the padding, on the device."""
    ids = drawn_ids(rng) if ids is None else np.asarray(ids, np.int32)
    values = rng.normal(size=(*ids.shape, *features)).astype(np.float32)
    values[ids == 0] = np.nan
    return jm.from_segment_ids(jnp.asarray(values), jnp.asarray(ids))


def runs(ids):
    """For each row its sequences in order: the id and the steps, found one step at a time."""
    found = []
    for row in np.asarray(ids).tolist():
        found.append([])
        for step, k in enumerate(row):
            if k and (not found[-1] or found[-1][-1][0] != k):
                found[-1].append((k, []))
            if k:
                found[-1][-1][1].append(step)
    return found


def sequences(x):
    """For each row its sequences as arrays, with the ids."""
    check(x)
    rows = zip(np.asarray(x.values), runs(x.segment_ids), strict=True)
    return [[(k, values[steps]) for k, steps in row] for values, row in rows]


def check(x):
    checked(x)
    assert x.segment_ids.dtype == np.int32
    assert x.segment_ids.shape == x.mask.shape
    assert np.array_equal(x.mask, np.asarray(x.segment_ids) > 0)


def assert_same(actual, expected):
    """Two nests from `sequences`."""
    assert [[k for k, _ in row] for row in actual] == [[k for k, _ in row] for row in expected]
    for row, expected_row in zip(actual, expected, strict=True):
        for (_, steps), (_, expected_steps) in zip(row, expected_row, strict=True):
            assert_close(steps, expected_steps)


def assert_stepwise(y, x, function):
    """`y` is the function of each sequence of `x` alone."""
    assert_same(sequences(y), [[(k, function(steps)) for k, steps in row] for row in sequences(x)])


# what a `Masked` with segment ids is


@pytest.mark.slow
def test_positions_count_within_each_sequence(rng):
    for _ in range(20):
        x = packed(rng)
        expected = np.zeros((BATCH, TIME), int)
        for row, found in enumerate(runs(x.segment_ids)):
            for _, steps in found:
                expected[row, steps] = range(len(steps))
        for positions in (x.positions, jax.jit(lambda x: x.positions)(x), jax.vmap(lambda x: x.positions)(x)):
            assert positions.dtype == np.int32
            assert np.array_equal(positions, expected)
        unpacked = x.with_segment_ids(None).positions
        assert np.array_equal(unpacked, (np.cumsum(x.mask, 1) - 1) * np.asarray(x.mask))


@pytest.mark.slow
def test_positions_of_other_ranks():
    assert jm.from_segment_ids(jnp.ones((2, 1, 3)), [[[1, 1, 2]], [[0, 3, 3]]]).positions.tolist() == [
        [[0, 1, 0]],
        [[0, 0, 1]],
    ]
    assert jm.from_segment_ids(jnp.ones(3), [1, 1, 2]).positions.tolist() == [0, 1, 0]
    assert jm.from_segment_ids(jnp.ones((2, 0)), np.zeros((2, 0), int)).positions.shape == (2, 0)
    with pytest.raises(ValueError, match="`positions` needs a mask with a time axis"):
        _ = jm.masked(1.0, True).positions


def test_no_segments_cost_no_leaf():
    assert len(jax.tree.leaves(jm.pad_sequences([[1]]))) == 2
    assert len(jax.tree.leaves(jm.pack([[1]]))) == 2  # the mask follows from them


def test_segments_can_be_set_and_taken_away(rng):
    x = jm.from_lengths(jnp.ones((3, 7)), [7, 3, 0])
    y = x.with_segment_ids(IDS)
    check(y)
    assert y.values is x.values
    plain = y.with_segment_ids(None)
    assert plain.segment_ids is None
    assert plain.mask is y.mask


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int64"])
def test_ids_become_int32(dtype):
    check(jm.from_segment_ids(np.ones((3, 7, 2)), np.array(IDS, dtype)))


@pytest.mark.parametrize(
    ("error", "call", "message"),
    [
        (
            TypeError,
            lambda: jm.from_segment_ids(jm.masked([1], [True]), [1]),
            "use `x.with_segment_ids\\(segment_ids\\)`",
        ),
        (
            TypeError,
            lambda: jm.from_segment_ids([[1.0]], [[1.0]]),
            "`segment_ids` must be integers, 0 at padding; received",
        ),
        (TypeError, lambda: jm.from_segment_ids([[1.0]], [[True]]), "received dtype bool. For a mask use `jm.masked`"),
        (ValueError, lambda: jm.from_segment_ids(np.ones((2, 3)), [[1, 2]]), r"received \(1, 2\) for values \(2, 3\)"),
        (
            ValueError,
            lambda: jm.from_segment_ids(np.ones((2, 3)), 1),
            "prefix of the values' shape that ends with time",
        ),
        (ValueError, lambda: jm.from_segment_ids([[1.0]], [[-3]]), "ids from 1 to 2147483647 elsewhere; received -3"),
        (ValueError, lambda: jm.from_segment_ids([[1.0]], np.array([[2**40]])), "received 1099511627776. Number the"),
    ],
)
def test_constructors_refuse(error, call, message):
    with pytest.raises(error, match=message):
        call()


def test_a_function_over_all_leaves_is_found_out(rng):
    x = packed(rng)
    broken = jax.tree.map(jnp.sin, x)
    with pytest.raises(TypeError, match="these have become float32 of"):
        _ = broken.positions
    axes = jm.Masked(0, 0)  # a tree of two other leaves
    with pytest.raises(ValueError, match="packed rows"):
        jax.vmap(lambda x: x.positions, in_axes=(axes,))(x)
    axes = jm.Masked(0, 0, segment_ids=0)
    assert np.array_equal(jax.vmap(lambda x: x.positions, in_axes=(axes,))(x), x.positions)


# what keeps segment ids


def normal(s):
    return (s - s.mean(-1, keepdims=True)) / np.sqrt(s.var(-1, keepdims=True) + 1)


RELU = jm.layers.Activation("relu")


def rotated(s):
    cos, sin = np.cos(np.arange(len(s))), np.sin(np.arange(len(s)))
    return np.stack([s[:, 0] * cos - s[:, 1] * sin, s[:, 0] * sin + s[:, 1] * cos], 1)


def luong_attention(s):
    weights = np.tril(np.exp(s @ s.T))
    return weights / weights.sum(axis=1, keepdims=True) @ s


KEEPS = {
    "-x": (lambda x: -x, lambda s: -s),
    "x * 2 + 1": (lambda x: x * 2 + 1, lambda s: s * 2 + 1),
    "array": (lambda x: np.arange(2.0) - x, lambda s: np.arange(2.0) - s),
    "unpacked": (lambda x: x.with_segment_ids(None) + x, lambda s: s + s),
    "itself": (lambda x: x / x, lambda s: s / s),
    "@": (lambda x: x @ jnp.ones((2, 5)), lambda s: s @ np.ones((2, 5))),
    "map": (lambda x: x.map(jnp.abs), np.abs),
    "astype": (lambda x: x.astype("float16").astype("float32"), lambda s: s.astype("float16")),
    "features": (lambda x: x[..., 1], lambda s: s[..., 1]),
    "new axis": (lambda x: x[:, :, None], lambda s: s[:, None]),
    "reversed": (lambda x: jm.ops.flip(x), lambda s: s[::-1]),
    "sum": (lambda x: x.sum(-1), lambda s: s.sum(-1)),
    "softmax": (lambda x: jm.ops.softmax(x), lambda s: np.exp(s) / np.exp(s).sum(-1, keepdims=True)),
    "layer_norm": (lambda x: jm.ops.layer_norm(x, epsilon=1.0), normal),
    "mean": (lambda x: jm.ops.mean(x, -1), lambda s: s.mean(-1)),
    "std": (lambda x: jm.ops.std(x, -1), lambda s: s.std(-1)),
    "dense": (lambda x: jm.ops.dense(x, jnp.ones((2, 3))), lambda s: s @ np.ones((2, 3))),
    "dropout": (lambda x: jm.ops.dropout(x, 1.0, jax.random.key(0)), np.zeros_like),
    "positions": (lambda x: jm.ops.positions(x), lambda s: np.arange(len(s))),
    "rotary": (lambda x: jm.ops.rotary(x), rotated),
    "RotaryEmbedding": (lambda x: jm.layers.RotaryEmbedding(interleaved=True)(x), rotated),
    "attention": (lambda x: jm.layers.Attention(use_causal_mask=True).apply({}, x, x), luong_attention),
    "concatenate": (lambda x: jm.ops.concatenate([x, x * 2]), lambda s: np.concatenate([s, 2 * s], -1)),
    "add": (lambda x: jm.ops.add([x, x * 2, jnp.ones((1, 1, 2))]), lambda s: 3 * s + 1),
    "union": (lambda x: jm.ops.add([x, x * 2], merge="union"), lambda s: 3 * s),
    "average": (lambda x: jm.ops.average([x, x * 2], merge="union"), lambda s: 1.5 * s),
    "up_sample": (lambda x: jm.ops.up_sample(x, 2), lambda s: np.repeat(s, 2, axis=0)),
    "reshape": (lambda x: jm.ops.reshape(x, (-1, 1)), lambda s: s.reshape(-1, 1)),
    "left_align": (lambda x: jm.left_align(x)[0], lambda s: s),
    "and back": (lambda x: jm.left_align(x)[1](jm.left_align(x)[0] * 2), lambda s: 2 * s),
    "Dense": (
        lambda x: jm.layers.Dense(3, use_bias=False).apply({"kernel": jnp.ones((2, 3))}, x),
        lambda s: s @ np.ones((2, 3)),
    ),
    "conv": (lambda x: jm.ops.conv(x, jnp.ones((1, 2, 3))), lambda s: s @ np.ones((2, 3))),
    "MaxPooling1D": (lambda x: jm.layers.MaxPooling1D(1)(x), lambda s: s),
    "Activation": (lambda x: jm.layers.Activation("relu")(x), lambda s: np.maximum(s, 0)),
    "Dropout": (lambda x: jm.layers.Dropout(0.5)(x), lambda s: s),
    "ActivityRegularization": (lambda x: jm.layers.ActivityRegularization(l1=0.5)(x), lambda s: s),
    "Add": (lambda x: jm.layers.Add()([x, x]), lambda s: s + s),
    "Multiply": (lambda x: jm.layers.Multiply()([x, x]), np.square),
    "Permute": (lambda x: jm.layers.Permute((1, 3, 2))(x[..., None])[..., 0, :], lambda s: s),
    "TimeDistributed": (lambda x: jm.layers.TimeDistributed(RELU).apply({}, x), lambda s: np.maximum(s, 0)),
    "Lambda": (lambda x: jm.layers.Lambda(jnp.square, supports_masking=True, supports_packing=True)(x), np.square),
    "ReLU": (lambda x: jm.layers.ReLU(negative_slope=0.5)(x), lambda s: np.where(s > 0, s, 0.5 * s)),
    "prelu": (lambda x: jm.ops.prelu(x, jnp.full(2, 0.5)), lambda s: np.where(s > 0, s, 0.5 * s)),
    "einsum": (lambda x: jm.ops.einsum_dense(x, np.eye(2), equation="btf,fg->btg"), lambda s: s),
    "rms_norm": (lambda x: jm.ops.rms_norm(x), lambda s: s / np.sqrt(np.square(s).mean(-1, keepdims=True) + 1e-6)),
    "unit_norm": (lambda x: jm.ops.unit_norm(x), lambda s: s / np.linalg.norm(s, axis=-1, keepdims=True)),
    "reverse": (lambda x: jm.ops.reverse(x), lambda s: s[::-1]),
    "roll": (lambda x: jm.ops.roll(x, -2), lambda s: np.roll(s, -2, axis=0)),
    "shift": (lambda x: jm.ops.shift(x, fill_value=3), lambda s: np.concatenate([np.full_like(s[:1], 3), s[:-1]])),
    "cumsum": (lambda x: jm.ops.cumsum(x), lambda s: np.cumsum(s, axis=0)),
    "cumprod": (lambda x: jm.ops.cumprod(x, reverse=True), lambda s: np.cumprod(s[::-1], axis=0)[::-1]),
    "cummax": (lambda x: jm.ops.cummax(x), lambda s: np.maximum.accumulate(s, axis=0)),
    "cummin": (lambda x: jm.ops.cummin(x, reverse=True), lambda s: np.minimum.accumulate(s[::-1], axis=0)[::-1]),
    "cumlogsumexp": (lambda x: jm.ops.cumlogsumexp(x), lambda s: np.logaddexp.accumulate(s, axis=0)),
}  # fmt: skip


def flipped(found, name):
    """Reversed rows hold their sequences in the reversed order."""
    return [row[::-1] for row in found] if name == "reversed" else found


@pytest.mark.slow
@pytest.mark.parametrize("name", KEEPS)
def test_what_keeps_segments(rng, name):
    run, function = KEEPS[name]
    compiled = jax.jit(run)
    for _ in range(5):
        x = packed(rng, 2)
        expected = [[(k, function(steps)) for k, steps in row] for row in sequences(x)]
        assert_same(flipped(sequences(compiled(x)), name), expected)
    assert_same(flipped(sequences(run(x)), name), expected)
    host = jax.tree.map(np.asarray, x)
    assert_same(flipped(sequences(run(host)), name), expected)
    assert_same(flipped(sequences(jax.vmap(run)(jax.tree.map(lambda leaf: leaf[None], x))[0]), name), expected)


@pytest.mark.parametrize(
    "index",
    [np.s_[1], np.s_[:2], np.s_[:, 3:9], np.s_[:, ::-2], np.s_[[2, 0]], np.s_[:, 4], np.s_[1, 2], np.s_[:, None, 2:]],
    ids=str,
)
def test_indexing_takes_ids_as_it_takes_the_mask(rng, index):
    x = packed(rng, 2)
    y = x[index]
    check(y)
    assert np.array_equal(y.segment_ids, np.asarray(x.segment_ids)[index])
    assert np.array_equal(y.fill(), np.asarray(x.fill())[index])
    assert repr(y)


def test_two_packings_meet_in_the_steps_of_one_id(rng):
    for transform in (lambda f: f, jax.jit):
        for _ in range(5):
            x, y = packed(rng, 2), packed(rng, 2)
            z = transform(lambda x, y: x + y)(x, y)
            check(z)
            ids = np.where(x.segment_ids == y.segment_ids, x.segment_ids, 0)
            assert np.array_equal(z.segment_ids, ids)
            expected = np.asarray(x.values + y.values)[ids > 0]
            assert np.array_equal(np.asarray(z.values)[ids > 0], expected)
            assert np.array_equal(transform(lambda *xs: jm.ops.concatenate(xs))(x, y).segment_ids, ids)
            assert np.array_equal(transform(lambda *xs: jm.layers.Add()(list(xs)))(x, y).segment_ids, ids)


def test_two_packings_may_leave_a_hole():
    x, y = (jm.from_segment_ids([[1.0, 2, 3, 4]], [ids]) for ids in ([1, 1, 2, 2], [1, 1, 1, 2]))
    check(x + y)


def test_an_unpacked_operand_takes_steps_away(rng):
    x, mask = packed(rng), rng.random((BATCH, TIME)) < 0.6
    y = jm.masked(jnp.ones((BATCH, TIME)), mask)
    for z in (x + y, y + x, jm.ops.add([x, y]), jm.layers.Add()([y, x])):
        check(z)
        assert np.array_equal(z.segment_ids, np.asarray(x.segment_ids) * mask)


def test_an_operand_with_the_same_mask_and_no_segments_leaves_them(rng):
    """Also where both hold one mask, the very same array."""
    x = packed(rng)
    plain = x.with_segment_ids(None)
    assert plain.mask is x.mask
    for z in (plain + x, x + plain, plain * x, jm.ops.add([plain, x]), jm.layers.Add()([plain, x])):
        check(z)
        assert np.array_equal(z.segment_ids, x.segment_ids)


def test_broadcasting_repeats_ids(rng):
    x = packed(rng, ids=IDS)
    z = x[:1] + jnp.ones((5, 7))
    check(z)
    assert z.segment_ids.tolist() == IDS[:1] * 5
    wide = jm.masked(jnp.ones((3, 7, 2)), np.ones((3, 7, 2), bool))
    with pytest.raises(ValueError, match="say nothing of the axes behind them"):
        _ = x[..., None] + wide


def test_concatenation_over_the_batch(rng):
    x, y = packed(rng, ids=IDS), jm.from_lengths(jnp.ones((2, 7)), [3, 0])
    z = jm.ops.concatenate([x, y], axis=0)
    check(z)
    assert z.segment_ids.tolist() == [*IDS, [1, 1, 1, 0, 0, 0, 0], [0] * 7]


def test_gradients_stay_within_a_step(rng):
    x = packed(rng, 2)
    gradient = jax.jit(jax.grad(lambda x: jm.ops.sum((x * x).map(jnp.sqrt)), allow_int=True))(x * x / x)
    values = np.asarray(gradient.values)
    assert np.isfinite(values).all()
    assert not values[~np.asarray(x.mask)].any()


def test_transforms_and_pickle_carry_segments(rng):
    x = packed(rng, 2)
    for y in (
        pickle.loads(pickle.dumps(x)),
        jax.tree.map(lambda leaf: leaf, x),
        jax.jit(lambda x: x)(x),
        jax.checkpoint(lambda x: x)(x),
        jax.lax.scan(lambda carry, _: (carry * 1, None), x, length=2)[0],
        jax.vmap(lambda x: x, in_axes=1, out_axes=1)(x),
        jax.lax.cond(True, lambda x: x, lambda x: x * 2, x),
    ):
        assert_stepwise(y, x, lambda s: s)
    abstract = jax.eval_shape(lambda x: x, x)
    assert (abstract.segment_ids.shape, abstract.segment_ids.dtype) == ((BATCH, TIME), np.int32)
    assert repr(abstract) == "Masked(float32[3, 13, 2], mask=[3, 13], segment_ids=int32[3, 13])"


def test_sharded_rows(rng):
    x = packed(rng, 2, ids=np.tile(IDS, (8, 1))[:8])
    mesh = Mesh(np.array(jax.devices()[:8]), ("batch",))
    y = jax.device_put(x, NamedSharding(mesh, PartitionSpec("batch")))
    assert np.array_equal(jax.jit(lambda x: x.positions)(y), x.positions)
    assert_stepwise(jax.jit(lambda x: jm.left_align(x)[0] * 2)(y), x, lambda s: 2 * s)


def test_other_ids_need_no_other_program(rng):
    traces = []

    @jax.jit
    def run(x):
        traces.append(x)
        return x.positions + jm.ops.flip(x * 2).segment_ids

    for _ in range(5):
        run(packed(rng))
    assert len(traces) == 1


# what merges sequences on purpose, and what refuses them

CROSSES = ["sum", "mean", "max", "min", "any", "all", "prod", "var", "std"]


@pytest.mark.parametrize("name", CROSSES)
def test_reductions_over_batch_and_time_merge_and_others_refuse(rng, name):
    x = packed(rng, 2)
    reduction = getattr(jm.ops, name)
    assert_close(reduction(x, (0, 1)), reduction(x.with_segment_ids(None), (0, 1)))
    assert_close(reduction(x), reduction(x.with_segment_ids(None)))
    check(reduction(x, -1))
    with pytest.raises(ValueError, match=f"`{name}` over the masked axis 0 does not keep the sequences of a row apa"):
        reduction(x, 0)
    for axis in (1, (1, 2)):
        with pytest.raises(ValueError, match="gives one result for each sequence of packed rows, and it is not known"):
            reduction(x, axis)
    with pytest.raises(ValueError, match="gives one result for each sequence of packed rows, and it is not known"):
        jax.vmap(reduction)(x)


REFUSED = {
    "add": lambda x: jm.ops.add([x, x.with_segment_ids(None)], merge="union"),
    "average": lambda x: jm.ops.average([x, x.with_segment_ids(None)], merge="union"),
    "unpad": jm.unpad,
    "to_attention_mask": jm.to_attention_mask,
    "lengths": lambda x: x.lengths,
    "with_mask": lambda x: x.with_mask(x.mask),
    "as_masked": lambda x: jm.as_masked(x, x.mask),
    "attention": lambda x: jm.ops.attention(x[..., None, :], key=x.with_segment_ids(None)[..., None, :]),
    "mask": lambda x: jm.layers.Activation("relu")(x, mask=~~x.mask),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_cross_refuses(rng, name):
    x = packed(rng, 2)
    with pytest.raises(
        ValueError, match=r"does not keep the sequences of a row apart, and the rows .* are packed: float"
    ):
        REFUSED[name](x)
    REFUSED[name](x.with_segment_ids(None))  # a matter of course


def test_refusals_say_what_to_do(rng):
    x = packed(rng, 2)
    unpacking = r"Give each sequence a row of its own, `jm.unpack_batch\(x, num_sequences, length\)`, or take each row"
    with pytest.raises(ValueError, match=rf"`softmax` along the masked axis 0 .*shape \(3, 13, 2\). {unpacking}"):
        jm.ops.softmax(x, 0)
    with pytest.raises(ValueError, match=rf"{unpacking}.* To merge all sequences .* `axis=\(0, 1\)`"):
        jm.ops.sum(x, 0)
    with pytest.raises(ValueError, match=r"Use `x.mask.sum\(-1\)`, or `jm.unpack_batch\(x, ...\).lengths`"):
        _ = x.lengths
    with pytest.raises(ValueError, match=r"Use `x.with_segment_ids\(ids\)`, with 0 at padding, or first"):
        x.with_mask(x.mask)
    with pytest.raises(ValueError, match=r"Use `jm.unpack\(x\)`"):
        jm.unpad(x)
    with pytest.raises(ValueError, match=r"`jm.from_segment_ids\(values, ids\)`"):
        jm.from_attention_mask(x.values, x.segment_ids)


# layers


class Mystery(jm.Layer):
    supports_masking = True

    def call(self, params, inputs):
        return inputs


class Stepwise(Mystery):
    supports_packing = True


class Outer(jm.Layer):
    raw_inputs = True
    supports_packing = True
    inner: jm.Layer

    def call(self, params, inputs):
        return self.inner.apply({}, inputs)


class Pair(Stepwise):
    def call(self, params, x, y):
        return x + y


class TakesAway(jm.Layer):
    supports_packing = True
    start: int = 0

    def call(self, params, inputs):
        return inputs[:, self.start :]

    def compute_mask(self, inputs, mask):
        return (mask & (inputs > 0))[:, self.start :]


def test_a_layer_that_says_nothing_refuses_packed_rows_by_its_path(rng):
    x = packed(rng)
    message = (
        r"^outer/mystery: `Mystery` does not keep .* Say how many sequences there are, .* `x.with_segment_ids\(x.segm.*"
    )
    with pytest.raises(ValueError, match=message + "says so by `supports_packing = True`"):
        Outer(Mystery()).apply({}, x)
    assert_stepwise(Outer(Stepwise()).apply({}, x), x, lambda s: s)
    assert jm.Layer.supports_packing is False


def test_a_layer_of_several_inputs(rng):
    x, y = packed(rng), packed(rng)
    assert np.array_equal(Pair()(x, y).segment_ids, np.where(x.segment_ids == y.segment_ids, x.segment_ids, 0))
    assert Pair()(x, x * 2).segment_ids is x.segment_ids
    assert Pair()(x, x.values).segment_ids is x.segment_ids
    assert Pair()(x.values, x).segment_ids is x.segment_ids
    assert Pair()(x.with_segment_ids(None), x).segment_ids is x.segment_ids


def test_compute_mask_takes_steps_away(rng):
    x = packed(rng)
    y = TakesAway()(x)
    check(y)
    assert np.array_equal(y.segment_ids, np.where(np.asarray(x.fill()) > 0, x.segment_ids, 0))
    message = (
        r"so the mask of an output has the shape of the segment ids, \(3, 13\); received \(3, 12\). A layer that moves"
    )
    with pytest.raises(ValueError, match=message):
        TakesAway(1)(x)


def test_embeddings_and_masking_find_padding_in_packed_rows(rng):
    ids = jm.pack([[3, 0, 4], [5, 6], [0]])
    layer = jm.layers.Embedding(7, 2, mask_zero=True)
    y = layer.apply(layer.init(jax.random.key(0), ids), ids)
    check(y)
    assert y.segment_ids.tolist() == [[1, 0, 1], [2, 2, 0]]
    z = jm.layers.Masking()(jm.from_segment_ids(jnp.array([[[1.0], [0], [2]]]), [[1, 1, 2]]))
    check(z)
    assert z.segment_ids.tolist() == [[1, 0, 2]]


def test_no_mask_removes_segments(rng):
    x = packed(rng)
    assert isinstance(Mystery()(x, mask=jm.NO_MASK), jax.Array)
    assert Stepwise()(x, mask=x.mask).segment_ids is x.segment_ids  # it is no other mask
    message = (
        r"^stepwise: another mask for `inputs` does not keep .* Set the segment ids instead, `x.with_segment_ids\("
    )
    with pytest.raises(ValueError, match=message):
        Stepwise()(x, mask=jnp.zeros((BATCH, TIME), bool))


@pytest.mark.slow
def test_models_hand_packed_rows_from_layer_to_layer(rng, getkey):
    tokens = [rng.integers(1, 9, n).tolist() for n in (4, 2, 5, 1, 3)]
    x = jm.pack(tokens, row_length=7)
    model = jm.Sequential([jm.layers.Embedding(9, 3), jm.layers.LayerNormalization(), jm.layers.Dense(2)])
    params = model.init(getkey(), x)
    inputs = jm.Input((None,), "int32")
    h = jm.layers.Embedding(9, 3, name="embedding")(inputs)
    functional = jm.Model(inputs, jm.layers.Dense(2, name="dense")(h * 2 + 1))
    for apply in (model.apply, functional.apply):
        y = jax.jit(apply)(params, x)
        check(y)
        for row, alone in zip(jm.unpack(y), tokens, strict=True):
            assert_close(row, apply(params, jnp.array([alone]))[0])
    with pytest.raises(ValueError, match=r"^model/mystery: `Mystery` does not keep"):
        jm.Model(inputs, Mystery()(inputs)).apply({}, x.with_segment_ids(x.segment_ids))


# display


def test_packed_rows_show_where_a_sequence_begins():
    x = jm.from_segment_ids([[3, 4, 5, 60, 9], [7, 9, 8, 9, 9]], [[1, 1, 2, 1, 0], [3, 0, 3, 0, 0]])
    assert repr(x) == "Masked(int32[2, 5], segments=4)\n[[ 3  4| 5|60  ·]\n [ 7  ·  8  ·  ·]]"
    assert repr(x[0]) == "Masked(int32[5], segments=3)\n[ 3  4| 5|60  ·]"
    assert repr(x[0, 1]) == "Masked(int32[], real=True, segments=1)"
    assert repr(jm.pack([[1, 2], [3]], row_length=4)).startswith("Masked(int32[1, 4], segments=2)")
    assert x._repr_html_().count("border-left:3px") == 2
    assert "segments=4" in x._repr_html_()


def test_the_display_of_what_is_not_readable():
    x = jm.pack([[1, 2], [3]])
    traced = []
    jax.jit(lambda x: traced.append(repr(x)) or x)(x)
    assert traced == ["Masked(int32[2, 2], mask=[2, 2], segment_ids=int32[2, 2], num_sequences=2)"]
    assert "segment_ids=float" in repr(jax.tree.map(jnp.sin, jm.from_segment_ids([[1.0]], [[1]])))
    assert "segments=0" in repr(jm.pack([[]], row_length=3, num_rows=2))


def test_a_long_row_shows_its_ends():
    row = repr(jm.from_segment_ids(np.arange(40)[None], np.repeat([1, 2], [30, 10])[None])).splitlines()[1]
    assert "…" in row
    assert row.count("|") == 1


def test_treescope_lists_the_segments():
    treescope = pytest.importorskip("treescope")
    assert "segment_ids" in treescope.render_to_text(jm.pack([[1, 2], [3]]))
    assert "segment_ids" not in treescope.render_to_text(jm.pad_sequences([[1, 2], [3]]))
