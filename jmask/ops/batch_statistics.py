"""Batch normalisation: statistics over the real steps of a whole batch, on one device or on several."""

from typing import Any

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..core.masked import Masked
from .kinds import same_kind
from .linear import AnyArray, check_float
from .normalization import finish, where_real, widened


def batch_moments(
    x: Masked | Float[AnyArray, "..."], *, axis: int = -1, axis_name: Any = None
) -> tuple[Float[Array, " features"], Float[Array, " features"], Float[Array, ""]]:
    """Mean and variance of each feature over the real steps of the batch.

    Sums and counts are divided once, so with `axis_name` the moments are those of all devices together, not a mean of
    means. They are computed in float32 at least; the mean is subtracted first, so large means cost no precision.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`, or an array of rank 2 or more.
        axis: the feature axis, after the masked axes.
        axis_name: the name or names of the `jax.shard_map` or `jax.vmap` axes over which the batch is spread.

    Returns:
        Mean and variance, `(features,)`, and the number of entries that each is computed from. Without a real step the
        mean is 0, the variance 1 and the number 0, and no gradient passes.

    Raises:
        TypeError: the values are not floats.
        ValueError: `axis` is a masked one.

    References:
        Ioffe, Szegedy: Batch Normalization, arXiv:1502.03167, algorithm 1.

    >>> import jax.numpy as jnp, jmask as jm
    >>> mean, variance, count = jm.ops.batch_moments(jm.from_lengths(jnp.array([[[1.0], [3.0], [9.0]]]), [2]))
    >>> mean.tolist(), variance.tolist(), count.tolist()
    ([2.0], [1.0], 2.0)
    """
    axis = _feature_axis(x, axis, "batch_moments")
    wide, is_real = widened(x), where_real(x, x.ndim)
    others = tuple(a for a in range(x.ndim) if a != axis)

    def total(array: Array) -> Array:
        found = array.sum(others)
        return found if axis_name is None else lax.psum(found, axis_name)

    count = total(jnp.broadcast_to(is_real, x.shape).astype(wide.dtype))
    divisor = jnp.maximum(count, 1)
    mean = total(wide) / divisor
    centred = jnp.where(is_real, wide - _along(mean, axis, x.ndim), 0)
    variance = total(jnp.square(centred)) / divisor
    return mean, jnp.where(count > 0, variance, 1), count.max(initial=0)


@same_kind
def batch_norm(
    x: Masked | Float[AnyArray, "..."],
    mean: Float[AnyArray, " features"],
    variance: Float[AnyArray, " features"],
    scale: Float[AnyArray, " features"] | None = None,
    offset: Float[AnyArray, " features"] | None = None,
    *,
    axis: int = -1,
    epsilon: float = 1e-3,
) -> Masked | Float[Array, "..."]:
    """Normalisation of each feature by given moments: `(x - mean) / sqrt(variance + epsilon) * scale + offset`.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`, or an array.
        mean: `(features,)`, from `batch_moments` or a running mean.
        variance: `(features,)`.
        scale: `(features,)`, or None for 1.
        offset: `(features,)`, or None for 0.
        axis: the feature axis, after the masked axes.
        epsilon: added to the variance.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: `axis` is a masked one.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.batch_norm(jnp.array([[5.0]]), jnp.array([3.0]), jnp.array([4.0]), epsilon=0.0).tolist()
    [[1.0]]
    """
    axis = _feature_axis(x, axis, "batch_norm")
    wide = widened(x)
    mean, variance = (jnp.asarray(moment, wide.dtype) for moment in (mean, variance))
    factor = lax.rsqrt(variance + epsilon)
    factor = factor if scale is None else factor * scale
    normal = (wide - _along(mean, axis, x.ndim)) * _along(factor, axis, x.ndim)
    return finish(x, normal, offset=None if offset is None else _along(jnp.asarray(offset), axis, x.ndim))


def _along(vector: Array, axis: int, ndim: int) -> Array:
    """A per-feature vector, reshaped to broadcast along the feature axis."""
    return jnp.expand_dims(vector, [a for a in range(ndim) if a != axis])


def _feature_axis(x: Any, axis: int, name: str) -> int:
    check_float(x, name)
    masked = x.mask.ndim if isinstance(x, Masked) else 0
    if not -x.ndim <= axis < x.ndim or axis % x.ndim < masked:
        raise ValueError(
            f"`{name}` works along an axis of features, behind the {masked} masked axes of values {tuple(x.shape)}; "
            f"received `axis={axis}`."
        )
    return axis % x.ndim
