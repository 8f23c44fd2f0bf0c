"""Small helpers on arrays: slices and gathers."""

from typing import Any

import jax
from jax import lax


def at(array: Any, index: Any) -> Any:
    """`array[index]`, which is within bounds."""
    return lax.dynamic_index_in_dim(array, index, 0, keepdims=False)


def cut(array: Any, start: Any, size: int) -> Any:
    """`array[start : start + size]`, all of it within bounds."""
    return lax.dynamic_slice_in_dim(array, start, size, 0)


def write_slice(array: Any, new: Any, start: Any) -> Any:
    """`array` with `new` from `start` on."""
    return lax.dynamic_update_slice_in_dim(array, new.astype(array.dtype), start, 0)


def write_all(arrays: dict[str, Any], new: dict[str, Any], start: Any) -> dict[str, Any]:
    """Writes to each entry, which may be a tuple of arrays, what `new` has for it."""
    return {name: jax.tree.map(lambda a, n: write_slice(a, n, start), old, new[name]) for name, old in arrays.items()}


def gather(array: Any, index: Any) -> Any:
    """`array[index]`, all of it within bounds."""
    return array.at[index].get(mode="promise_in_bounds")
