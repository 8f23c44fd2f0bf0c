"""The order of steps within their rows: real steps moved to the front, and back to where they were."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import ArrayLike

from .arithmetic import expand, in_front, is_host_only, marks_of
from .constructors import as_masked
from .masked import Masked, values_of
from .segment_ids import ids_of, sequence_starts


def left_align(x: Masked | ArrayLike) -> tuple[Masked, "StepPermutation"]:
    """Moves the real steps of each sequence to the front, in order, and returns a function that moves them back.

    With it, code that only knows right padding (cuDNN, lengths instead of masks) also handles left padding and holes.
    Works under `jax.jit` and `jax.vmap`. If all rows are already padded on the right, which is checked at run time, no
    step is moved.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or any other rank: the mask's last axis is time.

    Returns:
        The left-aligned `Masked`, and a function that takes values `(batch, time, ...)` in the new order, as an array
        or a `Masked`, and returns a `Masked` in the old order under the mask of `x`. An empty row stays empty.
        Gradients follow the steps, whatever padding holds. In packed rows the segment ids move with the steps.

    Raises:
        ValueError: there is no time axis.

    >>> import jmask as jm
    >>> y, restore = jm.left_align(jm.pad_sequences([[3, 4, 5], [6]], padding="pre"))
    >>> y
    Masked(int32[2, 3], lengths=[3 1])
    [[3 4 5]
     [6 · ·]]
    >>> restore(y * 2).fill().tolist()
    [[6, 8, 10], [0, 0, 12]]
    """
    x = as_masked(x)
    if x.mask.ndim == 0:
        raise ValueError(f"`left_align` needs a time axis; received values {x.shape} with a mask of rank 0.")
    return _moved(x, ~is_right_padded(x.mask))


def close_gaps(x: Masked) -> tuple[Masked, "StepPermutation"]:
    """Like `left_align`, but leaves all rows unchanged if none has padding between two steps of a sequence."""
    mask, ids = x.mask, ids_of(x)
    if ids is not None:
        return _moved(x, (_is_before_step(mask) & ~sequence_starts(mask, ids)[..., 1:]).any())
    num_runs = mask[..., :1].sum(axis=-1, dtype=np.int32) + _is_before_step(mask).sum(axis=-1, dtype=np.int32)
    return _moved(x, (num_runs > 1).any())


def is_right_padded(mask: Any) -> Any:
    """Whether every row is real steps and then padding: bool of rank 0, a NumPy bool for a NumPy mask."""
    return ~_is_before_step(mask).any()


def _is_before_step(mask: Any) -> Any:
    """Where a padded step comes right before a real one."""
    return ~mask[..., :-1] & mask[..., 1:]


def _moved(x: Masked, moves: Any) -> tuple[Masked, "StepPermutation"]:
    order = StepPermutation(moves, *marks_of(x))
    if isinstance(moves, np.bool_) and not moves:
        return x, order
    mask, ids = x.mask, ids_of(x)
    if is_host_only(x.values):
        first = real_steps_first(mask)
        moved = [None if array is None else take_steps(array, first) for array in (x.values, mask, ids)]
    else:
        moved = _bring_forward(moves, (x.values, mask, ids), mask)
    values, mask, ids = moved
    return Masked(values, mask, ids, x.num_sequences), order


@functools.partial(
    jax.tree_util.register_dataclass,
    data_fields=("moves", "mask", "segment_ids"),
    meta_fields=("num_sequences",),
)
@dataclasses.dataclass(frozen=True, eq=False)
class StepPermutation:
    """Moves the steps that `left_align` moved back to where they were; a pytree, so it passes through `jax.jit`.

    Attributes:
        moves: bool of rank 0, whether `left_align` moved any step.
        mask: the mask before `left_align`.
        segment_ids: those of packed rows, before `left_align`.
        num_sequences: how many sequences packed rows hold, if that is known.
    """

    moves: Any
    mask: Any
    segment_ids: Any = None
    num_sequences: int | None = None

    def __call__(self, y: Masked | ArrayLike) -> Masked:
        """`y` in the old order, under the old mask; its leading axes are those of that mask."""
        values = values_of(y)
        if tuple(values.shape[: self.mask.ndim]) != tuple(self.mask.shape):
            raise ValueError(
                f"`restore` puts values back under a mask of shape {self.mask.shape}, so their shape must begin with "
                f"it; received {values.shape}."
            )
        if is_host_only(values):
            values = take_steps(values, _places_after(self.mask))
        elif not isinstance(self.moves, np.bool_) or self.moves:
            values = _put_back(self.moves, values, self.mask)
        return Masked(values, self.mask, self.segment_ids, self.num_sequences)


@jax.jit
def _bring_forward(moves: Any, arrays: Any, mask: Any) -> Any:
    """The arrays with the real steps of each row at the front, if any step moves."""
    return _branch(moves, real_steps_first, arrays, mask)


@jax.jit
def _put_back(moves: Any, array: Any, mask: Any) -> Any:
    """The inverse of `_bring_forward`."""
    return _branch(moves, _places_after, array, mask)


def _branch(moves: Any, order_of: Callable[[Any], Any], arrays: Any, mask: Any) -> Any:
    """Arrays with their steps in the order that the mask gives, if any step moves.

    It is a branch because a gather, like the scatter that is its gradient, costs more than most later operations.
    """

    def move(arrays: Any, mask: Any) -> Any:
        order = order_of(mask)
        return jax.tree.map(lambda array: take_steps(array, order), arrays)

    def keep(arrays: Any, mask: Any) -> Any:
        # Under `jax.shard_map` both branches must vary over the same mesh axes as the mask.
        return jax.tree.map(lambda array: jnp.where(expand(mask, array.ndim), array, array), arrays)

    return lax.cond(moves, move, keep, arrays, mask)


def _places_after(mask: Any) -> Any:
    """The place of each step after `left_align`, int32 of the mask's shape."""
    first = real_steps_first(mask)
    # The inverse by a sort, not by counting real steps: XLA takes several times as long to compile a cumulative sum.
    return lax.sort_key_val(first, jnp.zeros_like(first) + _steps(mask), dimension=mask.ndim - 1)[1]


def real_steps_first(mask: Any) -> Any:
    """The places of each row's real steps, in order, and then of its padded steps; int32 of the mask's shape."""
    time, steps = mask.shape[-1], _steps(mask)
    order = jnp.sort(jnp.where(mask, steps, steps + time), axis=-1)  # one key per step: faster than a stable argsort
    return jnp.where(order < time, order, order - time)


def _steps(mask: Any) -> Any:
    """The index of every step, int32, of the mask's rank, since rank promotion may be disabled in JAX."""
    return in_front(jnp.arange(mask.shape[-1], dtype=jnp.int32), mask.ndim)


def take_steps(values: Any, order: Any) -> Any:
    """The steps of each sequence in another order; `order` has the shape of the mask."""
    axis = order.ndim - 1
    if is_host_only(values):
        return np.take_along_axis(values, np.asarray(expand(order, values.ndim)), axis)
    return jnp.take_along_axis(values, expand(order, values.ndim), axis, mode="promise_in_bounds")
