"""Connectionist temporal classification: labels without times against predictions at every step."""

import functools
import math
from typing import Any, Literal, Unpack, overload

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, Num

from ..core.checks import as_array
from ..core.display import is_concrete
from ..core.errors import report_not_counted
from ..core.explicit_axes import as_whole, divided_by_row
from ..core.masked import Masked, mask_of, segment_ids_of, values_of
from ..core.packed_rows import sequence_rows
from ..core.segment_ids import found_ids, ids_of, number_of_sequences
from ..core.step_order import left_align
from ..ops.linear import AnyArray, check_float
from .accumulator import Mean
from .ctc_paths import log_probabilities_of_packed, log_probability
from .labels import as_ids, check_ignore_index, outside
from .options import check_bool, check_integer
from .reduce import check_reduction
from .sequences import reduce_sequences
from .signatures import DividedSequences, Input, UndividedSequences, Unreduced
from .steps import with_explicit_mask

REDUCTIONS = ("sequences", "weights", "sum", None)


@overload
def ctc_loss(
    predictions: Input,
    targets: Input,
    *,
    blank_id: int = 0,
    zero_infinity: bool = False,
    ignore_index: int | None = None,
    **options: Unpack[DividedSequences],
) -> Array: ...
@overload
def ctc_loss(
    predictions: Input,
    targets: Input,
    *,
    blank_id: int = 0,
    zero_infinity: bool = False,
    ignore_index: int | None = None,
    **options: Unpack[UndividedSequences],
) -> Mean: ...
@overload
def ctc_loss(
    predictions: Input,
    targets: Input,
    *,
    blank_id: int = 0,
    zero_infinity: bool = False,
    ignore_index: int | None = None,
    **options: Unpack[Unreduced],
) -> Masked | Array: ...
def ctc_loss(
    predictions: Masked | Float[AnyArray, "*batch time classes"],
    targets: Masked | Integer[AnyArray, "*batch labels"] | Bool[AnyArray, "*batch labels"],
    *,
    blank_id: int = 0,
    zero_infinity: bool = False,
    ignore_index: int | None = None,
    sample_weight: Masked | Num[AnyArray, "*batch"] | Bool[AnyArray, "*batch"] | None = None,
    mask: Any = None,
    reduction: Literal["sequences", "weights", "sum"] | None = "sequences",
    divide: bool = True,
) -> Array | Masked | Mean:
    """Minus the log-probability of the labels, summed over all alignments in time, as in `optax.ctc_loss`.

    The masks of predictions and targets give the two lengths of each sequence and need not agree. Padding may be
    anywhere.

    Args:
        predictions: logits, `(batch, time, classes)`, with a mask `(batch, time)`. Each sequence of packed rows is
            handled on its own.
        targets: class ids other than the blank, `(batch, labels)`, with their own mask. Another id raises an error if
            it is concrete; if it is traced, the loss and its gradients are NaN. For packed predictions,
            `(num_sequences, labels)`, or packed in rows of their own, with the same ids; the former cost less.
        blank_id: the id of the blank, the class between labels.
        zero_infinity: whether an infinite loss becomes 0.
        ignore_index: a target with this id is padding; usually -100.
        sample_weight: `(batch,)`, or `(num_sequences,)` for packed rows: the loss of a sequence is multiplied by its
            weight. Bools act as a mask instead.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.
        reduction: `"sequences"`: the mean over the sequences that have a step, whatever their weights; `"weights"`: the
            sum divided by the sum of the weights; `"sum"`: the sum; None: the weighted losses, `(batch,)` or
            `(num_sequences,)`.
        divide: False returns a `jm.losses.Mean`, a sum and its count, to be added up over batches and devices.

    Returns:
        The loss, in the dtype of the predictions; for `reduction=None` a `Masked` if the predictions are one. A
        sequence without steps does not count and passes no gradient; for one without labels, every step should be
        blank. If there are too few steps for the labels (one each, and one more between two equal ones), the loss is
        inf and passes no gradient; with `zero_infinity` it is 0, and the sequence still counts.

    Raises:
        TypeError: the predictions are not floats, or the targets are not integers.
        ValueError: shapes do not fit, a target is not a label, `reduction` is unknown, or it is not known how many
            sequences packed rows hold.
        NotCountedError: labels of a sequence without steps, or no sequence at all, under `jm.strict()`; otherwise a
            `jm.NotCountedWarning`.

    References:
        Graves et al.: Connectionist Temporal Classification, ICML 2006, equations 6 to 8.

    >>> import jax.numpy as jnp, jmask as jm
    >>> logits = jm.from_lengths(jnp.zeros((2, 4, 3)), [2, 0])
    >>> round(float(jm.losses.ctc_loss(logits, jm.pad_sequences([[1], []]))), 3)  # "1 1", "1 -" or "- 1" of 9
    1.099
    """
    check_reduction("ctc_loss", reduction, divide, REDUCTIONS)
    check_bool("ctc_loss", "zero_infinity", zero_infinity)
    ignore_index = check_ignore_index("ctc_loss", ignore_index)
    logits = with_explicit_mask(
        "ctc_loss", predictions if isinstance(predictions, Masked) else as_array(predictions), mask
    )
    labels = targets if isinstance(targets, Masked) else as_array(targets)
    logits, labels = _rows_of_sequences(logits, labels)
    _check_inputs(logits, labels)
    blank_id = _check_blank(blank_id, logits.shape[-1])
    ids, are_labels = as_ids(labels.values if isinstance(labels, Masked) else labels), mask_of(labels)
    if ignore_index is not None:
        are_labels = ids != ignore_index if are_labels is None else are_labels & (ids != ignore_index)
    wrong = _no_labels(ids, are_labels, blank_id, logits.shape[-1])
    are_labels = np.ones(ids.shape, bool) if are_labels is None else are_labels
    _report_lost_labels(logits, are_labels)
    losses_of = _losses if segment_ids_of(logits) is None else _losses_of_packed
    counts, losses = losses_of(logits, ids, are_labels, wrong, blank_id=blank_id, zero_infinity=bool(zero_infinity))
    return reduce_sequences(
        "ctc_loss", losses, counts, logits, sample_weight=sample_weight, reduction=reduction, divide=divide
    )


