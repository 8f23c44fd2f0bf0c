"""Connectionist temporal classification: labels without times against predictions of every step."""

import math
from typing import Any, Literal

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Integer, Num

from ..checks import as_array
from ..masked import Masked
from ..ops.linear import AnyArray, check_float
from ..segments import refuse_segments
from ..step_order import compact
from .mask_aware import divided
from .mean import Mean
from .reduce import check_reduction, reduce
from .steps import Steps, override

REDUCTIONS = ("sequences", "weights", "sum", None)


def ctc_loss(
    predictions: Masked | Float[AnyArray, "*batch time classes"],
    targets: Masked | Integer[AnyArray, "*batch labels"],
    *,
    blank_id: int = 0,
    sample_weight: Masked | Num[AnyArray, "*batch"] | None = None,
    mask: Any = None,
    reduction: Literal["sequences", "weights", "sum"] | None = "sequences",
    divide: bool = True,
) -> Array | Masked | Mean:
    """Minus the log-probability of the labels, over all ways to place them in time; `optax.ctc_loss`.

    The masks of predictions and targets give the two lengths of each sequence, and need not agree. Padding may stand
    anywhere: it is moved to the end before.

    Args:
        predictions: logits, `(batch, time, classes)`, with a mask `(batch, time)`.
        targets: ids of classes, `(batch, labels)`, with a mask of their own.
        blank_id: the id of the blank, which stands between labels.
        sample_weight: `(batch,)`; the loss of a sequence is multiplied by it.
        mask: overrides the mask of the predictions; `jm.NO_MASK` removes it.
        reduction: `"sequences"`: the mean over the sequences that have a step; `"weights"`: the sum over the sum of
            their weights; `"sum"`: the sum; None: the weighted losses, `(batch,)`.
        divide: False gives a `jm.losses.Mean` that is not divided yet.

    Returns:
        The loss, in the dtype of the predictions; for `reduction=None` a `Masked` if the predictions are one. A
        sequence without steps counts nowhere and passes no gradient; one without labels is to be blank throughout.
        Where labels do not fit into the steps, the loss is finite, about 1e5.

    Raises:
        TypeError: predictions that are not floats, or targets that are not integers.
        ValueError: packed rows, shapes that do not fit, or another word for `reduction`.

    References:
        Graves et al.: Connectionist Temporal Classification, ICML 2006, equations 6 to 8.

    >>> import jax.numpy as jnp, jmask as jm
    >>> logits = jm.from_lengths(jnp.zeros((2, 4, 3)), [2, 0])
    >>> round(float(jm.losses.ctc_loss(logits, jm.pad_sequences([[1], []]))), 3)  # "1 1", "1 -" or "- 1" of 9
    1.099
    """
    check_reduction("ctc_loss", reduction, divide, REDUCTIONS)
    logits = override("ctc_loss", predictions if isinstance(predictions, Masked) else as_array(predictions), mask)
    labels = targets if isinstance(targets, Masked) else as_array(targets)
    _check_inputs(logits, labels)
    counts, losses = _losses(_compacted(logits, logits.ndim - 1), _compacted(labels, labels.ndim), blank_id)
    if isinstance(sample_weight, Masked):
        counts, sample_weight = counts & sample_weight.mask, sample_weight.values
    steps = Steps("ctc_loss", (), logits.dtype, counts, sample_weight=sample_weight)
    reduced = reduce(steps, jnp.where(counts, losses, 0), "steps" if reduction == "sequences" else reduction)
    if isinstance(reduced, Masked) and not isinstance(logits, Masked):
        reduced = reduced.values
    return divided(reduced, logits.dtype, divide)


def _compacted(x: Any, rank: int) -> Masked:
    """The real steps in front; `rank` is that of the mask."""
    x = x if isinstance(x, Masked) else Masked(jnp.asarray(x), jnp.ones(x.shape[:rank], bool), "right")
    return compact(x)[0]


def _losses(logits: Masked, labels: Masked, blank_id: int) -> tuple[Array, Array]:
    """Which sequences have a step, and the loss of each; all axes before time are one for optax."""
    batch, (time, num_classes), num_labels = logits.shape[:-2], logits.shape[-2:], labels.shape[-1]
    size, wide = math.prod(batch), jnp.promote_types(logits.dtype, jnp.float32)
    if time == 0:
        return jnp.zeros(batch, bool), jnp.zeros(batch, wide)
    losses = optax.ctc_loss(
        logits.fill(0).astype(wide).reshape(size, time, num_classes),
        (~logits.mask).astype(wide).reshape(size, time),
        labels.fill(0).reshape(size, num_labels),
        (~labels.mask).astype(wide).reshape(size, num_labels),
        blank_id=blank_id,
    )
    return logits.mask.any(-1), losses.reshape(batch).astype(wide)


def _check_inputs(logits: Any, labels: Any) -> None:
    check_float(logits, "ctc_loss")
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"`ctc_loss`: targets are ids of classes, integers; received dtype {labels.dtype}.")
    fits = logits.ndim >= 2 and labels.ndim == logits.ndim - 1 and labels.shape[:-1] == logits.shape[:-2]
    ranks = [x.mask.ndim for x in (logits, labels) if isinstance(x, Masked)]
    if not fits or any(rank != labels.ndim for rank in ranks):
        raise ValueError(
            "`ctc_loss` takes logits (batch, time, classes) with a mask (batch, time), and targets (batch, labels) "
            f"with a mask (batch, labels); received {tuple(logits.shape)} and {tuple(labels.shape)}, and masks of "
            f"ranks {ranks}."
        )
    for x in (logits, labels):
        refuse_segments(x, "`ctc_loss`")
