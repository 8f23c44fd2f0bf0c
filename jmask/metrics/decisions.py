"""From predictions to decisions: the class of the largest score, or whether a score is above a threshold."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..losses.labels import LARGEST, check_ignore_index, outside
from ..losses.options import check_bool, check_number
from ..losses.steps import Steps, align, check_alike, check_labels


def are(ids: Array, classes: Array) -> Array:
    """For each id and each class, whether they are equal: `(..., classes)`."""
    return ids[..., None] == classes.reshape((1,) * ids.ndim + (-1,))


@dataclasses.dataclass(frozen=True)
class Decisions:
    """Predictions and targets, as ids.

    Attributes:
        steps: which steps count.
        found: ids of the predictions.
        true: ids of the targets, in the same shape.
        num_classes: None if it is not known, as for ids.
        wrong: a bool for each id that is not a class, if ids are traced, so that nothing can be raised; see
            `jmask.losses.labels.outside`.
    """

    steps: Steps
    found: Array
    true: Array
    num_classes: int | None
    wrong: Any

    def check_classes(self, num_classes: int) -> "Decisions":
        """Raises for ids of predictions or targets outside this number of classes, or marks them as wrong."""
        name, steps = self.steps.name, self.steps
        if self.num_classes is not None:
            return self  # scores always pick a valid class, and their targets have been checked
        wrong = outside(name, steps.labels, steps.mask, 0, num_classes - 1)
        found = outside(name, self.found, steps.mask, 0, num_classes - 1, "predictions")
        marks = [mark for mark in (wrong, found) if mark is not None]
        return dataclasses.replace(self, wrong=marks[0] | marks[-1] if marks else None)


def decide(
    name: str,
    predictions: Any,
    targets: Any,
    threshold: Any = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Any = None,
    mask: Any = None,
) -> Decisions:
    """Turns predictions and targets into ids.

    Args:
        name: the name of the metric.
        predictions: scores `(..., classes)`, where the largest decides; scores in the shape of the targets, compared
            with the threshold; or ids in that shape.
        targets: ids, `(...)`; for scores with a threshold, numbers from 0 to 1, where those above 0.5 are positive.
        threshold: a score above it is positive.
        from_logits: whether the sigmoid is applied to the scores first.
        ignore_index: a target with this id does not count.
        sample_weight: weights of sequences or steps, or None; bools are a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Ids of predictions and targets, in one shape.
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
