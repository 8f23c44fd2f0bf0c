"""Losses beside optax on unpadded rows, over batches and devices, packed; their edges, and what they refuse."""

import functools
import inspect
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jmask as jm
from jmask.testing import assert_close
from tests.support.loss_oracles import ctc

LENGTHS = (3, 0, 7, 1, 5, 2, 7, 4)
OPTAX = {
    "squared_error": optax.squared_error,
    "absolute_error": lambda x, y: jnp.abs(x - y),
    "huber_loss": optax.huber_loss,
    "log_cosh": optax.log_cosh,
    "cosine_distance": optax.cosine_distance,
    "kl_divergence": optax.kl_divergence,
    "hinge_loss": optax.hinge_loss,
    "softmax_cross_entropy": optax.softmax_cross_entropy,
    "softmax_cross_entropy_with_integer_labels": optax.softmax_cross_entropy_with_integer_labels,
    "sigmoid_binary_cross_entropy": optax.sigmoid_binary_cross_entropy,
}
EVERY_LOSS = pytest.mark.parametrize("name", OPTAX)
DIVIDED = pytest.mark.parametrize("reduction", ["steps", "sequences", "weights"])


def rows_of(rng, name, lengths=LENGTHS):
    """Predictions and targets of each sequence, without padding."""
    predictions = [rng.normal(size=(n, 5)).astype(np.float32) for n in lengths]
    if name.endswith("integer_labels"):
        return predictions, [rng.integers(0, 5, n).astype(np.int32) for n in lengths]
    return predictions, [rng.random(size=(n, 5)).astype(np.float32) * 0.9 + 0.1 for n in lengths]


def padded(rows, **options):
    """A batch with garbage in the padding."""
    x = jm.pad_sequences(rows, **options)
    garbage = np.nan if np.issubdtype(x.dtype, np.floating) else -7
    return jm.Masked(jnp.asarray(x.fill(garbage)), jnp.asarray(x.mask))


def packed_rows(rng):
    """Predictions and targets as packed rows with garbage in the padding, and the same as a batch."""
    predictions, targets = rows_of(rng, "squared_error")
    batch = padded(predictions), padded(targets)
    packs = [jm.pack(rows, row_length=11) for rows in (predictions, targets)]
    packs = [jm.Masked(jnp.asarray(x.fill(np.nan)), x.mask, segment_ids=x.segment_ids) for x in packs]
    return packs, batch


# Values


