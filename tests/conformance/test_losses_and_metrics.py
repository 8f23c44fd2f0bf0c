"""Losses and metrics beside Keras: without a mask, with one where Keras is right, else on the unpadded rows."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.calls import muted, with_mask
from tests.support.beside_keras.pair import STEPS

CLASSES = 4


def same(x: Any) -> Any:
    return x


@dataclasses.dataclass(frozen=True)
class Loss:
    """A loss of jmask, the same in Keras, and their targets; `of_keras` makes Keras' predictions out of ours."""

    name: str
    keras_name: str
    targets: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    keras_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    of_keras: Callable[[Any], Any] = same
    offset: float = 0.0

    def of_jmask(self, predictions: Any, targets: Any, **options: Any) -> Any:
        return getattr(jm.losses, self.name)(predictions, targets, **self.options, **options)

    def build(self, keras: Any, **options: Any) -> Any:
        return getattr(keras.losses, self.keras_name)(**{**self.options, **self.keras_options, **options})

    def __str__(self) -> str:
        return self.name + "".join(f", {key}={value}" for key, value in self.options.items())


LOGITS, SMOOTH = {"from_logits": True}, {"label_smoothing": 0.2}
LOSSES = [
    Loss("squared_error", "MeanSquaredError", "numbers"),
    Loss("absolute_error", "MeanAbsoluteError", "numbers"),
    Loss("huber_loss", "Huber", "numbers", {"delta": 0.7}),
    Loss("log_cosh", "LogCosh", "numbers"),
    Loss("cosine_distance", "CosineSimilarity", "numbers", offset=1.0),  # Keras leaves the 1 out
    Loss("hinge_loss", "Hinge", "signs"),
    Loss("kl_divergence", "KLDivergence", "probabilities", of_keras=jnp.exp),  # of probabilities, ours of their logs
    Loss("softmax_cross_entropy", "CategoricalCrossentropy", "probabilities", {}, LOGITS),
    Loss("softmax_cross_entropy", "CategoricalCrossentropy", "probabilities", SMOOTH, LOGITS),
    Loss("softmax_cross_entropy_with_integer_labels", "SparseCategoricalCrossentropy", "ids", {}, LOGITS),
    Loss("sigmoid_binary_cross_entropy", "BinaryCrossentropy", "decisions", {}, LOGITS),
    Loss("sigmoid_binary_cross_entropy", "BinaryCrossentropy", "decisions", SMOOTH, LOGITS),
]


@pytest.fixture(params=LOSSES, ids=str)
def loss(request):
    return request.param


@pytest.fixture
def logits(rng):
    return jax.nn.log_softmax(jnp.asarray(rng.normal(0, 2, (*STEPS.shape, CLASSES)), "float32"))


@pytest.fixture
def targets(rng):
    """By kind, for `logits`."""
    numbers = rng.normal(size=(*STEPS.shape, CLASSES)).astype("float32")
    return {
        "numbers": numbers,
        "signs": np.sign(numbers),
        "decisions": (numbers > 0).astype("float32"),
        "probabilities": np.asarray(jax.nn.softmax(numbers)),
        "ids": rng.integers(0, CLASSES, STEPS.shape),
    }


def bad_padding(x):
    """NaN, or for ids one that does not exist, at the padded steps of an array."""
    garbage = np.nan if np.issubdtype(x.dtype, np.floating) else -7
    return jm.masked(np.where(STEPS.reshape(*STEPS.shape, *(1,) * (x.ndim - 2)), x, garbage), STEPS)


def test_a_loss_without_a_mask(loss, keras, logits, targets):
    expected, gradient = jax.value_and_grad(lambda x: loss.build(keras)(targets[loss.targets], loss.of_keras(x)))(
        logits
    )
    actual, ours = jax.value_and_grad(lambda x: loss.of_jmask(x, targets[loss.targets]))(logits)
    assert_close(actual, expected + loss.offset)
    assert_close(ours, gradient)


def test_a_loss_with_a_mask(loss, keras, logits, targets):
    """The mean over the real steps: here Keras is right, as long as there is no NaN."""

    def of_keras(x):
        return loss.build(keras)(targets[loss.targets], with_mask(keras, loss.of_keras(x), STEPS))

    def of_jmask(x):
        return loss.of_jmask(jm.masked(x, STEPS), bad_padding(targets[loss.targets]))

    expected, gradient = jax.value_and_grad(of_keras)(logits)
    actual, ours = jax.value_and_grad(of_jmask)(bad_padding(logits).values)
    assert_close(actual, expected + loss.offset)
    assert_close(ours, gradient)


