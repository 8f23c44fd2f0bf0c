"""Regression losses: each entry of a prediction is compared with the same entry of the target."""

from typing import Any, Unpack, overload

import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from ..core.lazy import LazyModule
from ..core.masked import Masked
from ..ops.linear import AnyArray
from .accumulator import Mean
from .options import check_number
from .signatures import Divided, Input, Undivided, Unreduced, plain
from .steps import check_alike
from .wrapping import masked_loss

optax: Any = LazyModule("optax")
TINY = 1e-300  # anything that is at least this is above 0

Numbers = Float[AnyArray, "..."]
Targets = Num[AnyArray, "..."]


@plain
@masked_loss
def squared_error(predictions: Numbers, targets: Targets) -> Numbers:
    """The squared difference, `optax.squared_error`; the mean over the steps is the mean squared error.

    Args:
        predictions: `(batch, time, ...)`.
        targets: the same shape.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ, or `reduction` is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2])
    >>> float(jm.losses.squared_error(x, jnp.zeros((1, 3))))
    5.0
    """
    check_alike("squared_error", predictions, targets)
    return optax.squared_error(predictions, targets)


@plain
@masked_loss
def absolute_error(predictions: Numbers, targets: Targets) -> Numbers:
    """The absolute difference; its gradient is 0 where the difference is 0.

    Args:
        predictions: `(batch, time, ...)`.
        targets: the same shape.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ, or `reduction` is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1.0, -3.0, jnp.nan]]), [2])
    >>> float(jm.losses.absolute_error(x, jnp.zeros((1, 3))))
    2.0
    """
    check_alike("absolute_error", predictions, targets)
    return jnp.abs(predictions - targets)


@overload
def huber_loss(predictions: Input, targets: Input, *, delta: float = 1.0, **options: Unpack[Divided]) -> Array: ...
@overload
def huber_loss(predictions: Input, targets: Input, *, delta: float = 1.0, **options: Unpack[Undivided]) -> Mean: ...
@overload
def huber_loss(
    predictions: Input, targets: Input, *, delta: float = 1.0, **options: Unpack[Unreduced]
) -> Masked | Array: ...
@masked_loss
def huber_loss(predictions: Numbers, targets: Targets, *, delta: float = 1.0) -> Numbers:
    """Half the squared difference up to `delta`, linear beyond; `optax.huber_loss`.

    Args:
        predictions: `(batch, time, ...)`.
        targets: the same shape.
        delta: the difference beyond which the loss is linear, above 0.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions or `delta` are not floats.
        ValueError: `delta` is not above 0, the shapes differ, or `reduction` is unknown.

    References:
        Huber: Robust Estimation of a Location Parameter, Ann. Math. Statist. 35 (1964).

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1.0, 3.0, jnp.nan]]), [2])
    >>> float(jm.losses.huber_loss(x, jnp.zeros((1, 3))))
    1.5
    """
    check_alike("huber_loss", predictions, targets)
    check_number("huber_loss", "delta", delta, "a number above 0", TINY)
    return optax.huber_loss(predictions, targets, delta=delta)


@plain
@masked_loss
def log_cosh(predictions: Numbers, targets: Targets) -> Numbers:
    """The logarithm of the hyperbolic cosine of the difference, `optax.log_cosh`.

    Args:
        predictions: `(batch, time, ...)`.
        targets: the same shape.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ, or `reduction` is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[0.0, jnp.nan]]), [1])
    >>> float(jm.losses.log_cosh(x, jnp.zeros((1, 2))))
    0.0
    """
    check_alike("log_cosh", predictions, targets)
    return optax.log_cosh(predictions, targets)


@plain
@masked_loss
def cosine_distance(
    predictions: Float[AnyArray, "... features"], targets: Num[AnyArray, "... features"]
) -> Float[AnyArray, "..."]:
    """One minus the cosine of the angle between two vectors, `optax.cosine_distance`.

    A vector of zeros has no direction: its distance is 1, as at a right angle, and it passes no gradient.

    Args:
        predictions: `(batch, time, features)`.
        targets: the same shape.
        **options: `sample_weight`, `mask`, `reduction` and `divide`, which every loss has: see `jm.losses.masked_loss`.

    Returns:
        The loss, in the dtype of the predictions; 0, with zero gradients, if no step is real.

    Raises:
        TypeError: the predictions are not floats.
        ValueError: the shapes differ, or `reduction` is unknown.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[[1.0, 1.0], [0.0, 0.0], [jnp.nan, 1.0]]]), [2])
    >>> round(float(jm.losses.cosine_distance(x, jnp.ones((1, 3, 2)))), 3)
    0.5
    """
    check_alike("cosine_distance", predictions, targets)
    targets = targets.astype(predictions.dtype)
    has_none = (jnp.square(predictions).sum(-1) == 0) | (jnp.square(targets).sum(-1) == 0)
    first, second = (jnp.where(has_none[..., None], 1, x) for x in (predictions, targets))
    return jnp.where(has_none, 1, optax.cosine_distance(first, second))
