"""Running reductions over the real steps of each sequence."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, ArrayLike

from ..core.arithmetic import expand
from ..core.masked import Masked, fill, like, segment_ids_of, values_of
from ..core.segment_ids import ids_of, sequence_starts
from .kinds import same_kind
from .linear import check_float
from .reduce import highest, lowest
from .scans import segmented_scan
from .time_axis import check_time, time_axis


@same_kind
def cumsum(x: Masked | ArrayLike, *, reverse: bool = False) -> Masked | Array:
    """The running sum: at each real step, the sum of the real steps up to and including it.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time. In packed rows each sequence starts afresh.
        reverse: whether to go from the last step to the first.

    Returns:
        The shape and mask of `x`; small integers and bools are widened, and half precision is accumulated in float32.
        An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.cumsum(jm.masked(jnp.array([[1, 9, 2, 3]]), jnp.array([[True, False, True, True]])))
    Masked(int32[1, 4], lengths=[3])
    [[1 · 3 6]]
    """
    return _accumulate(x, lax.cumsum, jnp.add, 0, reverse, "cumsum", widen=True)


@same_kind
def cumprod(x: Masked | ArrayLike, *, reverse: bool = False) -> Masked | Array:
    """The running product: at each real step, the product of the real steps up to and including it.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time. In packed rows each sequence starts afresh.
        reverse: whether to go from the last step to the first.

    Returns:
        The shape and mask of `x`; small integers and bools are widened, and half precision is accumulated in float32.
        An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.cumprod(jm.from_lengths(jnp.array([[2, 3, 9]]), [2]), reverse=True).fill(0).tolist()
    [[6, 3, 0]]
    """
    return _accumulate(x, lax.cumprod, jnp.multiply, 1, reverse, "cumprod", widen=True)


@same_kind
def cummax(x: Masked | ArrayLike, *, reverse: bool = False) -> Masked | Array:
    """The running maximum: at each real step, the largest value up to and including it.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time. In packed rows each sequence starts afresh.
        reverse: whether to go from the last step to the first.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.cummax(jm.from_lengths(jnp.array([[2, 1, 3, 9]]), [3])).fill(0).tolist()
    [[2, 2, 3, 0]]
    """
    return _accumulate(x, lax.cummax, jnp.maximum, lowest, reverse, "cummax")


@same_kind
def cummin(x: Masked | ArrayLike, *, reverse: bool = False) -> Masked | Array:
    """The running minimum: at each real step, the smallest value up to and including it.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time. In packed rows each sequence starts afresh.
        reverse: whether to go from the last step to the first.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.cummin(jm.from_lengths(jnp.array([[2, 3, 1, 0]]), [3])).fill(0).tolist()
    [[2, 2, 1, 0]]
    """
    return _accumulate(x, lax.cummin, jnp.minimum, highest, reverse, "cummin")


@same_kind
def cumlogsumexp(x: Masked | ArrayLike, *, reverse: bool = False) -> Masked | Array:
    """The running log-sum-exp: at each real step, over the real steps up to and including it; -inf adds nothing.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array without padding, in which axis 1, or the only
            axis, is time. In packed rows each sequence starts afresh.
        reverse: whether to go from the last step to the first.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: there is no time axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> y = jm.ops.cumlogsumexp(jm.from_lengths(jnp.log(jnp.array([[1.0, 2.0, 5.0, 9.0]])), [3]))
    >>> jnp.exp(y.fill(-jnp.inf)).round().tolist()
    [[1.0, 3.0, 8.0, 0.0]]
    """
    check_float(x, "cumlogsumexp")
    return _accumulate(x, _scan_log_add, _log_add, -jnp.inf, reverse, "cumlogsumexp", widen=True)


def _accumulate(
    x: Any, scan: Callable, combine: Callable, neutral: Any, reverse: bool, name: str, *, widen: bool = False
) -> Any:
    """Fills the padding with the identity element and accumulates, in packed rows from the start of each sequence."""
    check_time(x, name)
    axis, values = time_axis(x), jnp.asarray(values_of(x))
    dtype = jax.eval_shape(jnp.sum, values).dtype if widen else values.dtype
    neutral = neutral(dtype) if callable(neutral) else neutral
    values = jnp.asarray(fill(x, neutral)).astype(_at_least_float32(dtype) if widen else dtype)
    if segment_ids_of(x) is None:
        totals = scan(values, axis, reverse=reverse)
    else:
        begins = expand(sequence_starts(jnp.asarray(x.mask), ids_of(x), reverse=reverse), x.ndim)
        restart = functools.partial(_restart, combine, jnp.asarray(neutral, values.dtype))
        _, totals = lax.associative_scan(restart, (begins, values), axis=axis, reverse=reverse)
    totals = totals.astype(dtype)
    return like(x, totals)


def _restart(combine: Callable, neutral: Array, left: tuple[Array, Array], right: tuple[Array, Array]) -> Any:
    """Combines two runs of steps; if a sequence begins in the right one, the left one is left out."""
    (begun, total), (begins, value) = left, right
    return begun | begins, combine(jnp.where(begins, neutral, total), value)


def _scan_log_add(values: Array, axis: int, *, reverse: bool) -> Array:
    """`lax.cumlogsumexp`, but with finite gradients next to -inf, which is the fill for padding."""
    return segmented_scan(lambda x, y: [_log_add(x[0], y[0])], [values], axis=axis, reverse=reverse)[0]


def _log_add(x: Array, y: Array) -> Array:
    """`log(exp(x) + exp(y))`; if both are -inf, it is -inf and passes no gradient."""
    peak = lax.stop_gradient(jnp.maximum(x, y))
    peak = jnp.where(jnp.isfinite(peak), peak, 0)
    total = jnp.exp(x - peak) + jnp.exp(y - peak)
    return jnp.where(total == 0, -jnp.inf, jnp.log(jnp.where(total == 0, 1, total)) + peak)


def _at_least_float32(dtype: Any) -> Any:
    return jnp.promote_types(dtype, jnp.float32) if jnp.issubdtype(dtype, jnp.inexact) else dtype
