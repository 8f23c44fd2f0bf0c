"""Metrics of whole sequences: how many are right, and how far apart predictions and targets are."""

import dataclasses
import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from ..core.checks import as_array
from ..core.masked import Masked, segment_ids_of, values_of
from ..core.packed_rows import sequence_rows
from ..core.segment_ids import number_of_sequences
from ..core.step_order import left_align
from ..losses.accumulator import Mean
from ..losses.labels import LARGEST, are_not, as_ids, check_ignore_index, outside
from ..losses.sequences import reduce_sequences
from ..losses.steps import with_explicit_mask
from .inputs import Ids, Numbers, Weight


@functools.partial(jax.tree_util.register_dataclass, data_fields=("total", "count"), meta_fields=())
@dataclasses.dataclass(frozen=True)
class ErrorRateSums(Mean):
    """The number of edits and of ids in the targets."""

    @property
    def is_empty(self) -> Any:
        """Whether there was neither an edit nor an id in a target."""
        return (self.count == 0) & (self.total == 0)

    def _value(self) -> Array:
        """`total / count`; without any id in a target it is inf if there are edits, else 0."""
        return jnp.where((self.count == 0) & (self.total > 0), jnp.inf, super()._value())


def exact_match(
    predictions: Numbers,
    targets: Ids,
    *,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> Mean:
    """The fraction of the sequences that are right as a whole: of the right length, and right at every step.

    Args:
        predictions: ids, `(batch, time)`, or scores of classes, `(batch, time, classes)`, where the largest decides.
            The mask says how long each sequence is, wherever its padding is; in an array, each is as long as its target
            if both have the same time axis.
        targets: ids, `(batch, labels)`; in an array, each is as long as its prediction. Either side may be packed, by
            the same ids if both are; one that is not has a row for each sequence, or is an array of the same steps.
        ignore_index: a step with this target does not count, whatever is predicted there; predictions and targets must
            then have the same time axis. Usually -100.
        sample_weight: `(batch,)`, or `(num_sequences,)` for packed rows; each sequence counts as often as its weight
            says.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        A `jm.losses.Mean`, whose `.value` is 0 without any sequence. A sequence that is empty on both sides does not
        count; one that is empty on one side is wrong. It passes no gradient.

    Raises:
        TypeError: the targets are not integers.
        ValueError: shapes do not fit, or it is not known how many sequences packed rows hold.

    >>> import jax.numpy as jnp, jmask as jm
    >>> found, true = jm.pad_sequences([[1, 2], [3, 4], []]), jm.pad_sequences([[1, 2], [3], []])
    >>> float(jm.metrics.exact_match(found, true).value)
    0.5
    """
    x, y = _two_sequences("exact_match", predictions, targets, mask, takes_scores=True)
    x, y = (_as_long_as(this, that) for this, that in ((x, y), (y, x)))
    ignore_index = check_ignore_index("exact_match", ignore_index)
    if ignore_index is not None:
        if x.shape != y.shape:
            raise ValueError(
                "`exact_match`: `ignore_index` leaves steps out on both sides, which need the same time axis; received "
                f"{x.shape} and {y.shape}. Mark the padding of the targets instead, "
                f"`jm.masked(targets, targets != {ignore_index})`."
            )
        counts = are_not(y.values, ignore_index)
        x, y = (Masked(z.values, z.mask & counts) for z in (x, y))
    right, counts = _are_equal(x, y)
    return _summed("exact_match", right, counts, sample_weight)


def edit_distance(
    predictions: Ids,
    targets: Ids,
    *,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> Mean:
    """The mean edit distance: the number of insertions, deletions and substitutions from one sequence to the other.

    Args:
        predictions: ids, `(batch, time)`. The mask says how long each sequence is, wherever its padding is; in an array
            all steps are real.
        targets: ids, `(batch, labels)`; the time axes may differ. Either side may be packed, by the same ids if both
            are; one that is not has a row for each sequence.
        ignore_index: this id is padding, on both sides; usually -100.
        sample_weight: `(batch,)`, or `(num_sequences,)` for packed rows; each sequence counts as often as its weight
            says.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        A `jm.losses.Mean`, whose `.value` is 0 without any sequence. The distance from an empty sequence is
        the length of the other; a sequence that is empty on both sides does not count. It passes no gradient.

    Raises:
        TypeError: the predictions or targets are not integers.
        ValueError: shapes do not fit, or it is not known how many sequences packed rows hold.

    References:
        Wagner and Fischer: The String-to-String Correction Problem, J. ACM 21 (1974).

    >>> import jmask as jm
    >>> found, true = jm.pad_sequences([[1, 2, 3], []]), jm.pad_sequences([[1, 3], [4, 4, 4]])
    >>> float(jm.metrics.edit_distance(found, true).value)
    2.0
    """
    x, y = _ids("edit_distance", predictions, targets, mask, ignore_index)
    distances, lengths = _distances(x, y)
    return _summed("edit_distance", distances, (lengths > 0) | jnp.any(x.mask, -1), sample_weight)


def word_error_rate(
    predictions: Ids,
    targets: Ids,
    *,
    ignore_index: int | None = None,
    sample_weight: Weight = None,
    mask: Any = None,
) -> ErrorRateSums:
    """The number of edits in all sequences divided by the number of words in all targets; each id is a word.

    If ids are characters, this is the character error rate.

    Args:
        predictions: ids, `(batch, time)`. The mask says how long each sequence is, wherever its padding is; in an array
            all steps are real.
        targets: ids, `(batch, labels)`; the time axes may differ. Either side may be packed, by the same ids if both
            are; one that is not has a row for each sequence.
        ignore_index: this id is padding, on both sides; usually -100.
        sample_weight: `(batch,)`, or `(num_sequences,)` for packed rows; each sequence counts as often as its weight
            says.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any sequence, and inf if there are predictions but not a single word in the
        targets. They pass no gradient.

    Raises:
        TypeError: the predictions or targets are not integers.
        ValueError: shapes do not fit, or it is not known how many sequences packed rows hold.

    >>> import jmask as jm
    >>> found, true = jm.pad_sequences([[1, 2, 3], []]), jm.pad_sequences([[1, 3], [4, 4, 4]])
    >>> float(jm.metrics.word_error_rate(found, true).value)  # 1 + 3 edits, 5 words
    0.800000011920929
    """
    x, y = _ids("word_error_rate", predictions, targets, mask, ignore_index)
    distances, lengths = _distances(x, y)
    edits = _summed("word_error_rate", distances, (lengths > 0) | jnp.any(x.mask, -1), sample_weight)
    words = _summed("word_error_rate", lengths.astype(jnp.float32), lengths > 0, sample_weight)
    return ErrorRateSums(edits.total, words.total)


@jax.jit  # a second eager call compiles nothing
def _are_equal(x: Masked, y: Masked) -> tuple[Array, Array]:
    """Whether two sequences are equal, and whether either has a step."""
    x, y = left_align(x)[0], left_align(y)[0]
    time = min(x.shape[-1], y.shape[-1])
    lengths = x.mask.sum(-1), y.mask.sum(-1)
    same = (x.values[..., :time] == y.values[..., :time]) | ~x.mask[..., :time]
    right = (lengths[0] == lengths[1]) & same.all(-1)
    return right.astype(jnp.float32), (lengths[0] > 0) | (lengths[1] > 0)


@jax.jit
def _distances(x: Masked, y: Masked) -> tuple[Array, Array]:
    """The distance between each pair of sequences, and the length of the second."""
    batch, x, y = x.shape[:-1], left_align(x)[0], left_align(y)[0]
    size, lengths = math.prod(batch), y.mask.sum(-1, dtype=jnp.int32)
    first, is_real, second = (z.reshape(size, z.shape[-1]) for z in (x.values, x.mask, y.values))
    return jax.vmap(_distance)(first, is_real, second, lengths.reshape(size)).reshape(batch), lengths


def _distance(x: Array, is_real: Array, y: Array, length: Array) -> Array:
    """The table of prefixes, row by row; insertions, which depend on one another, are a running minimum."""
    columns = jnp.arange(y.shape[0] + 1, dtype=jnp.int32)

    def step(row: Array, inputs: tuple[Array, Array]) -> tuple[Array, None]:
        own, real = inputs
        substituted = row[:-1] + (own != y)
        best = jnp.minimum(row + 1, jnp.concatenate([row[:1] + 1, substituted]))
        return jnp.where(real, lax.cummin(best - columns) + columns, row), None

    first = columns + jnp.zeros_like(x).sum(dtype=jnp.int32)
    row, _ = lax.scan(step, first, (x, is_real))
    return row[length].astype(jnp.float32)


def _summed(name: str, values: Array, counts: Array, sample_weight: Any) -> Mean:
    if sample_weight is not None and not isinstance(sample_weight, Masked):
        sample_weight = as_array(sample_weight)
    return reduce_sequences(
        name, values, counts, values, sample_weight=sample_weight, reduction="weights", divide=False
    )


def _ids(name: str, predictions: Any, targets: Any, mask: Any, ignore_index: int | None) -> tuple[Masked, Masked]:
    """Both sides as `Masked` ids, in which ids that do not count are padding."""
    ignore_index = check_ignore_index(name, ignore_index)
    x, y = (_real(z) for z in _two_sequences(name, predictions, targets, mask, takes_scores=False))
    if ignore_index is not None:
        x, y = (Masked(z.values, z.mask & are_not(z.values, ignore_index)) for z in (x, y))
    return x, y


def _two_sequences(name: str, predictions: Any, targets: Any, mask: Any, *, takes_scores: bool) -> tuple[Any, Any]:
    """Both sides as ids, `Masked` or arrays; raises if they are not."""
    xs = [x if isinstance(x, Masked) else as_array(x) for x in (predictions, targets)]
    xs[0] = with_explicit_mask(name, xs[0], mask)
    if takes_scores and jnp.issubdtype(xs[0].dtype, jnp.floating) and xs[0].ndim == xs[1].ndim + 1:
        decided = jnp.argmax(values_of(xs[0]), -1)
        xs[0] = xs[0].with_values(decided) if isinstance(xs[0], Masked) else decided
    xs = _rows_of_sequences(name, xs)
    for x, which in zip(xs, ("predictions", "targets"), strict=True):
        if not jnp.issubdtype(x.dtype, jnp.integer) and x.dtype != bool:
            raise TypeError(
                f"`{name}` compares ids, integers; received {which} of dtype {x.dtype}. Turn scores into ids, "
                "`predictions.map(lambda x: x.argmax(-1))`, and number words with a vocabulary."
            )
    ranks = [x.mask.ndim for x in xs if isinstance(x, Masked)]
    fit = xs[0].ndim == xs[1].ndim > 0 and xs[0].shape[:-1] == xs[1].shape[:-1]
    if not fit or any(rank != xs[0].ndim for rank in ranks):
        raise ValueError(
            f"`{name}` takes ids (batch, time) and (batch, labels), with masks of the same shapes; received "
            f"{tuple(xs[0].shape)} and {tuple(xs[1].shape)}, and masks of ranks {ranks}."
        )
    for x, which in zip(xs, ("predictions", "targets"), strict=True):
        if isinstance(values_of(x), np.ndarray):  # beyond int32, different ids would become equal
            outside(name, values_of(x), x.mask if isinstance(x, Masked) else None, 1 - LARGEST, LARGEST - 1, which)
    first, second = (x.with_values(as_ids(x.values)) if isinstance(x, Masked) else as_ids(x) for x in xs)
    return first, second


def _rows_of_sequences(name: str, xs: list[Any]) -> list[Any]:
    """Packed rows as a row for each sequence; an array of the same steps is packed as the other side is."""
    packed = next((x for x in xs if segment_ids_of(x) is not None), None)
    if packed is None:
        return xs
    found = []
    for x in xs:
        if not isinstance(x, Masked) and x.shape == packed.shape:
            x = packed.with_values(x)
        number = number_of_sequences(packed if segment_ids_of(x) is None else x, f"`{name}`")
        found.append(x if segment_ids_of(x) is None else sequence_rows(x, number, x.mask.shape[-1]))
    return found


def _real(x: Any) -> Masked:
    return x if isinstance(x, Masked) else Masked(jnp.asarray(x), jnp.ones(x.shape, bool))


def _as_long_as(x: Any, other: Any) -> Masked:
    """The ids; an array does not say how long its sequences are, so it gets the mask of the other side."""
    if not isinstance(x, Masked) and isinstance(other, Masked) and x.shape == other.shape:
        return Masked(jnp.asarray(x), other.mask)
    return _real(x)
