"""Functions of rows on several devices: each runs its own rows.

Such a function decides by the masks, inside the program, what it computes. Inside `jax.shard_map` each device does so
for its own rows. On a mesh with explicit axes the types of the arrays say how the batch is laid out, and
`on_each_device` enters a `jax.shard_map` by itself. On a mesh with automatic axes nothing is known when the program is
traced; there the function is one that `divides_rows`. Where axes of several kinds meet, a plain program is the default.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from .automatic_axes import is_automatic


def on_each_device(function: Callable[[Any, Any], Any], rows: Any) -> Callable[[Any, Any], Any]:
    """A function of `(rows, weights)`, run on each device for its own rows, where the types say which these are.

    Args:
        function: its results begin with the rows' axis, as all arrays in `rows` do.
        rows: the pytree that it will get.

    Returns:
        The function itself where there is nothing to divide.
    """
    axes = rows_axes(_first(rows))
    if axes is None:
        return _with_varying(function) if jax.sharding.get_abstract_mesh().manual_axes else function
    by_row = jax.tree.map(lambda _: PartitionSpec(axes), rows)
    return jax.shard_map(
        _with_varying(function),
        mesh=jax.typeof(_first(rows)).sharding.mesh,
        in_specs=(by_row, PartitionSpec()),
        out_specs=PartitionSpec(axes),
    )


def is_laid_out(rows: Any, weights: Any) -> bool:
    """Whether explicit mesh axes divide nothing but the rows, and every array of them alike."""

    def spec(leaf: Any) -> tuple[Any, ...]:
        return tuple(jax.typeof(leaf).sharding.spec)

    by_row = {spec(leaf)[:1] for leaf in jax.tree.leaves(rows)}
    rest = [axis for leaf in jax.tree.leaves(rows) for axis in spec(leaf)[1:]]
    rest += [axis for leaf in jax.tree.leaves(weights) for axis in spec(leaf)]
    return len(by_row) == 1 and all(axis is None for axis in rest)


def is_divisible(rows: Any) -> bool:
    """Whether each device can run its own rows: unless automatic mesh axes meet others, which alone are known."""
    mesh = jax.sharding.get_abstract_mesh()
    if mesh.manual_axes:
        return set(mesh.manual_axes) == set(mesh.axis_names)
    return is_automatic(rows) or rows_axes(_first(rows)) is not None or jax.device_count() == 1


def zeros(shape: tuple[int, ...], dtype: Any, like: Any) -> Any:
    """Zeros that vary over the same mesh axes as any array in `like`: under `shard_map` a loop's carry must say so."""
    array = jnp.zeros(shape, dtype)
    return array + anchor(dtype, like) if jax.sharding.get_abstract_mesh().manual_axes else array


def anchor(dtype: Any, like: Any) -> Any:
    """A zero that varies over the same mesh axes as any array in `like`."""
    return sum(jnp.zeros_like(leaf, shape=(), dtype=dtype) for leaf in jax.tree.leaves(like))


def _first(rows: Any) -> Any:
    return jax.tree.leaves(rows)[0]


def rows_axes(inputs: Any) -> Any:
    """The explicit mesh axes over which the rows are spread, or None."""
    spec = jax.typeof(inputs).sharding.spec
    return spec[0] if spec else None


def _with_varying(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """The function, of floats that all vary over the same mesh axes, as `jax.shard_map` asks.

    A custom derivative must give each argument a gradient that varies as the argument does; the sum over devices that
    weights need is then JAX's own, the derivative of this.
    """

    def run(rows: Any, weights: Any) -> Any:
        zero = anchor(jnp.float32, (rows, weights))

        def vary(leaf: Any) -> Any:
            return leaf + zero.astype(leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

        return function(*jax.tree.map(vary, (rows, weights)))

    return run
