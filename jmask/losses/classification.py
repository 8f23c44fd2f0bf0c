"""Classification losses: logits against ids or probabilities."""

from typing import Any, Unpack, overload

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Num

from ..core.lazy import LazyModule
from ..core.masked import Masked
from ..ops.linear import AnyArray
from .accumulator import Mean
from .options import check_number
from .ranges import classes, probabilities, signs
from .signatures import Divided, Input, Undivided, Unreduced, plain
from .steps import check_alike
from .wrapping import masked_loss, of_labels

optax: Any = LazyModule("optax")

Logits = Float[AnyArray, "... classes"]
PerStep = Float[AnyArray, "..."]
Ids = Integer[AnyArray, "..."] | Bool[AnyArray, "..."]
Decisions = Num[AnyArray, "..."] | Bool[AnyArray, "..."]


@overload
def softmax_cross_entropy_with_integer_labels(
    predictions: Input,
    targets: Input,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **options: Unpack[Divided],
) -> Array: ...
@overload
def softmax_cross_entropy_with_integer_labels(
    predictions: Input,
    targets: Input,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **options: Unpack[Undivided],
) -> Mean: ...
@overload
def softmax_cross_entropy_with_integer_labels(
    predictions: Input,
    targets: Input,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **options: Unpack[Unreduced],
) -> Masked | Array: ...
@of_labels(classes)
def softmax_cross_entropy_with_integer_labels(
    predictions: Logits, targets: Ids, *, label_smoothing: float = 0.0
) -> PerStep:
    """Cross-entropy of logits and class ids, `optax.softmax_cross_entropy_with_integer_labels`.

    Args:
        predictions: logits, `(batch, time, classes)`.
        targets: ids, `(batch, time)`, integers in `[0, classes)`. Another id raises an error if it is concrete; if it
            is traced, the loss and its gradients are NaN.
        ignore_index: a target with this id does not count, as if its step were padding; usually -100.
        label_smoothing: the share of the label's probability, in `[0, 1]`, to spread evenly over all classes.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions are not floats, or the targets are not integers.
        ValueError: a target is not a class, `label_smoothing` is outside `[0, 1]`, the shapes do not fit, or
            `reduction` is unknown.

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


@overload
def softmax_cross_entropy(
    predictions: Input, targets: Input, *, label_smoothing: float = 0.0, **options: Unpack[Divided]
) -> Array: ...
@overload
def softmax_cross_entropy(
    predictions: Input, targets: Input, *, label_smoothing: float = 0.0, **options: Unpack[Undivided]
) -> Mean: ...
@overload
def softmax_cross_entropy(
    predictions: Input, targets: Input, *, label_smoothing: float = 0.0, **options: Unpack[Unreduced]
) -> Masked | Array: ...
@masked_loss
def softmax_cross_entropy(
    predictions: Logits, targets: Num[AnyArray, "... classes"], *, label_smoothing: float = 0.0
) -> PerStep:
    """Cross-entropy of logits and one-hot vectors or probabilities, `optax.safe_softmax_cross_entropy`.

    A class of probability 0 costs nothing, even if its logit is -inf.

    Args:
        predictions: logits, `(batch, time, classes)`.
        targets: probabilities, the same shape.
        label_smoothing: the share of the probabilities, in `[0, 1]`, to spread evenly over all classes.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: `label_smoothing` is outside `[0, 1]`, the shapes differ, or `reduction` is unknown.

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


@overload
def sigmoid_binary_cross_entropy(
    predictions: Input,
    targets: Input,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **options: Unpack[Divided],
) -> Array: ...
@overload
def sigmoid_binary_cross_entropy(
    predictions: Input,
    targets: Input,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **options: Unpack[Undivided],
) -> Mean: ...
@overload
def sigmoid_binary_cross_entropy(
    predictions: Input,
    targets: Input,
    *,
    ignore_index: int | None = None,
    label_smoothing: float = 0.0,
    **options: Unpack[Unreduced],
) -> Masked | Array: ...
@of_labels(probabilities)
def sigmoid_binary_cross_entropy(predictions: PerStep, targets: Decisions, *, label_smoothing: float = 0.0) -> PerStep:
    """Cross-entropy of independent binary decisions, `optax.sigmoid_binary_cross_entropy`.

    Args:
        predictions: logits, `(batch, time)`, or `(batch, time, labels)` for several decisions at each step, which are
            averaged.
        targets: 0 and 1, or probabilities, the same shape. A number outside `[0, 1]` raises an error if it is concrete;
            if it is traced, the loss and its gradients are NaN.
        ignore_index: a target with this number does not count; other decisions at the same step do.
        label_smoothing: the share of the probabilities, in `[0, 1]`, to spread evenly over 0 and 1.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: a target or `label_smoothing` is outside `[0, 1]`, the shapes differ, or `reduction` is unknown.

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


@plain
@masked_loss
def kl_divergence(predictions: Logits, targets: Float[AnyArray, "... classes"]) -> PerStep:
    """The Kullback-Leibler divergence of predictions from targets, `optax.kl_divergence`.

    Args:
        predictions: log-probabilities, `(batch, time, classes)`.
        targets: probabilities, the same shape. A probability of 0 adds nothing, and its own gradient is 0.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ, or `reduction` is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.log(jnp.array([[[0.5, 0.5], [jnp.nan, 1.0]]])), [1])
    >>> float(jm.losses.kl_divergence(x, jnp.full((1, 2, 2), 0.5)))
    0.0
    """
    check_alike("kl_divergence", predictions, targets)
    return optax.kl_divergence(predictions, targets)


@overload
def hinge_loss(
    predictions: Input, targets: Input, *, ignore_index: int | None = None, **options: Unpack[Divided]
) -> Array: ...
@overload
def hinge_loss(
    predictions: Input, targets: Input, *, ignore_index: int | None = None, **options: Unpack[Undivided]
) -> Mean: ...
@overload
def hinge_loss(
    predictions: Input, targets: Input, *, ignore_index: int | None = None, **options: Unpack[Unreduced]
) -> Masked | Array: ...
@of_labels(signs)
def hinge_loss(predictions: PerStep, targets: Num[AnyArray, "..."]) -> PerStep:
    """The hinge loss of binary decisions, `optax.hinge_loss`.

    Args:
        predictions: `(batch, time, ...)`, whose sign is the decision.
        targets: -1 and 1, the same shape. A number outside `[-1, 1]` raises an error if it is concrete; if it is
            traced, the loss and its gradients are NaN.
        ignore_index: a target with this number does not count.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ, or `reduction` is unknown.

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