@pytest.mark.slow
@EVERY_LOSS
def test_the_mean_over_steps_is_that_of_optax_on_all_rows_in_one(name, rng):
    predictions, targets = rows_of(rng, name)
    expected = OPTAX[name](np.concatenate(predictions), np.concatenate(targets)).mean()
    for padding in ("pre", "post"):
        found = getattr(jm.losses, name)(padded(predictions, padding=padding), padded(targets, padding=padding))
        assert_close(found, expected)
    assert_close(getattr(jm.losses, name)(predictions[2], targets[2]), OPTAX[name](predictions[2], targets[2]).mean())


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["pre", "post"])
def test_ctc_is_that_of_optax_on_each_row(padding, rng):
    logits, labels = rows_of(rng, "squared_error")[0], [rng.integers(0, 4, (n + 1) // 2) for n in LENGTHS]
    found = jm.losses.ctc_loss(padded(logits, padding=padding), padded(labels), blank_id=4, reduction=None)
    assert found.mask.tolist() == [n > 0 for n in LENGTHS]
    for n, value, x, y in zip(LENGTHS, found.fill(0).tolist(), logits, labels, strict=True):
        none = jnp.zeros((1, n)), jnp.zeros((1, len(y)))
        expected = optax.ctc_loss(x[None], none[0], y[None], none[1], blank_id=4)[0] if n else 0.0
        assert_close(jnp.float32(value), expected)
        if 0 < n < 6 and expected < 1e4:
            assert_close(jnp.float32(value), ctc(x, y, blank=4))


@pytest.mark.slow
@DIVIDED
def test_batches_of_any_size_and_padding_add_up_to_the_whole(reduction, rng):
    predictions, targets = rows_of(rng, "squared_error")
    weights = rng.random(len(LENGTHS)).astype(np.float32)
    loss = functools.partial(jm.losses.squared_error, reduction=reduction)
    expected = loss(padded(predictions), padded(targets), sample_weight=weights)
    for size, options in ((1, {}), (3, {"padding": "pre", "maxlen": 9}), (8, {"maxlen": 13})):
        parts = [slice(i, i + size) for i in range(0, len(LENGTHS), size)]
        means = [
            loss(
                padded(predictions[s], **options), padded(targets[s], **options), sample_weight=weights[s], divide=False
            )
            for s in parts
        ]
        assert_close(sum(means).value, expected)
        on_host = sum(jax.tree.map(np.float64, mean) for mean in means)
        assert on_host.total.dtype == np.float64
        assert_close(on_host.value, expected)


def test_what_the_reductions_divide_by():
    x = jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan], [8.0, jnp.nan, jnp.nan]]), [2, 1])
    loss = functools.partial(jm.losses.absolute_error, x, jnp.zeros((2, 3)))
    per_step = jnp.array([[1.0, 3.0, jnp.nan], [0.5, jnp.nan, jnp.nan]])
    assert float(loss()) == 4.0
    assert float(loss(reduction="sequences")) == 5.0
    assert float(loss(reduction="sum")) == 12.0
    for weights, total in ((per_step, 14.0), (jnp.array([2.0, 0.5]), 12.0)):
        assert float(loss(sample_weight=weights, reduction="sum")) == total
        assert float(loss(sample_weight=weights)) == pytest.approx(total / 3)
    assert float(loss(sample_weight=jnp.array([2.0, 0.5]), reduction="sequences")) == 4.0
    assert float(loss(sample_weight=jnp.array([2.0, 0.5]), reduction="weights")) == pytest.approx(12 / 4.5)
    each = loss(sample_weight=jnp.array([2.0, 0.5]), reduction=None)
    assert each.mask is x.mask
    assert each.values.tolist() == [[2.0, 6.0, 0.0], [4.0, 0.0, 0.0]]


def test_weights_of_sequences_are_not_taken_for_weights_of_steps():
    x = jnp.arange(9.0).reshape(3, 3)  # as many sequences as steps
    found = jm.losses.absolute_error(x, 0 * x, sample_weight=jnp.array([1.0, 0.0, 0.0]), reduction="sum")
    assert float(found) == 3.0


def test_a_step_counts_where_predictions_targets_and_weights_are_real():
    values = jnp.array([[1.0, 2.0, 4.0, 8.0]])
    x, y = (jm.masked(values, jnp.array([mask], bool)) for mask in ([1, 1, 1, 0], [0, 1, 1, 1]))
    w = jm.masked(jnp.ones((1, 4)), jnp.array([[True, True, False, True]]))
    loss = functools.partial(jm.losses.squared_error, x, y * 0, mask=x.mask)
    assert float(loss()) == 10.0
    assert float(loss(sample_weight=w)) == 4.0
    assert float(loss(sample_weight=jnp.array([[True, True, False, True]]))) == 4.0  # bools are a mask
    assert float(loss(sample_weight=jm.masked(w.values > 0, w.mask))) == 4.0
    assert float(loss(sample_weight=jnp.array([[1, 1, 0, 1]]))) == 2.0  # numbers are not: a step of weight 0 counts
    rows = jm.masked(jnp.ones(1), jnp.array([False]))
    assert float(loss(sample_weight=rows, divide=False).value_or(-1.0)) == -1.0


def test_an_explicit_mask_replaces_that_of_the_predictions():
    x = jm.from_lengths(jnp.array([[1.0, 2.0, 4.0]]), [2])
    zeros, last = jnp.zeros((1, 3)), jnp.array([[False, False, True]])
    assert float(jm.losses.absolute_error(x, zeros, mask=last)) == 4.0
    assert float(jm.losses.absolute_error(x.values, zeros, mask=last)) == 4.0
    assert float(jm.losses.absolute_error(x, zeros, mask=jm.NO_MASK, reduction="sum")) == 7.0
    assert float(jm.losses.absolute_error(x, x * 0, mask=jm.NO_MASK, reduction="sum")) == 3.0
    assert isinstance(jm.losses.absolute_error(x, zeros, mask=jm.NO_MASK, reduction=None), jax.Array)


