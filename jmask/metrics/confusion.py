"""Precision, recall, F1 and the confusion matrix."""

import functools
from collections.abc import Iterable
from typing import Any, SupportsIndex

import jax.numpy as jnp
from jaxtyping import Array

from ..core.arithmetic import expand
from ..core.checks import check_one_of
from ..core.explicit_axes import as_whole
from ..losses.labels import poisoned
from ..losses.options import check_integer
from ..losses.steps import Steps
from .class_sums import Average, ConfusionSums, F1Sums, PrecisionSums, RecallSums
from .decisions import Decisions, are, decide
from .inputs import Numbers, Weight

AVERAGES = ("binary", "micro", "macro", "weighted", None)
Labels = Iterable[SupportsIndex] | None


def precision(
    predictions: Numbers,
    targets: Numbers,
    *,
    average: Average = "binary",
    num_classes: int | None = None,
    labels: Labels = None,
    threshold: float = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> PrecisionSums:
    """The fraction of the predictions of a class that are right.

    Args:
        predictions: scores of classes, `(batch, time, classes)`, where the largest decides; ids, `(batch, time)`,
            integer or bool; or scores of binary decisions, floats `(batch, time)` or `(batch, time, labels)`.
        targets: ids, `(batch, time)`; for binary decisions 0 and 1, in the shape of the predictions. Another target
            raises an error if it is concrete; if it is traced, the result is NaN.
        average: `"binary"`: the score of class 1 of two classes; `"macro"`: the mean over the classes that were
            predicted or are targets; `"weighted"`: the same, weighted by how often each is a target; `"micro"`: from
            the counts of all classes together; None: one score per class.
        num_classes: the number of classes, needed for ids, except with `average="binary"`.
        labels: the classes that are scored, in this order, such as `range(1, 9)` without the tag "O" of number 0; not
            with `average="binary"`. None: all.
        threshold: a binary decision is positive if its score is above this.
        from_logits: whether these scores are logits, to which the sigmoid is applied first.
        ignore_index: a target with this id does not count, as if its step were padding; usually -100.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any real step. They pass no gradient.

    Raises:
        TypeError: the targets for scores of classes are not integers.
        ValueError: `average` is unknown, `num_classes` is missing or does not fit, an id or one of `labels` is not a
            class, or shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.pad_sequences([[1, 0, 1], [0]])
    >>> float(jm.metrics.precision(jnp.array([[1, 1, 0], [0, 1, 1]]), targets).value)
    0.5
    """
    decisions = decide("precision", predictions, targets, threshold, from_logits, ignore_index, sample_weight, mask)
    return PrecisionSums(*_count(decisions, average, num_classes, labels), average)


def recall(
    predictions: Numbers,
    targets: Numbers,
    *,
    average: Average = "binary",
    num_classes: int | None = None,
    labels: Labels = None,
    threshold: float = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> RecallSums:
    """The fraction of the targets of a class that were predicted.

    Args:
        predictions: scores of classes, `(batch, time, classes)`, where the largest decides; ids, `(batch, time)`,
            integer or bool; or scores of binary decisions, floats `(batch, time)` or `(batch, time, labels)`.
        targets: ids, `(batch, time)`; for binary decisions 0 and 1, in the shape of the predictions. Another target
            raises an error if it is concrete; if it is traced, the result is NaN.
        average: `"binary"`: the score of class 1 of two classes; `"macro"`: the mean over the classes that were
            predicted or are targets; `"weighted"`: the same, weighted by how often each is a target; `"micro"`: from
            the counts of all classes together; None: one score per class.
        num_classes: the number of classes, needed for ids, except with `average="binary"`.
        labels: the classes that are scored, in this order, such as `range(1, 9)` without the tag "O" of number 0; not
            with `average="binary"`. None: all.
        threshold: a binary decision is positive if its score is above this.
        from_logits: whether these scores are logits, to which the sigmoid is applied first.
        ignore_index: a target with this id does not count, as if its step were padding; usually -100.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any real step. They pass no gradient.

    Raises:
        TypeError: the targets for scores of classes are not integers.
        ValueError: `average` is unknown, `num_classes` is missing or does not fit, an id or one of `labels` is not a
            class, or shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.pad_sequences([[1, 0, 1], [0]])
    >>> float(jm.metrics.precision(jnp.array([[1, 1, 0], [0, 1, 1]]), targets).value)
    0.5
    """
    decisions = decide("recall", predictions, targets, threshold, from_logits, ignore_index, sample_weight, mask)
    return RecallSums(*_count(decisions, average, num_classes, labels), average)


def f1_score(
    predictions: Numbers,
    targets: Numbers,
    *,
    average: Average = "binary",
    num_classes: int | None = None,
    labels: Labels = None,
    threshold: float = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> F1Sums:
    """The harmonic mean of precision and recall.

    Args:
        predictions: scores of classes, `(batch, time, classes)`, where the largest decides; ids, `(batch, time)`,
            integer or bool; or scores of binary decisions, floats `(batch, time)` or `(batch, time, labels)`.
        targets: ids, `(batch, time)`; for binary decisions 0 and 1, in the shape of the predictions. Another target
            raises an error if it is concrete; if it is traced, the result is NaN.
        average: `"binary"`: the score of class 1 of two classes; `"macro"`: the mean over the classes that were
            predicted or are targets; `"weighted"`: the same, weighted by how often each is a target; `"micro"`: from
            the counts of all classes together; None: one score per class.
        num_classes: the number of classes, needed for ids, except with `average="binary"`.
        labels: the classes that are scored, in this order, such as `range(1, 9)` without the tag "O" of number 0; not
            with `average="binary"`. None: all.
        threshold: a binary decision is positive if its score is above this.
        from_logits: whether these scores are logits, to which the sigmoid is applied first.
        ignore_index: a target with this id does not count, as if its step were padding; usually -100.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any real step, and which have `.precision` and `.recall` too. They pass no
        gradient.

    Raises:
        TypeError: the targets for scores of classes are not integers.
        ValueError: `average` is unknown, `num_classes` is missing or does not fit, an id or one of `labels` is not a
            class, or shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.pad_sequences([[1, 0, 1], [1]])
    >>> float(jm.metrics.f1_score(jnp.array([[1, 0, 0], [0, 1, 1]]), targets).value)
    0.5
    >>> tags = jm.pad_sequences([[0, 1, 2, 0], [0]])
    >>> found = jnp.array([[0, 1, 1, 0], [0, 0, 0, 0]])
    >>> float(jm.metrics.f1_score(found, tags, num_classes=3, average="micro", labels=[1, 2]).value)
    0.5
    """
    decisions = decide("f1_score", predictions, targets, threshold, from_logits, ignore_index, sample_weight, mask)
    return F1Sums(*_count(decisions, average, num_classes, labels), average)


def confusion_matrix(
    predictions: Numbers,
    targets: Numbers,
    *,
    num_classes: int | None = None,
    threshold: float = 0.5,
    from_logits: bool = False,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> ConfusionSums:
    """How often each class (row) was predicted as each class (column).

    Args:
        predictions: scores of classes, `(batch, time, classes)`, where the largest decides; ids, `(batch, time)`,
            integer or bool; or scores of binary decisions, floats `(batch, time)` or `(batch, time, labels)`.
        targets: ids, `(batch, time)`; for binary decisions 0 and 1, in the shape of the predictions. Another target
            raises an error if it is concrete; if it is traced, the result is NaN.
        num_classes: the number of classes, needed for ids.
        threshold: a binary decision is positive if its score is above this.
        from_logits: whether these scores are logits, to which the sigmoid is applied first.
        ignore_index: a target with this id does not count, as if its step were padding; usually -100.
        sample_weight: `(batch,)` for sequences or `(batch, time)` for steps, an array or a `Masked`; each step counts
            as often as its weight says. Bools act as a mask.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is `(classes, classes)`, zeros without any real step. They pass no gradient.

    Raises:
        TypeError: the targets for scores of classes are not integers.
        ValueError: `num_classes` is missing or does not fit, an id is not a class, or
            shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> targets = jm.pad_sequences([[1, 0, 1], [1]])
    >>> jm.metrics.confusion_matrix(jnp.array([[1, 0, 0], [1, 1, 1]]), targets, num_classes=2).value.tolist()
    [[1.0, 0.0], [1.0, 2.0]]
    """
    decisions = decide(
        "confusion_matrix", predictions, targets, threshold, from_logits, ignore_index, sample_weight, mask
    )
    size = _num_classes(decisions, num_classes)
    decisions = decisions.check_classes(size)
    weights = _weights(decisions.steps, decisions.true)[..., None]
    rows = jnp.where(are(decisions.true, jnp.arange(size)), weights, 0)
    columns = are(decisions.found, jnp.arange(size)).astype(weights.dtype)
    axes = tuple(range(decisions.true.ndim))
    counts = as_whole(functools.partial(jnp.tensordot, axes=(axes, axes), precision="highest"), rows, columns)
    return ConfusionSums(poisoned(counts, decisions.wrong))


def _count(
    decisions: Decisions, average: Average, num_classes: int | None, labels: Labels
) -> tuple[Array, Array, Array]:
    """For each class, how often it was predicted correctly, how often predicted, and how often a target."""
    name, known = decisions.steps.name, decisions.num_classes
    check_one_of("average", average, AVERAGES, caller=name)
    if average == "binary":
        size = _num_classes(decisions, 2 if num_classes is None and known is None else num_classes)
        if size != 2:
            raise ValueError(
                f"`{name}`: `average='binary'` is the score of class 1 of two; here are {size} classes. Use 'macro', "
                "'micro', 'weighted' or None."
            )
        if labels is not None:
            raise ValueError(f"`{name}`: `labels` chooses among the classes of other averages; pass `average='micro'`.")
        classes = jnp.array([1])
    else:
        size = _num_classes(decisions, num_classes)
        classes = jnp.arange(size) if labels is None else _chosen(name, labels, size)
    decisions = decisions.check_classes(size)
    weights = _weights(decisions.steps, decisions.true)[..., None]
    predicted, actual = are(decisions.found, classes), are(decisions.true, classes)
    axes = tuple(range(decisions.true.ndim))
    counts = tuple(jnp.where(which, weights, 0).sum(axes) for which in (predicted & actual, predicted, actual))
    return poisoned(counts, decisions.wrong)


def _chosen(name: str, labels: Iterable[SupportsIndex], size: int) -> Array:
    """The classes that are scored."""
    chosen = [check_integer(name, "labels", label, 0) for label in labels]
    if not chosen or len({*chosen}) < len(chosen) or max(chosen) >= size:
        raise ValueError(
            f"`{name}`: `labels` are different classes, of 0 to {size - 1}, and at least one; received {chosen}."
        )
    return jnp.array(chosen)


def _weights(steps: Steps, ids: Array) -> Array:
    """The weight of each id."""
    weights = steps.weights(ids.shape[: steps.rank(ids)], steps.wide)
    return jnp.broadcast_to(expand(weights, ids.ndim), ids.shape)


def _num_classes(decisions: Decisions, num_classes: int | None) -> int:
    name, known = decisions.steps.name, decisions.num_classes
    if num_classes is not None:
        num_classes = check_integer(name, "num_classes", num_classes, 1)
    if num_classes is None and known is None:
        raise ValueError(f"`{name}`: ids do not say how many classes there are; pass `num_classes`.")
    if num_classes is not None and known is not None and num_classes != known:
        raise ValueError(
            f"`{name}`: there are scores of {known} classes, and `num_classes={num_classes}`. Leave it out."
        )
    return num_classes or known or 0
