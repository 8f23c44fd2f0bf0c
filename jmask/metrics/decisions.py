"""What a prediction decides: the class of the largest score, or whether one score is above a threshold."""

import jax
import jax.numpy as jnp
from jaxtyping import Array

from ..losses.steps import Steps, check_alike, check_labels


def decide(steps: Steps, threshold: float, from_logits: bool) -> tuple[Array, Array, int | None]:
    """The ids of predictions and targets.

    Args:
        steps: predictions and targets. The predictions are scores `(..., classes)`, whose largest decides; scores of
            the targets' shape, which decide by the threshold; or ids of that shape. The targets are ids, `(...)`; for
            scores with a threshold numbers, those above 0.5 for true.
        threshold: a score above it is true.
        from_logits: whether the sigmoid of the scores is to be taken first.

    Returns:
        Ids of predictions and of targets, of one shape, and the number of classes, None if ids do not tell.
    """
    name, (predictions, targets) = steps.name, steps.values
    targets = targets.astype(jnp.int32) if targets.dtype == bool else targets
    if not jnp.issubdtype(predictions.dtype, jnp.floating):
        check_alike(name, predictions, targets)
        check_labels(name, predictions[..., None], targets)
        return predictions.astype(jnp.int32), targets, None
    if predictions.ndim == targets.ndim + 1:
        check_labels(name, predictions, targets)
        return jnp.argmax(predictions, axis=-1), targets, predictions.shape[-1]
    check_alike(name, predictions, targets)
    scores = jax.nn.sigmoid(predictions) if from_logits else predictions
    return (scores > threshold).astype(jnp.int32), (targets > 0.5).astype(jnp.int32), 2
