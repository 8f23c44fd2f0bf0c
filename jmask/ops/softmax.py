"""Softmax over features, or over the real steps of each sequence."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..core.arithmetic import expand
from ..core.masked import Masked, fill
from ..core.segment_ids import refuse_segments
from .linear import AnyArray, check_float


def softmax(x: Masked | Float[AnyArray, "..."], axis: int = -1) -> Masked | Float[Array, "..."]:
    """Softmax along one axis; along a masked axis it runs over the real steps of each sequence.

    A step that is -inf counts as a step of weight 0. Nothing is added to the values: a real value of any size keeps
    its weight, where a large negative number in the place of padding would not.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        axis: the axis that sums to 1; for values `(batch, time, features)`, 1 is time and -1 the features.

    Returns:
        Weights in the shape and with the mask of `x`, 0 at padded steps. An empty row is 0 and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: packed rows, along a masked axis.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.softmax(jm.from_lengths(jnp.zeros((1, 3)), [2]), axis=1).values.tolist()
    [[0.5, 0.5, 0.0]]
    """
    check_float(x, "softmax")
    if not isinstance(x, Masked):
        return _softmax(jnp.asarray(x), jnp.ones(x.shape, bool), axis)
    if axis % x.ndim < x.mask.ndim:
        refuse_segments(x, f"`softmax` along the masked axis {axis}")
    where = jnp.broadcast_to(expand(x.mask, x.ndim), x.shape)
    return x.with_values(_softmax(fill(x, 0), where, axis))


def _softmax(values: Array, where: Array, axis: int) -> Array:
    """Weights over the entries of `where`; the maximum is over these alone and finite, so no inf meets an inf."""
    peak = lax.stop_gradient(jnp.max(values, axis, keepdims=True, where=where, initial=jnp.finfo(values.dtype).min))
    weights = jnp.where(where, jnp.exp(jnp.where(where, values - peak, 0)), 0)
    total = jnp.sum(weights, axis, keepdims=True)
    return weights / jnp.where(total > 0, total, 1)
