"""Lookups and sums on a mesh with explicit axes, where JAX asks how the result is laid out."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec


def rows_at(table: Any, index: Any, **mode: Any) -> Any:
    """`table.at[index].get(...)`; with explicit mesh axes the result is laid out as the index is.

    Where features of the table are divided over other axes than the index, they stay so.

    Args:
        table: `(rows, ...)`.
        index: integers of any shape.
        **mode: `mode` and `fill_value` of `get`.

    Returns:
        `(*index.shape, ...)`.
    """
    along_index, along_table = (jax.typeof(x).sharding for x in (index, table))
    mesh = along_index.mesh if along_index.mesh.explicit_axes else along_table.mesh
    if not mesh.explicit_axes:
        return table.at[index].get(**mode)
    steps = _spec(along_index, index.ndim)
    used = set().union(*map(_names, steps))
    features = [None if _names(part) & used else part for part in _spec(along_table, table.ndim)[1:]]
    return table.at[index].get(**mode, out_sharding=NamedSharding(mesh, PartitionSpec(*steps, *features)))


def sum_over_steps(function: Callable[[Any, Any], Any], values: Any, index: Any) -> Any:
    """`function(values, index)`, a sum over steps; where explicit mesh axes divide them, the sum of all devices' sums.

    Args:
        function: gives `(results, ...)`, and keeps the axes of `values` behind those of `index`.
        values: `(*index.shape, ...)`.
        index: integers.
    """
    along_values, along_index = (jax.typeof(x).sharding for x in (values, index))
    spec = _spec(along_values, values.ndim)
    divided = tuple(sorted(set().union(*map(_names, spec[: index.ndim]))))
    if not along_values.mesh.explicit_axes or not divided:
        return function(values, index)
    return jax.shard_map(
        lambda values, index: lax.psum(function(values, index), divided),
        mesh=along_values.mesh,
        in_specs=(PartitionSpec(*spec), PartitionSpec(*_spec(along_index, index.ndim))),
        out_specs=PartitionSpec(None, *spec[index.ndim :]),
    )(values, index)


def _spec(sharding: Any, ndim: int) -> tuple[Any, ...]:
    return (*sharding.spec, *(None,) * (ndim - len(sharding.spec)))


def _names(part: Any) -> set[str]:
    """The mesh axes over which one axis of an array is divided."""
    return set() if part is None else {part} if isinstance(part, str) else set(part)
