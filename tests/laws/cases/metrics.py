"""Metrics of a batch, in the dtype of the predictions: their sums are float32 at least."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import jmask as jm
from jmask.core.masked import mask_of
from tests.support import loss_oracles as oracles
from tests.support import sequence_oracles
from tests.support.batches import floats, ids

from .case import Case, case, every_third_step

TAGS = ("O", "B-a", "I-a", "B-b", "I-b")
THRESHOLDS = np.concatenate([[-1e-9], np.arange(1, 10) / 10, [1 + 1e-9]])


def metric_case(name: str, note: str, of_steps: Any, *inputs: Any, **options: Any) -> Case:
    """A row for a metric of predictions, targets and perhaps weights of steps.

    Args:
        name: of the metric.
        note: what is special, or "".
        of_steps: the metric of all steps, in NumPy.
        *inputs: two inputs of three features that only overlap, unless others are given.
        **options: those of the metric.
    """

    def run(params: Any, *xs: Any) -> Any:
        given = {"sample_weight": xs[2] * xs[2]} if xs[2:] else {}  # above 0
        if not inputs:
            given["mask"] = mask_of(xs[0])  # it is meant that some targets have no prediction
        found = getattr(jm.metrics, name)(*xs[:2], **given, **options).value
        return found.astype(xs[0].dtype) if jnp.issubdtype(xs[0].dtype, jnp.inexact) else found

    def of_batch(*xs: Any) -> Any:
        return of_steps(*xs[:2], *(weights * weights for weights in xs[2:]))

    return case(
        f"metrics.{name}" + (f"({note})" if note else ""),
        run,
        oracles.metric(of_batch),
        *(inputs or (floats(3), floats(3))),
        output="batch",
        overlapping=not inputs,
    )


def right(scores: np.ndarray, true: np.ndarray) -> np.ndarray:
    return np.argmax(scores, axis=-1) == true


def decisions(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    return oracles.confusion((found > 0.25).astype(int), (true > 0.5).astype(int), 2)


def entity_f1(predictions: Any, targets: Any) -> float:
    rows = [[[TAGS[i] for i in row] for row in pair] for pair in zip(predictions, targets, strict=True)]
    hits, predicted, actual = sequence_oracles.entity_counts(rows, ("a", "b"), "lenient", False).sum(-1)
    return 2 * hits / (predicted + actual) if predicted + actual else 0.0


def mean_distance(predictions: Any, targets: Any) -> float:
    found = [
        sequence_oracles.edit_distance(*row) for row in zip(predictions, targets, strict=True) if sum(map(len, row))
    ]
    return float(np.mean(found)) if found else 0.0


def error_rate(predictions: Any, targets: Any) -> float:
    rows = [*zip(predictions, targets, strict=True)]
    words = sum(len(true) for _, true in rows)
    return sum(sequence_oracles.edit_distance(*row) for row in rows) / words if words else 0.0


def matches(predictions: Any, targets: Any) -> float:
    found = [np.array_equal(*row) for row in zip(predictions, targets, strict=True) if len(row[0])]
    return float(np.mean(found)) if found else 0.0


def sequences_case(name: str, of_batch: Any, *inputs: Any, **options: Any) -> Case:
    """A row for a metric of sequences, in NumPy a function of the rows of a batch."""
    return case(
        f"metrics.{name}",
        lambda p, x, y: getattr(jm.metrics, name)(x, y, **options).value,
        lambda p, xs, ys: np.float32(of_batch(xs, ys)),
        *inputs,
        output="batch",
    )


CASES = [
    case(
        "metrics.mean",
        lambda p, x, w: jm.metrics.mean(x, sample_weight=w * w).value.astype(x.dtype),
        oracles.metric(lambda x, w: oracles.weighted_mean(x, w * w)),
        floats(3),
        floats(),
        output="batch",
    ),
    metric_case("accuracy", "scores", lambda x, y: oracles.weighted_mean(right(x, y)), floats(5), ids(5)),
    metric_case("accuracy", "ids", lambda x, y: oracles.weighted_mean(x == y), ids(3), ids(3)),
    metric_case(
        "accuracy",
        "decisions, weights",
        lambda x, y, w: oracles.weighted_mean((oracles.sigmoid(x) > 0.3) == (y > 0.5), w),
        floats(),
        ids(2),
        floats(),
        threshold=0.3,
        from_logits=True,
    ),
    metric_case(
        "top_k_accuracy",
        "",
        lambda x, y: oracles.weighted_mean(oracles.is_in_top(2)(x, y)),
        floats(5),
        ids(5),
        k=2,
    ),
    metric_case(
        "precision",
        "macro",
        lambda x, y: oracles.averaged(oracles.confusion(x.argmax(-1), y, 5), "precision", "macro"),
        floats(5),
        ids(5),
        average="macro",
    ),
    metric_case(
        "recall",
        "decisions",
        lambda x, y: oracles.averaged(decisions(x, y), "recall", "binary"),
        floats(),
        ids(2),
        threshold=0.25,
    ),
    metric_case(
        "f1_score",
        "of each class, weights",
        lambda x, y, w: oracles.averaged(oracles.confusion(x.argmax(-1), y, 5, w), "f1_score", None),
        floats(5),
        ids(5),
        floats(),
        average=None,
    ),
    metric_case(
        "confusion_matrix",
        "ids",
        lambda x, y: oracles.confusion(x, y, 3),
        ids(3),
        ids(3),
        num_classes=3,
    ),
    metric_case(
        "confusion_matrix",
        "scores, weights",
        lambda x, y, w: oracles.confusion(x.argmax(-1), y, 5, w),
        floats(5),
        ids(5),
        floats(),
    ),
    metric_case(
        "auc",
        "",
        lambda x, y: oracles.roc_area(oracles.sigmoid(x), y, THRESHOLDS),
        floats(),
        ids(2),
        num_thresholds=11,
        from_logits=True,
    ),
    metric_case(
        "perplexity",
        "",
        lambda x, y: np.exp(oracles.weighted_mean(oracles.cross_entropy_of_ids(x, y))),
        floats(5),
        ids(5),
    ),
    metric_case("mean_squared_error", "", lambda x, y: oracles.weighted_mean((x - y) ** 2)),
    metric_case("mean_absolute_error", "", lambda x, y: oracles.weighted_mean(np.abs(x - y))),
    metric_case(
        "root_mean_squared_error",
        "weights",
        lambda x, y, w: np.sqrt(oracles.weighted_mean((x - y) ** 2, w)),
        floats(3),
        floats(3),
        floats(),
    ),
    metric_case("r2_score", "", oracles.r2),
    metric_case("r2_score", "weights, center", oracles.r2, floats(3), floats(3), floats(), center=0.5),
    sequences_case("entity_f1", entity_f1, ids(5), ids(5), tags=TAGS),
    sequences_case("exact_match", matches, ids(2), ids(2)),
    sequences_case("edit_distance", mean_distance, ids(3), ids(3)),
    case(
        "metrics.word_error_rate",
        lambda p, x, y: jm.metrics.word_error_rate(every_third_step(x), y).value,
        lambda p, xs, ys: np.float32(error_rate([x[::3] for x in xs], ys)),
        ids(3),
        ids(3),
        output="batch",
    ),
]
