"""Labels that are no class, or narrow, or not counted; rows that are filler; sums of nothing; options that are none."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import jmask as jm
from jmask.testing import assert_close
from jmask.testing.counting import num_compiles

CLASSES = 3
LOGITS = jnp.asarray(np.random.default_rng(0).normal(size=(2, 3, CLASSES)).astype(np.float32))
LABELS = np.array([[1, 2, 0], [2, 1, 0]])
HOLES = np.array([[True, False, True], [False, True, True]])
CE = jm.losses.softmax_cross_entropy_with_integer_labels
BCE = jm.losses.sigmoid_binary_cross_entropy

# Each with predictions, targets and options; all take ids, or 0 and 1.
OF_LABELS = {
    "cross-entropy": (CE, LOGITS, LABELS, {}),
    "smooth cross-entropy": (CE, LOGITS, LABELS, {"label_smoothing": 0.1, "reduction": "sequences"}),
    "binary cross-entropy": (BCE, LOGITS[..., 0], LABELS % 2, {}),
    "hinge": (jm.losses.hinge_loss, LOGITS[..., 0], 1 - LABELS, {}),
    "accuracy": (jm.metrics.accuracy, LOGITS, LABELS, {}),
    "accuracy of ids": (jm.metrics.accuracy, LABELS[::-1], LABELS, {}),
    "accuracy of decisions": (jm.metrics.accuracy, LOGITS[..., 0], LABELS % 2, {"from_logits": True}),
    "top k": (jm.metrics.top_k_accuracy, LOGITS, LABELS, {"k": 2}),
    "precision": (jm.metrics.precision, LOGITS, LABELS, {"average": "macro"}),
    "recall of ids": (jm.metrics.recall, LABELS[::-1], LABELS, {"average": None, "num_classes": CLASSES}),
    "f1 of two": (jm.metrics.f1_score, LABELS[::-1] % 2, LABELS % 2, {}),
    "f1, weighted": (jm.metrics.f1_score, LOGITS, LABELS, {"average": "weighted"}),
    "f1, micro": (jm.metrics.f1_score, LOGITS, LABELS, {"average": "micro"}),
    "confusion matrix": (jm.metrics.confusion_matrix, LOGITS, LABELS, {}),
    "perplexity": (jm.metrics.perplexity, LOGITS, LABELS, {}),
    "auc": (jm.metrics.auc, LOGITS[..., 0], LABELS % 2, {"from_logits": True}),
}
EVERY = pytest.mark.parametrize("name", OF_LABELS)


def value(result):
    return result.value if hasattr(result, "value") else result


@pytest.mark.slow
@EVERY
def test_labels_that_are_no_class_are_refused_and_left_out(name):
    function, predictions, labels, options = OF_LABELS[name]
    wrong = np.where(HOLES, labels, -100)
    expected = value(function(predictions, jm.masked(labels, HOLES), **options))
    for targets in (wrong, jnp.asarray(wrong), wrong.astype(np.int16)):
        with pytest.raises(ValueError, match=r"there is -100.*`ignore_index=-100`"):
            function(predictions, targets, **options)
        assert_close(value(function(predictions, targets, ignore_index=-100, **options)), expected)
    assert_close(value(function(predictions, jm.masked(wrong, HOLES), **options)), expected)  # at padding

    @functools.partial(jax.jit, static_argnames="ignore_index")
    def traced(targets, ignore_index=None):
        return value(function(predictions, targets, ignore_index=ignore_index, **options))

    assert np.isnan(traced(wrong)).all()
    assert_close(traced(wrong, ignore_index=-100), expected)
    if not name.startswith("accuracy of ids"):
        with pytest.raises(ValueError, match="there is 7"):
            function(predictions, np.where(HOLES, labels, 7), **options)


@pytest.mark.slow
@EVERY
def test_without_real_steps_nothing_is_wrong(name):
    function, predictions, labels, options = OF_LABELS[name]
    masked = jm.masked(labels - 100, np.zeros((2, 3), bool))
    found = jax.jit(lambda x, y: value(function(x, y, **options)))(predictions, masked)
    assert np.isfinite(found).all()


@pytest.mark.slow
def test_the_gradient_of_a_traced_label_that_is_no_class_is_nan_in_its_step_only():
    labels = np.array([[1, -100, 0], [2, 1, 0]])
    total, gradient = jax.jit(jax.value_and_grad(CE))(LOGITS, labels)
    assert np.isnan(total)
    assert np.isnan(gradient).all(-1).tolist() == [[False, True, False], [False, False, False]]
    assert np.isfinite(gradient[1]).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["softmax_cross_entropy_with_integer_labels", "multiclass_hinge_loss"])
def test_losses_of_optax_know_their_labels(name):
    loss = jm.losses.masked_loss(getattr(optax.losses, name))
    labels = np.array([[5, -1, 140], [149, 127, 100]])
    logits = jnp.asarray(np.random.default_rng(3).normal(size=(2, 3, 150)).astype(np.float32))
    with pytest.raises(ValueError, match=r"there is -1.*`ignore_index=-1`"):
        loss(logits, labels.astype(np.int16))
    assert np.isnan(jax.jit(loss)(logits, labels.astype(np.int16)))
    expected = getattr(optax.losses, name)(logits.reshape(6, 150)[jnp.array([0, 2, 3, 4, 5])], labels[labels >= 0])
    assert_close(loss(logits, labels.astype(np.int16), ignore_index=-1), expected.mean())
    own = jm.losses.masked_loss(lambda x, y: jnp.take_along_axis(x, y[..., None], -1)[..., 0])
    assert_close(own(logits, np.array([[5, 127, 7]] * 2, np.int8)), logits[:, np.arange(3), [5, 127, 7]].mean())
    for other in (optax.losses.sigmoid_focal_loss, optax.losses.hinge_loss, optax.losses.perceptron_loss):
        with pytest.raises(ValueError, match="there is -100"):
            jm.losses.masked_loss(other)(LOGITS[..., 0], np.where(HOLES, 1, -100))


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint32", "int64", "uint64"])
def test_narrow_and_wide_labels_meet_many_classes_in_int32(dtype):
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(1, 3, 300)).astype(np.float32))
    labels = np.array([[5, 100, 7]], dtype)
    assert_close(CE(logits, labels), CE(logits, labels.astype(np.int32)))
    assert_close(jax.jit(CE)(logits, labels), CE(logits, labels.astype(np.int32)))
    wrong = labels.copy()
    wrong[0, 1] = np.iinfo(dtype).min if dtype.startswith("int") else np.iinfo(dtype).max
    few = logits[..., :200]  # as int8 this would be -56
    with pytest.raises(ValueError, match="must be from 0 to 199"):
        CE(few, wrong)
    if dtype != "int64" and dtype != "uint64":  # which JAX itself has cut off before jmask sees them
        assert np.isnan(jax.jit(CE)(few, wrong))
    logits = jnp.asarray(np.random.default_rng(1).normal(size=(1, 9, 300)).astype(np.float32))
    assert_close(jm.losses.ctc_loss(logits, labels), jm.losses.ctc_loss(logits, labels.astype(np.int32)))


def test_numbers_of_numpy_beyond_int32_are_no_class():
    for wrong in (2**32 + 1, -(2**32) + 1):  # which int32 would turn into 1
        with pytest.raises(ValueError, match="must be from 0 to 2"):
            CE(LOGITS, np.where(HOLES, LABELS, wrong))
        with pytest.raises(ValueError, match="must be from 0 to 2"):
            jm.metrics.accuracy(LOGITS, np.where(HOLES, LABELS, wrong))


def test_bools_are_ids():
    labels = LABELS > 0
    assert_close(CE(LOGITS, labels), CE(LOGITS, labels.astype(np.int32)))
    assert_close(jm.metrics.perplexity(LOGITS, labels).value, jm.metrics.perplexity(LOGITS, labels * 1).value)


def test_ctc_labels_that_are_no_class_are_refused_and_left_out():
    logits = jnp.asarray(np.random.default_rng(2).normal(size=(2, 7, 4)).astype(np.float32))
    targets = np.array([[1, 3, -100], [2, -100, -100]])
    expected = jm.losses.ctc_loss(logits, jm.from_lengths(targets, [2, 1]))
    assert_close(jm.losses.ctc_loss(logits, targets, ignore_index=-100), expected)
    with pytest.raises(ValueError, match=r"there is -100.*`ignore_index=-100`"):
        jm.losses.ctc_loss(logits, targets)
    with pytest.raises(ValueError, match=r"targets hold 3, which is the id of the blank.*`ignore_index=3`"):
        jm.losses.ctc_loss(logits, targets, ignore_index=-100, blank_id=3)
    of_each = jax.jit(functools.partial(jm.losses.ctc_loss, reduction=None))
    assert np.isnan(of_each(logits, targets)).tolist() == [True, True]
    assert np.isnan(of_each(logits, np.array([[1, 0], [2, 3]]))).tolist() == [True, False]


@pytest.mark.slow
def test_what_is_predicted_must_be_a_class_too():
    with pytest.raises(ValueError, match=r"`recall`: predictions must be from 0 to 1, .* there is 2"):
        jm.metrics.recall(LABELS, LABELS % 2)
    found = jax.jit(lambda x, y: jm.metrics.confusion_matrix(x, y, num_classes=2).value)(LABELS, LABELS % 2)
    assert np.isnan(found).all()


@pytest.mark.slow
def test_a_label_that_does_not_count_is_no_step_of_its_sequence_and_of_packed_rows():
    labels = np.where(HOLES, LABELS, -100)
    each = CE(LOGITS, labels, ignore_index=-100, reduction=None)
    assert np.array_equal(each.mask, HOLES)
    x = jm.from_segment_ids(LOGITS, [[1, 1, 2], [1, 2, 2]])
    found = CE(x, labels, ignore_index=-100, reduction="sequences", divide=False)
    expected = CE(LOGITS, LABELS, reduction=None)
    assert_close(found.total, expected[0, 0] + expected[0, 2] + (expected[1, 1] + expected[1, 2]) / 2)
    assert float(found.count) == 3  # of the first sequence of row 2 nothing counts


# Rows that are filler: a mask of the rows


@pytest.mark.slow
def test_rows_that_are_filler_count_nowhere(rng):
    rows = np.array([True, True, False, True, False])
    scores, ids = rng.normal(size=(5, CLASSES)).astype(np.float32), rng.integers(0, CLASSES, 5)
    x = jm.masked(np.where(rows[:, None], scores, np.nan), rows)
    labels = np.where(rows, ids, -1)
    weights = rng.random(5).astype(np.float32)
    for function in (CE, jm.metrics.accuracy, jm.metrics.perplexity, jm.metrics.confusion_matrix):
        for options in ({}, {"sample_weight": weights}):
            alone = {key: weight[rows] for key, weight in options.items()}
            expected = value(function(scores[rows], labels[rows], **alone))
            assert_close(value(function(x, labels, **options)), expected)
            assert_close(value(jax.jit(function)(x, labels, **options)), expected)
    for function in (BCE, jm.metrics.auc, jm.metrics.r2_score, jm.losses.squared_error):
        probabilities = np.abs(np.sin(scores[:, 0]))
        if function is jm.metrics.auc:
            probabilities = probabilities > np.median(probabilities[rows])
        expected = value(function(scores[rows, 0], probabilities[rows]))
        assert_close(value(function(x[..., 0], probabilities)), expected)


# Labels without a prediction, and nothing at all


@pytest.mark.slow
def test_labels_without_a_prediction_are_reported():
    logits, labels = jm.from_lengths(LOGITS, [2, 1]), jm.from_lengths(LABELS, [1, 2])
    expected = (CE(LOGITS, LABELS, reduction=None)[:, 0]).mean()
    for function in (CE, jm.metrics.accuracy):
        with pytest.warns(jm.NotCountedWarning, match=r"do not count; here are 1\..*`mask=predictions.mask`"):
            found = function(logits, labels)
        with jm.strict(), pytest.raises(jm.NotCountedError, match="where the predictions are padding"):
            function(logits, labels)
        with jm.strict():
            assert_close(value(function(logits, labels, mask=logits.mask)), value(found))
            assert_close(value(jax.jit(function)(logits, labels)), value(found))
    assert_close(CE(logits, labels, mask=logits.mask), expected)
    packed = jm.from_segment_ids(LOGITS, [[1, 2, 0], [3, 0, 0]])
    with pytest.warns(jm.NotCountedWarning, match=r"`targets.with_mask\(targets.mask & predictions.mask\)`"):
        CE(packed, labels)
    with jm.strict():
        assert_close(CE(packed, labels.with_mask(labels.mask & packed.mask)), expected)
        assert_close(CE(packed, labels.with_mask(packed.mask & labels.mask), mask=np.asarray(packed.mask)), expected)
    with jm.strict():  # not each step has a label
        assert_close(CE(logits, jm.from_lengths(LABELS, [1, 1])), expected)
        CE(logits, LABELS)
    frames = jm.from_lengths(LOGITS, [0, 3])
    with pytest.warns(jm.NotCountedWarning, match=r"labels without a single step to stand at.* sequences: 1"):
        jm.losses.ctc_loss(frames, jm.from_lengths(np.array([[1, 2], [1, 2]]), [2, 1]))


def test_a_mean_of_nothing_is_reported():
    x = jm.from_lengths(LOGITS, [0, 0])
    for function, labels in ((CE, LABELS), (jm.losses.ctc_loss, LABELS[:, :0])):
        with pytest.warns(jm.NotCountedWarning, match=f"`{function.__name__}`: nothing was counted.*`divide=False`"):
            assert float(function(x, labels)) == 0
        with jm.strict(), pytest.raises(jm.NotCountedError, match="nothing was counted"):
            function(x, labels)
        with jm.strict():
            assert float(jax.jit(function)(x, labels)) == 0
            assert float(function(x, labels, divide=False).value_or(0.0)) == 0
            assert float(function(x, labels, reduction="sum")) == 0
    assert "divided by the number of real steps, whatever their weights" in " ".join(CE.__doc__.split())


# Programs and sums


@pytest.mark.slow
@EVERY
def test_a_second_eager_call_compiles_nothing(name):
    function, predictions, labels, options = OF_LABELS[name]
    run = functools.partial(function, jm.masked(predictions, HOLES), labels, ignore_index=-100, **options)
    jax.block_until_ready([value(run()) for _ in range(2)])
    with num_compiles() as compiles:
        value(run())
    assert compiles.count == 0


@pytest.mark.slow
def test_a_second_eager_call_of_ctc_and_regressions_compiles_nothing():
    x, y = jm.from_lengths(LOGITS, [3, 2]), jm.from_lengths(LABELS[:, :2] % 2 + 1, [1, 0])
    runs = [lambda: jm.losses.ctc_loss(x, y), lambda: jax.grad(jm.losses.ctc_loss)(LOGITS, y)]
    runs += [lambda name=name: getattr(jm.losses, name)(x, LOGITS * 2) for name in ("squared_error", "log_cosh")]
    runs += [lambda: jm.metrics.r2_score(x, LOGITS * 2).value, lambda: jm.metrics.mean(x).value]
    for run in runs:
        jax.block_until_ready([run() for _ in range(2)])
        with num_compiles() as compiles:
            run()
        assert compiles.count == 0


@pytest.mark.slow
def test_sums_go_through_trees_scans_and_psum():
    mean = jm.metrics.accuracy(LOGITS, LABELS)
    assert type(jax.tree.map(np.float64, mean)) is jm.losses.Mean
    assert_close(jax.tree.map(lambda a, b: a + b, mean, mean).count, 12.0)
    assert_close(sum([mean, mean, mean], 0.0).count, 18.0)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), mean)
    found = jax.vmap(lambda m: jax.lax.psum(m, "rows"), axis_name="rows")(stacked)
    assert found.count.tolist() == [12.0, 12.0]
    assert_close(found.value[0], mean.value)


# Options


@pytest.mark.slow
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: jm.metrics.top_k_accuracy(LOGITS, LABELS, k=float("nan")), "`k` must be an integer; received nan"),
        (lambda: jm.metrics.top_k_accuracy(LOGITS, LABELS, k=2.0), "`k` must be an integer; received 2.0"),
        (lambda: jm.metrics.top_k_accuracy(LOGITS, LABELS, k=True), "`k` must be an integer; received True"),
        (lambda: CE(LOGITS, LABELS, label_smoothing=2), "`label_smoothing` must be .*from 0 to 1; received 2"),
        (lambda: CE(LOGITS, LABELS, label_smoothing=float("nan")), "`label_smoothing` must be .*; received nan"),
        (lambda: CE(LOGITS, LABELS, label_smoothing="a"), "`label_smoothing` must be .*; received 'a'"),
        (lambda: CE(LOGITS, LABELS, label_smoothing=True), "`label_smoothing` must be .*; received True"),
        (lambda: CE(LOGITS, LABELS, reduction=True), "`reduction` must be .*; received True"),
        (lambda: CE(LOGITS, LABELS, reduction=["sum"]), "`reduction` must be .*"),
        (lambda: CE(LOGITS, LABELS, divide="no"), "`divide` must be True or False; received 'no'"),
        (lambda: CE(LOGITS, LABELS, ignore_index=-100.0), "`ignore_index` must be an integer; received -100.0"),
        (lambda: jm.losses.squared_error(LOGITS, LOGITS, ignore_index=-100), "has no option `ignore_index`"),
        (lambda: jm.losses.huber_loss(LOGITS, LOGITS, delta=float("nan")), "`delta` must be a number above 0"),
        (lambda: jm.losses.ctc_loss(LOGITS, LABELS % 2 + 1, blank_id=3), "`blank_id` is one of the 3 classes"),
        (lambda: jm.losses.ctc_loss(LOGITS, LABELS % 2 + 1, blank_id=-1), "`blank_id` must be at least 0"),
        (lambda: jm.losses.ctc_loss(LOGITS, LABELS, zero_infinity=1), "`zero_infinity` must be True or False"),
        (lambda: jm.metrics.f1_score(LOGITS, LABELS, average="macroo"), "`average` must be .*'macroo'"),
        (lambda: jm.metrics.f1_score(LOGITS, LABELS, average=["macro"]), "`average` must be '"),
        (lambda: jm.metrics.recall(LABELS, LABELS, average=None, num_classes=3.0), "`num_classes` must be an integer"),
        (lambda: jm.metrics.recall(LABELS, LABELS, average=None, num_classes=0), "`num_classes` must be at least 1"),
        (lambda: jm.metrics.accuracy(LOGITS[..., 0], LABELS % 2, threshold="x"), "`threshold` must be a number"),
        (lambda: jm.metrics.accuracy(LOGITS[..., 0], LABELS % 2, threshold=float("nan")), "`threshold` must be a num"),
        (lambda: jm.metrics.accuracy(LOGITS, LABELS, from_logits="no"), "`from_logits` must be True or False"),
        (lambda: jm.metrics.auc(LOGITS[..., 0], LABELS % 2, num_thresholds=2.5), "`num_thresholds` must be an integer"),
        (lambda: jm.metrics.r2_score(LOGITS, LOGITS, center=float("inf")), "`center` must be a finite number"),
    ],
)
def test_options_that_are_none(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


@pytest.mark.slow
@EVERY
def test_under_rank_promotion_that_raises(name):
    function, predictions, labels, options = OF_LABELS[name]
    with jax.numpy_rank_promotion("raise"):
        run = jax.jit(functools.partial(function, ignore_index=-100, **options))
        found = jax.eval_shape(run, predictions, labels, sample_weight=np.ones(2, np.float32))
    assert found is not None
