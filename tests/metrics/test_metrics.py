"""Metrics over epochs, devices and every average; how exact the streaming ones are, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType
from jax.sharding import PartitionSpec as P

import jmask as jm
from jmask.testing import assert_close
from tests.support import loss_oracles as oracles

LENGTHS = (3, 0, 7, 1, 5, 2, 7)
CLASSES = 4
# Each with what its predictions and targets are, and its options.
METRICS = {
    "accuracy": ("scores", {}),
    "auc": ("decisions", {"from_logits": True}),
    "confusion_matrix": ("scores", {}),
    "f1_score": ("scores", {"average": "weighted"}),
    "mean_absolute_error": ("decisions", {}),
    "mean_squared_error": ("decisions", {}),
    "perplexity": ("scores", {}),
    "precision": ("ids", {"average": "macro", "num_classes": CLASSES}),
    "r2_score": ("decisions", {"center": 0.5}),
    "recall": ("scores", {"average": None}),
    "root_mean_squared_error": ("decisions", {}),
    "top_k_accuracy": ("scores", {"k": 2}),
}
EVERY_METRIC = pytest.mark.parametrize("name", METRICS)


def draw(rng, kind, lengths=LENGTHS):
    """Predictions and targets of each sequence, without padding."""
    ids = [[rng.integers(0, CLASSES, n).astype(np.int32) for n in lengths] for _ in range(2)]
    if kind == "ids":
        return ids
    if kind == "scores":
        return [rng.normal(size=(n, CLASSES)).astype(np.float32) for n in lengths], ids[1]
    return [rng.normal(size=n).astype(np.float32) for n in lengths], [row % 2 for row in ids[1]]


def padded(rows, **options):
    """A batch with garbage in the padding."""
    x = jm.pad_sequences(rows, **options)
    garbage = np.nan if np.issubdtype(x.dtype, np.floating) else -7
    return jm.Masked(jnp.asarray(x.fill(garbage)), jnp.asarray(x.mask))


# Epochs and devices


@pytest.mark.slow
@EVERY_METRIC
def test_an_epoch_does_not_depend_on_its_batches(name, rng):
    kind, options = METRICS[name]
    metric, (predictions, targets) = getattr(jm.metrics, name), draw(rng, kind)
    weights = rng.random(len(LENGTHS)).astype(np.float32)
    expected = metric(np.concatenate(predictions), np.concatenate(targets), **options).value
    weighted = metric(
        np.concatenate(predictions),
        np.concatenate(targets),
        sample_weight=np.repeat(weights, LENGTHS),
        **options,
    ).value
    for size, padding in ((1, {}), (3, {"padding": "pre", "maxlen": 9}), (7, {"maxlen": 11})):
        parts = [slice(i, i + size) for i in range(0, len(LENGTHS), size)]
        batches = [(padded(predictions[s], **padding), padded(targets[s], **padding)) for s in parts]
        assert_close(sum(metric(*batch, **options) for batch in batches).value, expected)
        found = [metric(*batch, sample_weight=weights[s], **options) for batch, s in zip(batches, parts, strict=True)]
        assert_close(sum(found).value, weighted)
        assert_close(sum(jax.tree.map(np.float64, sums) for sums in found).value, weighted)


def test_devices_merge_by_psum(rng):
    drawn = {kind: draw(rng, kind, rng.integers(0, 8, 16)) for kind in ("scores", "ids", "decisions")}
    by_kind = {kind: tuple(padded(rows, maxlen=7) for rows in pair) for kind, pair in drawn.items()}

    def all_metrics(data):
        return {name: getattr(jm.metrics, name)(*data[kind], **options) for name, (kind, options) in METRICS.items()}

    mesh = jax.make_mesh((8,), ("batch",), axis_types=(AxisType.Auto,))
    merged = jax.shard_map(
        lambda data: {name: sums.psum("batch") for name, sums in all_metrics(data).items()},
        mesh=mesh,
        in_specs=P("batch"),
        out_specs=P(),
    )
    found, expected = jax.jit(merged)(by_kind), jax.jit(all_metrics)(by_kind)
    for name in METRICS:
        assert_close(found[name].value, expected[name].value)


# Precision, recall and F1


@pytest.mark.parametrize("average", ["micro", "macro", "weighted", None])
@pytest.mark.parametrize("score", ["precision", "recall", "f1_score"])
def test_every_average(score, average, rng):
    predictions, targets = draw(rng, "ids")
    counts = oracles.confusion(np.concatenate(predictions), np.concatenate(targets), CLASSES + 2)  # two are never seen
    found = getattr(jm.metrics, score)(padded(predictions), padded(targets), average=average, num_classes=CLASSES + 2)
    assert_close(found.value, oracles.averaged(counts, score, average))


@pytest.mark.parametrize("score", ["precision", "recall", "f1_score"])
def test_labels_choose_the_classes(score, rng):
    """Such as all tags but the one outside of entities."""
    predictions, targets = draw(rng, "ids")
    counts = oracles.confusion(np.concatenate(predictions), np.concatenate(targets), CLASSES)
    order = [3, 1]
    scores, hits = oracles.class_scores(counts, score)[order], counts.diagonal()[order].sum()
    predicted, actual = counts.sum(axis=0)[order], counts.sum(axis=1)[order]
    among = {"precision": predicted.sum(), "recall": actual.sum(), "f1_score": (predicted.sum() + actual.sum()) / 2}
    expected = {
        None: scores,
        "macro": scores.mean(),
        "weighted": (scores * actual).sum() / actual.sum(),
        "micro": hits / among[score],
    }
    for average, value in expected.items():
        options = {"average": average, "num_classes": CLASSES, "labels": order}
        assert_close(getattr(jm.metrics, score)(padded(predictions), padded(targets), **options).value, value)


@pytest.mark.parametrize("score", ["precision", "recall", "f1_score"])
def test_scores_of_decisions(score, rng):
    predictions, targets = (np.concatenate(rows) for rows in draw(rng, "decisions"))
    metric = getattr(jm.metrics, score)
    expected = oracles.averaged(oracles.confusion((predictions > 0).astype(int), targets, 2), score, "binary")
    logits = metric(predictions, targets, from_logits=True).value
    for same in (
        logits,
        metric(predictions, targets.astype(np.float32), threshold=0.0).value,
        metric(predictions > 0, targets > 0).value,
        metric((predictions > 0).astype(np.int32), targets).value,
        metric(np.stack([0 * predictions, predictions], -1), targets).value,
        metric((predictions > 0).astype(np.int32), targets, average=None, num_classes=2).value[1],
    ):
        assert_close(same, expected)


def test_several_decisions_at_each_step(rng):
    scores, true = rng.random((3, 5, 2)).astype(np.float32), rng.integers(0, 2, (3, 5, 2))
    x = jm.from_lengths(jnp.asarray(scores), [5, 0, 2])
    real = np.asarray(x.mask)
    assert_close(jm.metrics.accuracy(x, true).value, ((scores > 0.5) == true)[real].mean())
    counts = oracles.confusion((scores > 0.5)[real].astype(int), true[real], 2)
    assert_close(jm.metrics.confusion_matrix(x, true).value, counts)
    assert_close(jm.metrics.recall(x, true).value, oracles.averaged(counts, "recall", "binary"))


def test_what_was_never_seen_scores_0():
    for score in (jm.metrics.precision, jm.metrics.recall, jm.metrics.f1_score):
        for average in ("binary", "macro", "micro", "weighted"):
            found = score(jnp.zeros((2, 0), int), jnp.zeros((2, 0), int), average=average, num_classes=2)
            assert float(jax.jit(lambda sums: sums.value)(found)) == 0
            assert np.isnan(found.value_or(np.nan))
            with pytest.warns(jm.NotCountedWarning, match="nothing was counted"):
                assert float(found.value) == 0


def test_scores_that_are_not_numbers_are_never_among_the_best():
    scores = jnp.array([[[jnp.nan, 0.0, 1.0], [2.0, 1.0, 1.0]]])
    for k, right in ((1, 0), (2, 1), (3, 1)):
        assert float(jm.metrics.top_k_accuracy(scores, jnp.array([[0, 2]]), k=k).total) == right


# Streaming


@pytest.mark.parametrize("num_thresholds", [2, 3, 11, 200])
def test_the_area_is_as_far_off_as_it_says(num_thresholds, rng):
    scores, true = rng.random(500).astype(np.float32), rng.random(500) < 0.3
    scores = np.where(true, scores**0.5, scores)
    found = jm.metrics.auc(scores, true, num_thresholds=num_thresholds)
    exact = oracles.exact_area(scores, true)
    assert abs(float(found.value) - exact) <= float(found.error) + 1e-6
    thresholds = np.concatenate([[-1e-7], np.arange(1, num_thresholds - 1) / (num_thresholds - 1), [1 + 1e-7]])
    assert_close(found.value, oracles.roc_area(scores, true, thresholds))
    assert float(found.error) < 0.6 / (num_thresholds - 1)


def test_scores_outside_of_the_unit_interval_count_at_its_ends():
    assert float(jm.metrics.auc(jnp.array([-3.0, 7.0]), jnp.array([0, 1])).value) == 1.0
    nothing_to_compare_with = jm.metrics.auc(jnp.array([0.2, 0.7]), jnp.array([1, 1]))
    assert bool(nothing_to_compare_with.is_empty)
    with pytest.warns(jm.NotCountedWarning, match="`AUCSums.value`: nothing was counted that a value"):
        assert float(nothing_to_compare_with.value) == 0.0


def test_a_centre_saves_the_digits_of_r2(rng):
    targets = rng.normal(size=(7, 50)) + 1e4
    predictions = targets + 0.5 * rng.normal(size=targets.shape)
    x, y = (jnp.asarray(v.astype(np.float32)) for v in (predictions, targets))
    expected = oracles.r2(*(np.asarray(v, float).ravel() for v in (x, y)))
    found = float(jm.metrics.r2_score(x, y, center=1e4).value)
    assert abs(found - expected) < 1e-4
    assert abs(float(jm.metrics.r2_score(x, y).value) - expected) > 1e-2


def test_r2_of_outputs_and_of_targets_that_are_all_equal():
    targets = jnp.array([[1.0, 5.0], [2.0, 5.0], [3.0, 5.0]])[None]
    found = jm.metrics.r2_score(targets, targets)
    assert found.of_outputs.tolist() == [1.0, 0.0]
    assert float(found.value) == 0.5


def test_roots_and_exponentials_of_nothing():
    none = jm.from_lengths(jnp.full((2, 3, 4), jnp.nan), [0, 0])
    found = (
        (jm.metrics.root_mean_squared_error(none, none), 0.0),
        (jm.metrics.perplexity(none, jnp.zeros((2, 3), int)), 1.0),
        (jm.metrics.r2_score(none, none), 0.0),
        (jm.metrics.mean(none), 0.0),
    )
    for sums, value in found:
        assert float(sums.value_or(-1.0)) == -1.0
        with pytest.warns(jm.NotCountedWarning, match="is any step real"):
            assert float(sums.value) == value
        with jm.strict(), pytest.raises(jm.NotCountedError, match=f"`{type(sums).__name__}.value`"):
            sums.value  # noqa: B018 - a property that raises
    assert not jm.metrics.confusion_matrix(none, jnp.zeros((2, 3), int)).value.any()


def test_packed_rows_count_like_others(rng):
    predictions, targets = draw(rng, "scores")
    packed = jm.pack(predictions, row_length=9), jm.pack(targets, row_length=9)
    expected = jm.metrics.accuracy(padded(predictions), padded(targets))
    found = jm.metrics.accuracy(*packed)
    assert (float(found.total), float(found.count)) == (float(expected.total), float(expected.count))


def test_a_mask_can_be_given_or_removed():
    found, true = jm.from_lengths(jnp.array([[1, 2, 3]]), [1]), jnp.array([[1, 0, 3]])
    assert float(jm.metrics.accuracy(found, true).value) == 1.0
    assert float(jm.metrics.accuracy(found, true, mask=jm.NO_MASK).count) == 3.0
    assert float(jm.metrics.accuracy(found, true, mask=jnp.array([[False, True, False]])).value) == 0.0


# What is refused

SCORES, IDS = jnp.zeros((2, 3, 4)), jnp.zeros((2, 3), int)
REFUSED = {
    "targets of floats": (lambda: jm.metrics.accuracy(SCORES, IDS * 1.0), "`accuracy` takes ids of classes"),
    "ids against floats": (lambda: jm.metrics.accuracy(IDS, IDS * 1.0), "`accuracy` takes ids of classes"),
    "ids of another shape": (lambda: jm.metrics.accuracy(IDS, IDS[:, :1]), r"need one shape; received \(2, 3\)"),
    "scores of another shape": (lambda: jm.metrics.accuracy(SCORES, IDS[:, :1]), r"received \(2, 3, 4\) and \(2, 1\)"),
    "a decision too many": (lambda: jm.metrics.accuracy(IDS[..., None] * 1.0, SCORES), "need one shape"),
    "k": (lambda: jm.metrics.top_k_accuracy(SCORES, IDS, k=0), "`k` must be at least 1; received 0"),
    "ids for scores": (lambda: jm.metrics.top_k_accuracy(IDS, IDS), "`top_k_accuracy` works on floats"),
    "thresholds": (lambda: jm.metrics.auc(SCORES, SCORES, num_thresholds=1), "must be at least 2; received 1"),
    "the area of ids": (lambda: jm.metrics.auc(IDS, IDS), "`auc` works on floats"),
    "r2 of ids": (lambda: jm.metrics.r2_score(IDS, IDS), "`r2_score` works on floats"),
    "r2 of another shape": (lambda: jm.metrics.r2_score(SCORES, SCORES[..., :1]), "need one shape"),
    "r2 around two centres": (
        lambda: jm.metrics.r2_score(SCORES, SCORES, center=1.0) + jm.metrics.r2_score(SCORES, SCORES),
        "made with the same options",
    ),
    "two averages": (
        lambda: sum(jm.metrics.recall(SCORES, IDS, average=average) for average in ("macro", "micro")),
        "made with the same options",
    ),
    "an unknown average": (
        lambda: jm.metrics.recall(SCORES, IDS, average="mean"),
        "must be 'binary', 'micro', .*'mean'",
    ),
    "more than two classes": (lambda: jm.metrics.recall(SCORES, IDS), "is the score of class 1 of two; here are 4"),
    "how many classes": (lambda: jm.metrics.recall(IDS, IDS, average="macro"), "pass `num_classes`"),
    "labels of two classes": (lambda: jm.metrics.recall(IDS, IDS, labels=[1]), "pass `average='micro'`"),
    "labels beyond the classes": (
        lambda: jm.metrics.recall(SCORES, IDS, average="micro", labels=[1, 4]),
        r"`labels` are different classes, of 0 to 3, and at least one; received \[1, 4\]",
    ),
    "another number": (lambda: jm.metrics.confusion_matrix(SCORES, IDS, num_classes=5), "scores of 4 classes, and"),
}


@pytest.mark.parametrize("call", REFUSED)
def test_refused(call):
    function, message = REFUSED[call]
    with pytest.raises((TypeError, ValueError), match=message):
        function()