@pytest.mark.slow
def test_masks_of_one_and_three_axes_and_of_the_entries_of_steps(rng):
    mask = rng.random((2, 3, 5)) < 0.6
    mask[1, 0] = False
    values = np.where(mask, rng.normal(size=mask.shape), np.nan).astype(np.float32)
    x = jm.masked(jnp.asarray(values), jnp.asarray(mask))
    assert_close(jm.losses.absolute_error(x, 0 * values), np.abs(values[mask]).mean())
    sentences = [np.abs(v[m]).mean() for v, m in zip(values.reshape(6, 5), mask.reshape(6, 5), strict=True) if m.any()]
    assert_close(jm.losses.absolute_error(x, 0 * values, reduction="sequences"), np.mean(sentences))
    one = jm.losses.absolute_error(x[0, 1], jnp.zeros(5), reduction="sequences")
    assert_close(one, np.abs(values[0, 1][mask[0, 1]]).mean())
    rows = jm.masked(x.values, mask.any(-1))  # rows of lower rank cover what is behind them
    assert_close(jm.losses.absolute_error(rows, x * 0), np.abs(values[mask]).mean())
    rank_0 = jax.vmap(lambda v, m: jm.losses.absolute_error(jm.masked(v, m), 0 * v, divide=False))
    found = rank_0(x.values.ravel(), x.mask.ravel())
    assert_close(found.total.sum(), np.abs(values[mask]).sum())


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_the_dtype_is_that_of_the_predictions_and_sums_are_wide(dtype):
    x = jm.from_lengths(jnp.full((3, 4000), 7, dtype), [4000, 4000, 100])  # whose squares sum up to 396900
    targets = jnp.zeros((3, 4000), "float32")
    assert jm.losses.squared_error(x, targets).dtype == dtype
    assert float(jm.losses.squared_error(x, targets)) == 49.0
    mean = jm.losses.squared_error(x, targets, divide=False)
    assert (mean.total.dtype, float(mean.total), float(mean.count)) == ("float32", 396900.0, 8100.0)


@pytest.mark.slow
def test_without_real_steps_the_loss_is_0_and_so_are_its_gradients(rng):
    predictions, targets = rows_of(rng, "squared_error")
    empty = padded(predictions).with_mask(np.zeros((8, 7), bool))
    for name, function in vars(jm.losses).items():
        if name != "masked_loss" and name.endswith(("_loss", "_error", "entropy", "cosh", "distance", "divergence")):
            labels = padded([row[..., 0].astype(int) for row in targets] if name == "ctc_loss" else targets)
            labels = labels.with_mask(empty.mask)
            for reduction in ("sequences", "weights", "sum", "steps")[: 3 if name == "ctc_loss" else 4]:
                run = jax.jit(functools.partial(function, reduction=reduction))  # eagerly, nothing is reported
                value, gradient = jax.value_and_grad(run, allow_int=True)(empty, labels)
                assert float(value) == 0
                assert not np.asarray(gradient.values).any()


@pytest.mark.slow
def test_classes_that_are_ruled_out_cost_nothing():
    logits = jnp.array([[[0.0, 0.0, -jnp.inf]]])
    one_hot, ids = jnp.array([[[1.0, 0.0, 0.0]]]), jnp.array([[0]])
    for name, targets in (("softmax_cross_entropy", one_hot), ("softmax_cross_entropy_with_integer_labels", ids)):
        value, gradient = jax.value_and_grad(getattr(jm.losses, name))(logits, targets)
        assert_close(value, np.log(2))
        assert_close(gradient, [[[-0.5, 0.5, 0.0]]])


