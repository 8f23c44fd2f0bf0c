"""Activations with options: units that are linear above a threshold, and softmax."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Num

from ..core.arithmetic import expand, in_front
from ..core.masked import Masked, fill
from ..core.segment_ids import check_not_packed
from .kinds import same_kind
from .linear import AnyArray, check_float, check_no_steps
from .segments import by_start


def apply(function: Callable[[Any], Any], x: Any, *, has_finite_gradient: bool = False) -> Any:
    """An elementwise function of a `Masked` or an array.

    Args:
        function: a function of one array.
        x: the input.
        has_finite_gradient: whether the derivative is finite wherever the argument is, so that the function may see the
            padding unchanged: in a gradient, replacing the padding costs more than the function itself.
    """
    if not isinstance(x, Masked):
        return function(jnp.asarray(x))
    return x.with_values(function(x.values)) if has_finite_gradient else x.map(function)


@same_kind
def relu(
    x: Masked | Num[AnyArray, "..."],
    *,
    max_value: float | None = None,
    negative_slope: float = 0.0,
    threshold: float = 0.0,
) -> Masked | Num[Array, "..."]:
    """The rectified linear unit: `min(x, max_value)` above the threshold, `negative_slope * (x - threshold)` below.

    Args:
        x: values of any shape with a mask, or an array.
        max_value: the largest output; None for no limit.
        negative_slope: slope below the threshold.
        threshold: at or below it, the lower part applies.

    Returns:
        The shape and mask of `x`. An empty row holds no real step and passes no gradient.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.relu(jnp.array([-2.0, 3.0, 9.0]), max_value=6.0, negative_slope=0.5).tolist()
    [-1.0, 3.0, 6.0]
    """

    def function(v: Array) -> Array:
        above = v if max_value is None else jnp.minimum(v, max_value)
        below = negative_slope * (v - threshold) if negative_slope else jnp.zeros_like(v)
        return jnp.where(v <= threshold, below, above)  # NaN is not below the threshold, so it stays NaN

    return apply(function, x)


@same_kind
def elu(x: Masked | Float[AnyArray, "..."], *, alpha: float = 1.0) -> Masked | Float[Array, "..."]:
    """The exponential linear unit: `x` above 0, `alpha * (exp(x) - 1)` below.

    Args:
        x: values of any shape with a mask, or an array.
        alpha: the function tends to `-alpha` far below 0.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.

    References:
        Clevert, Unterthiner, Hochreiter: Exponential Linear Units, arXiv:1511.07289, section 3.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.elu(jnp.array([-jnp.inf, 3.0]), alpha=2.0).tolist()
    [-2.0, 3.0]
    """
    check_float(x, "elu")
    return apply(lambda v: jax.nn.elu(v, alpha), x)


@same_kind
def prelu(x: Masked | Float[AnyArray, "..."], alpha: Float[AnyArray, "..."]) -> Masked | Float[Array, "..."]:
    """The parametric rectified linear unit: `x` above 0, `alpha * x` below.

    Args:
        x: values `(batch, time, ...)` with a mask, or an array.
        alpha: slopes that broadcast against the values, `(features,)`; along masked axes their size must be 1.

    Returns:
        The shape and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: `alpha` has a slope for each step, which would tie it to the padded length.

    References:
        He et al.: Delving Deep into Rectifiers, arXiv:1502.01852, equation 1.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.prelu(jnp.array([[-2.0, 3.0]]), jnp.array([0.5, 0.0])).tolist()
    [[-1.0, 3.0]]
    """
    check_float(x, "prelu")
    check_no_steps(x, alpha, x.ndim, "`alpha` of `prelu`")
    return apply(lambda v: jnp.where(v >= 0, v, in_front(alpha, v.ndim) * jnp.minimum(v, 0)), x)


@same_kind
def softmax(x: Masked | Float[AnyArray, "..."], axis: int = -1) -> Masked | Float[Array, "..."]:
    """Softmax along one axis; along a masked axis it runs over the real steps of each sequence.

    A step that is -inf counts as a step of weight 0. Nothing is added to the values: a real value of any size keeps its
    weight, which would not be so if padding were a large negative number.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        axis: the axis that sums to 1; for values `(batch, time, features)`, 1 is time and -1 the features.

    Returns:
        Weights in the shape and with the mask of `x`, 0 at padded steps. An empty row is 0 and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: rows are packed and `axis` is the batch.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.softmax(jm.from_lengths(jnp.zeros((1, 3)), [2]), axis=1).values.tolist()
    [[0.5, 0.5, 0.0]]
    """
    check_float(x, "softmax")
    if not isinstance(x, Masked):
        return _softmax(jnp.asarray(x), jnp.ones(x.shape, bool), axis)
    if axis % x.ndim < x.mask.ndim and x.segment_ids is not None:
        return _softmax_of_sequences(x, axis)
    where = jnp.broadcast_to(expand(x.mask, x.ndim), x.shape)
    return x.with_values(_softmax(fill(x, 0), where, axis))


def _softmax_of_sequences(x: Masked, axis: int) -> Masked:
    if axis % x.ndim != x.mask.ndim - 1:
        check_not_packed(x, f"`softmax` along the masked axis {axis}")
    sequences, where, values = by_start(x), expand(jnp.asarray(x.mask), x.ndim), jnp.asarray(x.fill(0))
    finite = jnp.maximum(lax.stop_gradient(values), jnp.finfo(values.dtype).min)
    peak = sequences.at_steps(sequences.extreme(finite))
    weights = jnp.where(where, jnp.exp(jnp.where(where, values - peak, 0)), 0)
    total = sequences.at_steps(sequences.sum(weights))
    return x.with_values(weights / jnp.where(total > 0, total, 1))


def _softmax(values: Array, where: Array, axis: int) -> Array:
    """Weights over the entries of `where`; the maximum is theirs and finite, so no inf is subtracted from inf."""
    peak = lax.stop_gradient(jnp.max(values, axis, keepdims=True, where=where, initial=jnp.finfo(values.dtype).min))
    weights = jnp.where(where, jnp.exp(jnp.where(where, values - peak, 0)), 0)
    total = jnp.sum(weights, axis, keepdims=True)
    return weights / jnp.where(total > 0, total, 1)
