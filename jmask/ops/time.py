"""The time axis: what moves steps moves the mask with them."""

from typing import Any

import jax.numpy as jnp

from ..masked import Masked


def flip(x: Any) -> Any:
    """Reverses the time axis, padding and all: right padding becomes left padding.

    Of packed rows the segments are reversed with the steps: each sequence is reversed, and the last one of a row stands
    first.

    Args:
        x: values `(batch, time, ...)` with a mask `(batch, time)`: its last axis is reversed; of an array, axis 1,
            or the only one.

    Returns:
        The same shape; a `Masked` stays one. An empty row stays empty.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.flip(jm.from_lengths(jnp.array([[1, 2, 9]]), [2]))
    Masked(int32[1, 3], lengths=[2], padding_side='left')
    [[· 2 1]]
    """
    if not isinstance(x, Masked):
        return jnp.flip(x, min(1, x.ndim - 1))
    axis = x.mask.ndim - 1
    side = {"right": "left", "left": "right", None: None}[x.padding_side]
    segments = None if x.segments is None else jnp.flip(x.segments, axis)
    return Masked(jnp.flip(x.values, axis), jnp.flip(x.mask, axis), side, segments)  # type: ignore[arg-type]
