"""What the forward pass saves for the backward pass, with the rows in front, so that devices can divide it."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from .forward import ForwardResiduals
from .plan import LanePlan, num_slots, widest, widths

_NUMBERS = ("stride", "num_groups", "choice")  # of a plan


class Residuals(NamedTuple):
    """What the backward pass needs, in addition to the arguments and the outputs of the forward pass.

    Attributes:
        plan: of the lanes; None without a mask.
        forward: cell states and residuals of steps.
        nan_flag: 0; NaN if a vmapped forward pass has saved nothing, because a vmapped backward pass needs nothing.
    """

    plan: LanePlan | None
    forward: ForwardResiduals
    nan_flag: Any


def slots_per_row(rows: int, time: int, units: int, *, has_mask: bool, are_packed: bool) -> int:
    """How many slots a row takes at most, on however many devices."""
    sizes = [rows // devices for devices in range(1, jax.device_count() + 1) if rows % devices == 0]
    lanes = [widest(size, widths(size, units, are_packed) if has_mask else ()) for size in sizes]
    return max(-(-num_slots(size, time, width) // size) for size, width in zip(sizes, lanes, strict=True))


def by_row(residuals: Residuals, rows: int, slots_per_row: int) -> Residuals:
    """The residuals of a batch as arrays that begin with the rows' axis."""

    def split(array: Any, per_row: int) -> Any:
        missing = rows * per_row - array.shape[0]
        array = jnp.pad(array, ((0, missing), *((0, 0),) * (array.ndim - 1)))
        return array.reshape(rows, per_row, *array.shape[1:])

    def repeat(number: Any) -> Any:
        return jnp.broadcast_to(number, (rows,))

    plan = residuals.plan
    if plan is not None:
        plan = plan._replace(
            slot_step=split(plan.slot_step, 1 + slots_per_row),
            length=split(plan.length, 1),
            **{name: repeat(getattr(plan, name)) for name in _NUMBERS},
        )
    forward = jax.tree.map(lambda array: split(array, slots_per_row), residuals.forward)
    return Residuals(plan, forward, repeat(residuals.nan_flag))


def of_batch(residuals: Residuals) -> Residuals:
    """The inverse of `by_row`, with slots to spare."""

    def join(array: Any) -> Any:
        return array.reshape(-1, *array.shape[2:])

    plan = residuals.plan
    if plan is not None:
        numbers = {name: getattr(plan, name)[0] for name in _NUMBERS}
        plan = plan._replace(slot_step=join(plan.slot_step), length=join(plan.length), **numbers)
    return Residuals(plan, jax.tree.map(join, residuals.forward), residuals.nan_flag[0])
