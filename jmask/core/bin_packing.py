"""Bin packing inside a program: sequences to lanes or rows, by first-fit decreasing."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from jax import lax


def first_fit(count: Any, room: Any = None) -> tuple[Any, Any, Any]:
    """First-fit decreasing: each row, the longest first, goes to the first lane that has room for it.

    Args:
        count: int32 `(rows,)`, real steps of each row.
        room: how many steps a lane has room for, at least the largest count; None: that.

    Returns:
        The lane of each row, the step of that lane at which it starts, and the number of lanes in use.

    References:
        Johnson: Near-optimal bin packing algorithms, 1973: at most 11/9 of the fewest lanes, and two thirds of one.
    """
    rows = count.shape[0]
    room = count.max() if room is None else room
    index = np.arange(rows, dtype=np.int32)
    is_free, is_waiting, is_lane = (np.arange(4)[:, None] == part for part in range(3))

    def place(_: Any, state: Any) -> Any:
        """One array holds the room of each lane, and of each row its steps while it waits, its lane and its start."""
        free, waiting = state[0], state[1]
        row = jnp.argmax(waiting).astype(jnp.int32)
        length = waiting[row]
        lane = jnp.min(jnp.where(free >= length, index, rows - 1))
        change = jnp.where(is_lane, lane, room - free[lane])
        change = jnp.where(is_free, -length, jnp.where(is_waiting, -1 - length, change))
        return state + jnp.where(index[None] == jnp.where(is_free, lane, row), change, 0)

    first = jnp.where(is_free, room, jnp.where(is_waiting, count[None], 0)).astype(jnp.int32)
    _, _, lane, start = lax.fori_loop(0, rows, place, first)
    return lane, start, jnp.max(jnp.where(count > 0, lane + 1, 0))
