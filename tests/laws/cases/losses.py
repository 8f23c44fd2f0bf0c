"""Losses of a batch, each with the options that matter."""

from typing import Any

import numpy as np
import optax

import jmask as jm
from jmask.core.masked import mask_of
from tests.support import loss_oracles as oracles
from tests.support.batches import Vector, floats, ids
from tests.support.oracles import intersection

from .case import Case, case, every_third_step


def loss_case(name: str, note: str, per_step: Any, *inputs: Any, prepare: Any = None, **options: Any) -> Case:
    """A row for a loss of predictions, targets and perhaps weights.

    Args:
        name: of the loss.
        note: what is special, or "".
        per_step: the loss of steps, in NumPy.
        *inputs: two inputs of three features that only overlap, unless others are given.
        prepare: turns targets into such as the loss takes.
        **options: those of the loss.
    """
    loss, prepare = getattr(jm.losses, name), prepare or (lambda x: x)
    reduction, overlapping = options.get("reduction", "steps"), not inputs

    def run(params: Any, predictions: Any, targets: Any, *weights: Any) -> Any:
        given = {"sample_weight": weights[0] * weights[0]} if weights else {}  # above 0
        if overlapping:
            given["mask"] = mask_of(predictions)  # it is meant that some targets have no prediction
        return loss(predictions, prepare(targets), **given, **options)

    def of_batch(params: Any, predictions: Any, targets: Any, *weights: Any) -> Any:
        weights = [[weight * weight for weight in rows] for rows in weights]
        return oracles.loss(per_step, reduction)(params, predictions, [prepare(row) for row in targets], *weights)

    return case(
        f"losses.{name}" + (f"({note})" if note else ""),
        run,
        of_batch,
        *(inputs or (floats(3), floats(3))),
        output="batch",
        overlapping=overlapping,
    )


def squares(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x - y) ** 2


def probabilities(x: Any) -> Any:
    return x * x + 0.1


def decisions(x: Any) -> Any:
    """From 0 to 1."""
    return 1 / (x * x + 1)


def signs(x: Any) -> Any:
    """From -1 to 1."""
    return 2 * x / (x * x + 1)


def third_steps(x: Any) -> jm.Masked:
    """Every third step of an input of ids, as ids of classes 1 and 2."""
    return every_third_step(x) % 2 + 1


def ctc_of_row(logits: np.ndarray, row: np.ndarray) -> float:
    return oracles.ctc(logits, row[::3] % 2 + 1)


def ctc_of_batch(params: Any, logits: Any, rows: Any) -> float:
    found = [ctc_of_row(*row) for row in zip(logits, rows, strict=True) if len(row[0])]
    return float(np.mean(found)) if found else 0.0


CASES = [
    loss_case("squared_error", "", squares),
    loss_case("squared_error", "sequences", squares, reduction="sequences"),
    loss_case("squared_error", "sum, weights of sequences", squares, floats(3), floats(3), Vector(), reduction="sum"),
    loss_case("squared_error", "weights of steps", squares, floats(3), floats(3), floats()),
    loss_case("squared_error", "over weights", squares, floats(3), floats(3), floats(), reduction="weights"),
    case(
        "losses.squared_error(of each step)",
        lambda p, x, y: jm.losses.squared_error(x, y, mask=mask_of(x), reduction=None),
        intersection(lambda x, y: squares(x, y).mean(axis=-1)),
        floats(3),
        floats(3),
        overlapping=True,
        any_rank=True,
        zero_padding=True,
    ),
    loss_case("absolute_error", "", lambda x, y: np.abs(x - y)),
    loss_case("huber_loss", "", lambda x, y: oracles.huber(x, y, 0.5), delta=0.5),
    loss_case("log_cosh", "", oracles.log_cosh),
    loss_case("cosine_distance", "", oracles.cosine_distance),
    loss_case("kl_divergence", "", oracles.kl_divergence, prepare=probabilities),
    loss_case("hinge_loss", "", lambda x, y: np.maximum(1 - x * y, 0), prepare=signs),
    loss_case("softmax_cross_entropy", "", oracles.cross_entropy, prepare=probabilities),
    loss_case(
        "softmax_cross_entropy",
        "label smoothing",
        lambda x, y: oracles.cross_entropy(x, 0.7 * y + 0.1),
        prepare=probabilities,
        label_smoothing=0.3,
    ),
    loss_case("softmax_cross_entropy_with_integer_labels", "", oracles.cross_entropy_of_ids, floats(5), ids(5)),
    loss_case(
        "softmax_cross_entropy_with_integer_labels",
        "label smoothing, sequences, weights",
        lambda x, y: oracles.cross_entropy_of_ids(x, y, 0.3),
        floats(5),
        ids(5),
        Vector(),
        label_smoothing=0.3,
        reduction="sequences",
    ),
    loss_case("sigmoid_binary_cross_entropy", "", oracles.binary_cross_entropy, prepare=decisions),
    loss_case(
        "sigmoid_binary_cross_entropy",
        "label smoothing",
        lambda x, y: oracles.binary_cross_entropy(x, 0.8 * y + 0.1),
        floats(),
        floats(),
        prepare=decisions,
        label_smoothing=0.2,
    ),
    case(
        "losses.masked_loss(optax.l2_loss)",
        lambda p, x, y: jm.losses.masked_loss(optax.l2_loss)(x, y, mask=mask_of(x)),
        oracles.loss(lambda x, y: squares(x, y) / 2),
        floats(3),
        floats(3),
        output="batch",
        overlapping=True,
    ),
    case(
        "losses.ctc_loss",
        lambda p, x, y: jm.losses.ctc_loss(x, third_steps(y)),
        ctc_of_batch,
        floats(3),
        ids(11),
        output="batch",
    ),
    case(
        "losses.ctc_loss(of each sequence)",
        lambda p, x, y: jm.losses.ctc_loss(x, third_steps(y), reduction=None),
        lambda p, x, y: ctc_of_row(x, y) if len(x) else 0.0,
        floats(3),
        ids(11),
        output="pooled",
    ),
]
