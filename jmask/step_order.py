"""The order of steps within their rows: real ones to the front, and back to where they stood."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike

from .arithmetic import expand, is_host_only
from .masked import Masked, PaddingSide, as_masked, values_of
from .segments import ids_of


def compact(x: Masked | ArrayLike) -> tuple[Masked, "StepOrder"]:
    """Moves the real steps of each sequence to the front, in their order, and says how to move them back.

    So that code which knows right padding only (cuDNN, lengths instead of masks) serves left padding and holes too.
    Works under `jax.jit` and `jax.vmap`, and free of charge where the hint says "right" already.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or any other rank: the mask's last axis is time.

    Returns:
        The compacted `Masked`, with `padding_side="right"`, and a function that takes values `(batch, time, ...)` in
        the new order, as an array or a `Masked`, and returns a `Masked` in the old order under the mask of `x`. An
        empty row stays one. Gradients follow the steps, whatever padding holds. Of packed rows the segments move with
        the steps.

    Raises:
        ValueError: there is no time axis.

    >>> import jmask as jm
    >>> y, restore = jm.compact(jm.pad_sequences([[3, 4, 5], [6]], padding="pre"))
    >>> y
    Masked(int32[2, 3], lengths=[3 1], padding_side='right')
    [[3 4 5]
     [6 · ·]]
    >>> restore(y * 2).fill().tolist()
    [[6, 8, 10], [0, 0, 12]]
    """
    x = as_masked(x)
    if x.mask.ndim == 0:
        raise ValueError(f"`compact` needs a time axis; received values {x.shape} with a mask of rank 0.")
    if x.is_right_padded:
        return x, StepOrder(None, x.mask, x.padding_side, x.segments)
    steps = jnp.arange(x.mask.shape[-1], dtype=jnp.int32)
    order = real_steps_first(x.mask)
    num_real = jnp.cumsum(x.mask, axis=-1, dtype=jnp.int32)
    total = num_real[..., -1:]
    positions = jnp.where(x.mask, num_real - 1, total + steps - num_real)
    ids = None if x.segments is None else take_steps(ids_of(x), order)
    compacted = Masked(take_steps(x.values, order), steps < total, "right", ids)
    return compacted, StepOrder(positions, x.mask, x.padding_side, x.segments)


@functools.partial(
    jax.tree_util.register_dataclass, data_fields=("positions", "mask", "segments"), meta_fields=("padding_side",)
)
@dataclasses.dataclass(frozen=True, eq=False)
class StepOrder:
    """Moves the steps that `compact` has moved back to where they stood; a pytree, so it passes through `jax.jit`.

    Attributes:
        positions: int32, of the mask's shape: where each step stands after `compact`; None if it moved nothing.
        mask: the mask before `compact`.
        padding_side: the hint before `compact`.
        segments: those of packed rows, before `compact`.
    """

    positions: Any
    mask: Any
    padding_side: PaddingSide = None
    segments: Any = None

    def __call__(self, y: Masked | ArrayLike) -> Masked:
        """`y` in the old order, under the old mask; its leading axes are those of that mask."""
        values = values_of(y)
        if tuple(values.shape[: self.mask.ndim]) != tuple(self.mask.shape):
            raise ValueError(
                f"`restore` puts values back under a mask of shape {self.mask.shape}, so their shape must begin with "
                f"it; received {values.shape}."
            )
        if self.positions is not None:
            values = take_steps(values, self.positions)
        return Masked(values, self.mask, self.padding_side, self.segments)


def real_steps_first(mask: Any) -> Any:
    """Where the real steps of each row stand, in their order, and then its padded steps; int32 of the mask's shape."""
    time = mask.shape[-1]
    steps = jnp.arange(time, dtype=jnp.int32)
    order = jnp.sort(jnp.where(mask, steps, steps + time), axis=-1)  # one key a step: faster than a stable argsort
    return jnp.where(order < time, order, order - time)


def take_steps(values: Any, order: Any) -> Any:
    """The steps of each sequence in another order; `order` has the shape of the mask."""
    axis = order.ndim - 1
    if is_host_only(values):
        return np.take_along_axis(values, np.asarray(expand(order, values.ndim)), axis)
    return jnp.take_along_axis(values, expand(order, values.ndim), axis, mode="promise_in_bounds")
