"""Step-wise maps: the affine map, the embedding lookup, and one-hot vectors."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Float, Integer, Num

from ..core.arithmetic import expand, in_front
from ..core.explicit_axes import rows_at
from ..core.masked import Masked, fill, like
from .kinds import same_kind

AnyArray = Array | np.ndarray


@same_kind
def dense(
    x: Masked | Num[AnyArray, "... features"],
    kernel: Float[AnyArray, "features units"],
    bias: Float[AnyArray, " units"] | None = None,
) -> Masked | Float[Array, "... units"]:
    """The affine map `x @ kernel + bias` of every step.

    Args:
        x: values `(batch, time, features)`, mask `(batch, time)`, or an array.
        kernel: `(features, units)`.
        bias: `(units,)`, or None.

    Returns:
        `(batch, time, units)` with the mask of `x`. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: the last axis of `x` is a masked one, or `bias` does not have one number for each unit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.dense(jnp.ones((1, 2)), jnp.ones((2, 1)), jnp.ones(1)).tolist()
    [[3.0]]
    """
    check_feature_axis(x, "dense")
    if bias is not None and tuple(jnp.shape(bias)) != tuple(jnp.shape(kernel)[1:]):
        raise ValueError(
            f"`bias` of `dense` has one number for each unit, {tuple(jnp.shape(kernel)[1:])}; received "
            f"{tuple(jnp.shape(bias))}."
        )
    y = jnp.asarray(fill(x, 0)) @ kernel
    y = y if bias is None else y + in_front(bias, y.ndim)
    return like(x, y)


@same_kind
def embed(
    ids: Masked | Integer[AnyArray, "..."], table: Float[AnyArray, "vocabulary features"]
) -> Masked | Float[Array, "... features"]:
    """Looks up the rows of a table.

    Args:
        ids: integers in `[0, vocabulary)`, any shape. Out-of-range ids give rows of NaN, so that the mistake is visible
            (wrapping or clipping would hide it); ids at padded steps are never looked up.
        table: `(vocabulary, features)`.

    Returns:
        `(*ids.shape, features)` with the mask of `ids`. An empty row passes no gradient.

    Raises:
        TypeError: the ids are not integers.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.ops.embed(jnp.array([1, 0]), jnp.array([[1.0], [2.0]])).tolist()
    [[2.0], [1.0]]
    """
    index = _index_of(ids)
    index = jnp.where(index < 0, table.shape[0], index)
    return like(ids, rows_at(jnp.asarray(table), index, mode="fill", fill_value=jnp.nan))


@same_kind
def one_hot(
    x: Masked | Integer[AnyArray, "..."], num_classes: int, *, dtype: Any = float
) -> Masked | Num[Array, "... classes"]:
    """A vector for each id: 1 at the index of the id and 0 elsewhere.

    Args:
        x: integers, any shape. An id outside `[0, num_classes)` gives zeros, as in `jax.nn.one_hot`.
        num_classes: the length of each vector.
        dtype: the dtype of the vectors, a float by default.

    Returns:
        `(*x.shape, num_classes)` with the mask of `x`, 0 at padded steps. An empty row holds no real step.

    Raises:
        TypeError: the ids are not integers.

    >>> import jmask as jm
    >>> jm.ops.one_hot(jm.pad_sequences([[1, 0], [1]]), 2, dtype="int32").fill(7).tolist()
    [[[0, 1], [1, 0]], [[0, 1], [7, 7]]]
    """
    index = _index_of(x)
    shape = (*index.shape, num_classes)
    is_class = index[..., None] == lax.broadcasted_iota(index.dtype, shape, index.ndim)
    if not isinstance(x, Masked):
        return is_class.astype(jax.dtypes.canonicalize_dtype(dtype))
    is_class = is_class & expand(x.mask, x.ndim + 1)
    return x.with_values(is_class.astype(jax.dtypes.canonicalize_dtype(dtype)))


def _index_of(ids: Any) -> Array:
    """The ids in a dtype that holds any vocabulary, 0 at padded steps."""
    if not jnp.issubdtype(ids.dtype, jnp.integer):
        raise TypeError(
            f"Ids must be integers; received dtype {ids.dtype}. Convert them with `ids.astype('int32')`; the input of "
            "a model is `jm.Input((None,), 'int32')` then."
        )
    index = jnp.asarray(fill(ids, 0))
    return index.astype(jnp.int32) if index.dtype.itemsize < 4 else index


def check_float(x: Any, name: str) -> None:
    """Raises unless the values are floats."""
    if not jnp.issubdtype(x.dtype, jnp.inexact):
        raise TypeError(f"`{name}` works on floats; received dtype {x.dtype}. Convert with `x.astype('float32')`.")


def check_feature_axis(x: Any, name: str) -> None:
    """Raises unless there is a feature axis after the masked axes."""
    if isinstance(x, Masked) and x.mask.ndim >= x.ndim:
        raise ValueError(
            f"`{name}` works on the last axis, which must be a feature axis behind the mask; received values "
            f"{x.shape} with a mask over all of them. Add an axis: `x[..., None]`."
        )


def check_no_steps(x: Any, parameter: Any, ndim: int, name: str) -> None:
    """Raises if a parameter that broadcasts against values of rank `ndim` differs along the masked axes of `x`."""
    if isinstance(x, Masked) and any(size != 1 for size in parameter.shape[: -(ndim - x.mask.ndim) or None]):
        raise ValueError(
            f"{name} has shape {tuple(parameter.shape)}, so it differs along the masked axes of values {x.shape} "
            f"(mask {x.mask.shape}), whose sizes belong to the batch and not to a sequence. Give it size 1 there."
        )
