"""Gaussian noise, added and multiplied."""

import math
from typing import Any

from jaxtyping import Array, Float

from ..core.checks import check_probability
from ..core.masked import Masked
from .kinds import same_kind
from .linear import AnyArray, check_float
from .random import draw_for_entries, normal, with_draws


@same_kind
def gaussian_dropout(x: Masked | Float[AnyArray, "..."], rate: float, key: Any) -> Masked | Float[Array, "..."]:
    """Multiplies each entry by Gaussian noise with mean 1 and standard deviation `sqrt(rate / (1 - rate))`.

    That is the standard deviation of the factor of dropout at this rate. Draws follow the real steps as in
    `jm.ops.dropout`.

    Args:
        x: values `(batch, time, ...)` with a mask, or an array.
        rate: in `[0, 1)`.
        key: a PRNG key.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: the rate is outside `[0, 1)`.

    References:
        Srivastava et al.: Dropout, JMLR 15 (2014), section 10, multiplicative Gaussian noise.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> y = jm.ops.gaussian_dropout(jnp.ones(10000), 0.2, jax.random.key(0))
    >>> round(float(y.mean()), 1), round(float(y.std()), 1)
    (1.0, 0.5)
    """
    check_probability("rate", rate, below_one=True)
    check_float(x, "gaussian_dropout")
    stddev = math.sqrt(rate / (1 - rate))
    return with_draws(
        x, lambda values: values * (1 + stddev * draw_for_entries(x, normal(values), key)), is_identity=rate == 0
    )


@same_kind
def gaussian_noise(x: Masked | Float[AnyArray, "..."], stddev: float, key: Any) -> Masked | Float[Array, "..."]:
    """Adds Gaussian noise with mean 0 to each entry. The noise follows the real steps, so padding does not change it.

    Args:
        x: values `(batch, time, ...)` with a mask, or an array.
        stddev: standard deviation of the noise.
        key: a PRNG key.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: `stddev` is negative.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> y = jm.ops.gaussian_noise(jnp.ones(10000), 0.5, jax.random.key(0))
    >>> round(float(y.mean()), 1), round(float(y.std()), 1)
    (1.0, 0.5)
    """
    if not stddev >= 0:
        raise ValueError(f"`stddev` must not be negative; received {stddev}.")
    check_float(x, "gaussian_noise")
    return with_draws(
        x, lambda values: values + stddev * draw_for_entries(x, normal(values), key), is_identity=stddev == 0
    )