@functools.partial(jax.jit, static_argnames=("blank_id", "zero_infinity"))  # a second eager call compiles nothing
def _losses(
    predictions: Any, ids: Array, are_labels: Array, wrong: Any, *, blank_id: int, zero_infinity: bool
) -> tuple[Array, Array]:
    """Which sequences have a step, and the loss of each; all axes before time are joined."""
    logits, real = values_of(predictions), mask_of(predictions)
    batch, (time, num_classes), num_labels = logits.shape[:-2], logits.shape[-2:], ids.shape[-1]
    size, wide = math.prod(batch), jnp.promote_types(logits.dtype, jnp.float32)
    real = jnp.ones(logits.shape[:-1], bool) if real is None else real
    logits = jnp.where(real[..., None], logits.astype(wide), 0)
    log_probs = jax.nn.log_softmax(logits).reshape(size, time, num_classes)
    labels = left_align(Masked(ids, are_labels))[0]
    row = functools.partial(log_probability, blank_id=blank_id)
    rows = labels.fill(blank_id).reshape(size, num_labels), labels.mask.sum(-1, dtype=jnp.int32).reshape(size)
    found = divided_by_row(jax.vmap(row), log_probs, real.reshape(size, time), *rows).reshape(batch)
    return _finished(found, real.any(-1), wrong, zero_infinity)


@functools.partial(jax.jit, static_argnames=("blank_id", "zero_infinity"))
def _losses_of_packed(
    logits: Masked, ids: Array, are_labels: Array, wrong: Any, *, blank_id: int, zero_infinity: bool
) -> tuple[Array, Array]:
    """The same for packed rows: one for each sequence."""
    wide = jnp.promote_types(logits.dtype, jnp.float32)
    segment_ids = jnp.asarray(ids_of(logits))
    log_probs = jax.nn.log_softmax(logits.fill(0).astype(wide))
    log_probs, segment_ids = (
        array.reshape(-1, *array.shape[segment_ids.ndim - 1 :]) for array in (log_probs, segment_ids)
    )
    labels = left_align(Masked(ids, are_labels))[0]
    lengths = labels.mask.sum(-1, dtype=jnp.int32)
    forward = functools.partial(log_probabilities_of_packed, blank_id=blank_id)
    found = as_whole(forward, log_probs, segment_ids, labels.fill(blank_id), lengths)
    return _finished(found, found_ids(logits, "`ctc_loss`"), wrong, zero_infinity)


