"""Normalisation of each step over its features, and of each sequence over its real steps."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float
from numpy.lib.array_utils import normalize_axis_tuple

from ..core.arithmetic import expand, in_front
from ..core.masked import Masked, fill, like
from ..core.segment_ids import check_not_packed
from .kinds import same_kind
from .linear import AnyArray, check_feature_axis, check_float
from .segments import by_start


@same_kind
def layer_norm(
    x: Masked | Float[AnyArray, "... features"],
    scale: Float[AnyArray, " features"] | None = None,
    offset: Float[AnyArray, " features"] | None = None,
    *,
    epsilon: float = 1e-3,
) -> Masked | Float[Array, "... features"]:
    """Layer normalisation over the last axis: `(x - mean) / sqrt(variance + epsilon) * scale + offset`.

    Statistics are computed in float32 at least.

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
    wide = widened(x)
    centred = wide - wide.mean(axis=-1, keepdims=True)
    variance = jnp.square(centred).mean(axis=-1, keepdims=True)
    return finish(x, centred * _inverse_root(variance, epsilon, where_real(x, x.ndim)), scale, offset)


@same_kind
def rms_norm(
    x: Masked | Float[AnyArray, "... features"],
    scale: Float[AnyArray, " features"] | None = None,
    *,
    epsilon: float = 1e-6,
) -> Masked | Float[Array, "... features"]:
    """Normalisation by the root mean square over the last axis: `x / sqrt(mean(x**2) + epsilon) * scale`.

    Statistics are computed in float32 at least.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`, or an array.
        scale: `(features,)`, or None for 1.
        epsilon: added to the mean square.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: the last axis is a masked one.

    References:
        Zhang, Sennrich: Root Mean Square Layer Normalization, arXiv:1910.07467, equation 4.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.rms_norm(jnp.array([[4.0, -4.0]]), epsilon=0.0).tolist()
    [[1.0, -1.0]]
    """
    check_float(x, "rms_norm")
    check_feature_axis(x, "rms_norm")
    wide = widened(x)
    square = jnp.square(wide).mean(axis=-1, keepdims=True)
    return finish(x, wide * _inverse_root(square, epsilon, where_real(x, x.ndim)), scale)


@same_kind
def unit_norm(
    x: Masked | Float[AnyArray, "..."], axis: int | Sequence[int] = -1, *, epsilon: float = 1e-12
) -> Masked | Float[Array, "..."]:
    """Division by the Euclidean norm: `x / max(norm(x), epsilon)`; along a masked axis, by the norm of the real steps.

    The norm is computed in float32 at least.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        axis: the axis or axes along which the norm becomes 1; in values `(batch, time, features)`, 1 is time and -1 the
            features.
        epsilon: a norm below this is replaced by it, so that zeros stay zeros.

    Returns:
        The shape, dtype and mask of `x`, 0 at padded steps. An empty row passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: rows are packed and `axis` has the batch, or `epsilon` is not positive.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.unit_norm(jm.from_lengths(jnp.array([[3.0, 4.0, 9.0]]), [2]), 1).values.tolist()
    [[0.6..., 0.8..., 0.0]]
    """
    check_float(x, "unit_norm")
    if not epsilon > 0:
        raise ValueError(f"`epsilon` of `unit_norm` must be positive; received {epsilon}.")
    axes = normalize_axis_tuple(axis, x.ndim)
    wide = widened(x)
    square = jnp.square(jnp.abs(wide))
    if isinstance(x, Masked) and x.segment_ids is not None and min(axes) < x.mask.ndim:
        if min(axes) != x.mask.ndim - 1:
            check_not_packed(x, f"`unit_norm` along the masked axis {min(axes)}")
        sequences, behind = by_start(x), tuple(axis for axis in axes if axis >= x.mask.ndim)
        square = sequences.at_steps(sequences.sum(square.sum(behind, keepdims=True)))
    else:
        square = square.sum(axes, keepdims=True)
    is_short = square <= epsilon**2
    factor = jnp.where(is_short, 1 / epsilon, lax.rsqrt(jnp.where(is_short, 1, square)))
    return finish(x, wide * factor)


