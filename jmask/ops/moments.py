"""Variance and standard deviation over the real steps."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from ..masked import Masked, fill, values_of
from .reduce import Axis, mean, refuse_crossing


def var(x: Masked | ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Masked | Array:
    """Variance over the real steps, divided by their number; arguments and masks as in `jm.ops.sum`.

    The mean is taken off first, so large means cost no digits. An empty row gives 0 and passes no gradient.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.var(jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2]), axis=1).values.tolist()
    [1.0]
    """
    refuse_crossing(x, axis, "var")
    values = jnp.asarray(fill(x, 0))
    dtype = jnp.result_type(values.dtype, float)
    wide = values.astype(jnp.promote_types(dtype, jnp.float32))  # squares may be beyond the range of the dtype
    centre = values_of(mean(_with_values(x, wide), axis, keepdims=True))
    variance = mean(_with_values(x, jnp.square(jnp.abs(wide - centre))), axis, keepdims=keepdims)
    return variance.astype(jnp.finfo(dtype).dtype)


def std(x: Masked | ArrayLike, axis: Axis = None, *, keepdims: bool = False) -> Masked | Array:
    """Standard deviation over the real steps, the root of `jm.ops.var`.

    An empty row gives 0 and passes no gradient, nor does a row of equal steps, where the root has none.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.std(jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2]), axis=1).values.tolist()
    [1.0]
    """
    refuse_crossing(x, axis, "std")
    variance = var(x, axis, keepdims=keepdims)
    if isinstance(variance, Masked):
        return variance.with_values(_root(variance.fill(0)))
    return _root(variance)


def _with_values(x: Any, values: Array) -> Any:
    return x.with_values(values) if isinstance(x, Masked) else values


def _root(x: Array) -> Array:
    return jnp.where(x == 0, 0, jnp.sqrt(jnp.where(x == 0, 1, x)))
