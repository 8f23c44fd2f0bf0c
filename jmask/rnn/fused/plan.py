"""Which lane runs which steps: the rows of a batch packed into lanes, inside the program.

A recurrence is sequential over time and parallel over rows, so its cost is the number of lanes times the number of
steps that each of them runs. Padding makes lanes idle. Here a lane that has finished one row continues with another one
(the state is reset in between), so that few lanes, all busy, do the work of the batch. Only integers are moved: the
steps themselves stay where they are and are gathered block by block, on accelerators once before the loop.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ...core.bin_packing import first_fit
from ...core.segment_ids import sequence_starts

IDLE = -1  # the entry of a slot in which nothing runs
_STEP_OVERHEAD = 4  # the fixed cost of a step, in lanes: measured on CPUs, where choices depend on it
_LARGE = 256  # from so many units on, a recurrent kernel no longer fits a core's own cache
_BLOCK_SLOTS = 512  # slots of a block: enough for a large matrix product, few enough for the cache


class LanePlan(NamedTuple):
    """Lanes of a batch `(rows, time)`. A slot is one step of one lane, numbered lane by lane within a step.

    Lanes are in groups, which run one after another; those of a group run side by side. The number of a step is
    `row * time + t`.

    Attributes:
        slot_step: int32 `(rows + slots,)`: twice the step that runs in a slot, plus 1 where a sequence begins; `IDLE`
            where none runs. The first `rows` entries are idle, so that there is a slot before the first of a group.
        last: int32 `(rows,)`: the last real step of each row in the direction of the scan; 0 for an empty row.
        length: int32 `(groups,)`: how many steps each group runs.
        stride: int32, steps from one group's slots to the next's.
        num_groups: int32.
        choice: int32, index into `widths`: how many lanes a group has.
    """

    slot_step: Any
    last: Any
    length: Any
    stride: Any
    num_groups: Any
    choice: Any


def widths(rows: int, units: int = _LARGE, are_packed: bool = False) -> tuple[int, ...]:
    """Numbers of lanes to choose from: for much padding, for some, and for little (every row a lane).

    A separate program is compiled for each. With few units there is one, of about an eighth of the rows: as long as the
    recurrent kernel stays in a core's own cache, several narrow groups of lanes take no longer than a wide one, at any
    fill. That holds for CPUs. On accelerators there is nothing to choose, `()`: every row is a lane, for lanes are free
    and steps are not, and its steps are gathered before the loop (`AlignedRows`), for gathers are slow.
    """
    if jax.default_backend() != "cpu":
        return ()
    if rows < 8 or are_packed:
        return (rows,)
    if units < _LARGE:
        return (max(4, _even(rows / 8)),)
    some = _even(rows * 3 / 8)
    return (some, rows) if rows < 16 else (_even(rows / 8), some, rows)


def widest(rows: int, choices: tuple[int, ...]) -> int:
    """The largest number of lanes that may run side by side."""
    return choices[-1] if choices else rows


def block_steps(width: int, time: int) -> int:
    """Steps of a block: the largest power of two with at most `_BLOCK_SLOTS` slots and at most `time` steps."""
    steps = 1
    while 2 * steps * width <= _BLOCK_SLOTS and 2 * steps <= time:
        steps *= 2
    return steps


def num_slots(rows: int, time: int, widest: int) -> int:
    """Slots for every row in its own lane, in groups of the widest number of lanes and in whole blocks.

    No plan needs more, because a narrower one that does is not taken.
    """
    return -(-rows // widest) * widest * _whole_blocks(time, widest)


@functools.partial(jax.jit, static_argnames=("reverse", "choices"))
def make_plan(mask: Any, segment_ids: Any, *, reverse: bool, choices: tuple[int, ...]) -> LanePlan:
    """Packs the real steps of a batch into lanes.

    Args:
        mask: bool `(rows, time)`.
        segment_ids: integers `(rows, time)`, ids of the sequences that share a row, or None: each row is one sequence.
        reverse: whether to run from the last real step of each row to the first.
        choices: `widths` of the batch.

    Returns:
        The plan with the least estimated cost. All rows of a group together take no more steps than the longest row.
    """
    rows, time = mask.shape
    narrowest = choices[0] if choices else rows
    slots = rows + num_slots(rows, time, widest(rows, choices))
    rank, count = _ranks(mask)
    row = jnp.arange(rows, dtype=jnp.int32)
    if narrowest == rows:
        lane, start, shape = row, jnp.zeros_like(count), _Shape(rows, _whole_blocks(time, rows), 1, 0)
    else:
        lane, start, used = first_fit(count)
        shape = _cheapest(choices, used, count.max(), time)
        if len(choices) > 1:
            own_lane = shape.choice == len(choices) - 1
            lane, start = jnp.where(own_lane, row, lane), jnp.where(own_lane, 0, start)
    width = shape.width
    first = ((lane // width) * shape.stride + start) * width + lane % width
    rank = lax.optimization_barrier(count[:, None] - 1 - rank if reverse else rank)  # so that both directions are alike
    slot = first[:, None] + width * rank
    step = row[:, None] * time + jnp.arange(time, dtype=jnp.int32)[None]
    begins = rank == 0 if segment_ids is None else sequence_starts(mask, segment_ids, reverse=reverse)
    slot_step, target = jnp.full(slots, IDLE, jnp.int32), jnp.where(mask, rows + slot, slots)
    slot_step = slot_step.at[target].set(2 * step + begins, mode="drop", unique_indices=True)
    group = jnp.arange(-(-rows // narrowest), dtype=jnp.int32)[:, None]
    length = jnp.max(jnp.where((lane // width)[None] == group, (start + count)[None], 0), axis=1)
    last = jnp.max(jnp.where(mask & (rank == count[:, None] - 1), step, 0), axis=1)
    return LanePlan(slot_step, last, length, *map(_int32, shape[1:]))


class _Shape(NamedTuple):
    """How lanes are arranged: `LanePlan` describes the parts."""

    width: Any
    stride: Any
    num_groups: Any
    choice: Any


def _cheapest(choices: tuple[int, ...], used: Any, longest: Any, time: int) -> _Shape:
    """The choice with the least estimated cost.

    Args:
        choices: numbers of lanes of a group; if there are several, the last one is that of the rows.
        used: how many lanes are in use.
        longest: steps of the longest row.
        time: steps of a row, with padding.
    """
    if len(choices) == 1:
        return _Shape(choices[0], _whole_blocks(time, choices[0]), -(-used // choices[0]), 0)
    rows = choices[-1]
    width = jnp.asarray(choices, jnp.int32)
    steps = jnp.asarray([block_steps(w, time) for w in choices], jnp.int32)
    num_groups = (-(-used // width)).at[-1].set(1)
    stride = -(-longest // steps) * steps
    fits = num_groups * width * stride <= num_slots(rows, time, rows)  # true of the last: every row a lane
    cost = jnp.where(fits, num_groups * (width + _STEP_OVERHEAD), rows + _STEP_OVERHEAD + 1)
    choice = jnp.argmin(cost).astype(jnp.int32)
    return _Shape(width[choice], stride[choice], num_groups[choice], choice)


def _ranks(mask: Any) -> tuple[Any, Any]:
    """The number of real steps before each step `(rows, time)`, and in each row; int32.

    Counted by two small matrix products with triangles of ones. They give whole numbers, exact in float32, and there is
    nothing in them for XLA to compile, unlike in the windows of `jnp.cumsum`.
    """
    rows, time = mask.shape
    size = 1 << max(0, (time - 1).bit_length() + 1) // 2  # of a part; about as large as their number
    parts = jnp.pad(mask, ((0, 0), (0, -time % size))).reshape(rows, -1, size).astype(jnp.float32)
    product = functools.partial(jnp.matmul, precision=lax.Precision.HIGHEST)
    within = product(parts, np.triu(np.ones((size, size), np.float32)))
    number = within.shape[1]
    before = product(within[..., -1], np.triu(np.ones((number, number), np.float32), 1))
    counted = (within + before[..., None]).reshape(rows, -1).astype(jnp.int32)
    return counted[:, :time] - 1, counted[:, -1]


def _whole_blocks(time: int, width: int) -> int:
    """Steps in whole blocks of a width."""
    steps = block_steps(width, time)
    return -(-time // steps) * steps


def _int32(number: Any) -> Any:
    return jnp.asarray(number, jnp.int32)


def _even(number: float) -> int:
    return max(2, 2 * round(number / 2))
