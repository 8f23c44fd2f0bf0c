"""Where the steps of a block are: gathered by a plan, for each block or for all at once, or in order without padding.

All layouts have the same methods for a block of `steps` steps of `width` lanes side by side, its slots flattened to
`(steps * width, ...)`. So the forward and the backward pass are written once.
"""

from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .arrays import at, cut, gather, write_slice
from .plan import IDLE, LanePlan, block_steps, num_slots

State = tuple[Any, ...]


class FullRows:
    """Every row is real from end to end: lanes are rows, and nothing is gathered or selected.

    Arrays are time-major, `(steps * rows, ...)`, with time in whole blocks.
    """

    num_groups = 1

    def __init__(self, rows: int, time: int) -> None:
        self.rows = self.width = rows
        self.time = time
        self.steps = block_steps(rows, time)
        self.slots = num_slots(rows, time, rows)

    def num_blocks(self, group: Any) -> int:
        """How many blocks a group of lanes runs."""
        return -(-self.time // self.steps)

    def block(self, group: Any, index: Any) -> "FullRowsBlock":
        """A block of it."""
        return FullRowsBlock(self, index)


class FullRowsBlock:
    """Consecutive steps of all rows."""

    layout: "FullRows | AlignedRows"

    def __init__(self, layout: FullRows, index: Any) -> None:
        self.layout, self.index = layout, index
        self.slot = index * layout.steps * layout.width
        whole = layout.time % layout.steps == 0
        self.count = layout.steps if whole else jnp.minimum(layout.steps, layout.time - index * layout.steps)
        self.is_end = index == layout.num_blocks(0) - 1

    def take(self, array: Any) -> Any:
        """The steps of the block."""
        return cut(array, self.slot, self.layout.steps * self.layout.width)

    def put(self, array: Any, values: Any) -> Any:
        """Writes the steps of the block."""
        return write_slice(array, values, self.slot)

    def previous(self, outputs: Any, initial: Any) -> Any:
        """Outputs of the steps before those of the block."""
        width = self.layout.width
        before = cut(outputs, jnp.maximum(self.slot - width, 0), width)
        before = jnp.where(self.index == 0, 0 if initial is None else initial, before)
        return jnp.concatenate([before, cut(outputs, self.slot, (self.layout.steps - 1) * width)])

    def restarts(self, initial: State | None) -> tuple[Any, State | None] | None:
        """None: no sequence begins in the middle of a lane."""
        return None

    def put_last(self, last: Any, values: Any) -> Any:
        """Of the last block, the values of the last step."""
        width = self.layout.width
        return jnp.where(self.is_end, cut(values, (self.count - 1) * width, width), last)

    def take_last(self, last: Any) -> Any:
        """None: this gradient is the first state of the backward loop."""
        return None

    def add_initial(self, total: Any, values: Any) -> Any:
        """The total as it is: this gradient is the last state of the backward loop."""
        return total


class AlignedRows:
    """Every row is a lane with its real steps in front; they are gathered once, before the loop, by a plan for rows.

    Arrays are time-major, `(steps * rows, ...)`, with time in whole blocks. The loop ends with the longest row.
    """

    num_groups = 1

    def __init__(self, plan: LanePlan, rows: int, time: int) -> None:
        self.plan, self.rows, self.time = plan, rows, time
        self.width = rows
        self.steps = block_steps(rows, time)
        self.slots = num_slots(rows, time, rows)

    def num_blocks(self, group: Any) -> Any:
        """How many blocks the rows run."""
        return -(-self.plan.length.max() // self.steps)

    def block(self, group: Any, index: Any) -> "AlignedRowsBlock":
        """A block of it."""
        return AlignedRowsBlock(self, index)

    def align(self, flat: Any) -> Any:
        """From the user's order, `(rows * time, ...)`; an idle slot has zeros."""
        code = self._slot_steps()
        return jnp.where((code == IDLE)[:, None], 0, gather(flat, jnp.maximum(code, 0) >> 1))

    def restore(self, array: Any) -> Any:
        """The inverse of `align`, with 0 at padded steps."""
        code, size = self._slot_steps(), self.rows * self.time
        flat = jnp.zeros((size, *array.shape[1:]), array.dtype)
        return flat.at[jnp.where(code == IDLE, size, code >> 1)].set(array, mode="drop", unique_indices=True)

    def _slot_steps(self) -> Any:
        return self.plan.slot_step[self.rows : self.rows + self.slots]


class AlignedRowsBlock(FullRowsBlock):
    """Consecutive steps of all rows, some of which have ended."""

    def __init__(self, layout: AlignedRows, index: Any) -> None:
        self.layout, self.index = layout, index
        self.slot = index * layout.steps * layout.width
        self.count = jnp.minimum(layout.steps, layout.plan.length.max() - index * layout.steps)
        code = cut(layout.plan.slot_step, layout.rows + self.slot, layout.steps * layout.width)[:, None]
        self.is_real = code != IDLE
        self.begins = self.is_real & (code & 1 == 1)
        self.is_last = self.is_real & (code >> 1 == self._of_rows(layout.plan.last[:, None]))

    def put(self, array: Any, values: Any) -> Any:
        """Writes the steps of the block, zero where there are none."""
        return super().put(array, jnp.where(self.is_real, values, 0))

    def previous(self, outputs: Any, initial: Any) -> Any:
        """Outputs of the steps before those of the block, and the initial state where a sequence begins."""
        return jnp.where(self.begins, 0 if initial is None else self._of_rows(initial), super().previous(outputs, None))

    def restarts(self, initial: State | None) -> tuple[Any, State | None]:
        """For each step, the rows in which a sequence begins, and its initial state."""
        start = jax.tree.map(lambda state: self._by_step(self._of_rows(state)), initial)
        return self._by_step(self.begins), start

    def put_last(self, last: Any, values: Any) -> Any:
        """The values of the last steps of rows that end in the block."""
        ends, found = map(self._by_step, (self.is_last, jnp.where(self.is_last, values, 0)))
        return jnp.where(ends.any(0), found.sum(0), last)

    def take_last(self, last: Any) -> Any:
        """The values of the last steps of rows, zero at other steps."""
        return jnp.where(self.is_last, self._of_rows(last), 0)

    def add_initial(self, total: Any, values: Any) -> Any:
        """Adds values to the total of their row, where a sequence begins."""
        return total + self._by_step(jnp.where(self.begins, values, 0)).sum(0)

    def _of_rows(self, array: Any) -> Any:
        """What rows have, `(rows, ...)`, at each step of the block."""
        return jnp.tile(array, (self.layout.steps, 1))

    def _by_step(self, array: Any) -> Any:
        return array.reshape(self.layout.steps, self.layout.width, -1)


class Lanes:
    """Rows packed into lanes by a plan. Arrays are `(rows * time, ...)`, with the steps in the user's order."""

    def __init__(self, plan: LanePlan, rows: int, time: int, width: int, widest: int) -> None:
        self.plan, self.rows, self.time, self.width = plan, rows, time, width
        self.steps = block_steps(width, time)
        self.slots = num_slots(rows, time, widest)
        self.num_groups = plan.num_groups

    def num_blocks(self, group: Any) -> Any:
        """How many blocks a group of lanes runs."""
        return -(-self.plan.length[group] // self.steps)

    def block(self, group: Any, index: Any) -> "LanesBlock":
        """A block of it."""
        return LanesBlock(self, group, index)


class LanesBlock:
    """Consecutive steps of a group of lanes."""

    def __init__(self, layout: Lanes, group: Any, index: Any) -> None:
        self.layout = layout
        done = index * layout.steps
        self.count = jnp.minimum(layout.steps, layout.plan.length[group] - done)
        self.slot = (group * layout.plan.stride + done) * layout.width
        code = self._slot_steps(self.slot)
        is_real = code != IDLE
        self.is_real = is_real[:, None]
        self.step = jnp.maximum(code, 0) >> 1
        self.target = jnp.where(is_real, code >> 1, layout.rows * layout.time)
        self.begins = (is_real & (code & 1 == 1))[:, None]
        self.row = self.step // layout.time
        self.is_last = self.is_real & (layout.plan.last[self.row] == self.step)[:, None]

    def take(self, array: Any) -> Any:
        """The steps of the block, zero where there are none."""
        return jnp.where(self.is_real, gather(array, self.step), 0)

    def put(self, array: Any, values: Any) -> Any:
        """Writes the steps of the block to their places."""
        return array.at[self.target].set(values.astype(array.dtype), mode="drop", unique_indices=True)

    def previous(self, outputs: Any, initial: Any) -> Any:
        """Outputs of the steps before those of the block, and the initial state where a sequence begins."""
        before = gather(outputs, jnp.maximum(self._slot_steps(self.slot - self.layout.width), 0) >> 1)
        before = jnp.where(self.begins, 0 if initial is None else gather(initial, self.row), before)
        return jnp.where(self.is_real, before, 0)

    def restarts(self, initial: State | None) -> tuple[Any, State | None]:
        """For each step, the lanes in which a sequence begins, and its initial state."""
        shape = (self.layout.steps, self.layout.width, -1)
        start = jax.tree.map(lambda state: gather(state, self.row).reshape(shape), initial)
        return self.begins.reshape(shape), start

    def put_last(self, last: Any, values: Any) -> Any:
        """Writes the values of the last steps of rows."""
        target = jnp.where(self.is_last[:, 0], self.row, self.layout.rows)
        return last.at[target].set(values, mode="drop", unique_indices=True)

    def take_last(self, last: Any) -> Any:
        """The values of the last steps of rows, zero at other steps."""
        return jnp.where(self.is_last, gather(last, self.row), 0)

    def add_initial(self, total: Any, values: Any) -> Any:
        """Adds values to the total of their row, where a sequence begins."""
        target = jnp.where(self.begins[:, 0], self.row, self.layout.rows)
        return total.at[target].add(values, mode="drop")

    def _slot_steps(self, slot: Any) -> Any:
        return cut(self.layout.plan.slot_step, self.layout.rows + slot, self.layout.steps * self.layout.width)


Layout = FullRows | AlignedRows | Lanes
Block = FullRowsBlock | LanesBlock


def restart(restarts: tuple[Any, State | None] | None, step: Any, state: State) -> State:
    """The state before a step: the initial one where a sequence begins."""
    if restarts is None:
        return state
    begins, start = restarts
    fresh = (0,) * len(state) if start is None else tuple(at(s, step) for s in start)
    return tuple(jnp.where(at(begins, step), new, old) for new, old in zip(fresh, state, strict=True))


def for_each_group(layout: Layout, body: Any, carry: Any) -> Any:
    """Runs `body(group, carry) -> carry` for every group of lanes."""
    if isinstance(layout, Lanes):
        return lax.fori_loop(0, layout.num_groups, body, carry)
    return body(0, carry)
