"""Dropout that draws by real step, so that more padding drops the same entries."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ..masked import Masked, fill
from .linear import AnyArray, check_float


def dropout(x: Masked | Float[AnyArray, "..."], rate: float, key: Any) -> Masked | Float[Array, "..."]:
    """Sets entries to zero with probability `rate` and scales the rest by `1 / (1 - rate)`.

    The draw of an entry depends on the key, the row and the number of real steps before it, not on the padding: the
    draws are made time-major, where more right padding only appends, and follow the real steps elsewhere. In packed
    rows that is the row's own order, so a sequence packed elsewhere has other draws.

    Args:
        x: values `(batch, time, ...)` with a mask, or an array.
        rate: probability in `[0, 1]`; 1 gives zeros.
        key: a PRNG key.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: a rate outside `[0, 1]`.

    References:
        Srivastava et al.: Dropout, JMLR 15 (2014), section 10 for the scaling in training.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> sorted(set(jm.ops.dropout(jnp.ones(100), 0.5, jax.random.key(0)).tolist()))
    [0.0, 2.0]
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"`rate` is a probability in [0, 1]; received {rate}.")
    check_float(x, "dropout")
    if rate == 0:
        return x if isinstance(x, Masked) else jnp.asarray(x)
    values = jnp.asarray(fill(x, 0))
    if rate == 1:
        kept = jnp.zeros_like(values)
    else:
        kept = jnp.where(_draw(x, 1 - rate, key), values / (1 - rate), 0).astype(values.dtype)
    return x.with_values(kept) if isinstance(x, Masked) else kept


def _draw(x: Any, keep: float, key: Any) -> Array:
    """A bool for every entry."""
    axis = x.mask.ndim - 1 if isinstance(x, Masked) else min(1, x.ndim - 1)
    if axis < 0:
        return jax.random.bernoulli(key, keep, x.shape)
    time_major = (x.shape[axis], *x.shape[:axis], *x.shape[axis + 1 :])
    drawn = jnp.moveaxis(jax.random.bernoulli(key, keep, time_major), 0, axis)
    if not isinstance(x, Masked) or x.is_right_padded:
        return drawn
    position = jnp.maximum(jnp.cumsum(x.mask, axis, dtype=jnp.int32) - 1, 0)
    position = position.reshape(*position.shape, *(1,) * (x.ndim - position.ndim))
    return jnp.take_along_axis(drawn, position, axis)
