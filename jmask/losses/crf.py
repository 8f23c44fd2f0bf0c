"""The loss of a linear-chain conditional random field: the negative log-likelihood of the tags."""

from collections.abc import Mapping
from typing import Any, Literal, Unpack, overload

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Integer, Num

from ..core.masked import Masked
from ..core.segment_ids import UNPACK
from ..ops.crf import check_crf, log_likelihood_of_rows, log_likelihood_of_sequences, sums_of_sequences
from ..ops.linear import AnyArray
from .accumulator import Mean
from .labels import check_ignore_index, outside
from .reduce import check_reduction
from .sequences import reduce_sequences
from .signatures import Divided, Input, Undivided, Unreduced
from .steps import align, check_labels

NAME = "crf_negative_log_likelihood"
REDUCTIONS = ("sequences", "steps", "weights", "sum", None)


@overload
def crf_negative_log_likelihood(
    params: Mapping[str, Any],
    predictions: Input,
    targets: Input,
    *,
    ignore_index: int | None = None,
    **options: Unpack[Divided],
) -> Array: ...
@overload
def crf_negative_log_likelihood(
    params: Mapping[str, Any],
    predictions: Input,
    targets: Input,
    *,
    ignore_index: int | None = None,
    **options: Unpack[Undivided],
) -> Mean: ...
@overload
def crf_negative_log_likelihood(
    params: Mapping[str, Any],
    predictions: Input,
    targets: Input,
    *,
    ignore_index: int | None = None,
    **options: Unpack[Unreduced],
) -> Masked | Array: ...
def crf_negative_log_likelihood(
    params: Mapping[str, Any],
    predictions: Masked | Float[AnyArray, "*batch time tags"],
    targets: Masked | Integer[AnyArray, "*batch time"],
    *,
    ignore_index: int | None = None,
    sample_weight: Masked | Num[AnyArray, "*batch"] | Bool[AnyArray, "*batch"] | None = None,
    mask: Any = None,
    reduction: Literal["sequences", "steps", "weights", "sum"] | None = "sequences",
    divide: bool = True,
) -> Array | Masked | Mean:
    """The negative log-likelihood of the tags of each sequence, in a linear-chain conditional random field.

    The score of a tag sequence is the sum of the logits of its tags, of the transitions from each tag to the next,
    and of those into the first and out of the last; its probability is proportional to the exponential of the score.
    `jm.layers.CRF` creates these transitions and decodes with them.

    Args:
        params: the parameters of `jm.layers.CRF`: `"transitions"`, `(tags, tags)`, from the row's tag to the column's
            tag, `"start_transitions"` and `"end_transitions"`, `(tags,)`. Entries of -inf forbid a transition; a
            sequence of targets that contains one has an infinite loss.
        predictions: logits, `(batch, time, tags)`, with a mask `(batch, time)`. Steps separated by padding count as
            neighbours; in packed rows each sequence is handled on its own.
        targets: ids in `[0, tags)`, `(batch, time)`; a step counts if it is real here too. Another id raises an error
            if it is concrete; if it is traced, the loss and its gradients are NaN.
        ignore_index: a step with this target is left out of its sequence, as if it were padding; usually -100.
        sample_weight: `(batch,)`, or `(num_sequences,)` for packed rows where that is known: the loss of a row or of a
            sequence is multiplied by its weight. Bools act as a mask instead.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.
        reduction: `"sequences"`: the mean over the sequences that have a step, whatever their weights; `"steps"`: the
            sum divided by the number of steps; `"weights"`: the sum divided by the sum of the weights; `"sum"`: the
            sum; None: the weighted losses, `(batch,)` or `(num_sequences,)`.
        divide: False returns a `jm.losses.Mean`, a sum and its count, to be added up over batches and devices.

    Returns:
        The loss, in the dtype of the predictions; for `reduction=None` a `Masked` if there is a mask. A sequence
        without steps does not count and passes no gradient.

    Raises:
        TypeError: the predictions are not floats, or the targets are not integers.
        ValueError: a target is not a tag, shapes do not fit, `reduction` is unknown, or it is None and it is not known
            how many sequences packed rows hold.
        NotCountedError: a target that is real where the predictions are padding, or no step at all, under
            `jm.strict()`; otherwise a `jm.NotCountedWarning`.

    References:
        Lafferty et al.: Conditional Random Fields, ICML 2001, section 3.

    >>> import jax.numpy as jnp, jmask as jm
    >>> params = {"transitions": jnp.zeros((2, 2)), "start_transitions": jnp.zeros(2), "end_transitions": jnp.zeros(2)}
    >>> logits = jm.from_lengths(jnp.zeros((1, 3, 2)), [2])
    >>> loss = jm.losses.crf_negative_log_likelihood(params, logits, jnp.array([[0, 1, 9]]))
    >>> float(jnp.exp(-loss))  # one of four
    0.25
    """
    check_reduction(NAME, reduction, divide, REDUCTIONS)
    ignore_index = check_ignore_index(NAME, ignore_index)
    weights = check_crf(NAME, predictions, *_weights(params))
    steps = align(NAME, (predictions, targets), None, mask, labels=True, ignore_index=ignore_index)
    logits, tags = steps.values
    check_labels(NAME, logits, tags)
    number = steps.num_sequences
    if reduction is None and steps.segment_ids is not None and number is None:
        raise ValueError(
            f"`{NAME}`: `reduction=None` gives one loss for each sequence, and it is not known how many these packed "
            f"rows hold: `x.with_segment_ids(x.segment_ids, num_sequences=n)`. {UNPACK}"
        )
    wrong = outside(NAME, steps.labels, steps.mask, 0, logits.shape[-1] - 1)
    tags = tags if wrong is None else jnp.where(wrong, 0, tags)
    real = steps.real(tags.shape).astype(jnp.int32)
    if number is None:
        found, counts = log_likelihood_of_rows(logits, tags, steps.mask, steps.segment_ids, *weights)
        num_steps = real.sum(-1)
        wrong = None if wrong is None else wrong.any(-1)
    else:
        ids = jnp.asarray(steps.segment_ids)
        found = log_likelihood_of_sequences(logits, tags, steps.mask, ids, *weights, num_sequences=number)
        num_steps = sums_of_sequences(real, ids, number)
        counts = (num_steps > 0).astype(jnp.int32)
        wrong = None if wrong is None else sums_of_sequences(wrong.astype(jnp.int32), ids, number) > 0
    if wrong is not None:
        found *= jnp.where(wrong, jnp.nan, 1)
    kind = logits.astype(steps.dtype)
    kind = kind if steps.mask is None else Masked(kind, steps.mask)
    return reduce_sequences(
        NAME,
        -found,
        counts,
        kind,
        sample_weight=sample_weight,
        reduction=reduction,
        divide=divide,
        num_steps=num_steps,
    )


def _weights(params: Any) -> list[Any]:
    names = ("transitions", "start_transitions", "end_transitions")
    if not isinstance(params, Mapping) or any(name not in params for name in names):
        found = ", ".join(map(repr, params)) if isinstance(params, Mapping) else type(params).__name__
        raise ValueError(
            f"`{NAME}`: `params` are those of the layer, with {', '.join(map(repr, names))}; received {found}. In a "
            "model's parameters they are under the layer's name, `params['crf']`."
        )
    return [params[name] for name in names]
