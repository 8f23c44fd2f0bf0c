"""Elementwise functions with options: the units that are linear above a threshold and something else below."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from ..core.arithmetic import in_front
from ..core.masked import Masked
from .linear import AnyArray, check_float, check_no_steps


def apply(function: Callable[[Any], Any], x: Any, *, is_harmless: bool = False) -> Any:
    """An elementwise function of a `Masked` or an array.

    Args:
        function: takes an array.
        x: what it is applied to.
        is_harmless: whether neither the function nor its derivative makes anything but numbers of what is in the
            padding, so that it may see that as it is: in a gradient a guard costs more than the function.
    """
    if not isinstance(x, Masked):
        return function(jnp.asarray(x))
    return x.with_values(function(x.values)) if is_harmless else x.map(function)


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
        threshold: up to here the function is the lower part.

    Returns:
        The shape and mask of `x`. An empty row holds no real step and passes no gradient.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.relu(jnp.array([-2.0, 3.0, 9.0]), max_value=6.0, negative_slope=0.5).tolist()
    [-1.0, 3.0, 6.0]
    """

    def function(v: Array) -> Array:
        above = v if max_value is None else jnp.minimum(v, max_value)
        below = negative_slope * (v - threshold) if negative_slope else jnp.zeros_like(v)
        return jnp.where(v <= threshold, below, above)  # NaN is not below, and stays NaN

    return apply(function, x)


def elu(x: Masked | Float[AnyArray, "..."], *, alpha: float = 1.0) -> Masked | Float[Array, "..."]:
    """The exponential linear unit: `x` above 0, `alpha * (exp(x) - 1)` below.

    Args:
        x: values of any shape with a mask, or an array.
        alpha: minus the limit far below 0.

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


def prelu(x: Masked | Float[AnyArray, "..."], alpha: Float[AnyArray, "..."]) -> Masked | Float[Array, "..."]:
    """The parametric rectified linear unit: `x` above 0, `alpha * x` below.

    Args:
        x: values `(batch, time, ...)` with a mask, or an array.
        alpha: slopes that broadcast against the values, `(features,)`; of size 1, if at all, along masked axes.

    Returns:
        The shape and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: there is a slope for each step, which would be tied to the padded length.

    References:
        He et al.: Delving Deep into Rectifiers, arXiv:1502.01852, equation 1.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.prelu(jnp.array([[-2.0, 3.0]]), jnp.array([0.5, 0.0])).tolist()
    [[-1.0, 3.0]]
    """
    check_float(x, "prelu")
    check_no_steps(x, alpha, x.ndim, "`alpha` of `prelu`")
    return apply(lambda v: jnp.where(v >= 0, v, in_front(alpha, v.ndim) * jnp.minimum(v, 0)), x)
