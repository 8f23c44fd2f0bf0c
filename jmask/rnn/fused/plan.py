"""Which lane runs which steps: the rows of a batch packed into lanes, inside the program.

A recurrence is sequential over time and parallel over rows, so its cost is the number of lanes times the number of
steps that each of them runs. Padding makes lanes idle. Here a lane that has finished one row continues with another one
(the state is reset in between), so that few lanes, all busy, do the work of the batch. Only integers are moved: the
steps themselves stay where they are and are gathered block by block.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from ...core.bin_packing import first_fit
from ...core.segment_ids import sequence_starts

IDLE = -1  # the entry of a slot in which nothing runs
_STEP_OVERHEAD = 4  # the fixed cost of a step, in lanes: measured on CPUs, where choices depend on it
_LARGE = 256  # from so many units on, a recurrent kernel no longer fits a core's own cache
_BLOCK_SLOTS = 512  # slots of a block: enough for a large matrix product, few enough for the cache


class Plan(NamedTuple):
    """Lanes of a batch `(rows, time)`. A slot is one step of one lane, numbered lane by lane within a step.

    Lanes are in groups, which run one after another; those of a group run side by side. The number of a step is
    `row * time + t`.

    Attributes:
        slot_step: int32 `(rows + slots,)`: twice the step that runs in a slot, plus 1 where a sequence begins; `IDLE`
            where none runs. The first `rows` entries are idle, so that there is a slot before the first of a group.
        any_step: int32, some real step, which idle slots read.
        last: int32 `(rows,)`: the last real step of each row in the direction of the scan; 0 for an empty row.
        length: int32 `(rows,)`: how many steps each group runs.
        stride: int32, steps from one group's slots to the next's.
        num_groups: int32.
        choice: int32, index into `widths`: how many lanes a group has.
    """

    slot_step: Any
    any_step: Any
    last: Any
    length: Any
    stride: Any
    num_groups: Any
    choice: Any


def widths(rows: int, units: int = _LARGE, are_packed: bool = False) -> tuple[int, ...]:
    """Numbers of lanes to choose from: for much padding, for some, and for little (every row a lane).

    A separate program is compiled for each. With few units the first two cost the same: several narrow groups of lanes
    take no longer than a wide one, as long as the recurrent kernel stays in a core's own cache. Packed
    rows are lanes as they are.
    """
    if rows < 8 or are_packed:
        return (rows,)
    some = _even(rows * 3 / 8)
    if rows < 16:
        return (some, rows)
    return (_even(rows / 8), some, rows) if units >= _LARGE else (_even(rows / 8), rows)


def block_steps(width: int, time: int) -> int:
    """Steps of a block: the largest power of two with at most `_BLOCK_SLOTS` slots and at most `time` steps."""
    steps = 1
    while 2 * steps * width <= _BLOCK_SLOTS and 2 * steps <= time:
        steps *= 2
    return steps


def num_slots(rows: int, time: int) -> int:
    """Slots for every row in its own lane, in whole blocks; no plan needs more."""
    steps = block_steps(rows, time)
    return rows * -(-time // steps) * steps


def make_plan(mask: Any, segment_ids: Any, reverse: bool, units: int = _LARGE) -> Plan:
    """Packs the real steps of a batch into lanes.

    Args:
        mask: bool `(rows, time)`.
        segment_ids: integers `(rows, time)`, ids of the sequences that share a row, or None: each row is one sequence.
        reverse: whether to run from the last real step of each row to the first.
        units: length of the state.

    Returns:
        The plan with the least estimated cost. All rows of a group together take no more steps than the longest row.
    """
    rows, time = mask.shape
    rank = jnp.cumsum(mask, axis=1, dtype=jnp.int32) - 1  # of a real step within its row
    count = rank[:, -1] + 1
    rank = count[:, None] - 1 - rank if reverse else rank
    longest = count.max()
    choices = widths(rows, units, segment_ids is not None)
    pack = first_fit if len(choices) > 1 else _row_by_row
    lane, start, used = lax.platform_dependent(count, cpu=pack, default=_row_by_row)

    width = jnp.asarray(choices, jnp.int32)
    steps = jnp.asarray([block_steps(w, time) for w in choices], jnp.int32)
    num_groups = -(-used // width)
    stride = -(-longest // steps) * steps
    fits = num_groups * width * stride <= num_slots(rows, time)  # true of the last: every row a lane
    cost = jnp.where(fits, num_groups * (width + _STEP_OVERHEAD), rows + _STEP_OVERHEAD + 1)
    choice = jnp.argmin(cost.at[-1].set(rows + _STEP_OVERHEAD)).astype(jnp.int32)
    width, stride, num_groups = width[choice], stride[choice], num_groups[choice]

    own_lane = choice == len(choices) - 1
    row = jnp.arange(rows, dtype=jnp.int32)
    lane, start = jnp.where(own_lane, row, lane), jnp.where(own_lane, 0, start)
    slot = ((lane // width)[:, None] * stride + start[:, None] + rank) * width + (lane % width)[:, None]
    step = row[:, None] * time + jnp.arange(time, dtype=jnp.int32)[None]
    begins = rank == 0 if segment_ids is None else sequence_starts(mask, segment_ids, reverse=reverse)
    slots = rows + num_slots(rows, time)
    slot_step, target = jnp.full(slots, IDLE, jnp.int32), jnp.where(mask, rows + slot, slots)
    slot_step = slot_step.at[target].set(2 * step + begins, mode="drop", unique_indices=True)
    length = jnp.zeros(rows, jnp.int32).at[lane // width].max(start + count)
    last = jnp.max(jnp.where(mask & (rank == count[:, None] - 1), step, 0), axis=1)
    any_step = jnp.argmax(mask.reshape(-1)).astype(jnp.int32)
    return Plan(slot_step, any_step, last, length, stride, jnp.where(own_lane, 1, num_groups), choice)


def _row_by_row(count: Any) -> tuple[Any, Any, Any]:
    """Every row in its own lane: on an accelerator lanes are free, and steps are not."""
    lane = jnp.cumsum(jnp.ones_like(count)) - 1
    return lane.astype(jnp.int32), jnp.zeros_like(count), jnp.max(lane).astype(jnp.int32) + 1


def _even(number: float) -> int:
    return max(2, 2 * round(number / 2))
