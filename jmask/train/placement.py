"""Where a state is: it stays divided over devices as it was when it was made."""

from collections.abc import Callable
from typing import Any

import jax
from jax.core import Tracer
from jax.sharding import NamedSharding, PartitionSpec

Layout = tuple[NamedSharding | None, ...]


class Programs:
    """The jitted step, once for each layout of the state, which the new state has as well.

    Left to itself, XLA chooses how the new state is divided: often otherwise, so that the next step is another program,
    and may need more memory.

    Args:
        function: `(state, batch) -> (state, sums)`; it is given the memory of the state.
    """

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self._function = function
        self._own = jax.jit(function, donate_argnums=0)
        self._divided: dict[Any, Any] = {}
        self._last: tuple[Layout | None, Any] = (None, self._own)

    def of(self, state: Any) -> Any:
        """The program for a state, or for its shapes."""
        layout = layout_of(state)
        if layout != self._last[0]:  # quick where it is the same one, as it is step by step
            self._last = layout, self._own if layout is None else self._program(layout, jax.tree.structure(state))
        return self._last[1]

    def size(self) -> int:
        """How many programs were compiled."""
        return sum(program._cache_size() for program in [self._own, *self._divided.values()])

    def _program(self, layout: Layout, structure: Any) -> Any:
        key = layout, structure
        if key not in self._divided:
            shardings = (structure.unflatten(layout), None)
            self._divided[key] = jax.jit(self._function, donate_argnums=0, out_shardings=shardings)
        return self._divided[key]


def layout_of(state: Any) -> Layout | None:
    """How each leaf is divided over a mesh; None where nothing is on one whose axes are automatic.

    Explicit axes are part of the types, which say themselves how results are divided.
    """
    if jax.device_count() == 1:  # which costs a step nothing
        return None
    layout = tuple(_on_a_mesh(leaf) for leaf in jax.tree.leaves(state))
    return layout if any(layout) else None


def on_the_mesh_of(params: Any, tree: Any) -> Any:
    """A tree of which what is on no mesh, such as a count of steps, is put whole on each device of the parameters."""
    mesh = next((sharding.mesh for leaf in jax.tree.leaves(params) if (sharding := _named(leaf))), None)
    if mesh is None:
        return tree
    leaves, structure = jax.tree.flatten(tree)
    alone = {i: leaf for i, leaf in enumerate(leaves) if _named(leaf) is None and not isinstance(leaf, Tracer)}
    everywhere = NamedSharding(mesh, PartitionSpec())
    put = jax.device_put if everywhere.is_fully_addressable else _put_by_all
    moved = put(alone, everywhere)
    return structure.unflatten(moved.get(i, leaf) for i, leaf in enumerate(leaves))


def _put_by_all(tree: Any, sharding: NamedSharding) -> Any:
    """As `jax.device_put`, by all processes together."""
    return jax.jit(lambda leaves: leaves, out_shardings=sharding)(tree)


def _on_a_mesh(leaf: Any) -> NamedSharding | None:
    sharding = _named(leaf)
    return None if sharding is None or sharding.mesh.explicit_axes else sharding


def _named(leaf: Any) -> NamedSharding | None:
    """The sharding of an array, or of its shape, that is divided over several devices or may be."""
    if isinstance(leaf, Tracer):
        return None
    sharding = getattr(leaf, "sharding", None)
    return sharding if isinstance(sharding, NamedSharding) and sharding.mesh.size > 1 else None
