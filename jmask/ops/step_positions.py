"""The position of each step: counted among the real steps, from an offset, or given."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Integer, Real

from ..core.masked import Masked, fill
from .linear import AnyArray

Offset = int | Integer[AnyArray, "..."] | None
Places = Masked | Real[AnyArray, "..."] | None


def steps_before(x: Any, axis: int) -> Any:
    """The number of real steps before each step of a row, int32; without gaps that is the index.

    Args:
        x: a `Masked`, whose last masked axis is time, or an array.
        axis: the time axis.

    Returns:
        `(batch, time)`, or `(time,)` for an array.
    """
    if isinstance(x, Masked):
        return jnp.cumsum(x.mask, axis=-1, dtype=jnp.int32) - x.mask
    return jnp.arange(x.shape[axis], dtype=jnp.int32)


def places(x: Any, axis: int, name: str, prefix: str = "", *, offset: Any = None, positions: Any = None) -> Any:
    """The position of each real step within its sequence; anything at padded steps.

    Args:
        x: a `Masked`, whose last masked axis is time, or an array.
        axis: the time axis, counted from the front.
        name: the name of the function, for error messages.
        prefix: the prefix of the names `offset` and `positions` in these messages.
        offset: the position of the first real step of each sequence, an integer or one for each row.
        positions: the positions themselves.

    Returns:
        Integers, or numbers in the dtype of `positions`; they broadcast to `(batch, time)`.

    Raises:
        TypeError: the offset is not an integer, or the positions are not numbers.
        ValueError: the offset or positions do not fit, or both are given.
    """
    shape = tuple(x.shape[: axis + 1])
    if positions is not None:
        if offset is not None:
            raise ValueError(
                f"`{name}` takes `{prefix}offset` or `{prefix}positions`, not both: what counts from an offset on is "
                "`jm.ops.positions(x, offset=offset)`."
            )
        return _given(positions, shape, f"`{prefix}positions` of `{name}`")
    index = x.positions if isinstance(x, Masked) else steps_before(x, axis)
    if offset is None:
        return index
    offset = _of_each_row(offset, shape[:-1], f"`{prefix}offset` of `{name}`")
    common = jnp.broadcast_shapes(index.shape, offset.shape)
    return jnp.broadcast_to(index, common) + jnp.broadcast_to(offset, common)


def _given(positions: Any, shape: tuple[Any, ...], name: str) -> Any:
    index = jnp.atleast_1d(fill(positions, 0))
    if index.dtype == bool or not jnp.issubdtype(index.dtype, jnp.number):
        raise TypeError(f"{name} are numbers, one for each step; received dtype {index.dtype}.")
    try:
        fits = jnp.broadcast_shapes(index.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits:
        raise ValueError(
            f"{name} are one for each step, here {shape}, or what broadcasts to it; received {tuple(index.shape)}."
        )
    return index


def _of_each_row(offset: Any, batch: tuple[Any, ...], name: str) -> Any:
    offset = jnp.asarray(fill(offset, 0))
    if not jnp.issubdtype(offset.dtype, jnp.integer):
        raise TypeError(f"{name} is a number of steps, an integer; received dtype {offset.dtype}.")
    if offset.shape not in ((), batch):
        raise ValueError(f"{name} is one integer, or one for each row, {tuple(batch)}; received shape {offset.shape}.")
    return offset[..., None].astype(jnp.int32)
