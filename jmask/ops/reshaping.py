"""Reshaping: the mask follows wherever each sequence alone would give the same result."""

import math
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array

from ..core.explicit_axes import divided_by_row
from ..core.masked import Masked
from ..core.segment_ids import check_not_packed, ids_of
from ..core.step_order import left_align
from .kinds import same_kind
from .linear import AnyArray
from .packed_steps import steps_put_together


@same_kind
def flatten(x: Masked | AnyArray) -> Masked | Array:
    """Joins all axes after the batch into one.

    Joining time with features would give sequences of different lengths different numbers of features, so a mask over
    time cannot be kept, and raises. A mask over the batch axis alone stays, even with more axes of size 1, such as
    `(batch, 1)` after pooling that keeps the time axis.

    Args:
        x: an array `(batch, ...)`, or a `Masked` with a mask `(batch,)` or `(batch, 1)`.

    Returns:
        `(batch, features)`; `(batch, 1)` for `(batch,)`. An input with two axes comes back unchanged, with its mask.

    Raises:
        ValueError: there is a mask over time.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.flatten(jnp.ones((2, 3, 4))).shape
    (2, 12)
    """
    if x.ndim == 2:
        return x if isinstance(x, Masked) else jnp.asarray(x)
    if isinstance(x, Masked) and x.mask.ndim > 1 and set(x.mask.shape[1:]) == {1} and x.segment_ids is None:
        x = Masked(x.values, x.mask.reshape(-1))
    if isinstance(x, Masked) and x.mask.ndim > 1:
        raise ValueError(
            "`flatten` would join time with the features, and sequences of different lengths would have different "
            f"numbers of features; received values {tuple(x.shape)} with a mask {tuple(x.mask.shape)}. Pool over time "
            "first (`jm.ops.mean_pool`), make one long sequence of numbers of it (`jm.ops.reshape(x, (-1,))`), or "
            "take padding for zeros (`x.fill(0)`)."
        )
    return _reshaped(x, (x.shape[0], math.prod(x.shape[1:])))


