"""Normalisation over features: step by step, so the padding never enters a statistic."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..arithmetic import expand
from ..masked import Masked, fill
from .linear import AnyArray, check_feature_axis, check_float


def layer_norm(
    x: Masked | Float[AnyArray, "... features"],
    scale: Float[AnyArray, " features"] | None = None,
    offset: Float[AnyArray, " features"] | None = None,
    *,
    epsilon: float = 1e-3,
) -> Masked | Float[Array, "... features"]:
    """Layer normalisation over the last axis: `(x - mean) / sqrt(variance + epsilon) * scale + offset`.

    Statistics are taken in float32 at least.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`, or an array.
        scale: `(features,)`, or None for 1.
        offset: `(features,)`, or None for 0.
        epsilon: added to the variance.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: the last axis is a masked one.

    References:
        Ba, Kiros, Hinton: Layer Normalization, arXiv:1607.06450, equation 4.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.layer_norm(jnp.array([[1.0, 3.0]]), epsilon=0.0).tolist()
    [[-1.0, 1.0]]
    """
    check_float(x, "layer_norm")
    check_feature_axis(x, "layer_norm")
    values = jnp.asarray(fill(x, 0))
    wide = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = jnp.square(centred).mean(axis=-1, keepdims=True) + epsilon
    if isinstance(x, Masked) and epsilon == 0:
        variance = jnp.where(expand(x.mask, x.ndim), variance, 1)  # zeros, as in padding, have no variance
    normal = centred * lax.rsqrt(variance)
    normal = normal if scale is None else normal * scale
    normal = normal if offset is None else normal + offset
    normal = normal.astype(values.dtype)
    return x.with_values(normal) if isinstance(x, Masked) else normal
