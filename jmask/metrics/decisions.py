"""What a prediction decides: the class of the largest score, or whether one score is above a threshold."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..losses.labels import LARGEST, check_ignore_index, outside
from ..losses.options import check_bool, check_number
from ..losses.steps import Steps, align, check_alike, check_labels


def are(ids: Array, classes: Array) -> Array:
    """For each id and each class whether they are the same, `(..., classes)`."""
    return ids[..., None] == classes.reshape((1,) * ids.ndim + (-1,))


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Predictions beside targets, as ids.

    Attributes:
        steps: which count.
        found: ids of predictions.
        true: ids of targets, in the same shape.
        num_classes: None if ids do not tell.
        wrong: where an id is no class, a bool for each, if it can only be seen in the program; see
            `jmask.losses.labels.outside`.
    """

    steps: Steps
    found: Array
    true: Array
    num_classes: int | None
    wrong: Any

    def check_classes(self, num_classes: int) -> "Decisions":
        """Refuses, or marks as wrong, what is none of so many classes, predictions included."""
        name, steps = self.steps.name, self.steps
        if self.num_classes is not None:
            return self  # scores cannot decide for another class, and their targets have been looked at
        wrong = outside(name, steps.labels, steps.mask, 0, num_classes - 1)
        found = outside(name, self.found, steps.mask, 0, num_classes - 1, "predictions")
        marks = [mark for mark in (wrong, found) if mark is not None]
        return dataclasses.replace(self, wrong=marks[0] | marks[-1] if marks else None)


def decide(
    name: str,
    predictions: Any,
    targets: Any,
    *,
    threshold: Any = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Any = None,
    mask: Any = None,
) -> Decisions:
    """The ids of predictions and targets.

    Args:
        name: of the metric.
        predictions: scores `(..., classes)`, whose largest decides; scores of the targets' shape, which decide by the
            threshold; or ids of that shape.
        targets: ids, `(...)`; for scores with a threshold numbers from 0 to 1, those above 0.5 for true.
        threshold: a score above it is true.
        from_logits: whether the sigmoid of the scores is to be taken first.
        ignore_index: a target that is this does not count.
        sample_weight: as in `jmask.losses.steps.align`.
        mask: as in `jmask.losses.steps.align`.

    Returns:
        Ids of predictions and of targets, of one shape.
    """
    check_number(name, "threshold", threshold, "a number")
    check_bool(name, "from_logits", from_logits)
    ignore_index = check_ignore_index(name, ignore_index)
    steps = align(name, (predictions, targets), sample_weight, mask, labels=True, ignore_index=ignore_index)
    found, true = steps.values
    if not jnp.issubdtype(found.dtype, jnp.floating):
        check_alike(name, found, true)
        check_labels(name, found[..., None], true)
        return Decisions(steps, found, true, None, outside(name, steps.labels, steps.mask, 0, LARGEST - 1))
    if found.ndim == true.ndim + 1:
        check_labels(name, found, true)
        num_classes = found.shape[-1]
        wrong = outside(name, steps.labels, steps.mask, 0, num_classes - 1)
        return Decisions(steps, jnp.argmax(found, axis=-1), true, num_classes, wrong)
    check_alike(name, found, true)
    wrong = outside(name, steps.labels, steps.mask, 0, 1)
    scores = jax.nn.sigmoid(found) if from_logits else found
    return Decisions(steps, (scores > threshold).astype(jnp.int32), (true > 0.5).astype(jnp.int32), 2, wrong)
