"""Predictions and targets, aligned: which steps count, their weights, and safe values at all others."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core.arithmetic import Marks, expand, is_host_only, join, still_bool
from ..core.checks import as_array
from ..core.display import is_concrete
from ..core.errors import report_not_counted
from ..core.explicit_mask import NO_MASK, override_mask
from ..core.masked import Masked, values_of
from ..core.segment_ids import ids_of
from ..ops.spreading import broadcast_to_steps
from .labels import are_not, as_ids


@dataclasses.dataclass(frozen=True)
class Steps:
    """The inputs of a loss or a metric.

    Attributes:
        name: the name of the loss or metric, for its errors.
        values: the inputs without masks, floats in float32 at least. At steps that do not count they are 1 for floats,
            which is in the domain of losses, and 0 for others, which is a class id.
        dtype: the dtype of the predictions before that.
        mask: where all inputs are real, or None if no input has a mask.
        segment_ids: for packed rows, the ids that all inputs share; otherwise None.
        num_sequences: for packed rows, how many sequences there are, if that is known.
        sample_weight: an array, or None.
        labels: the targets as given, with ids as int32; None if they are not labels.
    """

    name: str
    values: tuple[Array, ...]
    dtype: Any
    mask: Any = None
    segment_ids: Any = None
    num_sequences: int | None = None
    sample_weight: Any = None
    labels: Any = None

    def per_step(self, results: Array) -> Array:
        """One number for each step that counts, the mean over its entries; 0 for the others.

        Raises:
            ValueError: `results` are not one number for each step, or for each of its entries.
        """
        results = jnp.asarray(results)
        if not any(results.shape == x.shape[: results.ndim] for x in self.values) or not self._fits(results):
            raise ValueError(
                f"`{self.name}` must give one number for each step, or for each entry of a step; for values of shapes "
                f"{', '.join(str(x.shape) for x in self.values)}"
                f"{'' if self.mask is None else f' under a mask {self.mask.shape}'} it gave {results.shape}. "
                "Give predictions and targets the same axes, e.g. `predictions[..., 0]`."
            )
        wide = results.astype(jnp.promote_types(results.dtype, self.wide))
        wide = wide.mean(tuple(range(self.rank(results), results.ndim)))
        return jnp.where(self.real(wide.shape), wide, 0)

    @property
    def wide(self) -> Any:
        """The dtype of sums: the dtype of the predictions, but float32 at least."""
        return jnp.promote_types(self.dtype if jnp.issubdtype(self.dtype, jnp.floating) else jnp.float32, jnp.float32)

    def real(self, shape: tuple[int, ...]) -> Array:
        """Which steps count; without masks, all do."""
        return jnp.ones(shape, bool) if self.mask is None else jnp.asarray(self.mask)

    def weights(self, shape: tuple[int, ...], dtype: Any) -> Array:
        """The weight of each step; 0 if it does not count.

        Raises:
            ValueError: the shape of `sample_weight` is not that of the steps, or of their first axes.
        """
        weight = jnp.asarray(1 if self.sample_weight is None else self.sample_weight, dtype)
        if weight.shape != shape[: weight.ndim]:
            raise ValueError(
                f"`{self.name}`: `sample_weight` must have the shape of the steps, {shape}, or of their first axes: "
                f"{shape[:1]} weighs whole sequences; received {weight.shape}."
            )
        return jnp.where(self.real(shape), expand(weight, len(shape)), 0)

    def rank(self, results: Array) -> int:
        """The number of leading axes that are steps: those of the mask or, without masks, batch and time."""
        return min(results.ndim, 2) if self.mask is None else self.mask.ndim

    def _fits(self, results: Array) -> bool:
        return self.mask is None or results.shape[: self.mask.ndim] == self.mask.shape


def align(
    name: str,
    inputs: Sequence[Any],
    sample_weight: Any = None,
    mask: Any = None,
    *,
    labels: bool = False,
    ignore_index: int | None = None,
) -> Steps:
    """Puts the inputs of a loss or a metric side by side: a step counts where it is real in all of them.

    Args:
        name: of the loss or metric.
        inputs: `Masked` or arrays, predictions first.
        sample_weight: a `Masked`, whose mask counts too, an array, or None. Bools act as a mask, not as weights.
        mask: replaces the mask of the predictions; `jm.NO_MASK` removes it.
        labels: whether integers are ids, which become int32.
        ignore_index: a target with this value does not count.

    Returns:
        The steps.

    Raises:
        TypeError: a mask is not bool.
        ValueError: the leading axes of an input are not those of the masks, or packed rows have another mask.
    """
    xs = [x if isinstance(x, Masked) else as_array(x) for x in inputs]
    xs[0] = with_explicit_mask(name, xs[0], mask)
    if labels:
        xs = [x.with_values(as_ids(x.values)) if isinstance(x, Masked) else as_ids(x) for x in xs]
    if sample_weight is not None and not isinstance(sample_weight, Masked):
        sample_weight = as_array(sample_weight)
    _check_numbers(name, (*xs, sample_weight))
    sample_weight = _weight_of_steps(sample_weight, xs)
    marks = [_marks(x) for x in (*xs, sample_weight)]
    marks.append(Marks(are_not(values_of(xs[-1]), ignore_index)))
    if getattr(sample_weight, "dtype", None) == bool:
        marks.append(Marks(values_of(sample_weight)))
        sample_weight = None
    _check_steps(name, xs, [tuple(found.mask.shape) for found in marks if found.mask is not None])
    if mask is None:
        _report_lost_labels(name, *xs)
    joint = functools.reduce(join, marks)
    values = tuple(_guarded(values_of(x), joint.mask) for x in xs)
    raw = values_of(xs[-1]) if labels else None
    return Steps(name, values, xs[0].dtype, *joint, values_of(sample_weight), raw)


def _weight_of_steps(weight: Any, xs: Sequence[Any]) -> Any:
    """A weight for each sequence of packed rows, at each of their steps; any other is unchanged."""
    packed = next((x for x in xs if isinstance(x, Masked) and x.num_sequences is not None), None)
    if weight is None or packed is None or tuple(weight.shape) != (packed.num_sequences,):
        return weight
    spread = broadcast_to_steps(weight, like=packed)
    return spread if isinstance(weight, Masked) else spread.values


def check_alike(name: str, predictions: Any, targets: Any) -> None:
    """Raises if the shapes differ, as targets would broadcast against the predictions."""
    if predictions.shape != targets.shape:
        raise ValueError(
            f"`{name}` compares entry by entry, so predictions and targets need one shape; received "
            f"{predictions.shape} and {targets.shape}. Remove an axis of size 1, `predictions[..., 0]`, or add one, "
            "`targets[..., None]`."
        )


def check_labels(name: str, logits: Any, labels: Any) -> None:
    """Raises unless labels are class ids, one for each vector of logits."""
    if not jnp.issubdtype(labels.dtype, jnp.integer) and labels.dtype != bool:
        raise TypeError(
            f"`{name}` takes ids of classes, integers; received dtype {labels.dtype}. Convert them with "
            "`targets.astype('int32')`; of one-hot vectors take `targets.map(lambda x: x.argmax(-1))`."
        )
    if labels.shape != logits.shape[:-1]:
        raise ValueError(
            f"`{name}` takes logits (..., classes) and an id for each vector of them, (...); received {logits.shape} "
            f"and {labels.shape}."
        )


def with_explicit_mask(name: str, x: Any, mask: Any) -> Any:
    """The predictions with an explicit mask: None keeps the one that they have, `jm.NO_MASK` removes it."""
    if mask is None or mask is NO_MASK:
        return override_mask(x, mask, f"`{name}`", "its first argument")
    mask = as_array(mask)
    if isinstance(x, Masked) and _is_same(mask, x.mask):
        return x
    return override_mask(x, mask, f"`{name}`", "its first argument")


def _is_same(mask: Any, other: Any) -> bool:
    """Whether two masks are the same; rebuilt packed rows compute theirs, so each access gives a new object."""
    return mask is other or (is_concrete(mask) and is_concrete(other) and np.array_equal(mask, other))


def _check_numbers(name: str, xs: Sequence[Any]) -> None:
    for x in xs:
        if is_host_only(values_of(x)):
            raise TypeError(
                f"`{name}` takes numbers; received dtype {x.dtype}. Number the labels, such as by `names.index(label)`."
            )


def _check_steps(name: str, xs: Sequence[Any], masks: Sequence[tuple[int, ...]]) -> None:
    """Raises unless the leading axes of all inputs and masks are those of the mask with the most axes."""
    steps = max(masks, key=len, default=())
    shapes = [tuple(x.shape) for x in xs]
    fit = all(shape[: len(steps)] == steps for shape in shapes) and all(steps[: len(mask)] == mask for mask in masks)
    if not fit:
        raise ValueError(
            f"`{name}` needs all its inputs at the same steps; received values of shapes "
            f"{', '.join(map(str, shapes))} and masks {', '.join(map(str, masks))}. Cut the longer one, `x[:, :-1]`, "
            "or add axes with indexing."
        )


def _report_lost_labels(name: str, predictions: Any, *targets: Any) -> None:
    """Reports real targets whose predictions are padding; the reverse is normal, as a step may lack a target."""
    for x in targets:
        if not (isinstance(predictions, Masked) and isinstance(x, Masked)) or x.mask is predictions.mask:
            continue
        marks = [array for z in (x, predictions) for array in (z.mask, z.segment_ids) if array is not None]
        if not all(map(is_concrete, marks)):
            continue
        theirs, ours = np.asarray(x.mask), np.asarray(predictions.mask)
        rank = max(theirs.ndim, ours.ndim)
        lost, remedy = expand(theirs, rank) & ~expand(ours, rank), "mask=predictions.mask"
        if predictions.segment_ids is not None:
            remedy = "targets.with_mask(targets.mask & predictions.mask)"
            if x.segment_ids is not None:
                lost |= theirs & (np.asarray(x.segment_ids) != np.asarray(predictions.segment_ids))
                remedy = (
                    "targets.with_segment_ids(targets.segment_ids * (targets.segment_ids == predictions.segment_ids))"
                )
        if lost.any():
            report_not_counted(
                f"`{name}`: targets that are real where the predictions are padding, or of another sequence, do not "
                f"count; here are {int(lost.sum())}. Give both one mask, or say that this is meant: `{remedy}`."
            )


def _marks(x: Any) -> Marks:
    return Marks(still_bool(x.mask), ids_of(x), x.num_sequences) if isinstance(x, Masked) else Marks()


def _guarded(values: Any, mask: Any) -> Array:
    values = jnp.asarray(values)
    if jnp.issubdtype(values.dtype, jnp.floating):
        values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    if jnp.issubdtype(values.dtype, jnp.integer) and values.dtype.itemsize < 4:
        values = values.astype(jnp.int32)  # int8 ids would stop at 127
    if mask is None:
        return values
    neutral = 1 if jnp.issubdtype(values.dtype, jnp.inexact) else 0
    return jnp.where(expand(mask, values.ndim), values, jnp.asarray(neutral, values.dtype))
