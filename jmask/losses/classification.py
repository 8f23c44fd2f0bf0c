"""Losses of classes: unnormalised log-probabilities against ids, or against probabilities."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Bool, Float, Integer, Num

from ..core.lazy import LazyModule
from ..ops.linear import AnyArray
from .options import check_number
from .ranges import classes, probabilities, signs
from .steps import check_alike
from .wrapping import masked_loss, of_labels

optax: Any = LazyModule("optax")

Logits = Float[AnyArray, "... classes"]
PerStep = Float[AnyArray, "..."]
Ids = Integer[AnyArray, "..."] | Bool[AnyArray, "..."]
Decisions = Num[AnyArray, "..."] | Bool[AnyArray, "..."]


@of_labels(classes)
def softmax_cross_entropy_with_integer_labels(
    predictions: Logits, targets: Ids, *, label_smoothing: float = 0.0
) -> PerStep:
    """Cross-entropy with the ids of classes, `optax.softmax_cross_entropy_with_integer_labels`.

    Args:
        predictions: logits, `(batch, time, classes)`.
        targets: ids, `(batch, time)`, integers in `[0, classes)`. An id outside is an error where it is concrete; where
            it is traced, the loss and its gradients are NaN.
        ignore_index: a target that is this id does not count, as if its step were padding; -100 as a rule.
        label_smoothing: this part of the label's probability, in `[0, 1]`, goes to all classes alike.
        **options: as in `jm.losses.masked_loss`, which also says what is returned and raised.

    Returns:
        The loss; 0, with zero gradients, where no step is real. In the mean a step of weight 0 counts, as one of loss
        0; not with `reduction="weights"`.

    Raises:
        TypeError: the labels are not integers.
        ValueError: a label is no class, `label_smoothing` is outside of `[0, 1]`, or one of those of
            `jm.losses.masked_loss`.

    References:
        Szegedy et al.: Rethinking the Inception Architecture for Computer Vision, arXiv:1512.00567, section 7, for
        label smoothing.

    >>> import jax.numpy as jnp, jmask as jm
    >>> labels = jm.pad_sequences([[2, 0, 1], [1]])
    >>> loss = jm.losses.softmax_cross_entropy_with_integer_labels(jnp.zeros((2, 3, 4)), labels, divide=False)
    >>> float(loss.count), float(jnp.exp(loss.value))
    (4.0, 4.0)
    """
    name = "softmax_cross_entropy_with_integer_labels"
    _check_smoothing(name, label_smoothing)
    sharp = optax.softmax_cross_entropy_with_integer_labels(predictions, targets)
    if _is_zero(label_smoothing):
        return sharp
    smooth = optax.softmax_cross_entropy(predictions, jnp.full_like(predictions, 1 / predictions.shape[-1]))
    return (1 - label_smoothing) * sharp + label_smoothing * smooth


@masked_loss
def softmax_cross_entropy(
    predictions: Logits, targets: Num[AnyArray, "... classes"], *, label_smoothing: float = 0.0
) -> PerStep:
    """Cross-entropy with one-hot vectors or probabilities, `optax.safe_softmax_cross_entropy`.

    A class of probability 0 costs nothing, even if its logit is -inf.

    Args:
        predictions: logits, `(batch, time, classes)`.
        targets: probabilities, the same shape.
        label_smoothing: this part of the probabilities, in `[0, 1]`, goes to all classes alike.
        **options: as in `jm.losses.masked_loss`, which also says what is returned and raised.

    Returns:
        The loss; 0, with zero gradients, where no step is real. In the mean a step of weight 0 counts, as one of loss
        0; not with `reduction="weights"`.

    Raises:
        ValueError: `label_smoothing` is outside of `[0, 1]`, or one of those of `jm.losses.masked_loss`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> logits = jm.from_lengths(jnp.array([[[0.0, -jnp.inf], [jnp.nan, jnp.nan]]]), [1])
    >>> float(jm.losses.softmax_cross_entropy(logits, jnp.array([[[1.0, 0.0], [0.0, 1.0]]])))
    0.0
    """
    check_alike("softmax_cross_entropy", predictions, targets)
    _check_smoothing("softmax_cross_entropy", label_smoothing)
    labels = targets.astype(predictions.dtype)
    if not _is_zero(label_smoothing):
        labels = optax.smooth_labels(labels, label_smoothing)
    return optax.safe_softmax_cross_entropy(predictions, labels)


@of_labels(probabilities)
def sigmoid_binary_cross_entropy(predictions: PerStep, targets: Decisions, *, label_smoothing: float = 0.0) -> PerStep:
    """Cross-entropy of independent decisions, `optax.sigmoid_binary_cross_entropy`.

    Args:
        predictions: logits, `(batch, time)`, or `(batch, time, labels)` for several decisions at each step, which are
            averaged.
        targets: 0 and 1 or probabilities, the same shape. What is outside of `[0, 1]` is an error where it is concrete;
            where it is traced, the loss and its gradients are NaN.
        ignore_index: a target that is this number does not count; of several decisions at a step, the others do.
        label_smoothing: this part of the probabilities, in `[0, 1]`, goes to 0 and 1 alike.
        **options: as in `jm.losses.masked_loss`, which also says what is returned and raised.

    Returns:
        The loss; 0, with zero gradients, where no step is real. In the mean a step of weight 0 counts, as one of loss
        0; not with `reduction="weights"`.

    Raises:
        ValueError: a target or `label_smoothing` is outside of `[0, 1]`, or one of those of `jm.losses.masked_loss`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> logits = jm.from_lengths(jnp.array([[100.0, -100.0, jnp.nan]]), [2])
    >>> float(jm.losses.sigmoid_binary_cross_entropy(logits, jnp.array([[1, 0, 0]])))
    0.0
    """
    _check_smoothing("sigmoid_binary_cross_entropy", label_smoothing)
    labels = targets.astype(predictions.dtype)
    if not _is_zero(label_smoothing):
        labels = (1 - label_smoothing) * labels + label_smoothing / 2
    return optax.sigmoid_binary_cross_entropy(predictions, labels)


@masked_loss
def kl_divergence(predictions: Logits, targets: Float[AnyArray, "... classes"]) -> PerStep:
    """The Kullback-Leibler divergence of predictions from targets, `optax.kl_divergence`.

    Args:
        predictions: logarithms of probabilities, `(batch, time, classes)`.
        targets: probabilities, the same shape. One of 0 costs nothing, but has no gradient with respect to itself.
        **options: as in `jm.losses.masked_loss`, which also says what is returned and raised.

    Returns:
        The loss; 0, with zero gradients, where no step is real. In the mean a step of weight 0 counts, as one of loss
        0; not with `reduction="weights"`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.log(jnp.array([[[0.5, 0.5], [jnp.nan, 1.0]]])), [1])
    >>> float(jm.losses.kl_divergence(x, jnp.full((1, 2, 2), 0.5)))
    0.0
    """
    check_alike("kl_divergence", predictions, targets)
    return optax.kl_divergence(predictions, targets)


@of_labels(signs)
def hinge_loss(predictions: PerStep, targets: Num[AnyArray, "..."]) -> PerStep:
    """The hinge loss of decisions, `optax.hinge_loss`.

    Args:
        predictions: `(batch, time, ...)`, whose sign is the decision.
        targets: -1 and 1, the same shape. What is outside of `[-1, 1]` is an error where it is concrete; where it is
            traced, the loss and its gradients are NaN.
        ignore_index: a target that is this number does not count.
        **options: as in `jm.losses.masked_loss`, which also says what is returned and raised.

    Returns:
        The loss; 0, with zero gradients, where no step is real. In the mean a step of weight 0 counts, as one of loss
        0; not with `reduction="weights"`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[2.0, 0.5, jnp.nan]]), [2])
    >>> float(jm.losses.hinge_loss(x, jnp.array([[1, 1, -1]])))
    0.25
    """
    return optax.hinge_loss(predictions, targets)


def _is_zero(label_smoothing: Any) -> bool:
    return isinstance(label_smoothing, (int, float)) and label_smoothing == 0


def _check_smoothing(name: str, label_smoothing: Any) -> None:
    check_number(name, "label_smoothing", label_smoothing, "a part of the whole, a number from 0 to 1", 0, 1)