@same_kind
def group_norm(
    x: Masked | Float[AnyArray, "... features"],
    scale: Float[AnyArray, " features"] | None = None,
    offset: Float[AnyArray, " features"] | None = None,
    *,
    groups: int = 32,
    epsilon: float = 1e-3,
) -> Masked | Float[Array, "... features"]:
    """Normalisation of groups of features: `(x - mean) / sqrt(variance + epsilon) * scale + offset`.

    Mean and variance are those of the group's features at all real steps of a sequence, and along all axes between time
    and features, in float32 at least.

    Args:
        x: values `(batch, time, ..., features)`, mask `(batch, time)`; in a mask of another rank, the last axis is
            time. An array has one sequence for each entry of its first axis.
        scale: `(features,)`, or None for 1.
        offset: `(features,)`, or None for 0.
        groups: number of groups of neighbouring features; -1 for one group per feature, which is instance
            normalisation.
        epsilon: added to the variance.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: the last axis is a masked one, or groups have unequal sizes.

    References:
        Wu, He: Group Normalization, arXiv:1803.08494, equations 1, 2 and 7.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[[1.0], [3.0], [jnp.nan]]]), [2])
    >>> jm.ops.group_norm(x, groups=1, epsilon=0.0).fill(0).ravel().tolist()
    [-1.0, 1.0, 0.0]
    """
    check_float(x, "group_norm")
    check_feature_axis(x, "group_norm")
    size = group_size(x.shape[-1], groups)
    wide = widened(x)
    wide = wide.reshape(*wide.shape[:-1], x.shape[-1] // max(size, 1), size)  # -1 is unknown where there are no steps
    first = max(x.mask.ndim - 1, 0) if isinstance(x, Masked) else 1
    axes = (*range(first, wide.ndim - 2), wide.ndim - 1)
    where = where_real(x, wide.ndim)
    per_step = math.prod(wide.shape[axis] for axis in axes if where.shape[axis] == 1)
    total = _sum_of_sequences(x, axes)
    count = total(where.astype(wide.dtype)) * per_step
    mean = total(wide) / jnp.maximum(count, 1)
    centred = jnp.where(where, wide - mean, 0)
    variance = total(jnp.square(centred)) / jnp.maximum(count, 1)
    normal = centred * _inverse_root(variance, epsilon, count > 0)
    return finish(x, normal.reshape(x.shape), scale, offset)


def _sum_of_sequences(x: Any, axes: tuple[int, ...]) -> Callable[[Array], Array]:
    """A function that sums over these axes, of which the first is time, and keeps them for broadcasting."""
    if not isinstance(x, Masked) or x.segment_ids is None:
        return lambda values: values.sum(axes, keepdims=True)
    sequences = by_start(x)
    return lambda values: sequences.at_steps(sequences.sum(values.sum(axes[1:], keepdims=True)))


def group_size(features: int, groups: int) -> int:
    """The number of features in each of `groups` groups; one if `groups` is -1.

    Raises:
        ValueError: the features cannot be split into so many equal groups.
    """
    groups = features if groups == -1 else groups
    if groups < 1 or features % groups:
        raise ValueError(
            f"`groups` of `group_norm` divides the number of features, {features}, or is -1; received {groups}."
        )
    return features // groups


def widened(x: Any) -> Array:
    """The values in float32 at least, with zeros at padding."""
    values = jnp.asarray(fill(x, 0))
    return values.astype(jnp.promote_types(values.dtype, jnp.float32))


def where_real(x: Any, ndim: int) -> Array:
    """The mask for values of rank `ndim`, against which that of an array broadcasts."""
    return expand(jnp.asarray(x.mask) if isinstance(x, Masked) else jnp.ones((), bool), ndim)


def _inverse_root(square: Array, epsilon: float, where: Array) -> Array:
    """`1 / sqrt(square + epsilon)`; finite where nothing is real and the zeros of padding have no variance."""
    return lax.rsqrt(square + epsilon if epsilon else jnp.where(where, square, 1))


def finish(x: Any, normal: Array, scale: Any = None, offset: Any = None) -> Any:
    """The values scaled and shifted, with the dtype and mask of `x`."""
    normal = normal if scale is None else normal * in_front(scale, normal.ndim)
    normal = normal if offset is None else normal + in_front(offset, normal.ndim)
    normal = normal.astype(jax.dtypes.canonicalize_dtype(x.dtype))
    return like(x, normal)
