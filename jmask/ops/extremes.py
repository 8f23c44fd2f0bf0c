"""The indices of the largest and the smallest real step of each sequence."""

from collections.abc import Callable
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from ..core.arithmetic import expand, guard
from ..core.masked import Masked
from ..core.segment_ids import index_in_sequence
from ..core.step_order import left_align
from .kinds import array_for_array
from .reduce import highest, lowest, with_remaining_mask
from .segments import by_id
from .sorting import is_time, one_axis


@array_for_array
def argmax(x: Masked | ArrayLike, axis: SupportsIndex | None = None, *, keepdims: bool = False) -> Masked | Array:
    """The index of the largest value along one axis; along time it counts the real steps of each sequence from 0.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        axis: in values `(batch, time, features)`, 1 is time and -1 the features. None, for all entries, works only for
            arrays and for a single sequence of numbers.
        keepdims: whether the axis stays, with size 1.

    Returns:
        Indices, int32; ties give the first. Along time a `Masked` with a mask `(batch,)`, True for rows that have a
        real step, and for packed rows with an index for each sequence, `(num_sequences,)`, by id; along features one
        with the mask of `x`. An empty row gives 0. `jm.ops.take(x, index)` is the step at an index along time.

    Raises:
        ValueError: `axis` is None, or a masked axis other than time; or rows are packed and the number of their
            sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> int(jm.ops.argmax(jm.masked(jnp.array([9, 1, 3, 2]), jnp.array([False, True, True, True]))))
    1
    """
    return _extreme(x, axis, keepdims, jnp.argmax, lowest, "argmax")


@array_for_array
def argmin(x: Masked | ArrayLike, axis: SupportsIndex | None = None, *, keepdims: bool = False) -> Masked | Array:
    """The index of the smallest value along one axis; along time it counts the real steps of each sequence from 0.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`, or an array.
        axis: in values `(batch, time, features)`, 1 is time and -1 the features. None, for all entries, works only for
            arrays and for a single sequence of numbers.
        keepdims: whether the axis stays, with size 1.

    Returns:
        Indices, int32; ties give the first. Along time a `Masked` with a mask `(batch,)`, True for rows that have a
        real step, and for packed rows with an index for each sequence, `(num_sequences,)`, by id; along features one
        with the mask of `x`. An empty row gives 0. `jm.ops.take(x, index)` is the step at an index along time.

    Raises:
        ValueError: `axis` is None, or a masked axis other than time; or rows are packed and the number of their
            sequences is not known.

    >>> import jax.numpy as jnp, jmask as jm
    >>> int(jm.ops.argmin(jm.masked(jnp.array([5, 4, 0]), jnp.array([True, True, False]))))
    1
    """
    return _extreme(x, axis, keepdims, jnp.argmin, highest, "argmin")


def _extreme(x: Any, axis: Any, keepdims: bool, function: Callable, neutral: Callable, name: str) -> Any:
    if not isinstance(x, Masked):
        return function(jnp.asarray(x), axis, keepdims=keepdims)
    if axis is None and x.ndim > 1:
        raise ValueError(
            f"`{name}` of everything would be an index that counts padding; name one axis, `axis=1` for time and "
            f"`axis=-1` for features; received values {tuple(x.shape)} with a mask {tuple(x.mask.shape)}."
        )
    axis = one_axis(x, 0 if axis is None else axis, name)
    if not is_time(x, axis, name):
        return x.with_values(function(guard(x.values, x.mask), axis, keepdims=keepdims))
    if x.segment_ids is not None:
        return _extreme_of_sequences(x, axis, keepdims, name)
    front, _ = left_align(x)  # so that among equal values the first is a real step
    values = front.fill(neutral(jax.dtypes.canonicalize_dtype(x.dtype)))
    if values.shape[axis] == 0:
        values = jnp.zeros((*values.shape[:axis], 1, *values.shape[axis + 1 :]), values.dtype)
    return with_remaining_mask(x, function(values, axis, keepdims=keepdims), (axis,), keepdims)


def _extreme_of_sequences(x: Masked, axis: int, keepdims: bool, name: str) -> Masked:
    sequences, mask, values = by_id(x, f"`{name}` over time"), jnp.asarray(x.mask), jnp.asarray(x.values)
    values = values.astype(jnp.int32) if values.dtype == bool else values
    peaks = sequences.at_steps(sequences.extreme(values, largest=name == "argmax"))
    is_peak = expand(mask, x.ndim) & ((values == peaks) | (jnp.isnan(values) & jnp.isnan(peaks)))
    steps = jnp.where(is_peak, expand(index_in_sequence(x), x.ndim), mask.shape[-1])
    found = sequences.sum(mask.astype(jnp.int32)) > 0
    indices = jnp.where(expand(found, x.ndim - axis), sequences.extreme(steps, largest=False), 0)
    if keepdims:
        return Masked(jnp.expand_dims(indices, 1), found[:, None])
    return Masked(indices, found)
