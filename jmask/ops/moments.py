"""Variance and standard deviation over the real steps."""

from typing import overload

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from ..core.masked import Masked, fill, like, values_of
from .kinds import AnyInput, Axis
from .reduce import at_values, is_by_sequence, mean, sum


@overload
def var(
    x: AnyInput, axis: None = None, *, keepdims: bool = False, ddof: int = 0, weights: AnyInput | None = None
) -> Array: ...
@overload
def var(
    x: ArrayLike, axis: Axis = None, *, keepdims: bool = False, ddof: int = 0, weights: ArrayLike | None = None
) -> Array: ...
@overload
def var(
    x: AnyInput, axis: Axis = None, *, keepdims: bool = False, ddof: int = 0, weights: AnyInput | None = None
) -> Masked | Array: ...
def var(
    x: Masked | ArrayLike,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    ddof: int = 0,
    weights: Masked | ArrayLike | None = None,
) -> Masked | Array:
    """The variance over the real steps.

    The mean is subtracted first, so a large mean costs no precision.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.
        ddof: subtracted from the number of values that the sum of squares is divided by, as in NumPy.
        weights: for sequences `(batch,)`, for steps `(batch, time)`, or for single values, an array or a `Masked`; a
            step counts where `x` and the weights are both real. The sum of squares is divided by their sum. None: all
            1.

    Returns:
        An array for all masked axes (batch and time) or for an array input; over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step (packed rows: `(num_sequences,)`); over feature axes alone, a
        `Masked` with the mask of `x`. An
        empty row gives 0 and passes no gradient; so does a row with at most `ddof` values, where NumPy gives NaN.

    Raises:
        ValueError: an axis does not exist, or both `ddof` and `weights` are given (a sum of weights need not be a
            number of steps); or rows are packed and `axis` is the batch without time, or the number of their sequences
            is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.var(jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2]), axis=1).values.tolist()
    [1.0]
    """
    is_by_sequence(x, axis, "var")  # raises in its own name
    values = jnp.asarray(fill(x, 0))
    dtype = jnp.result_type(values.dtype, float)
    wide = values.astype(jnp.promote_types(dtype, jnp.float32))  # squares may be beyond the range of the dtype
    if ddof and weights is not None:
        raise ValueError("`var` takes `ddof` or `weights`, not both: a sum of weights need not be a number of steps.")
    centre = at_values(x, mean(like(x, wide), axis, keepdims=True, weights=weights), axis, "var")
    squares = like(x, jnp.square(jnp.abs(wide - centre)))
    variance = mean(squares, axis, keepdims=keepdims, weights=weights)
    if ddof:
        ones = jnp.ones(values.shape, jnp.finfo(wide.dtype).dtype)
        count = values_of(sum(like(x, ones), axis, keepdims=keepdims))
        factor = jnp.where(count > ddof, count / jnp.where(count > ddof, count - ddof, 1), 0)
        variance = like(variance, values_of(variance) * factor)  # empty rows included, which have 0
    return variance.astype(jnp.finfo(dtype).dtype)


@overload
def std(
    x: AnyInput, axis: None = None, *, keepdims: bool = False, ddof: int = 0, weights: AnyInput | None = None
) -> Array: ...
@overload
def std(
    x: ArrayLike, axis: Axis = None, *, keepdims: bool = False, ddof: int = 0, weights: ArrayLike | None = None
) -> Array: ...
@overload
def std(
    x: AnyInput, axis: Axis = None, *, keepdims: bool = False, ddof: int = 0, weights: AnyInput | None = None
) -> Masked | Array: ...
def std(
    x: Masked | ArrayLike,
    axis: Axis = None,
    *,
    keepdims: bool = False,
    ddof: int = 0,
    weights: Masked | ArrayLike | None = None,
) -> Masked | Array:
    """The standard deviation over the real steps, the square root of `jm.ops.var`.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.
        ddof: subtracted from the number of values that the sum of squares is divided by, as in NumPy.
        weights: for sequences `(batch,)`, for steps `(batch, time)`, or for single values, an array or a `Masked`; a
            step counts where `x` and the weights are both real. The sum of squares is divided by their sum. None: all
            1.

    Returns:
        An array for all masked axes (batch and time) or for an array input; over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step (packed rows: `(num_sequences,)`); over feature axes alone, a
        `Masked` with the mask of `x`. An
        empty row gives 0 and passes no gradient; a row of equal steps passes none either, since the square root has
        none at 0.

    Raises:
        ValueError: an axis does not exist, or both `ddof` and `weights` are given (a sum of weights need not be a
            number of steps); or rows are packed and `axis` is the batch without time, or the number of their sequences
            is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.std(jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2]), axis=1).values.tolist()
    [1.0]
    """
    is_by_sequence(x, axis, "std")
    variance = var(x, axis, keepdims=keepdims, ddof=ddof, weights=weights)
    if isinstance(variance, Masked):
        return variance.with_values(_root(variance.fill(0)))
    return _root(variance)


def _root(x: Array) -> Array:
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))
