"""NaN as padding, as tslearn and others write it; only on explicit request."""

from typing import Any

import jax.numpy as jnp
import numpy as np

from ..core.checks import as_array
from ..core.display import is_concrete
from ..core.masked import Masked


def from_nan_padding(values: Any) -> Masked:
    """Builds a `Masked` from values in which NaN marks padding, such as those of tslearn's `to_time_series_dataset`.

    A step whose entries are all NaN is padding, wherever it is.

    Args:
        values: floats `(batch, time, ...)`; `(time,)` is one sequence.

    Returns:
        The `Masked`, with NaN still at the padded positions. A row of NaN makes an empty row.

    Raises:
        TypeError: the values are not floats, so they cannot hold NaN.
        ValueError: the values are concrete, and part of a step is NaN. Traced values cannot be checked; such a step is
            real.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.from_nan_padding(jnp.array([[1.0, 2.0], [3.0, jnp.nan]]))
    Masked(float32[2, 2], lengths=[2 1])
    [[1 2]
     [3 ·]]
    """
    values = as_array(values)
    if not jnp.issubdtype(values.dtype, jnp.inexact):
        raise TypeError(f"`from_nan_padding` takes floats, of which some are NaN; received dtype {values.dtype}.")
    if values.ndim == 0:
        raise ValueError("`from_nan_padding` takes values with a time axis; received a number.")
    missing = np.isnan(values) if isinstance(values, np.ndarray) else jnp.isnan(values)
    axes = tuple(range(2, values.ndim))
    padding = missing.all(axes)
    if axes and is_concrete(values):
        partly = np.asarray(missing.any(axes) & ~padding)
        if partly.any():
            place = tuple(map(int, np.argwhere(partly)[0]))
            raise ValueError(
                f"A step is padding if all of its entries are NaN; of step {place}, "
                f"{np.asarray(values)[place].tolist()}, only some are. A mask says which steps are real, "
                "not which entries: fill those first, e.g. with 0, and add the information as a feature if it matters."
            )
    return Masked(values, ~padding)