@pytest.mark.slow
def test_vectors_of_zeros_have_no_direction():
    x, y = jnp.array([[[0.0, 0.0], [1e-30, 0.0], [3.0, 0.0]]]), jnp.array([[[1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]])
    value, gradients = jax.value_and_grad(jm.losses.cosine_distance, (0, 1))(x, y)
    assert float(value) == 1.0
    assert not np.asarray(gradients).any()


# CTC


@pytest.mark.parametrize("dtype", [pytest.param("float16", marks=pytest.mark.slow), "float32"])
def test_ctc_with_labels_that_do_not_fit_is_infinite_or_0_and_passes_no_gradient(dtype, rng):
    rows, labels = [rng.normal(size=(n, 3)).astype(dtype) for n in (2, 6, 2)], padded([[1, 2, 1], [1, 2], [2, 2]])
    logits = padded(rows)
    each = functools.partial(jm.losses.ctc_loss, reduction=None)
    alone = [float(each(rows[1], np.array([1, 2])))]
    assert each(logits, labels).values.tolist() == [np.inf, *alone, np.inf]
    assert each(logits, labels, zero_infinity=True).values.tolist() == [0.0, *alone, 0.0]
    assert float(jm.losses.ctc_loss(logits, labels)) == np.inf
    gradient = jax.grad(lambda x, y: jm.losses.ctc_loss(x, y, reduction="sum"), allow_int=True)(logits, labels).values
    expected = jax.grad(lambda x: jm.losses.ctc_loss(x, np.array([1, 2])))(rows[1])
    assert_close(gradient[1], expected)
    assert not np.asarray(gradient)[[0, 2]].any()
    total, found = jax.value_and_grad(jm.losses.ctc_loss, allow_int=True)(logits, labels, zero_infinity=True)
    assert_close(total, np.array(alone[0] / 3, dtype))  # the sequence still counts
    assert_close(found.values[1], expected / 3)


@pytest.mark.slow
def test_ctc_of_classes_that_are_ruled_out_and_of_no_numbers():
    logits, labels = jnp.array([[[0.0, 0.0, -jnp.inf]] * 3]), jnp.array([[2]])
    value, gradient = jax.value_and_grad(jm.losses.ctc_loss)(logits, labels)
    assert (float(value), float(jm.losses.ctc_loss(logits, labels, zero_infinity=True))) == (np.inf, 0.0)
    assert not np.asarray(gradient).any()
    value, gradient = jax.value_and_grad(jm.losses.ctc_loss)(logits, jnp.array([[1]]))
    assert_close(value, -np.log(6 / 8))  # all but "- - -" and "1 - 1"
    assert np.isfinite(gradient).all()
    assert np.isnan(jm.losses.ctc_loss(logits.at[0, 1].set(jnp.nan), jnp.array([[1]]), zero_infinity=True))


@pytest.mark.slow
def test_ctc_of_any_rank_and_size(rng):
    rows, labels = rows_of(rng, "squared_error", (3, 0, 7, 1))[0], padded([[1, 2], [], [3, 3, 1], []])
    logits = padded(rows)
    expected = jm.losses.ctc_loss(logits, labels, reduction=None)
    documents = [jax.tree.map(lambda leaf: leaf.reshape(2, 2, *leaf.shape[1:]), x) for x in (logits, labels)]
    assert_close(jm.losses.ctc_loss(*documents, reduction=None).values.ravel(), expected.values)
    assert_close(jm.losses.ctc_loss(logits[2], labels[2]), expected.values[2])
    assert_close(jm.losses.ctc_loss(logits[3], labels[3]), -jax.nn.log_softmax(rows[3])[0, 0])  # nothing but a blank
    assert_close(jax.jit(jm.losses.ctc_loss)(logits[:, :0], labels), 0.0)
    weights = jnp.array([1.0, 5.0, 0.5, 0.0])
    total = float((expected.fill(0) * weights).sum())
    for reduction, count in (("sequences", 3), ("weights", 1.5), ("sum", 1)):
        found = jm.losses.ctc_loss(logits, labels, sample_weight=weights, reduction=reduction)
        assert_close(found, total / count)
    mean = jm.losses.ctc_loss(logits, labels, sample_weight=jm.masked(weights, weights > 0.7), divide=False)
    assert (float(mean.total), float(mean.count)) == (pytest.approx(float(expected.values[0])), 1)
    unmasked = jm.losses.ctc_loss(logits.fill(0), labels.fill(1), reduction=None)
    assert isinstance(unmasked, jax.Array)
    assert_close(jm.losses.ctc_loss(logits, labels, mask=logits.mask), expected.fill(0).sum() / 3)


# Packed rows


@pytest.mark.slow
def test_packed_rows_count_each_of_their_sequences(rng):
    packs, batch = packed_rows(rng)
    for reduction in ("steps", "sequences", "sum"):
        assert_close(
            jm.losses.squared_error(*packs, reduction=reduction), jm.losses.squared_error(*batch, reduction=reduction)
        )
    mean = jm.losses.squared_error(*packs, reduction="sequences", divide=False)
    assert float(mean.count) == sum(n > 0 for n in LENGTHS)
    each = jm.losses.squared_error(*packs, reduction=None)
    assert np.array_equal(each.segment_ids, packs[0].segment_ids)


@pytest.mark.slow
def test_sequences_of_packed_rows_with_holes_and_ids_that_come_again():
    ids = [[4, 4, 0, 4, 2, 4], [1, 0, 0, 0, 0, 1], [0] * 6]  # 4 4 4, 2, 4; 1 1; none
    values = jnp.array([[1.0, 2.0, jnp.nan, 6.0, 5.0, 7.0], [1.0, *[jnp.nan] * 4, 5.0], [jnp.nan] * 6])
    x = jm.from_segment_ids(values, ids)
    found, gradient = jax.value_and_grad(jm.losses.absolute_error, allow_int=True)(
        x, jnp.zeros((3, 6)), reduction="sequences"
    )
    assert_close(found, (3 + 5 + 7 + 3) / 4)
    assert_close(gradient.values, np.array([[1 / 3, 1 / 3, 0, 1 / 3, 1, 1], [0.5, 0, 0, 0, 0, 0.5], [0] * 6]) / 4)


def test_targets_of_other_sequences_do_not_count():
    x = jm.from_segment_ids(jnp.ones((1, 4)), [[1, 1, 2, 2]])
    y = jm.from_segment_ids(jnp.zeros((1, 4)), [[1, 2, 2, 2]])
    with pytest.warns(jm.NotCountedWarning, match=r"here are 1\..*`targets.with_segment_ids\(targets.segment_ids \* "):
        found = jm.losses.absolute_error(x, y, reduction=None)
    assert found.mask.tolist() == [[True, False, True, True]]
    with jm.strict():  # the remedy
        same = jm.losses.absolute_error(
            x, y.with_segment_ids(y.segment_ids * (y.segment_ids == x.segment_ids)), reduction=None
        )
    assert_close(same.fill(0), found.fill(0))


# Devices


def data_of_devices(rng):
    lengths = rng.integers(0, 8, 16)
    lengths[:4] = 0  # the first two devices have no real step
    predictions, targets = (jnp.asarray(rng.normal(size=(16, 7, 3)).astype(np.float32)) for _ in range(2))
    return jnp.asarray(rng.normal(size=(3, 3)).astype(np.float32)), jm.from_lengths(predictions, lengths), targets


@DIVIDED
def test_devices_merge_by_psum(reduction, rng):
    kernel, x, y = data_of_devices(rng)
    weights = jnp.asarray(rng.random((16, 7)).astype(np.float32))

    def mean(kernel, x, y, weights):
        return jm.losses.squared_error(x @ kernel, y, sample_weight=weights, reduction=reduction, divide=False)

    def over_devices(*args):
        return mean(*args).psum("batch").value

    expected = jax.value_and_grad(lambda *args: mean(*args).value)(kernel, x, y, weights)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    specs = {"in_specs": (P(), P("batch"), P("batch"), P("batch")), "out_specs": P()}
    outside = jax.value_and_grad(jax.shard_map(over_devices, mesh=mesh, **specs))
    inside = jax.shard_map(jax.value_and_grad(over_devices), mesh=mesh, **specs)
    for program in (outside, inside):
        jax.tree.map(assert_close, jax.jit(program)(kernel, x, y, weights), expected)
    rows = jax.tree.map(lambda leaf: leaf.reshape(8, 2, *leaf.shape[1:]), (x, y, weights))
    by_vmap = jax.vmap(over_devices, in_axes=(None, 0, 0, 0), axis_name="batch")(kernel, *rows)
    assert_close(by_vmap, np.full(8, expected[0]))


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit], ids=str)
@DIVIDED
def test_sharded_arrays_need_nothing(reduction, kind, rng):
    kernel, x, y = data_of_devices(rng)

    def loss(kernel, x, y):
        return jm.losses.squared_error(x @ kernel, y, reduction=reduction)

    expected = jax.value_and_grad(loss)(kernel, x, y)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(kind,))
    with jax.set_mesh(mesh):
        sharded = jax.device_put((x, y), NamedSharding(mesh, P("batch")))
        found = jax.jit(jax.value_and_grad(loss))(jax.device_put(kernel, NamedSharding(mesh, P())), *sharded)
    jax.tree.map(assert_close, found, expected)


