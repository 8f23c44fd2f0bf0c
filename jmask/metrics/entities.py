"""Entities: runs of tags such as B-PER I-PER, which are right or wrong as a whole."""

import functools
import re
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array

from ..core.checks import check_one_of
from ..core.explicit_axes import as_whole
from ..core.masked import Masked
from ..core.segment_ids import sequence_starts
from ..core.step_order import left_align
from ..losses.labels import poisoned
from .class_sums import F1Sums
from .decisions import are, decide
from .inputs import Numbers

Average = Literal["micro", "macro", "weighted"] | None
AVERAGES = ("micro", "macro", "weighted", None)
MODES = ("lenient", "strict")

OUTSIDE, BEGIN, INSIDE, END, SINGLE = range(5)
# BILOU and BMEWO use other letters for the same kinds.
KINDS = {"O": OUTSIDE, "B": BEGIN, "I": INSIDE, "M": INSIDE, "E": END, "L": END, "S": SINGLE, "U": SINGLE, "W": SINGLE}


def entity_f1(
    predictions: Numbers,
    targets: Numbers,
    *,
    tags: Sequence[str],
    mode: Literal["lenient", "strict"] = "lenient",
    average: Average = "micro",
    ignore_index: int | None = None,
    mask: Any = None,
) -> F1Sums:
    """The F1 score of entities: an entity is right if its type, first step and last step are right.

    Args:
        predictions: scores of tags, `(batch, time, tags)`, where the largest decides, or ids of tags,
            `(batch, time)`. Steps separated by padding count as neighbours; in packed rows each sequence is handled on
            its own.
        targets: ids of tags, `(batch, time)`. Another id raises an error if it is concrete; if it is traced, the score
            is NaN.
        tags: the names of the tags, in the order of their ids: `"O"`, or one of B, I, E and S, a hyphen and the type
            of the entity, as in `"B-PER"`; without a type, `"B"`. M and I mean the same, so do L and E, and U, W and S.
            Types are ordered by their first tags.
        mode: `"lenient"`: an entity begins wherever it can, even at an I after O or after another type, as in the CoNLL
            evaluation; `"strict"`: only well-formed entities count: a B, followed by any number of I of its type; if
            there is a tag with E or S, a single S, or a B, any number of I, and an E.
        average: `"micro"`: from the counts of all types together; `"macro"`: the mean over the types that were
            predicted or are targets; `"weighted"`: the same, weighted by how often each is a target; None: one score
            per type.
        ignore_index: a step with this target is left out of its sequence, as if it were padding; usually -100.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.

    Returns:
        Sums, whose `.value` is 0 without any entity, and which have `.precision` and `.recall` too. They pass no
        gradient.

    Raises:
        TypeError: the targets are not integers.
        ValueError: a name is not a tag, `mode` or `average` is unknown, the number of scores is not that of the
            tags, or shapes do not fit.

    References:
        Tjong Kim Sang and De Meulder: Introduction to the CoNLL-2003 Shared Task, 2003, section 4.

    >>> import jax.numpy as jnp, jmask as jm
    >>> tags = ["O", "B-PER", "I-PER", "B-LOC"]
    >>> targets = jm.pad_sequences([[1, 2, 0, 3], [3]])  # a person of two words and two places
    >>> score = jm.metrics.entity_f1(jm.pad_sequences([[1, 0, 0, 3], [3]]), targets, tags=tags)
    >>> round(float(score.value), 3), score.hits.tolist()
    (0.667, [0.0, 2.0])
    """
    kinds, types, num_types = _read_tags(tags)
    check_one_of("mode", mode, MODES, caller="entity_f1")
    check_one_of("average", average, AVERAGES, caller="entity_f1")
    decisions = decide("entity_f1", predictions, targets, ignore_index=ignore_index, mask=mask)
    scores, is_decision = decisions.steps.values[0], decisions.num_classes is not None
    is_decision &= scores.ndim == decisions.true.ndim
    if is_decision or decisions.num_classes not in (None, len(kinds)) or decisions.true.ndim == 0:
        raise ValueError(
            f"`entity_f1` takes ids of tags (batch, time), or one score for each of the {len(kinds)} tags behind them; "
            f"received {tuple(scores.shape)} of {scores.dtype}."
        )
    decisions = decisions.check_classes(len(kinds))
    steps = decisions.steps
    found, true = (jnp.clip(ids, 0, len(kinds) - 1) for ids in (decisions.found, decisions.true))
    is_strict, has_ends = mode == "strict", bool({END, SINGLE} & {*kinds})
    real = steps.real(true.shape)
    if real.ndim != true.ndim:
        real = jnp.broadcast_to(real[..., None], true.shape)  # a mask of rows
    count = functools.partial(
        _count,
        kinds=kinds,
        types=types,
        num_types=num_types,
        ends_itself=not (is_strict and has_ends),
        is_strict=is_strict,
    )
    counts = as_whole(count, found, true, real, steps.segment_ids)
    hits, predicted, actual = poisoned(counts, decisions.wrong)
    return F1Sums(hits, predicted, actual, average)


