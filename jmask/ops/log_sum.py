"""The logarithm of a sum of exponentials over the real steps."""

import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float

from ..core.masked import Masked, fill, like, values_of
from .kinds import Axis, reduction
from .linear import AnyArray, check_float
from .reduce import at_values, max, sum


@reduction
def logsumexp(
    x: Masked | Float[AnyArray, "..."], axis: Axis = None, *, keepdims: bool = False
) -> Masked | Float[Array, "..."]:
    """`log(sum(exp(x)))` over the real steps; a step that is -inf adds nothing.

    Args:
        x: floats `(batch, time, ...)`, mask `(batch, time)`, or an array, all of whose entries count.
        axis: the axis or axes to reduce; None: all.
        keepdims: whether reduced axes stay, with size 1.

    Returns:
        An array for all masked axes (batch and time) or for an array input; over time alone, a `Masked` with a mask
        `(batch,)`, True for rows that have a real step (packed rows: `(num_sequences,)`); over feature axes alone, a
        `Masked` with the mask of `x`. An empty row gives -inf, the logarithm of 0, and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: an axis does not exist; or rows are packed and `axis` is the batch without time, or the number of
            their sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> y = jm.ops.logsumexp(jm.from_lengths(jnp.log(jnp.array([[1.0, 2.0, 9.0]])), [2]))
    >>> float(jnp.exp(y).round())
    3.0
    """
    check_float(x, "logsumexp")
    values = jnp.asarray(fill(x, -jnp.inf))
    wide = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    peaks = max(like(x, lax.stop_gradient(wide)), axis, keepdims=True)
    peak = jnp.where(jnp.isfinite(values_of(peaks)), values_of(peaks), 0)
    total = sum(like(x, jnp.exp(wide - at_values(x, like(peaks, peak), axis, "logsumexp"))), axis, keepdims=keepdims)
    found = values_of(total)
    is_none = found == 0
    result = jnp.log(jnp.where(is_none, 1, found)) + peak.reshape(found.shape)
    return like(total, jnp.where(is_none, -jnp.inf, result).astype(values.dtype))