# The wrapper and the sums


def test_a_function_of_one_argument_is_no_loss():
    with pytest.raises(TypeError, match="`norm` must take predictions and targets"):

        @jm.losses.masked_loss
        def norm(predictions):
            return predictions


@pytest.mark.slow
def test_any_loss_of_steps_can_be_wrapped(rng):
    x, y = (padded(rows) for rows in rows_of(rng, "squared_error"))
    y = y.with_values(y.values / 2)
    focal = jm.losses.masked_loss(optax.sigmoid_focal_loss)
    real = np.asarray(x.mask)
    expected = optax.sigmoid_focal_loss(x.values[real], y.values[real], gamma=1.5).mean()
    assert_close(focal(x, y, gamma=1.5), expected)
    assert focal.__name__ == "sigmoid_focal_loss"
    partial = jm.losses.masked_loss(functools.partial(optax.huber_loss, delta=0.5))
    assert_close(partial(x, y), jm.losses.huber_loss(x, y, delta=0.5))
    mixture = jm.losses.masked_loss(lambda means, y: jnp.square(means - y[..., :1]).min(-1))  # targets of another size
    assert mixture(x, y[..., :2]).shape == ()
    takes_any = jm.losses.masked_loss(lambda x, y, **options: options["scale"] * (x - y) ** 2)
    assert_close(takes_any(x, y, scale=2.0), 2 * jm.losses.squared_error(x, y))


