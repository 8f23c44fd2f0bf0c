"""Bin packing inside a program: sequences to lanes or rows, by first-fit decreasing."""

from typing import Any

import jax.numpy as jnp
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
    order = jnp.argsort(-count)
    lanes = jnp.arange(rows, dtype=jnp.int32)

    def place(i: Any, state: Any) -> Any:
        free, lane, start = state
        row = order[i]
        found = jnp.min(jnp.where(free >= count[row], lanes, rows - 1))
        start = start.at[row].set(room - free[found])
        return free.at[found].add(-count[row]), lane.at[row].set(found), start

    zeros = jnp.zeros_like(count)
    _, lane, start = lax.fori_loop(0, rows, place, (zeros + room, zeros, zeros))
    return lane, start, jnp.max(jnp.where(count > 0, lane + 1, 0))
