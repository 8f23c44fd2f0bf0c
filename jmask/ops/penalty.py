"""What an activity adds to a loss."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ..masked import Masked, fill
from .linear import AnyArray, check_float


def activity_penalty(x: Masked | Float[AnyArray, "..."], *, l1: float = 0.0, l2: float = 0.0) -> Float[Array, ""]:
    """The penalty `l1 * sum(abs(x)) + l2 * sum(x**2)` over all real steps, to be added to a loss.

    As in Keras it is a sum over the whole batch; divided by `x.mask.sum()` it is a mean over real steps. For an
    activity inside a model, make this activity one of its outputs: `jm.Model(inputs, [outputs, hidden])`.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        l1: factor of the absolute values, 0 or more.
        l2: factor of the squares, 0 or more.

    Returns:
        One number for the batch, packed or not, in the dtype of `x`. An empty row adds 0 and passes no gradient.

    Raises:
        TypeError: the values are not floats.
        ValueError: a negative factor.

    >>> import jax.numpy as jnp, jmask as jm
    >>> float(jm.ops.activity_penalty(jm.from_lengths(jnp.array([[-1.0, 2.0, 9.0]]), [2]), l1=1.0, l2=0.5))
    5.5
    """
    if not (l1 >= 0 and l2 >= 0):
        raise ValueError(f"`l1` and `l2` of `activity_penalty` must not be negative; received {l1} and {l2}.")
    check_float(x, "activity_penalty")
    values = jnp.abs(jnp.asarray(fill(x, 0)))
    wide = values.astype(jnp.promote_types(values.dtype, jnp.float32))
    terms = [factor * power.sum() for factor, power in ((l1, wide), (l2, jnp.square(wide))) if factor]
    return jnp.asarray(sum(terms), values.dtype)