@functools.partial(jax.jit, static_argnames=("kinds", "types", "num_types", "ends_itself", "is_strict"))
def _count(
    found: Array,
    true: Array,
    real: Array,
    segment_ids: Any,
    *,
    kinds: tuple[int, ...],
    types: tuple[int, ...],
    num_types: int,
    ends_itself: bool,
    is_strict: bool,
) -> tuple[Array, Array, Array]:
    """For each type, how many entities were predicted correctly, how many predicted, and how many are targets."""
    rows = left_align(Masked(jnp.stack([found, true], -1), real, segment_ids=segment_ids))[0]
    mask = rows.mask
    begins = sequence_starts(mask, mask.astype(jnp.int32) if rows.segment_ids is None else rows.segment_ids)
    kind, kind_type = (jnp.asarray(array, jnp.int32)[rows.values] for array in (kinds, types))
    kind, kind_type = jnp.where(mask[..., None], kind, OUTSIDE), jnp.where(mask[..., None], kind_type, -1)
    kind_before = jnp.where(begins[..., None], OUTSIDE, jnp.roll(kind, 1, -2))
    type_before = jnp.where(begins[..., None], -1, jnp.roll(kind_type, 1, -2))
    first, continues = (_strict if is_strict else _lenient)(kind_before, type_before, kind, kind_type)
    continues &= ~begins[..., None]
    # An entity ends before the next step at which no entity continues.
    steps = lax.broadcasted_iota(jnp.int32, kind.shape, mask.ndim - 1)
    stops = jnp.roll(~continues, -1, -2).at[..., -1:, :].set(True)
    last = lax.cummin(jnp.where(stops, steps, mask.shape[-1]), mask.ndim - 1, reverse=True)
    if not ends_itself:
        ending = jnp.take_along_axis(kind, jnp.minimum(last, mask.shape[-1] - 1), -2)
        first &= (ending == END) | (ending == SINGLE)
    first &= mask[..., None]
    is_type = are(kind_type, jnp.arange(num_types))
    predicted, actual = (first[..., i, None] & is_type[..., i, :] for i in range(2))
    hits = predicted & actual & (last[..., 0] == last[..., 1])[..., None]
    axes = tuple(range(mask.ndim))
    hits, predicted, actual = (x.sum(axes, dtype=jnp.float32) for x in (hits, predicted, actual))
    return hits, predicted, actual


def _lenient(kind_before: Array, type_before: Array, kind: Array, kind_type: Array) -> tuple[Array, Array]:
    """Where an entity begins, and where the entity of the previous step continues."""
    inside = kind != OUTSIDE
    closed = (kind_before == OUTSIDE) | (kind_before == END) | (kind_before == SINGLE)
    continues = inside & ~closed & (kind_type == type_before) & (kind != BEGIN) & (kind != SINGLE)
    return inside & ~continues, continues


def _strict(kind_before: Array, type_before: Array, kind: Array, kind_type: Array) -> tuple[Array, Array]:
    opened = (kind_before == BEGIN) | (kind_before == INSIDE)
    continues = opened & ((kind == INSIDE) | (kind == END)) & (kind_type == type_before)
    return (kind == BEGIN) | (kind == SINGLE), continues


def _read_tags(tags: Any) -> tuple[tuple[int, ...], tuple[int, ...], int]:
    """The kind and the type of each tag as numbers, and the number of types."""
    if isinstance(tags, str) or not isinstance(tags, (Sequence, np.ndarray)) or not len(tags):
        raise TypeError(
            f"`entity_f1`: `tags` must be the names of all tags, in the order of their ids; received {tags!r}."
        )
    parts = [re.fullmatch(r"(O)|([BIEMLSUW])(?:-(.*))?", str(tag), re.DOTALL) for tag in tags]
    if None in parts:
        raise ValueError(
            f"`entity_f1`: a tag is 'O', or one of B, I, E and S, perhaps with a type, 'B-PER'; received "
            f"{str(tags[parts.index(None)])!r}. Call it 'O', and leave targets that are this tag out with "
            f"`ignore_index={parts.index(None)}`."
        )
    found = [part for part in parts if part is not None]
    names = dict.fromkeys(part[3] for part in found if not part[1])
    number = {name: i for i, name in enumerate(names)}
    kinds = tuple(KINDS[part[1] or part[2]] for part in found)
    return kinds, tuple(-1 if part[1] else number[part[3]] for part in found), len(names)
