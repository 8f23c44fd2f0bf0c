"""Variance and standard deviation over the real steps."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from ..core.masked import Masked, fill, like, values_of
from .reduce import Axis, mean, refuse_crossing, sum


def var(
    x: Masked | ArrayLike,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    ddof: int = 0,
    weights: Masked | ArrayLike | None = None,
) -> Masked | Array:
    """Variance over the real steps; arguments and masks as in `jm.ops.sum`.

    The sum of squares is divided by the number of real values less `ddof`, or with `weights` (see `jm.ops.mean`) by
    their sum. The mean is taken off first, so large means cost no digits. An empty row gives 0 and passes no gradient,
    and so does one of no more than `ddof` values, of which NumPy makes NaN.

    Raises:
        ValueError: as `jm.ops.sum`, or both `ddof` and `weights`, which need not be counts.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.var(jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2]), axis=1).values.tolist()
    [1.0]
    """
    refuse_crossing(x, axis, "var")
    values = jnp.asarray(fill(x, 0))
    dtype = jnp.result_type(values.dtype, float)
    wide = values.astype(jnp.promote_types(dtype, jnp.float32))  # squares may be beyond the range of the dtype
    if ddof and weights is not None:
        raise ValueError("`var` takes `ddof` or `weights`, not both: a sum of weights need not be a number of steps.")
    centre = values_of(mean(like(x, wide), axis, keepdims=True, weights=weights))
    squares = like(x, jnp.square(jnp.abs(wide - centre)))
    variance = mean(squares, axis, keepdims=keepdims, weights=weights)
    if ddof:
        ones = jnp.ones(values.shape, jnp.finfo(wide.dtype).dtype)
        count = values_of(sum(like(x, ones), axis, keepdims=keepdims))
        factor = jnp.where(count > ddof, count / jnp.where(count > ddof, count - ddof, 1), 0)
        variance = like(variance, values_of(variance) * factor)  # at empty rows too, which have 0
    return variance.astype(jnp.finfo(dtype).dtype)


def std(
    x: Masked | ArrayLike,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    ddof: int = 0,
    weights: Masked | ArrayLike | None = None,
) -> Masked | Array:
    """Standard deviation over the real steps, the root of `jm.ops.var`, whose arguments these are.

    An empty row gives 0 and passes no gradient, nor does a row of equal steps, where the root has none.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.std(jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2]), axis=1).values.tolist()
    [1.0]
    """
    refuse_crossing(x, axis, "std")
    variance = var(x, axis, keepdims=keepdims, ddof=ddof, weights=weights)
    if isinstance(variance, Masked):
        return variance.with_values(_root(variance.fill(0)))
    return _root(variance)


def _root(x: Array) -> Array:
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))
