"""On a mesh with explicit axes JAX asks how the results of lookups, sums and reorderings are laid out."""

from collections.abc import Callable
from typing import Any

import jax
from jax import lax
from jax.sharding import NamedSharding, PartitionSpec, auto_axes


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


def divided_by_row(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)` of rows; with explicit mesh axes XLA divides its work, and its results are divided by rows.

    Args:
        function: its results are arrays whose first axis is that of the rows.
        *args: pytrees of arrays. The first array that is divided over its first axis says how.

    Returns:
        What the function gives.
    """
    return _by_xla(function, args, lambda axes: PartitionSpec(axes))


def as_whole(function: Callable[..., Any], *args: Any) -> Any:
    """`function(*args)`; with explicit mesh axes XLA divides its work, and every device gets all of its results."""
    return _by_xla(function, args, lambda _: PartitionSpec())


def _by_xla(function: Callable[..., Any], args: Any, spec: Callable[[Any], PartitionSpec]) -> Any:
    found = [jax.typeof(leaf).sharding for leaf in jax.tree.leaves(args)]
    divided = [sharding for sharding in found if sharding.mesh.explicit_axes]
    if not divided:
        return function(*args)
    axes = next((s.spec[0] for s in divided if len(s.spec) and s.spec[0] is not None), None)
    mesh = divided[0].mesh
    return auto_axes(function, axes=mesh.explicit_axes, out_sharding=NamedSharding(mesh, spec(axes)))(*args)


def _spec(sharding: Any, ndim: int) -> tuple[Any, ...]:
    return (*sharding.spec, *(None,) * (ndim - len(sharding.spec)))


def _names(part: Any) -> set[str]:
    """The mesh axes over which one axis of an array is divided."""
    return set() if part is None else {part} if isinstance(part, str) else set(part)
