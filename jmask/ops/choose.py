"""One of two inputs, entry by entry."""

import functools
from typing import Any, overload

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike

from ..core.arithmetic import is_host_only, join, marks_of
from ..core.masked import Masked, values_of
from .kinds import AnyInput


@overload
def where(condition: Masked, x: AnyInput, y: AnyInput) -> Masked: ...
@overload
def where(condition: ArrayLike, x: Masked, y: AnyInput) -> Masked: ...
@overload
def where(condition: ArrayLike, x: ArrayLike, y: Masked) -> Masked: ...
@overload
def where(condition: ArrayLike, x: ArrayLike, y: ArrayLike) -> Array: ...
def where(condition: Any, x: Any, y: Any) -> Any:
    """`x` where the condition holds, and `y` where it does not, entry by entry.

    Args:
        condition: bool, a `Masked`, an array or a scalar whose shape broadcasts against the others'.
        x: values `(batch, time, ...)` with a mask `(batch, time)`, an array or a scalar: taken where the condition
            holds.
        y: a `Masked`, an array or a scalar: taken elsewhere.

    Returns:
        A `Masked` if any of the three is one: a step is real where it is in all of them, as in `x + y`. An empty row
        stays empty and passes no gradient. Entries that are not chosen pass none either, but an infinite derivative
        inside them turns it into NaN, as in `jnp.where`.

    Raises:
        ValueError: there are `Masked` of different ranks, or an array of higher rank, which would move the masked axes.

    >>> import jmask as jm
    >>> x = jm.pad_sequences([[3, -4], [-5]])
    >>> jm.ops.where(x > 0, x, 0).fill(-1).tolist()
    [[3, 0], [0, -1]]
    """
    inputs = (condition, x, y)
    found = [a for a in inputs if isinstance(a, Masked)]
    values = [values_of(a) for a in inputs]
    if found:
        _check_ranks(found, values)
    chosen = (np if any(map(is_host_only, values)) else jnp).where(*values)
    if not found:
        return chosen
    mask, segment_ids, num_sequences = functools.reduce(join, map(marks_of, inputs))
    leading = chosen.shape[: mask.ndim]
    mask, segment_ids = (None if m is None else jnp.broadcast_to(m, leading) for m in (mask, segment_ids))
    return Masked(chosen, mask, segment_ids, num_sequences)


def _check_ranks(found: list[Masked], values: list[Any]) -> None:
    """Raises if shapes would broadcast time against another axis."""
    ndim, mask_ndim = found[0].ndim, found[0].mask.ndim
    if any((x.ndim, x.mask.ndim) != (ndim, mask_ndim) for x in found) or any(np.ndim(v) > ndim for v in values):
        raise ValueError(
            "`where` takes `Masked` of one rank with masks of one rank, and arrays of no higher one, since "
            f"broadcasting would align time with another axis; received {[np.shape(v) for v in values]}. Add axes with "
            "indexing, e.g. `condition[..., None]`."
        )
