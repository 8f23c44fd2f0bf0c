"""Where the steps of a padded batch go when its rows are packed inside a program, and how results come back."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.sharding import PartitionSpec

from ..core.arithmetic import expand
from ..core.bin_packing import first_fit
from ..core.masked import Masked
from ..core.packed_rows import sequence_rows


@dataclasses.dataclass(frozen=True, eq=False)
class BatchSlots:
    """The slots of packed rows that hold the steps of a batch. The sequence in row `k` of the batch has the id `k + 1`.

    Masks of different widths share the rows: a sequence is in the same packed row of each. Where explicit axes of a
    mesh divide the batch, each device packs its own rows. Slots and steps are numbered row by row, on each device
    from 0.

    Attributes:
        num_rows: of the batch.
        axes: the explicit axes of a mesh that divide the rows, or None.
        slots: by the width of a mask, int32 `(num_rows, width)`: the slot of each real step; beyond all slots at
            padding.
        steps: the inverse, int32 `(num_rows * width,)`: the step in each slot; beyond all steps in an idle slot.
        num_used: int32, how many packed rows have a step, on the device with the most.
        rows_of_device: rows of the batch on each device.
    """

    num_rows: int
    axes: Any
    slots: dict[int, Any]
    steps: dict[int, Any]
    num_used: Any
    rows_of_device: int

    def packed(self, x: Masked, num_packed: int) -> Masked:
        """A `Masked` of the batch, with its sequences in the first `num_packed` rows (of each device): enough."""

        def pack(values: Any, mask: Any, steps: Any) -> tuple[Any, Any]:
            (rows, width), step = mask.shape, values.shape[2:]
            steps = steps[: num_packed * width]
            ids = steps // width + 1 + _first_row(self.axes, rows)
            ids = jnp.where(_taken(mask.reshape(-1), steps), ids, 0)
            values = _taken(values.reshape(rows * width, *step), steps)
            return values.reshape(num_packed, width, *step), ids.reshape(num_packed, width)

        arrays = jnp.asarray(x.values), jnp.asarray(x.mask), self.steps[x.mask.shape[1]]
        values, ids = _on_each_device(pack, self.axes, *arrays)
        return Masked(values, segment_ids=ids, num_sequences=self.num_rows)

    def in_place(self, values: Any, mask: Any) -> Any:
        """Values of packed rows, each where its step is in the batch; 0 outside the mask."""

        def put(values: Any, mask: Any, slots: Any) -> Any:
            return _zero_outside(_taken(values.reshape(-1, *values.shape[2:]), slots), mask)

        return _on_each_device(put, self.axes, values, jnp.asarray(mask), self.slots[mask.shape[1]])

    def in_order(self, y: Masked, mask: Any) -> Any:
        """Values of results whose steps are not those of the batch: for each sequence its results, in their order.

        Args:
            y: packed rows, or a row for each sequence.
            mask: bool `(rows, width)`: where the results belong, as many in each row as the sequence has in `y`.

        Returns:
            Values `(rows, width, ...)`, 0 outside the mask.
        """

        def put(y: Masked, mask: Any) -> Any:
            rows, width = mask.shape
            if y.segment_ids is None:
                ids = (jnp.arange(rows, dtype=jnp.int32) + 1)[:, None] * y.mask
            else:
                ids = jnp.maximum(y.segment_ids - _first_row(self.axes, rows), 0)
            values = sequence_rows(Masked(y.values, segment_ids=ids), rows, width).values
            rank = jnp.maximum(jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1, 0)
            return _zero_outside(jnp.take_along_axis(values, expand(rank, values.ndim), 1, mode="clip"), mask)

        return _on_each_device(put, self.axes, y, mask)


def place_batch(masks: Sequence[Any], axes: Any = None) -> BatchSlots:
    """Packs the sequences of a batch.

    Args:
        masks: bool `(rows, width)`, of one or several widths. A step is placed if it is real in any mask of its width.
        axes: the explicit axes of a mesh that divide the rows, or None.
    """
    by_width: dict[int, Any] = {}
    for mask in masks:
        other = by_width.get(mask.shape[1])
        by_width[mask.shape[1]] = jnp.asarray(mask) if other is None or other is mask else other | mask
    slots, steps, num_used = _on_each_device(_place, axes, by_width)
    num_rows = masks[0].shape[0]
    return BatchSlots(num_rows, axes, slots, steps, num_used.max(), num_rows // num_used.shape[0])


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
    return slots, steps, num_used[None]


def _on_each_device(function: Callable[..., Any], axes: Any, *arrays: Any) -> Any:
    """The function of arrays that begin with the rows' axis, as its results do; each device has its own rows."""
    if axes is None:
        return function(*arrays)
    mesh, spec = jax.typeof(jax.tree.leaves(arrays)[0]).sharding.mesh, PartitionSpec(axes)
    return jax.shard_map(function, mesh=mesh, in_specs=spec, out_specs=spec)(*arrays)


def _first_row(axes: Any, rows_of_device: int) -> Any:
    """The row of the batch that is the first of this device."""
    return 0 if axes is None else rows_of_device * lax.axis_index(axes)


def _taken(entries: Any, index: Any) -> Any:
    return entries.at[index].get(mode="fill", fill_value=0)


def _zero_outside(values: Any, mask: Any) -> Any:
    return jnp.where(expand(jnp.asarray(mask), values.ndim), values, jnp.zeros((), values.dtype))
