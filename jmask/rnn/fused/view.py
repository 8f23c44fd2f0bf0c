"""The arrays of a batch as a layout wants them, and back."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from .arrays import gather
from .layout import Dense, Lanes, Layout
from .plan import Plan


class View:
    """A batch `(rows, time, ...)` under a plan, or without one: then every step is real."""

    def __init__(self, rows: int, time: int, plan: Plan | None, reverse: bool, choices: tuple[int, ...] = ()) -> None:
        """`choices`: the widths of lanes that the plan has chosen from."""
        self.rows, self.time, self.plan, self.reverse, self.choices = rows, time, plan, reverse, choices

    def flat(self, array: Any) -> Any:
        """`(rows, time, ...)` in the order of the layout, `(steps, ...)`."""
        if self.plan is None:
            array = jnp.swapaxes(jnp.flip(array, 1) if self.reverse else array, 0, 1)
            missing = Dense(self.rows, self.time).slots // self.rows - self.time
            array = jnp.pad(array, ((0, missing), (0, 0), (0, 0)))
        return array.reshape(-1, array.shape[-1])

    def rows_of(self, flat: Any) -> Any:
        """`(steps, ...)` in the order of the layout as `(rows, time, ...)`."""
        if self.plan is not None:
            return flat.reshape(self.rows, self.time, -1)
        array = jnp.swapaxes(flat.reshape(-1, self.rows, flat.shape[-1])[: self.time], 0, 1)
        return jnp.flip(array, 1) if self.reverse else array

    def last(self, array: Any) -> Any:
        """Of `(rows, time, ...)`, each row's last real step in the direction of the scan."""
        if self.plan is None:
            return array[:, 0 if self.reverse else -1]
        return gather(array.reshape(self.rows * self.time, -1), self.plan.last)

    def run(self, function: Callable[[Layout], Any]) -> Any:
        """Runs a function in the layout; under a plan, in lanes of the chosen width."""
        if self.plan is None:
            return function(Dense(self.rows, self.time))
        layouts = [Lanes(self.plan, self.rows, self.time, width) for width in self.choices]
        if len(layouts) == 1:
            return function(layouts[0])
        return lax.switch(self.plan.choice, [lambda layout=layout: function(layout) for layout in layouts])