def _finished(found: Array, counts: Array, wrong: Any, zero_infinity: bool) -> tuple[Array, Array]:
    """Which sequences have a step, and the loss of each, from their log-probabilities."""
    losses = jnp.where(found == -jnp.inf, 0 if zero_infinity else jnp.inf, -found)
    if wrong is not None:
        losses *= jnp.where(wrong.any(-1), jnp.nan, 1)
    return counts, jnp.where(counts, losses, 0)


def _no_labels(ids: Any, are_labels: Any, blank_id: int, num_classes: int) -> Any:
    """Where an id is not a class or is the blank, in the form that `outside` returns."""
    wrong = outside("ctc_loss", ids, are_labels, 0, num_classes - 1)
    if wrong is not None:
        blank = jnp.asarray(ids) == blank_id
        return wrong | (blank if are_labels is None else blank & are_labels)
    ids, are_labels = jax.device_get((ids, are_labels))
    if (ids == blank_id if are_labels is None else (ids == blank_id) & are_labels).any():
        raise ValueError(
            f"`ctc_loss`: targets hold {blank_id}, which is the id of the blank and not of a label. Leave it out with "
            f"`ignore_index={blank_id}`, or say which id is the blank with `blank_id`."
        )
    return None


def _report_lost_labels(logits: Any, are_labels: Any) -> None:
    if isinstance(logits, Masked) and is_concrete(logits.mask) and is_concrete(are_labels):
        have_steps = np.asarray(logits.mask.any(-1) if logits.segment_ids is None else found_ids(logits, "`ctc_loss`"))
        lost = int((~have_steps & np.asarray(are_labels).any(-1)).sum())
        if lost:
            report_not_counted(
                f"`ctc_loss`: labels without a single step to stand at, and so not counted; sequences: {lost}. Mark "
                "such labels as padding, or correct the mask of the predictions."
            )


def _check_blank(blank_id: Any, num_classes: int) -> int:
    blank_id = check_integer("ctc_loss", "blank_id", blank_id, 0)
    if blank_id >= num_classes:
        raise ValueError(
            f"`ctc_loss`: `blank_id` is one of the {num_classes} classes, below {num_classes}; received {blank_id}."
        )
    return blank_id


def _check_inputs(logits: Any, labels: Any) -> None:
    check_float(logits, "ctc_loss")
    if not jnp.issubdtype(labels.dtype, jnp.integer) and labels.dtype != bool:
        raise TypeError(f"`ctc_loss`: targets are ids of classes, integers; received dtype {labels.dtype}.")
    if segment_ids_of(logits) is not None:
        _check_inputs_of_packed(logits, labels)
        return
    fits = logits.ndim >= 2 and labels.ndim == logits.ndim - 1 and labels.shape[:-1] == logits.shape[:-2]
    ranks = [x.mask.ndim for x in (logits, labels) if isinstance(x, Masked)]
    if not fits or any(rank != labels.ndim for rank in ranks):
        raise ValueError(
            "`ctc_loss` takes logits (batch, time, classes) with a mask (batch, time), and targets (batch, labels) "
            f"with a mask (batch, labels); received {tuple(logits.shape)} and {tuple(labels.shape)}, and masks of "
            f"ranks {ranks}."
        )


def _check_inputs_of_packed(logits: Masked, labels: Any) -> None:
    ndim, number = logits.mask.ndim, logits.num_sequences
    fits = labels.ndim == 2 and labels.shape[0] == number and (mask_of(labels) is None or labels.mask.ndim == 2)
    if logits.ndim != ndim + 1 or not fits:
        raise ValueError(
            f"`ctc_loss` takes packed logits (batch, time, classes), and targets that are packed as well or have a row "
            f"for each sequence, ({number}, labels); received {tuple(logits.shape)} and {tuple(labels.shape)}."
        )


def _rows_of_sequences(logits: Any, labels: Any) -> tuple[Any, Any]:
    """The inputs, the labels of packed rows as a row for each sequence; raises if their number is not known."""
    found = [x for x in (logits, labels) if segment_ids_of(x) is not None]
    if not found:
        return logits, labels
    number = max(number_of_sequences(x, "`ctc_loss`") for x in found)
    if segment_ids_of(labels) is not None:
        labels = sequence_rows(labels, number, labels.shape[-1])
    return logits, labels
