"""The engine on several devices: each runs its own rows.

Inside `jax.shard_map` that is so already. On a mesh with explicit axes the types of the arrays say how the batch is
laid out, and the engine enters a `jax.shard_map` by itself. On a mesh with automatic axes nothing is known while the
program is traced, and XLA would gather the whole batch on every device, because it cannot divide lanes; a plain scan it
can divide, so that is the default there.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.sharding import PartitionSpec

from .arrays import anchor


def over_devices(function: Callable[[Any, Any], Any], rows: Any, weights: Any) -> Any:
    """`function(rows, weights)`, for each device's rows alone where the types say which these are.

    Args:
        function: what it returns begins with the rows' axis, as all arrays in `rows` do.
        rows: a pytree.
        weights: a pytree.
    """
    axes = _rows_axes(rows.inputs)
    if axes is None:
        return function(*_varying(rows, weights))
    by_row = jax.tree.map(lambda _: PartitionSpec(axes), rows)
    replicated = jax.tree.map(lambda _: PartitionSpec(), weights)

    def local(rows: Any, weights: Any) -> Any:
        return function(*_varying(rows, weights))

    mapped = jax.shard_map(
        local, mesh=jax.typeof(rows.inputs).sharding.mesh, in_specs=(by_row, replicated), out_specs=PartitionSpec(axes)
    )
    return mapped(rows, weights)


def is_laid_out(rows: Any, weights: Any) -> bool:
    """Whether no explicit mesh axis divides anything but the rows, all of them alike."""

    def spec(leaf: Any) -> tuple[Any, ...]:
        return tuple(jax.typeof(leaf).sharding.spec)

    by_row = {spec(leaf)[:1] for leaf in jax.tree.leaves(rows)}
    rest = [axis for leaf in jax.tree.leaves(rows) for axis in spec(leaf)[1:]]
    rest += [axis for leaf in jax.tree.leaves(weights) for axis in spec(leaf)]
    return len(by_row) == 1 and all(axis is None for axis in rest)


def is_known(rows: Any) -> bool:
    """Whether it is known which device has which rows: one device, concrete arrays, or axes that are not automatic."""
    inputs = rows.inputs
    if jax.device_count() == 1 or isinstance(inputs, np.ndarray):
        return True
    if not isinstance(inputs, Tracer):
        return len(inputs.sharding.device_set) == 1 or _rows_axes(inputs) is not None
    mesh = jax.sharding.get_abstract_mesh()
    return set(mesh.manual_axes) == set(mesh.axis_names) != set() or _rows_axes(inputs) is not None


def _rows_axes(inputs: Any) -> Any:
    """The explicit mesh axes over which the rows are spread, or None."""
    spec = jax.typeof(inputs).sharding.spec
    return spec[0] if spec else None


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
