"""Losses and metrics in NumPy: of single steps, and of all steps of a batch, from rows without padding.

Rows of several inputs share a timeline, on which NaN marks the steps that an input does not have; a step counts where
all have it.
"""

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.oracles import is_there, sigmoid

Rows = list[np.ndarray]


def common_steps(*rows: Any) -> list[np.ndarray]:
    """The steps of one sequence that all inputs have; what has no steps, such as a weight, stays as it is."""
    timed = [np.asarray(x) for x in rows if np.ndim(x)]
    common = np.logical_and.reduce([is_there(x) for x in timed])
    return [np.asarray(x)[common] if np.ndim(x) else np.asarray(x) for x in rows]


def loss(per_step: Callable, reduction: str = "steps") -> Callable[..., Any]:
    """A loss of a batch: of predictions, targets, and perhaps weights, of sequences or of steps."""

    def of_batch(params: Any, *inputs: Rows) -> Any:
        sums, weights, means = [], [], []
        for row in zip(*inputs, strict=True):
            predictions, targets, *weight = common_steps(*row)
            losses = per_step(predictions, targets)
            losses = losses.reshape(len(losses), -1).mean(axis=1) if len(losses) else np.zeros(0)
            shares = np.broadcast_to(weight[0] if weight else 1.0, losses.shape)
            sums += list(losses * shares)
            weights += list(shares)
            means += [np.mean(losses * shares)] if len(losses) else []
        divided = {"steps": (sums, len(sums)), "sequences": (means, len(means)), "weights": (sums, np.sum(weights))}
        total, count = divided.get(reduction, (sums, 1))
        return np.sum(total) / count if count else 0.0

    return of_batch


def metric(of_steps: Callable) -> Callable[..., Any]:
    """A metric of a batch: the function of all its steps in one row, whatever the sequences are."""

    def of_batch(params: Any, *inputs: Rows) -> Any:
        rows = [common_steps(*row) for row in zip(*inputs, strict=True)]
        return of_steps(*map(np.concatenate, zip(*rows, strict=True)))

    return of_batch


# Losses of steps


def log_softmax(x: np.ndarray) -> np.ndarray:
    shifted = x - x.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def cross_entropy(logits: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
    return -(probabilities * log_softmax(logits)).sum(axis=-1)


def cross_entropy_of_ids(logits: np.ndarray, ids: np.ndarray, smoothing: float = 0.0) -> np.ndarray:
    classes = logits.shape[-1]
    return cross_entropy(logits, np.eye(classes)[ids] * (1 - smoothing) + smoothing / classes)


def binary_cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    return -labels * np.log(sigmoid(logits)) - (1 - labels) * np.log(sigmoid(-logits))


def huber(predictions: np.ndarray, targets: np.ndarray, delta: float) -> np.ndarray:
    distance = np.abs(predictions - targets)
    return np.where(distance <= delta, distance**2 / 2, delta * (distance - delta / 2))


def log_cosh(predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return np.log(np.cosh(predictions - targets))


def cosine_distance(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return 1 - (x * y).sum(axis=-1) / np.linalg.norm(x, axis=-1) / np.linalg.norm(y, axis=-1)


def kl_divergence(log_predictions: np.ndarray, targets: np.ndarray) -> np.ndarray:
    return (targets * (np.log(targets) - log_predictions)).sum(axis=-1)


def ctc(logits: np.ndarray, labels: np.ndarray, blank: int = 0) -> float:
    """Minus the logarithm of the sum over all paths that are the labels once repetitions and blanks are out."""
    probabilities = np.exp(log_softmax(logits))
    total = 0.0
    for path in itertools.product(range(logits.shape[-1]), repeat=len(logits)):
        if [k for k, _ in itertools.groupby(path) if k != blank] == list(labels):
            total += np.prod(probabilities[np.arange(len(path)), path])
    return -np.log(total)


# Metrics of steps


def weighted_mean(values: np.ndarray, weights: np.ndarray | None = None) -> float:
    """Of the mean of each step's entries; 0 without steps."""
    if not len(values):
        return 0.0
    values = np.asarray(values, float).reshape(len(values), -1).mean(axis=1)
    weights = np.ones(len(values)) if weights is None else weights
    return (values * weights).sum() / weights.sum()


def is_in_top(k: int) -> Callable[[np.ndarray, np.ndarray], np.ndarray]:
    def of_steps(scores: np.ndarray, ids: np.ndarray) -> np.ndarray:
        best = np.argsort(-scores, axis=-1)[:, :k]
        return np.array([i in row for i, row in zip(ids, best, strict=True)])

    return of_steps


def confusion(found: np.ndarray, true: np.ndarray, classes: int, weights: np.ndarray | None = None) -> np.ndarray:
    """Counts; true classes in rows, those that were found in columns."""
    counts = np.zeros((classes, classes))
    for i, (t, f) in enumerate(zip(np.ravel(true), np.ravel(found), strict=True)):
        counts[t, f] += 1 if weights is None else weights[i]
    return counts


def divide(a: Any, b: Any) -> Any:
    """0 where there is nothing to divide by."""
    a, b = np.asarray(a, float), np.asarray(b, float)
    return np.divide(a, b, out=np.zeros(np.broadcast_shapes(a.shape, b.shape)), where=b != 0)


def class_scores(counts: np.ndarray, score: str) -> np.ndarray:
    """Precision, recall or F1 of each class of a confusion matrix."""
    hits = np.diag(counts)
    precision, recall = divide(hits, counts.sum(axis=0)), divide(hits, counts.sum(axis=1))
    found = {"precision": precision, "recall": recall, "f1_score": divide(2 * precision * recall, precision + recall)}
    return found[score]


def averaged(counts: np.ndarray, score: str, average: str | None) -> Any:
    """The scores of the classes as one."""
    if average == "micro":
        return divide(np.trace(counts), counts.sum())  # a wrong prediction is one too many and one too few
    scores, actual = class_scores(counts, score), counts.sum(axis=1)
    if average == "binary":
        return scores[1]
    if average == "weighted":
        return divide((scores * actual).sum(), actual.sum())
    seen = actual + counts.sum(axis=0) > 0
    return scores if average is None else scores[seen].mean() if seen.any() else 0.0


def roc_area(scores: np.ndarray, true: np.ndarray, thresholds: np.ndarray) -> float:
    """The trapezoidal rule along the rates at these thresholds; 0 unless there are both kinds of targets."""
    true = true > 0.5
    if not true.any() or true.all():
        return 0.0
    rates = [((scores > t)[true].mean(), (scores > t)[~true].mean()) for t in sorted(thresholds, reverse=True)]
    y, x = np.array(rates).T
    return float(np.sum(np.diff(x) * (y[1:] + y[:-1]) / 2))


def exact_area(scores: np.ndarray, true: np.ndarray) -> float:
    """How often a true step has a higher score than another one, ties counted half."""
    positive, negative = scores[true][:, None], scores[~true]
    return float(((positive > negative) + (positive == negative) / 2).mean())


def r2(predictions: np.ndarray, targets: np.ndarray, weights: np.ndarray | None = None) -> float:
    """The mean over outputs."""
    if not len(targets):
        return 0.0
    weights = np.ones(len(targets)) if weights is None else weights
    centre = np.average(targets, axis=0, weights=weights)
    residual, deviation = (np.average((targets - y) ** 2, axis=0, weights=weights) for y in (predictions, centre))
    return float(np.mean(1 - residual / deviation))
