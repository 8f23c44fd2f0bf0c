"""Indexing of `Masked`: which part of an index falls on masked axes, and what that does to the mask."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from .arithmetic import Arithmetic, is_host_only

_ALL = slice(None)


def split_index(index: Any, values_ndim: int, mask_ndim: int) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
    """Splits a NumPy index into the items for the mask's axes and those for the trailing axes.

    Args:
        index: integers, slices, None, Ellipsis, integer or bool arrays, or a tuple of them.
        values_ndim: rank of the values.
        mask_ndim: rank of the mask.

    Returns:
        The two parts, each a tuple without Ellipsis. A part that leaves its axes alone is empty.

    Raises:
        IndexError: too many indices; an array that spans both parts; arrays in both parts, which NumPy would pair; or
            an index whose axes NumPy would move to the front, away from the mask's.
        TypeError: a `Masked` as an index.
    """
    items = _without_ellipsis(index if isinstance(index, tuple) else (index,), values_ndim)
    axes, cut = 0, 0
    while axes < mask_ndim:
        axes += _consumed(items[cut])
        cut += 1
    front, back = items[:cut], items[cut:]
    if axes > mask_ndim or (any(map(_is_array, front)) and any(map(_is_array, back))):
        raise IndexError(
            "An index of a `Masked` may use arrays on masked axes or on the axes behind them, not on both at once; "
            "index `x.values` and `x.mask` yourself and pair them with `jm.masked`."
        )
    if _moves_axes(front, back):
        raise IndexError(
            "Where a slice stands between an index array and another integer or array, NumPy moves their axes to the "
            "front, away from the mask; index a `Masked` in two steps instead, e.g. `x[0][:, features]`."
        )
    return _unless_trivial(front), _unless_trivial(back)


def take_items(array: Any, items: tuple[Any, ...]) -> Any:
    """`array[items]`, always an array; a NumPy array becomes a JAX array if an index is one, which may be traced."""
    if not items:
        return array
    if any(isinstance(item, jax.Array) for item in items) and not is_host_only(array):
        array = jnp.asarray(array)
    return array[(*items, ...)]


def _without_ellipsis(items: tuple[Any, ...], ndim: int) -> tuple[Any, ...]:
    """The index with full slices for the Ellipsis and for axes that it does not mention."""
    items = tuple(_as_index_array(item) if isinstance(item, (list, tuple)) else item for item in items)
    missing = ndim - sum(_consumed(item) for item in items)
    if missing < 0:
        raise IndexError(f"Too many indices for a `Masked` of rank {ndim}: {ndim - missing} axes are indexed.")
    if sum(item is Ellipsis for item in items) > 1:
        raise IndexError("An index can hold only one Ellipsis (`...`).")
    where = next((i for i, item in enumerate(items) if item is Ellipsis), len(items))
    return (*items[:where], *(_ALL,) * missing, *items[where + 1 :])


def _consumed(item: Any) -> int:
    """How many axes an item of an index takes up."""
    if item is None or item is Ellipsis:
        return 0
    if isinstance(item, Arithmetic):
        raise TypeError(
            "A `Masked` is not an index, because its padding would select something; say what: index with "
            "`x.fill(...)`, or with `x.fill(False)` if it is bool."
        )
    if isinstance(item, (bool, np.bool_)) or (getattr(item, "ndim", 1) == 0 and item.dtype == bool):
        raise IndexError("A `Masked` is not indexed by True or False; use `None` for a new axis.")
    return item.ndim if getattr(item, "dtype", None) == bool else 1


def _as_index_array(items: Any) -> np.ndarray:
    """A list of indices as an array; an empty list selects nothing and is an integer array, not float as in NumPy."""
    array = np.asarray(items)
    return array if array.size else array.astype(int)


def _moves_axes(front: tuple[Any, ...], back: tuple[Any, ...]) -> bool:
    """Whether NumPy would put the axes of an index array in front of the masked axes."""
    items = (*front, *back)
    if not any(map(_is_array, items)) or (any(map(_is_array, front)) and not isinstance(front[0], slice | None)):
        return False
    advanced = [i for i, item in enumerate(items) if not isinstance(item, slice | None)]
    return 0 < len(front) <= advanced[-1] and advanced[-1] - advanced[0] >= len(advanced)


def _is_array(item: Any) -> bool:
    return getattr(item, "ndim", 0) > 0


def _unless_trivial(items: tuple[Any, ...]) -> tuple[Any, ...]:
    return () if all(isinstance(item, slice) and item == _ALL for item in items) else items
