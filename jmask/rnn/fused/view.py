"""The arrays of a batch in the order of a layout, and back."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jax import lax

from .arrays import gather
from .layout import AlignedRows, FullRows, Lanes
from .plan import LanePlan


class View:
    """A batch `(rows, time, ...)` under a plan, or without one: then every step is real.

    Attributes:
        layouts: those that the plan chooses from, one for each width of lanes; or the only one.
        choice: the index of the layout that runs, which the program computes from the mask.
    """

    def __init__(self, rows: int, time: int, plan: LanePlan | None, reverse: bool, widths: tuple[int, ...]) -> None:
        self.rows, self.time, self.plan, self.reverse = rows, time, plan, reverse
        self.layouts: list[FullRows] | list[AlignedRows] | list[Lanes] = [FullRows(rows, time)]
        self.choice: Any = 0
        if plan is not None and not widths:
            self.layouts = [AlignedRows(plan, rows, time)]
        elif plan is not None:
            self.layouts, self.choice = [Lanes(plan, rows, time, w, widths[-1]) for w in widths], plan.choice

    def switch(self, runs: list[Callable[[], Any]]) -> Any:
        """Runs the one of the chosen layout."""
        return runs[0]() if len(runs) == 1 else lax.switch(self.choice, runs)

    def flat(self, array: Any) -> Any:
        """`(rows, time, ...)` in the order of the layout, `(steps, ...)`."""
        if self.plan is None:
            array = jnp.swapaxes(jnp.flip(array, 1) if self.reverse else array, 0, 1)
            missing = self.layouts[0].slots // self.rows - self.time
            array = jnp.pad(array, ((0, missing), (0, 0), (0, 0)))
        flat, layout = array.reshape(-1, array.shape[-1]), self.layouts[0]
        return layout.align(flat) if isinstance(layout, AlignedRows) else flat

    def rows_of(self, flat: Any) -> Any:
        """`(steps, ...)` in the order of the layout as `(rows, time, ...)`."""
        layout = self.layouts[0]
        if self.plan is not None:
            flat = layout.restore(flat) if isinstance(layout, AlignedRows) else flat
            return flat.reshape(self.rows, self.time, -1)
        array = jnp.swapaxes(flat.reshape(-1, self.rows, flat.shape[-1])[: self.time], 0, 1)
        return jnp.flip(array, 1) if self.reverse else array

    def last(self, array: Any) -> Any:
        """Of `(rows, time, ...)`, each row's last real step in the direction of the scan."""
        if self.plan is None:
            return array[:, 0 if self.reverse else -1]
        return gather(array.reshape(self.rows * self.time, -1), self.plan.last)