def test_a_loss_of_rows_alone(loss, keras, logits, targets):
    """Each row's loss counts once in the mean over sequences, and once for each step in the mean over steps."""
    x, y = bad_padding(logits), bad_padding(targets[loss.targets])
    alone = [
        loss.build(keras)(targets[loss.targets][row][mask][None], loss.of_keras(logits[row][mask][None])) + loss.offset
        for row, mask in enumerate(STEPS)
    ]
    assert_close(loss.of_jmask(x, y, reduction="sequences"), np.mean(alone))
    assert_close(loss.of_jmask(x, y), np.average(alone, weights=STEPS.sum(1)))


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [("steps", "sum_over_batch_size"), ("weights", "mean_with_sample_weight"), ("sum", "sum"), (None, None)],
)
def test_reductions_with_weights_of_steps(ours, theirs, keras, rng, logits, targets):
    weights = rng.random(STEPS.shape).astype("float32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True, reduction=theirs)
    expected = loss(targets["ids"], with_mask(keras, logits, STEPS), sample_weight=weights)
    actual = jm.losses.softmax_cross_entropy_with_integer_labels(
        bad_padding(logits), targets["ids"], sample_weight=bad_padding(weights), reduction=ours
    )
    assert_close(actual.fill(0) if ours is None else actual, expected)


def test_ctc_of_rows_alone(keras, logits):
    """Keras crashes on a mask and has no lengths of logits; it tells labels from their padding by 0, the blank."""
    labels = jm.pad_sequences([[2, 1], [3], [1, 1, 2]])
    x = bad_padding(logits)
    ours = jax.jit(jax.value_and_grad(lambda values: jm.losses.ctc_loss(jm.masked(values, STEPS), labels)))
    theirs = jax.jit(jax.value_and_grad(lambda values, y: keras.losses.CTC()(y, values)))
    actual, gradient = ours(x.values)
    losses = []
    for row, mask in enumerate(STEPS):
        expected, alone = theirs(logits[row][mask][None], jnp.asarray(labels.values)[row][None])
        losses.append(expected)
        assert_close(np.asarray(gradient)[row][mask], alone[0] / len(STEPS))
    assert_close(actual, np.mean(losses))
    assert not np.asarray(gradient)[~STEPS].any()


# Metrics


@dataclasses.dataclass(frozen=True)
class Metric:
    """A metric of jmask, the same in Keras, and what they are given; `masked`: Keras honours the mask."""

    name: str
    keras_name: str
    predictions: str
    targets: str
    options: dict[str, Any] = dataclasses.field(default_factory=dict)
    keras_options: dict[str, Any] = dataclasses.field(default_factory=dict)
    masked: bool = False

    def of_jmask(self, predictions: Any, targets: Any, **options: Any) -> Any:
        return getattr(jm.metrics, self.name)(predictions, targets, **self.options, **options).value

    def build(self, keras: Any) -> Any:
        return getattr(keras.metrics, self.keras_name)(**self.keras_options)

    def __str__(self) -> str:
        return ", ".join([self.name, self.keras_name, *(f"{key}={value}" for key, value in self.options.items())])


F1 = [
    Metric("f1_score", "F1Score", "logits", "one-hot", {"average": average}, {"average": average})
    for average in ("micro", "macro", "weighted", None)
]
IOU = {"num_classes": CLASSES, "dtype": "float32"}  # its matrix counts in integers otherwise
METRICS = [
    Metric("accuracy", "SparseCategoricalAccuracy", "logits", "ids", masked=True),
    Metric("accuracy", "BinaryAccuracy", "scores", "decisions", {"threshold": 0.3}, {"threshold": 0.3}, masked=True),
    Metric("top_k_accuracy", "SparseTopKCategoricalAccuracy", "logits", "ids", {"k": 2}, {"k": 2}, masked=True),
    Metric("mean_squared_error", "MeanSquaredError", "logits", "numbers", masked=True),
    Metric("mean_absolute_error", "MeanAbsoluteError", "logits", "numbers", masked=True),
    Metric("root_mean_squared_error", "RootMeanSquaredError", "logits", "numbers"),
    Metric("precision", "Precision", "scores", "decisions"),
    Metric("precision", "Precision", "scores", "decisions", {"threshold": 0.3}, {"thresholds": 0.3}),
    Metric("recall", "Recall", "scores", "decisions"),
    Metric("auc", "AUC", "scores", "decisions"),
    Metric("auc", "AUC", "scores", "decisions", {"num_thresholds": 23}, {"num_thresholds": 23}),
    Metric("auc", "AUC", "logits", "decisions", {"from_logits": True}, {"from_logits": True}),
    *F1,
    Metric("r2_score", "R2Score", "logits", "numbers"),
    Metric("confusion_matrix", "MeanIoU", "classes", "ids", {"num_classes": CLASSES}, IOU),
]


@pytest.fixture(params=METRICS, ids=str)
def metric(request):
    return request.param


@pytest.fixture
def given(metric, logits, targets):
    """Predictions and targets of a metric: ours, and Keras'."""
    made = {
        "logits": logits,
        "scores": jax.nn.sigmoid(logits + 1),
        "classes": logits.argmax(-1),
    }
    x, ours = np.asarray(made[metric.predictions]), metric.targets if metric.targets != "one-hot" else "ids"
    theirs = targets["ids"][..., None] == np.arange(CLASSES) if metric.targets == "one-hot" else targets[ours]
    return x, targets[ours], np.asarray(theirs, None if theirs.dtype != bool else "float32")


def result_of(metric, keras, updates):
    """Keras' metric after some updates, each with predictions, targets and weights."""
    theirs = metric.build(keras)
    for x, y, weights in updates:
        with muted("Explicitly requested dtype int64"):  # by MeanIoU
            theirs.update_state(y, x, sample_weight=weights)
    return theirs.total_cm if metric.name == "confusion_matrix" else theirs.result()


def test_a_metric_without_a_mask(metric, given, keras, rng):
    """All steps of all rows are the samples of one batch of Keras; F1 and R2 take no time axis."""
    x, y, other = given
    weights = rng.random(STEPS.shape).astype("float32")
    steps, others = (array.reshape(-1, *array.shape[2:]) for array in (x, other))
    assert_close(metric.of_jmask(x, y), result_of(metric, keras, [(steps, others, None)]))
    by_entry = metric.keras_name in ("Precision", "Recall", "AUC")  # which take a weight for each decision
    theirs = np.repeat(weights.reshape(-1, 1), CLASSES, 1) if by_entry else weights.ravel()
    assert_close(metric.of_jmask(x, y, sample_weight=weights), result_of(metric, keras, [(steps, others, theirs)]))


def test_a_metric_of_rows_alone(metric, given, keras):
    """Keras adds up the rows, one after the other and without padding; a step is a sample.

    (A sequence as one sample would count as much as any other there, and without a mask only.)
    """
    x, y, other = given
    rows = [(x[row][mask], other[row][mask], None) for row, mask in enumerate(STEPS)]
    assert_close(metric.of_jmask(bad_padding(x), bad_padding(y)), result_of(metric, keras, rows))


@pytest.mark.parametrize("metric", [metric for metric in METRICS if metric.masked], ids=str)
def test_a_metric_with_a_mask(metric, given, keras):
    """Where Keras honours it; test_differences.py has the others."""
    x, y, other = given
    expected = result_of(metric, keras, [(with_mask(keras, x, STEPS), other, None)])
    assert_close(metric.of_jmask(bad_padding(x), bad_padding(y)), expected)


def test_the_metric_mean(keras, rng):
    values, weights = rng.normal(size=STEPS.shape).astype("float32"), rng.random(STEPS.shape).astype("float32")
    theirs = keras.metrics.Mean()
    for row, mask in enumerate(STEPS):
        theirs.update_state(values[row][mask], sample_weight=weights[row][mask])
    assert_close(jm.metrics.mean(bad_padding(values), sample_weight=bad_padding(weights)).value, theirs.result())


def test_perplexity_is_the_exponential_of_the_metric_of_the_cross_entropy(keras, logits, targets):
    theirs = keras.metrics.SparseCategoricalCrossentropy(from_logits=True)
    theirs.update_state(targets["ids"], with_mask(keras, logits, STEPS))
    actual = jm.metrics.perplexity(bad_padding(logits), bad_padding(targets["ids"])).value
    assert_close(actual, np.exp(theirs.result()))


def test_every_loss_and_metric_is_compared():
    losses = {loss.name for loss in LOSSES} | {"ctc_loss", "masked_loss", "Mean", "penalties"}
    losses |= {"crf_negative_log_likelihood"}  # which Keras does not have, nor the metrics of sequences
    metrics = {metric.name for metric in METRICS} | {"mean", "perplexity"}
    metrics |= {"edit_distance", "entity_f1", "exact_match", "word_error_rate"}
    assert set(dir(jm.losses)) == losses
    assert {name for name in dir(jm.metrics) if name.islower()} == metrics