def test_signatures_name_every_option():
    assert [*inspect.signature(jm.losses.huber_loss).parameters] == [
        *("predictions", "targets", "sample_weight", "mask", "reduction", "divide", "delta")
    ]
    plain = inspect.signature(jm.losses.masked_loss(lambda x, y, **options: x))
    assert [*plain.parameters][-1] == "options"
    assert pickle.loads(pickle.dumps(jm.losses.huber_loss)) is jm.losses.huber_loss


def test_means_add_up_in_a_scan_and_in_a_sum():
    def step(mean, x):
        return mean + jm.losses.absolute_error(x, 0 * x.values, divide=False), None

    x = jm.from_lengths(jnp.arange(12.0).reshape(3, 1, 4), jnp.array([[4], [0], [1]]))
    batches = jm.Masked(x.values, x.mask)
    mean, _ = jax.lax.scan(step, jm.losses.Mean(jnp.zeros(()), jnp.zeros(())), batches)
    assert (float(mean.total), float(mean.count)) == (14.0, 5.0)
    assert float(sum([mean, mean]).count) == 10.0
    for zero in (0, 0.0, np.float32(0), np.int64(0)):
        assert zero + mean is mean
        assert mean + zero is mean
    total = 0
    for _ in range(2):
        total += mean
    assert (float(total.total), float(total.count)) == (28.0, 10.0)
    for other in (1, True, None, jm.metrics.root_mean_squared_error(jnp.ones((1, 2)), jnp.ones((1, 2)))):
        with pytest.raises(TypeError, match=f"of one kind, or with 0; received Mean and {type(other).__name__}"):
            mean + other
    with pytest.raises(TypeError, match="received Mean and int"):
        1 + mean


# What is refused