@same_kind
def reshape(x: Masked | AnyArray, target_shape: Sequence[int]) -> Masked | Array:
    """Reshapes the axes after the batch axis.

    With a mask, the masked axes must stay in front, except for time, the last of them:

    - where each step keeps its number of features, `(batch, time, 6)` to `(batch, time, 2, 3)`, the mask stays;
    - where each step becomes k, `(batch, time, 6)` to `(batch, 3 * time, 2)`, the k steps are real if it is;
    - where k steps become one, `(batch, time, 2)` to `(batch, time / k, 2 * k)`, the real steps of each sequence are
      put together in their order. What is left over and makes no full step is padding, as if the sequence had been cut
      off. The result is padded on the right, and may have `time // k` steps, rounded down. Packed rows stay packed:
      steps are put together within each sequence.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        target_shape: the sizes after the batch axis. One of them may be -1 and is inferred; if the number of steps
            changes, only time may be -1.

    Returns:
        `(batch, *target_shape)`; a `Masked` stays one. An empty row stays empty and passes no gradient.

    Raises:
        ValueError: sizes do not fit, or the shape has no time axis or divides steps unevenly.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.arange(10).reshape(1, 5, 2), [4])
    >>> jm.ops.reshape(x, (-1, 4)).fill(-1).tolist()
    [[[0, 1, 2, 3], [4, 5, 6, 7]]]
    >>> jm.ops.reshape(x, (-1,)).lengths.tolist()
    [8]
    """
    check_target_shape(target_shape)
    shape = (x.shape[0], *target_shape)
    if not isinstance(x, Masked) or x.mask.ndim == 0:
        return _reshaped(x, shape)
    rows, time, step = _parts(x, shape)
    size, new_size = math.prod(x.shape[x.mask.ndim :]), math.prod(step)
    if new_size == size:
        return x.with_values(jnp.reshape(x.values, (*rows, time, *step)))
    if new_size and size % new_size == 0:
        parts = size // new_size
        values = divided_by_row(lambda values: values.reshape(*rows, parts * time, *step), jnp.asarray(x.values))
        return _repeated(x, values, parts)
    if size and new_size % size == 0:
        return _grouped(x, new_size // size, step)
    raise ValueError(
        f"`reshape` of a `Masked` keeps steps together: {new_size} numbers a step are neither a part nor a multiple of "
        f"{size}; received values {tuple(x.shape)} and `target_shape={tuple(target_shape)}`. Take padding for zeros "
        "first, `x.fill(0)`, or reshape twice, with a step of one number between."
    )


@same_kind
def permute(x: Masked | AnyArray, dims: Sequence[int]) -> Masked | Array:
    """Reorders the axes after the batch.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        dims: for each axis of the result, the axis of `x` that it comes from, counted from 1; the batch, 0, stays in
            front.

    Returns:
        The permuted values. The mask follows its axes, which must stay in front: time may not move after a feature
        axis. An empty row stays empty and passes no gradient.

    Raises:
        ValueError: `dims` is not a permutation or moves a masked axis after a feature axis, or rows are packed and time
            moves.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.permute(jm.from_lengths(jnp.ones((2, 3, 4, 5)), [3, 1]), (1, 3, 2)).shape
    (2, 3, 5, 4)
    """
    check_dims(dims)
    axes = (0, *dims)
    if len(axes) != x.ndim:
        raise ValueError(f"`dims` of `permute` names {len(dims)} axes behind the batch; received {tuple(x.shape)}.")
    if not isinstance(x, Masked):
        return jnp.transpose(x, axes)
    masked_axes, values = axes[: x.mask.ndim], jnp.transpose(x.values, axes)
    if max(masked_axes, default=-1) >= x.mask.ndim:
        raise ValueError(
            f"`permute` keeps the masked axes in front; received a mask {tuple(x.mask.shape)} for values "
            f"{tuple(x.shape)} and `dims={tuple(dims)}`. Leave time where it is, or treat padding as zeros first, "
            "`x.fill(0)`."
        )
    if masked_axes == tuple(range(x.mask.ndim)):
        return x.with_values(values)
    check_not_packed(x, "`permute` of masked axes, which would lay sequences across rows,")
    return Masked(values, jnp.transpose(x.mask, masked_axes))


@same_kind
def repeat_vector(x: Masked | AnyArray, n: int) -> Masked | Array:
    """Repeats one vector per row as a sequence of `n` steps.

    Args:
        x: `(batch, features)`, an array, or a `Masked` with a mask `(batch,)`.
        n: number of steps.

    Returns:
        `(batch, n, features)`: an array, whose steps are all real; for a `Masked`, one with a mask `(batch, n)`, real
        in the rows that are real. Padded rows pass no gradient.

    Raises:
        ValueError: `n` is below 1, or values are not `(batch, features)` or have a mask over features.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.repeat_vector(jnp.array([[5, 7]]), 2).tolist()
    [[[5, 7], [5, 7]]]
    """
    check_repetitions("n", n)
    if x.ndim != 2 or (isinstance(x, Masked) and x.mask.ndim != 1):
        mask = f" with a mask {tuple(x.mask.shape)}" if isinstance(x, Masked) else ""
        raise ValueError(
            f"`repeat_vector` takes one vector for each row, (batch, features); received {tuple(x.shape)}{mask}. Pool "
            "over time first; of a vector for each step, use it inside `jm.layers.TimeDistributed`."
        )
    if not isinstance(x, Masked):
        return jnp.repeat(jnp.asarray(x)[:, None], n, axis=1)
    check_not_packed(x, "`repeat_vector`")
    return Masked(jnp.repeat(jnp.asarray(x.values)[:, None], n, 1), jnp.repeat(x.mask[:, None], n, 1))


@same_kind
def up_sample(x: Masked | AnyArray, size: int) -> Masked | Array:
    """Repeats every step `size` times.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`: the mask's last axis is repeated; in an array, axis 1.
        size: the number of copies of each step.

    Returns:
        `(batch, size * time, ...)`; a `Masked` stays one, and a copy is real if its step is. Packed rows stay packed.
        An empty row stays empty and passes no gradient.

    Raises:
        ValueError: `size` is below 1, or there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.up_sample(jm.from_lengths(jnp.array([[3, 4, 9]]), [2]), 2)
    Masked(int32[1, 6], lengths=[4])
    [[3 3 4 4 · ·]]
    """
    check_repetitions("size", size)
    axis = required_time_axis(x, "up_sample")
    if not isinstance(x, Masked):
        return jnp.repeat(jnp.asarray(x), size, axis)
    return _repeated(x, jnp.repeat(jnp.asarray(x.values), size, axis), size)


def required_time_axis(x: Any, name: str) -> int:
    """The last axis of the mask; in an array, axis 1."""
    axis = x.mask.ndim - 1 if isinstance(x, Masked) else 1
    if not 0 <= axis < x.ndim:
        raise ValueError(f"`{name}` needs a time axis, values (batch, time, ...); received {tuple(x.shape)}.")
    return axis


def check_target_shape(target_shape: Any) -> None:
    """Raises unless it is a shape with at most one unknown size."""
    sizes = tuple(target_shape) if isinstance(target_shape, (list, tuple)) else ()
    fits = all(type(size) is int and size >= -1 for size in sizes) and sizes.count(-1) < 2
    if not isinstance(target_shape, (list, tuple)) or not fits:
        raise ValueError(
            "`target_shape` must be a tuple of the sizes behind the batch axis, one of which may be -1; received "
            f"{target_shape!r}."
        )


def check_dims(dims: Any) -> None:
    """Raises unless it is a permutation of the axes after the batch."""
    if not isinstance(dims, (list, tuple)) or sorted(dims) != list(range(1, len(dims) + 1)):
        raise ValueError(f"`dims` must be a permutation of the axes behind the batch, 1, 2, ...; received {dims!r}.")


def check_repetitions(name: str, number: Any) -> None:
    """Raises unless the number is a positive integer."""
    if type(number) is not int or number < 1:
        raise ValueError(f"`{name}` must be a positive integer; received {number!r}.")


def _reshaped(x: Any, shape: tuple[Any, ...]) -> Any:
    """The reshaped values; the batch axis, and a mask over it alone, do not change."""
    if -1 in shape and 0 in x.shape:  # NumPy cannot infer this size, so it is inferred from one row
        known = math.prod(size for size in shape[1:] if size != -1)
        found = math.prod(x.shape[1:]) // max(known, 1)
        shape = tuple(found if size == -1 else size for size in shape)
    return x.with_values(jnp.reshape(x.values, shape)) if isinstance(x, Masked) else jnp.asarray(x).reshape(shape)


def _parts(x: Masked, shape: tuple[Any, ...]) -> tuple[tuple[Any, ...], Any, tuple[int, ...]]:
    """The sizes of the row axes and of time, unchanged, and the sizes of a new step."""
    ndim = x.mask.ndim
    old_rows, time, old_step = x.shape[: ndim - 1], x.shape[ndim - 1], x.shape[ndim:]
    rows, new_time, step = shape[: ndim - 1], shape[ndim - 1 : ndim], tuple(shape[ndim:])
    size = math.prod(old_step)
    if -1 in step:  # inferred only where time stays
        others = math.prod(n for n in step if n != -1)
        step = tuple((size // others if others else 0) if n == -1 else n for n in step)
        fits = new_time == (time,) and math.prod(step) == size
    else:
        new_size = math.prod(step)
        fits = len(new_time) == 1 and (new_time[0] == -1 or new_time[0] * new_size == time * size)
    same_rows = len(rows) == ndim - 1 and all(n in (-1, old) for n, old in zip(rows, old_rows, strict=True))
    if not fits or not same_rows:
        raise ValueError(
            "`reshape` of a `Masked` keeps the masked axes in front, where only time, the last of them, may change its "
            f"size; received values {tuple(x.shape)}, a mask {tuple(x.mask.shape)} and `target_shape={shape[1:]}`. "
            "Let -1 stand for time, or treat padding as zeros first, `x.fill(0)`."
        )
    return old_rows, time, step


def _repeated(x: Masked, values: Any, times: int) -> Masked:
    """Values in which every step of `x` has become several."""
    axis, ids = x.mask.ndim - 1, ids_of(x)
    ids = None if ids is None else jnp.repeat(jnp.asarray(ids), times, axis)
    return Masked(values, jnp.repeat(jnp.asarray(x.mask), times, axis), ids, x.num_sequences)


def _grouped(x: Masked, size: int, step: tuple[int, ...]) -> Masked:
    """Each `size` real steps of a sequence as one; the first of the group that makes one full step is real."""
    if x.segment_ids is not None:
        return steps_put_together(x, size, step)
    x, _ = left_align(x)
    axis = x.mask.ndim - 1
    rows, time = x.shape[:axis], x.shape[axis] // size
    first = (slice(None),) * axis + (slice(0, time * size),)
    last_of_each = (slice(None),) * axis + (slice(size - 1, time * size, size),)
    values = divided_by_row(lambda values: values.reshape(*rows, time, *step), jnp.asarray(x.values)[first])
    return Masked(values, x.mask[last_of_each])
