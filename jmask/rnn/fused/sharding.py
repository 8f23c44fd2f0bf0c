"""The engine on several devices: each runs its own rows.

Inside `jax.shard_map` that is so already. On a mesh with explicit axes the types of the arrays say how the batch is
laid out, and the engine enters a `jax.shard_map` by itself. On a mesh with automatic axes nothing can be known while the
program is traced: results are the same, but XLA gathers the batch first, so a `jax.shard_map` around the model is
faster.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

from .arrays import anchor


def over_devices(function: Callable[[Any, Any], Any], rows: Any, weights: Any) -> Any:
    """`function(rows, weights)`, for each device's rows alone where the types say which these are.

    Args:
        function: what it returns begins with the rows' axis, as all arrays in `rows` do.
        rows: a pytree.
        weights: a pytree.
    """
    sharding = jax.typeof(rows.inputs).sharding
    axes = sharding.spec[0] if sharding.spec else None
    if axes is None:
        return function(*_varying(rows, weights))
    by_row = jax.tree.map(lambda _: PartitionSpec(axes), rows)
    replicated = jax.tree.map(lambda _: PartitionSpec(), weights)

    def local(rows: Any, weights: Any) -> Any:
        return function(*_varying(rows, weights))

    mapped = jax.shard_map(local, mesh=sharding.mesh, in_specs=(by_row, replicated), out_specs=PartitionSpec(axes))
    return mapped(rows, weights)


def is_laid_out(rows: Any, weights: Any) -> bool:
    """Whether only the batch axis of the rows is spread over explicit mesh axes, and no axis of the weights."""

    def spread(leaf: Any) -> tuple[Any, ...]:
        return tuple(jax.typeof(leaf).sharding.spec)

    by_row = {spread(leaf)[:1] for leaf in jax.tree.leaves(rows)}
    rest = [axis for leaf in jax.tree.leaves(rows) for axis in spread(leaf)[1:]]
    rest += [axis for leaf in jax.tree.leaves(weights) for axis in spread(leaf)]
    return len(by_row) == 1 and all(axis is None for axis in rest)


def _varying(rows: Any, weights: Any) -> tuple[Any, Any]:
    """Under `jax.shard_map`, all floats as ones that vary over the same mesh axes.

    A derivative of one's own must give each argument a gradient that varies as the argument does; the sum over devices
    that weights need is then JAX's, the derivative of this.
    """
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return rows, weights
    zero = anchor(jnp.float32, (rows, weights))

    def vary(leaf: Any) -> Any:
        return leaf + zero.astype(leaf.dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf

    return jax.tree.map(vary, (rows, weights))
