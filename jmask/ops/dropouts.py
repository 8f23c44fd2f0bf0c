"""Dropout: of entries, of whole features, and for self-normalising networks."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..core.checks import check_probability
from ..core.masked import Masked
from .kinds import same_kind
from .linear import AnyArray, check_float
from .random import bernoulli, draw_for_entries, draw_for_sequences, with_draws
from .time_axis import time_axis

# Limits of SELU: it is `SELU_SCALE * x` above 0 and approaches `-SELU_SCALE * SELU_ALPHA` far below.
SELU_ALPHA = 1.6732632423543772848170429916717
SELU_SCALE = 1.0507009873554804934193349852946


@same_kind
def dropout(x: Masked | Float[AnyArray, "..."], rate: float, key: Any) -> Masked | Float[Array, "..."]:
    """Sets entries to zero with probability `rate` and scales the rest by `1 / (1 - rate)`.

    The draw of an entry depends on the key, the row and the number of real steps before it, not on the padding: the
    draws are made time-major, so more right padding only appends to them, and otherwise follow the real steps. In
    packed rows they follow the order within the row, so a sequence that is packed elsewhere gets other draws.

    Args:
        x: values `(batch, time, ...)` with a mask, or an array.
        rate: probability in `[0, 1]`; 1 gives zeros.
        key: a PRNG key.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: the rate is outside `[0, 1]`.

    References:
        Srivastava et al.: Dropout, JMLR 15 (2014), section 10 for the scaling in training.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> sorted(set(jm.ops.dropout(jnp.ones(100), 0.5, jax.random.key(0)).tolist()))
    [0.0, 2.0]
    """
    check_probability("rate", rate)
    check_float(x, "dropout")
    return _drop(x, rate, draw_for_entries, key)


@same_kind
def spatial_dropout(
    x: Masked | Float[AnyArray, "... features"], rate: float, key: Any
) -> Masked | Float[Array, "... features"]:
    """Sets whole features of a sequence to zero with probability `rate` and scales the rest by `1 / (1 - rate)`.

    There is one draw for each feature of each sequence, the same at all its steps. In packed rows each sequence has its
    own, by its place in the row.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`, or an array.
        rate: probability in `[0, 1]`; 1 gives zeros.
        key: a PRNG key.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: the rate is outside `[0, 1]`, or there is no feature axis after time.

    References:
        Tompson et al.: Efficient Object Localization Using Convolutional Networks, arXiv:1411.4280.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.ops.spatial_dropout(jnp.ones((1, 3, 4)), 0.5, jax.random.key(2))[0].std(axis=0).tolist()
    [0.0, 0.0, 0.0, 0.0]
    """
    check_probability("rate", rate)
    check_float(x, "spatial_dropout")
    axis = time_axis(x)
    if axis < 0 or x.ndim < axis + 2:
        mask = f" with a mask {x.mask.shape}" if isinstance(x, Masked) else ""
        raise ValueError(
            f"`spatial_dropout` drops features behind the time axis; received values {x.shape}{mask}. Add an axis: "
            "`x[..., None]`."
        )
    return _drop(x, rate, draw_for_sequences, key)


@same_kind
def alpha_dropout(x: Masked | Float[AnyArray, "..."], rate: float, key: Any) -> Masked | Float[Array, "..."]:
    """Dropout for networks of SELU units: sets entries to the limit of SELU far below 0 instead of to 0.

    An affine map then gives entries of mean 0 and variance 1 these moments again. Draws follow the real steps as in
    `jm.ops.dropout`.

    Args:
        x: values `(batch, time, ...)` with a mask, or an array.
        rate: probability in `[0, 1)`.
        key: a PRNG key.

    Returns:
        The shape, dtype and mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: the rate is outside `[0, 1)`.

    References:
        Klambauer et al.: Self-Normalizing Neural Networks, arXiv:1706.02515, section "New Dropout Technique".

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> y = jm.ops.alpha_dropout(jax.random.normal(jax.random.key(1), 100000), 0.2, jax.random.key(0))
    >>> round(float(y.var()), 1)
    1.0
    """
    check_probability("rate", rate, below_one=True)
    check_float(x, "alpha_dropout")
    dropped = -SELU_ALPHA * SELU_SCALE
    scale = ((1 - rate) * (1 + rate * dropped**2)) ** -0.5
    shift = -scale * rate * dropped

    def dropout_and_map(values: Array) -> Array:
        kept = draw_for_entries(x, bernoulli(1 - rate), key)
        return scale * jnp.where(kept, values, dropped) + shift

    return with_draws(x, dropout_and_map, is_identity=rate == 0)


def _drop(x: Any, rate: float, draws: Callable[..., Array], key: Any) -> Any:
    """Drops entries and scales the rest, as drawn."""

    def thinned(values: Array) -> Array:
        if rate == 1:
            return jnp.zeros_like(values)
        return jnp.where(draws(x, bernoulli(1 - rate), key), values / (1 - rate), 0)

    return with_draws(x, thinned, is_identity=rate == 0)