ARRAYS = jnp.zeros((2, 3)), jnp.zeros((2, 3))
IDS = jnp.zeros((2, 3), int)
STEPS = jm.from_lengths(jnp.zeros((2, 3)), [1, 2])
PACKED = jm.from_segment_ids(jnp.zeros((2, 3)), jnp.ones((2, 3), int))
CE, CTC = jm.losses.softmax_cross_entropy_with_integer_labels, jm.losses.ctc_loss
REFUSED = {
    "another reduction": (
        lambda: jm.losses.log_cosh(*ARRAYS, reduction="mean"),
        "must be 'steps', 'sequences', .*'mean'",
    ),
    "no division": (lambda: jm.losses.log_cosh(*ARRAYS, reduction=None, divide=False), "`reduction=None` has none"),
    "an unknown option": (
        lambda: jm.losses.huber_loss(*ARRAYS, dleta=2),
        "no option `dleta`; it has .*`divide`, `delta`",
    ),
    "integers": (lambda: jm.losses.hinge_loss(IDS, IDS), "`hinge_loss` works on floats"),
    "one more axis": (
        lambda: jm.losses.log_cosh(ARRAYS[0][..., None], ARRAYS[1]),
        r"need one shape; .*`predictions\[...",
    ),
    "other steps": (lambda: jm.losses.log_cosh(STEPS, jnp.zeros((2, 4))), r"\(2, 3\), \(2, 4\) and masks \(2, 3\)"),
    "fewer axes": (lambda: jm.losses.log_cosh(STEPS, jnp.zeros(2)), "at the same steps"),
    "other masks": (
        lambda: jm.losses.log_cosh(STEPS, STEPS, sample_weight=jm.masked(jnp.ones(3), jnp.ones(3, bool))),
        r"at the same steps; .* and masks \(2, 3\), \(2, 3\), \(3,\)",
    ),
    "weights of another shape": (
        lambda: jm.losses.log_cosh(*ARRAYS, sample_weight=jnp.ones(3)),
        r"shape of the steps, \(2, 3\), .*\(2,\) weighs whole sequences; received \(3,\)",
    ),
    "what broadcasts": (
        lambda: jm.losses.masked_loss(optax.huber_loss)(jnp.zeros((3, 3, 1)), jnp.zeros((3, 3))),
        r"`huber_loss` must give one number for each step.* it gave \(3, 3, 3\)",
    ),
    "one number for all": (
        lambda: jm.losses.masked_loss(lambda x, y: jnp.mean(x))(STEPS, STEPS),
        r"under a mask \(2, 3\) it gave \(\)",
    ),
    "labels of floats": (lambda: CE(jnp.zeros((2, 3, 4)), ARRAYS[0]), "takes ids of classes, integers; .*float32"),
    "labels of another shape": (lambda: CE(jnp.zeros((2, 3, 4)), IDS[:, :2]), r"received \(2, 3, 4\) and \(2, 2\)"),
    "smoothing": (
        lambda: CE(jnp.zeros((2, 3, 4)), IDS, label_smoothing=1.5),
        "must be a part of .* from 0 to 1; received 1.5",
    ),
    "delta": (lambda: jm.losses.huber_loss(*ARRAYS, delta=0.0), "`delta` must be a number above 0; received 0.0"),
    "a mask of another shape": (lambda: jm.losses.log_cosh(*ARRAYS, mask=jnp.ones((3, 3), bool)), "must be a prefix"),
    "a mask of integers": (lambda: jm.losses.log_cosh(*ARRAYS, mask=IDS), "A mask must be bool"),
    "packed under another mask": (lambda: jm.losses.log_cosh(PACKED, ARRAYS[0], mask=STEPS.mask), "with_segment_ids"),
    "one step alone": (
        lambda: jm.losses.log_cosh(jm.masked(1.0, jnp.array(True)), jnp.array(0.0), reduction="sequences"),
        "needs a time axis",
    ),
    "ctc over steps": (lambda: CTC(jnp.zeros((2, 3, 4)), IDS, reduction="steps"), "must be 'sequences', 'weights'"),
    "ctc of integers": (lambda: CTC(jnp.zeros((2, 3, 4), int), IDS), "`ctc_loss` works on floats"),
    "ctc to floats": (lambda: CTC(jnp.zeros((2, 3, 4)), ARRAYS[0]), "ids of classes, integers; received dtype float32"),
    "ctc of other batches": (lambda: CTC(jnp.zeros((2, 3, 4)), IDS[:1]), r"received \(2, 3, 4\) and \(1, 3\)"),
    "ctc with masks of rows": (
        lambda: CTC(jm.masked(jnp.zeros((2, 3, 4)), jnp.ones(2, bool)), IDS),
        r"masks of ranks \[1\]",
    ),
    "ctc of packed rows": (lambda: CTC(PACKED[..., None] * jnp.ones(4), IDS), "`ctc_loss` gives one result"),
}


@pytest.mark.parametrize("call", REFUSED)
def test_refused(call):
    function, message = REFUSED[call]
    with pytest.raises((TypeError, ValueError), match=message):
        function()
