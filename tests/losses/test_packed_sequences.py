"""Losses and metrics of whole sequences on packed rows, against a row for each sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.packed import IDS, NUMBER, packed_rows, some_slow

LABELS = [[1], [2], [], [3, 3], [], [4, 1], [2], [3], []]
WEIGHT = np.linspace(0.5, 2, NUMBER).astype(np.float32)


def rows(x):
    return jm.unpack_batch(x, NUMBER, IDS.shape[1])


def crf(x, y, **options):
    rng = np.random.default_rng(0)
    shapes = {"transitions": (5, 5), "start_transitions": (5,), "end_transitions": (5,)}
    params = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return jm.losses.crf_negative_log_likelihood(params, x, y, **options)


def ctc(x, y, **options):
    return jm.losses.ctc_loss(x, y, zero_infinity=True, **options)


LOSSES = {
    "ctc": (ctc, lambda rng: jm.pad_sequences(LABELS), lambda y: y),
    "ctc of packed labels": (ctc, lambda rng: jm.pack(LABELS), lambda y: jm.unpack_batch(y, NUMBER, 2)),
    "crf": (crf, lambda rng: packed_rows(rng, dtype=np.int32), rows),
    "steps": (
        jm.losses.softmax_cross_entropy_with_integer_labels,
        lambda rng: packed_rows(rng, dtype=np.int32),
        rows,
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", some_slow(LOSSES, ("ctc", "crf", "steps")))
def test_losses(rng, name):
    loss, make, as_rows = LOSSES[name]
    x, y = packed_rows(rng, 5), make(rng)

    def run(values, x, y, as_rows=lambda x: x, of_y=lambda y: y):
        x, y = as_rows(x.with_values(values)), of_y(y)
        reductions = ["sequences", "weights", "sum", *(["steps"] if name in ("crf", "steps") else [])]
        found = [loss(x, y, reduction=r, sample_weight=WEIGHT) for r in reductions]
        found.append(loss(x, y, sample_weight=jm.masked(WEIGHT, WEIGHT > 0.7), reduction="weights"))
        found.append(loss(x, y, sample_weight=WEIGHT > 0.7))
        each = None if name == "steps" else loss(x, y, reduction=None, sample_weight=WEIGHT)
        return jnp.stack(found).sum(), (jnp.stack(found), each)

    grad = jax.jit(jax.value_and_grad(run, has_aux=True), static_argnums=(3, 4))
    (_, (found, each)), gradient = grad(x.values, x, y)
    (_, (expected, each_expected)), expected_gradient = grad(x.values, x, y, rows, as_rows)
    assert_close(found, expected)
    assert_close(gradient, expected_gradient)
    assert not np.asarray(gradient)[IDS == 0].any()
    if each is not None:
        assert each.mask.tolist() == np.isin(np.arange(1, NUMBER + 1), IDS).tolist()
        assert_close(each.fill(0), each_expected.fill(0))


@pytest.mark.slow
def test_one_sequence_of_ctc_is_that_of_the_sequence_alone(rng):
    x = packed_rows(rng, 5)
    each = ctc(x, jm.pad_sequences(LABELS), reduction=None)
    for k in (3, 5):
        alone = jm.unpack(x, num_sequences=NUMBER)[k][None]
        assert_close(each.values[k], ctc(jnp.asarray(alone), jnp.array([LABELS[k]])))


METRICS = ("edit_distance", "word_error_rate", "exact_match")


@pytest.mark.slow
@pytest.mark.parametrize("name", some_slow(METRICS, ("edit_distance",)))
def test_metrics(rng, name):
    metric = getattr(jm.metrics, name)
    x = packed_rows(rng, dtype=np.int32)
    y = x.map(lambda x: jnp.where(jnp.arange(8) % 3 == 1, 2, x))
    expected = metric(rows(x), rows(y), sample_weight=WEIGHT)
    for pair in ((x, y), (x, rows(y)), (rows(x), y), (x, y.values) if name == "exact_match" else (x, y)):
        found = jax.jit(lambda x, y: metric(x, y, sample_weight=WEIGHT))(*pair)
        assert_close(found.total, expected.total)
        assert_close(found.count, expected.count)


def test_weights_of_sequences_in_metrics(rng):
    x, y = packed_rows(rng, 5), packed_rows(rng, dtype=np.int32)
    found = jm.metrics.accuracy(x, y, sample_weight=WEIGHT)
    expected = jm.metrics.accuracy(rows(x), rows(y), sample_weight=WEIGHT)
    assert_close(found.value, expected.value)


def test_errors(rng):
    x, y = packed_rows(rng, 5), packed_rows(rng, dtype=np.int32)
    unknown = x.with_segment_ids(x.segment_ids)
    with pytest.raises(ValueError, match="`ctc_loss` gives one result for each sequence of packed rows, and it is not"):
        ctc(unknown, jm.pad_sequences(LABELS))
    with pytest.raises(ValueError, match=r"packed as well or have a row for each sequence, \(9, labels\); received"):
        ctc(x, jm.pad_sequences(LABELS[:4]))
    with pytest.raises(ValueError, match="`edit_distance` gives one result for each sequence of packed rows"):
        jm.metrics.edit_distance(y.with_segment_ids(IDS), y.with_segment_ids(IDS))
    with pytest.raises(ValueError, match="`reduction=None` gives one loss for each sequence, and it is not known how"):
        crf(unknown, y.with_segment_ids(IDS), reduction=None)
    with pytest.warns(jm.NotCountedWarning, match="labels without a single step to stand at.* sequences: 1"):
        ctc(x, jm.pad_sequences([*LABELS[:4], [1], *LABELS[5:]]))
