"""Where the steps of a padded batch go when its rows are packed inside a program, and how results come back."""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..core.arithmetic import expand
from ..core.bin_packing import first_fit
from ..core.masked import Masked
from ..core.packed_rows import sequence_rows


@dataclasses.dataclass(frozen=True, eq=False)
class BatchSlots:
    """The slots of packed rows that hold the steps of a batch. Sequence `k`, counted from 1, is row `k - 1`.

    Masks of different widths share the rows: a sequence is in the same packed row of each. Slots are numbered row by
    row, and so are steps.

    Attributes:
        num_rows: of the batch.
        slots: by the width of a mask, int32 `(num_rows, width)`: the slot of each real step; beyond all slots at
            padding.
        steps: the inverse, int32 `(num_rows * width,)`: the step in each slot; beyond all steps in an idle slot.
        num_used: int32, how many packed rows have a step.
    """

    num_rows: int
    slots: dict[int, Any]
    steps: dict[int, Any]
    num_used: Any

    def packed(self, x: Masked, num_packed: int) -> Masked:
        """A `Masked` of the batch, its sequences in the first `num_packed` rows, which must be enough."""
        mask, width = jnp.asarray(x.mask), x.mask.shape[1]
        steps = self.steps[width][: num_packed * width]
        is_real = _taken(mask.reshape(-1), steps)
        ids = jnp.where(is_real, steps // width + 1, 0).reshape(num_packed, width)
        values = _taken(jnp.asarray(x.values).reshape(self.num_rows * width, *x.shape[2:]), steps)
        return Masked(values.reshape(num_packed, width, *x.shape[2:]), segment_ids=ids, num_sequences=self.num_rows)

    def in_place(self, values: Any, mask: Any) -> Any:
        """Values of packed rows, each where its step is in the batch; 0 outside the mask."""
        flat = values.reshape(-1, *values.shape[2:])
        return _zero_outside(_taken(flat, self.slots[mask.shape[1]]), mask)


def place_batch(masks: Sequence[Any]) -> BatchSlots:
    """Packs the sequences of a batch.

    Args:
        masks: bool `(rows, width)`, of one or several widths. A step is placed if it is real in any mask of its width.
    """
    by_width: dict[int, Any] = {}
    for mask in masks:
        other = by_width.get(mask.shape[1])
        by_width[mask.shape[1]] = jnp.asarray(mask) if other is None or other is mask else other | mask
    return BatchSlots(masks[0].shape[0], *_place(by_width))


@jax.jit
def _place(masks: dict[int, Any]) -> tuple[dict[int, Any], dict[int, Any], Any]:
    widest = max(masks)
    ranks = {width: jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1 for width, mask in masks.items()}
    # In units of the widest rows, rounded up, so that what fits there fits into the others too.
    sizes = [-(-(rank[:, -1] + 1) * widest // width) for width, rank in ranks.items()]
    row, start, num_used = first_fit(functools.reduce(jnp.maximum, sizes), widest)
    slots, steps = {}, {}
    for width, mask in masks.items():
        slot = (row * width + start * width // widest)[:, None] + ranks[width]
        slots[width] = slot = jnp.where(mask, slot, mask.size)
        number = jnp.arange(mask.size, dtype=jnp.int32).reshape(mask.shape)
        empty = jnp.full(mask.size, mask.size, jnp.int32)
        steps[width] = empty.at[slot].set(number, mode="drop", unique_indices=True)
    return slots, steps, num_used


def in_order(y: Masked, mask: Any) -> Any:
    """Values of results that are not where the steps of the batch are: for each sequence its results, in their order.

    Args:
        y: packed rows, or a row for each sequence.
        mask: bool `(rows, width)`: where the results belong, as many in each row as the sequence has in `y`.

    Returns:
        Values `(rows, width, ...)`, 0 outside the mask.
    """
    rows, width = mask.shape
    if y.segment_ids is None:
        ids = (jnp.arange(rows, dtype=jnp.int32) + 1)[:, None] * y.mask
        y = Masked(y.values, segment_ids=ids, num_sequences=rows)
    values = sequence_rows(y, rows, width).values
    rank = jnp.maximum(jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1, 0)
    return _zero_outside(jnp.take_along_axis(values, expand(rank, values.ndim), 1, mode="clip"), mask)


def _taken(entries: Any, index: Any) -> Any:
    return entries.at[index].get(mode="fill", fill_value=0)


def _zero_outside(values: Any, mask: Any) -> Any:
    return jnp.where(expand(jnp.asarray(mask), values.ndim), values, jnp.zeros((), values.dtype))
