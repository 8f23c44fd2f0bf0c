"""Pooling over time: over the steps in a window, or over all steps, always without padding."""

from typing import Any, Literal

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, ArrayLike, Num

from ..core.checks import check_one_of, checked_option, checked_size
from ..core.masked import Masked
from . import reduce
from .kinds import array_for_array, same_kind
from .linear import AnyArray
from .packed_windows import Taps
from .sliding import check_steps, slide
from .windows import Pads, Windows

PoolPadding = Literal["valid", "same"]


@same_kind
def max_pool(
    x: Masked | Num[AnyArray, "... features"],
    pool_size: int = 2,
    *,
    strides: int | None = None,
    padding: PoolPadding = "valid",
) -> Masked | Num[Array, "... features"]:
    """The largest value of each feature in every window; for all steps at once, use `jm.ops.global_max_pool`.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; axis -2 of an array is time.
        pool_size: number of steps in a window.
        strides: steps from one window to the next; None: `pool_size`.
        padding: `"valid"`: windows lie within the sequence; `"same"`: there are `ceil(steps / strides)` windows, which
            reach beyond both ends (one step more on the right if the excess is odd).

    Returns:
        `(batch, new_time, features)`, with a mask if `x` has one, and zeros in the padding. If there are as many
        results as steps, each is where its step is; otherwise the results come at the start of the row. An empty row,
        or a sequence that is too short for any window, gives an empty row and passes no gradient. Among equal values
        the first gets the gradient.

    Raises:
        ValueError: shapes or options do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[-1, -2, -3, 9], [-4, 9, 9, 9]]), [3, 1])[..., None]
    >>> jm.ops.max_pool(x, 2, padding="same")[..., 0]
    Masked(int32[2, 2], lengths=[2 1])
    [[-1 -3]
     [-4  ·]]
    """
    check_steps(x, "max_pool")
    windows, least = _windows(pool_size, strides, padding), reduce.lowest(x.dtype)

    def largest(values: Array, pads: Pads, _: Any) -> Array:
        return _reduce_window(values, least, lax.max, pads, windows)

    def largest_of(values: Array, taps: Taps) -> Array:
        best = taps.of(values, 0, least)
        for entry in range(1, windows.width):
            seen = taps.of(values, entry, least)
            best = jnp.where((seen > best) | (seen != seen), seen, best)  # as above: NaN, or the first of equal values
        return best

    return slide(x, windows, largest, largest_of, least)


@same_kind
def average_pool(
    x: Masked | Num[AnyArray, "... features"],
    pool_size: int = 2,
    *,
    strides: int | None = None,
    padding: PoolPadding = "valid",
) -> Masked | Num[Array, "... features"]:
    """The mean of the real steps in every window; for all steps at once, use `jm.ops.mean_pool`.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; axis -2 of an array is time.
        pool_size: number of steps in a window.
        strides: as for `jm.ops.max_pool`.
        padding: as for `jm.ops.max_pool`; a window that reaches beyond the sequence averages the steps within it.

    Returns:
        `(batch, new_time, features)`, with a mask if `x` has one, and zeros in the padding. If there are as many
        results as steps, each is where its step is; otherwise the results come at the start of the row. An empty row,
        or a sequence that is too short for any window, gives an empty row and passes no gradient.

    Raises:
        ValueError: shapes or options do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1.0, 2, 3, 9], [4, 9, 9, 9]]), [3, 1])[..., None]
    >>> jm.ops.average_pool(x, 2, padding="same")[..., 0]
    Masked(float32[2, 2], lengths=[2 1])
    [[1.5   3]
     [  4   ·]]
    """
    check_steps(x, "average_pool")
    windows = _windows(pool_size, strides, padding)

    def mean(values: Array, pads: Pads, steps: tuple[Any, Any]) -> Array:
        dtype = jnp.result_type(values.dtype, float)
        wide = jnp.promote_types(dtype, jnp.float32)  # as in any mean
        total = _reduce_window(values.astype(wide), 0, lax.add, pads, windows)
        count = jnp.maximum(windows.count(steps, total.shape[-2]), 1)
        return (total / count[..., None].astype(wide)).astype(dtype)

    def mean_of(values: Array, taps: Taps) -> Array:
        dtype = jnp.result_type(values.dtype, float)
        wide = values.astype(jnp.promote_types(dtype, jnp.float32))
        entries = range(windows.width)
        count = jnp.maximum(sum(taps.sees(entry).astype(jnp.int32) for entry in entries), 1)
        total = sum(taps.of(wide, entry) for entry in entries)
        return (total / count[..., None].astype(wide.dtype)).astype(dtype)

    return slide(x, windows, mean, mean_of)


@array_for_array
def mean_pool(x: Masked | ArrayLike, *, keepdims: bool = False) -> Masked | Array:
    """The mean over the real steps of each sequence: `jm.ops.mean` over the last masked axis.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; axis -2 of an array is time.
        keepdims: whether the time axis stays, with size 1.

    Returns:
        The means, `(batch, features)`; for a `Masked`, with a mask `(batch,)`, True for rows that have a real step.
        Packed rows have one for each sequence, `(num_sequences, features)`, by id. An empty row gives zeros and passes
        no gradient.

    Raises:
        ValueError: rows are packed, and the number of their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.mean_pool(jm.from_lengths(jnp.ones((1, 3, 2)), [2])).values.tolist()
    [[1.0, 1.0]]
    """
    return reduce.mean(x, x.mask.ndim - 1 if isinstance(x, Masked) else -2, keepdims=keepdims)


@array_for_array
def global_max_pool(x: Masked | Num[AnyArray, "..."], *, keepdims: bool = False) -> Masked | Num[Array, "..."]:
    """The largest value of the real steps of each sequence: `jm.ops.max` over the last masked axis.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`; axis -2 of an array is time.
        keepdims: whether the time axis stays, with size 1.

    Returns:
        The maxima, `(batch, features)`; for a `Masked`, with a mask `(batch,)`, True for rows that have a real step.
        Packed rows have one for each sequence, `(num_sequences, features)`, by id. An empty row gives zeros and passes
        no gradient.

    Raises:
        ValueError: rows are packed, and the number of their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.global_max_pool(jm.from_lengths(jnp.array([[[-2], [-1], [9]]]), [2])).values.tolist()
    [[-1]]
    """
    return reduce.max(x, x.mask.ndim - 1 if isinstance(x, Masked) else -2, keepdims=keepdims)


def _windows(pool_size: int, strides: int | None, padding: PoolPadding) -> Windows:
    check_pool(pool_size, strides, padding)
    return Windows(pool_size, pool_size if strides is None else strides, padding)


def check_pool(pool_size: Any, strides: Any, padding: Any) -> None:
    """Raises if the options describe no windows."""
    checked_size("pool_size", pool_size, 1)
    checked_option("strides", strides, 1)
    check_one_of("padding", padding, ("valid", "same"))


def _reduce_window(values: Array, init: Any, function: Any, pads: Pads, windows: Windows) -> Array:
    """`lax.reduce_window` over time, axis -2."""
    ones = (1,) * (values.ndim - 2)
    width, strides = ((*ones, size, 1) for size in (windows.width, windows.strides))
    widths = [*[(0, 0)] * (values.ndim - 2), pads, (0, 0)]
    return lax.reduce_window(values, np.asarray(init, values.dtype), function, width, strides, widths)
