"""Functions of rows on a mesh with automatic axes: XLA is told that each device can run its own rows.

A function whose work depends on the masks has loops, gathers and sorts that XLA cannot divide: it would gather the
batch on every device. `jax.experimental.custom_partitioning` makes the function one operation for XLA. Where rows are
divided when it comes to compile, it asks here for the program of a single device.
"""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
from jax.experimental.custom_partitioning import custom_partitioning
from jax.sharding import Mesh, NamedSharding, PartitionSpec

_ROWS = "rows"  # the name of their axis in a rule of Shardy


def divides_rows(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Lets XLA divide the rows of `function(rows, weights)` over devices, where the mesh has automatic axes.

    Args:
        function: returns `(by_row, sums)`, pytrees of arrays. Those of `rows` and `by_row` begin with the rows' axis,
            and as many rows as a device has give as much of `by_row`; `sums` are sums over rows.

    Returns:
        The function. `by_row` is divided as `rows` are; `weights` and `sums` are whole on every device, for which the
        sums of all devices are added up. Rows that the devices do not divide evenly are gathered. A program for one
        device is that of the function itself. It has no derivative, and no rule for `jax.vmap`.
    """
    own = jax.jit(function)  # so that no constant is outside: `custom_partitioning` takes none

    def run(rows: Any, weights: Any) -> Any:
        if not is_automatic((rows, weights)):
            return function(rows, weights)
        rule = _rule((rows, weights), jax.eval_shape(own, rows, weights))
        return _operation(own, rule)(rows, weights)

    return run


def is_automatic(args: Any) -> bool:
    """Whether several devices may run a program, and no mesh axis is explicit, nor manual as under `jax.shard_map`."""
    mesh = jax.sharding.get_abstract_mesh()
    if jax.device_count() == 1 or mesh.manual_axes or mesh.explicit_axes:
        return False
    return not any(jax.typeof(leaf).sharding.mesh.explicit_axes for leaf in jax.tree.leaves(args))


@functools.cache
def _operation(own: Callable[[Any, Any], Any], rule: str) -> Callable[[Any, Any], Any]:
    """The same object each time, so that equal programs are found to be equal."""
    operation = custom_partitioning(own)
    partition = functools.partial(_partition, own)
    operation.def_partition(partition=partition, infer_sharding_from_operands=_results, sharding_rule=rule)
    return operation


def _rule(args: Any, results: Any) -> str:
    """That the first axes of all arrays by row are divided alike, and that no other axis has to do with another one.

    Args:
        args: `(rows, weights)`.
        results: `(by_row, sums)`.
    """

    def names(side: str, trees: Any) -> str:
        by_row = [True] * len(jax.tree.leaves(trees[0])) + [False] * len(jax.tree.leaves(trees[1]))
        arrays = []
        for i, (is_row, leaf) in enumerate(zip(by_row, jax.tree.leaves(trees), strict=True)):
            axes = [f"{side}{i}_{axis}" for axis in range(len(leaf.shape))]
            arrays.append(" ".join([_ROWS, *axes[1:]] if is_row else axes))
        return ", ".join(arrays)

    return f"{names('a', args)} -> {names('r', results)}"


def _partition(own: Callable[[Any, Any], Any], mesh: Mesh, args: Any, results: Any) -> Any:
    """The mesh, the program of one device, and how results and arguments are laid out: called by XLA."""
    if mesh.empty:
        mesh = Mesh(list(jax.tree.leaves(args)[0].sharding.device_set), (_ROWS,))
    axes = _axes_of_rows(mesh, args)
    names = (axes,) if isinstance(axes, str) else axes

    def program(rows: Any, weights: Any) -> Any:
        by_row, sums = own(rows, weights)
        return by_row, jax.lax.psum(sums, names) if names else sums

    return mesh, program, _laid_out(mesh, axes, results), _laid_out(mesh, axes, args)


def _results(mesh: Mesh, args: Any, results: Any) -> Any:
    """How results are laid out, for the partitioner before Shardy."""
    return _laid_out(mesh, _axes_of_rows(mesh, args), results)


def _laid_out(mesh: Mesh, axes: Any, trees: Any) -> Any:
    """The layout of each array of `(by_row, whole)`."""
    layouts = (NamedSharding(mesh, PartitionSpec(axes)), NamedSharding(mesh, PartitionSpec()))
    return tuple(jax.tree.map(lambda _, s=layout: s, tree) for tree, layout in zip(trees, layouts, strict=True))


def _axes_of_rows(mesh: Mesh, args: Any) -> Any:
    """The mesh axes over which rows are divided, those of any array by row; None where devices have all rows."""
    for leaf in jax.tree.leaves(args[0]):
        spec = tuple(getattr(leaf.sharding, "spec", ()))
        axes = spec[0] if spec else None
        if axes is not None:
            names = (axes,) if isinstance(axes, str) else axes
            return axes if leaf.shape[0] % math.prod(mesh.shape[name] for name in names) == 0 else None
    return None
