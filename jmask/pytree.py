"""`Masked` as a pytree: what its leaves are, what they are called, and how it is put together again without a check.

Where each row is one sequence, the leaves are `values` and `mask`. Of packed rows they are `values` and `segments`,
from which the mask follows, so that no two leaves can contradict each other; and since the names differ, a checkpoint
of the one is never taken for the other.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey

# The static part of the tree definition; JAX prints it where two trees do not fit.
_ROWS, _PACKED = "one sequence a row", "packed rows"


def register(cls: Any) -> None:
    """Makes a pytree of the class of `Masked`."""
    jax.tree_util.register_pytree_with_keys(
        cls, _flatten_with_keys, lambda kind, leaves: _unflatten(cls, kind, leaves), _flatten
    )


def put(x: Any, values: Any, mask: Any, segments: Any) -> Any:
    """Sets what an object without attributes holds; nothing is checked or computed."""
    object.__setattr__(x, "values", values)
    object.__setattr__(x, "segments", segments)
    object.__setattr__(x, "_mask", mask)
    return x


def mask_of_segments(segments: Any) -> Any:
    """True at the steps that have an id; of what stands in the place of ids (an axis, a sharding), this itself."""
    dtype = getattr(segments, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.integer):
        return segments
    if isinstance(segments, (jax.Array, np.ndarray, np.integer)):
        return segments > 0
    if isinstance(segments, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(segments.shape, np.bool_, sharding=segments.sharding)
    return segments


def _flatten(x: Any) -> tuple[tuple[Any, Any], str]:
    return ((x.values, x.mask), _ROWS) if x.segments is None else ((x.values, x.segments), _PACKED)


def _flatten_with_keys(x: Any) -> tuple[tuple[tuple[Any, Any], ...], str]:
    (values, other), kind = _flatten(x)
    return ((GetAttrKey("values"), values), (GetAttrKey("mask" if kind is _ROWS else "segments"), other)), kind


def _unflatten(cls: Any, kind: str, leaves: Any) -> Any:
    values, other = leaves
    mask, segments = (other, None) if kind == _ROWS else (None, other)
    return put(object.__new__(cls), values, mask, segments)
