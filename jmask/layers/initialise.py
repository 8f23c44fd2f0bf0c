"""Parameters of layers made of layers: found by following the call once, without computing anything."""

import inspect
import zlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from . import path
from .arguments import is_array


def initialise(layer: Any, key: Any, inputs: tuple[Any, ...]) -> Any:
    """`layer.init` with as many of the inputs of `call` as it takes."""
    parameters = inspect.signature(layer.init).parameters.values()
    if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        inputs = inputs[: sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) - 1]
    return layer.init(key, *inputs)


class Slot:
    """The place of one sub-layer's parameters while they are being made: `params["lstm"]` during `init`."""

    def __init__(self, name: str, key: Any) -> None:
        self.name, self.key = name, key
        self.layer: Any = None
        self.specs: tuple[Any, ...] = ()
        self.params: Any = None

    def fill(self, layer: Any, inputs: tuple[Any, ...]) -> Any:
        """Makes the parameters at the first call and remembers how; later calls share them."""
        if self.layer is None:
            self.layer, self.specs = layer, abstract(inputs)
            self.params = initialise(layer, self.key, self.specs)
        elif self.layer is not layer:
            raise ValueError(f"Two layers share the parameters `{self.name}`; give each its own name in `params`.")
        return self.params

    def _refuse(self, *_: Any) -> Any:
        raise TypeError(
            f"`params[{self.name!r}]` is not the parameters of a sub-layer. A layer with parameters of its own needs "
            "an `init(self, key, *inputs)` that returns all of them."
        )

    __getitem__ = __jax_array__ = __add__ = __mul__ = __matmul__ = __radd__ = __rmul__ = __rmatmul__ = _refuse


class Slots:
    """Stands for `params` in a call that finds out which parameters there are."""

    def __init__(self, key: Any) -> None:
        self.key = key
        self.slots: dict[str, Slot] = {}

    def __getitem__(self, name: str) -> Slot:
        if name not in self.slots:
            self.slots[name] = Slot(name, fold_in_name(self.key, name))
        return self.slots[name]

    def get(self, name: str, _default: Any = None) -> Slot:
        """As `slots[name]`: every name has its place."""
        return self[name]


def collect(call: Callable[..., Any], key: Any, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """The parameters of all sub-layers that `call(params, *inputs)` reaches.

    Args:
        call: a function of `(params, *inputs)`; it runs abstractly, once.
        key: a PRNG key; each sub-layer draws from the key folded with its name.
        inputs: arrays, `Masked` or `jax.ShapeDtypeStruct`, nested; only shapes and dtypes count.

    Returns:
        `{name: parameters}`, without the sub-layers that have none.
    """
    found: dict[str, Slot] = {}

    def trace(key: Any, *inputs: Any) -> None:
        slots = Slots(key)
        call(slots, *inputs)
        found.update(slots.slots)

    eval_shape(trace, key, *inputs)
    made = {}
    for name, slot in found.items():
        if slot.layer is not None:
            with path.scope(name):
                made[name] = initialise(slot.layer, fold_in_name(key, name), slot.specs)
    return {name: params for name, params in made.items() if jax.tree.leaves(params)}


def eval_shape(function: Callable[..., Any], *args: Any) -> Any:
    """`jax.eval_shape`, where arguments may hold static leaves (numbers, strings) beside arrays."""
    leaves, structure = jax.tree.flatten(args)
    arrays = {i: _spec(leaf) for i, leaf in enumerate(leaves) if is_array(leaf)}

    def on_arrays(arrays: dict[int, Any]) -> Any:
        return function(*structure.unflatten(arrays.get(i, leaf) for i, leaf in enumerate(leaves)))

    return jax.eval_shape(on_arrays, arrays)


def abstract(tree: Any) -> Any:
    """Shapes and dtypes in place of arrays."""
    return jax.tree.map(lambda x: _spec(x) if is_array(x) else x, tree)


def fold_in_name(key: Any, name: str) -> Any:
    """A key of one's own for each name, whatever the order of the names."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def _spec(x: Any) -> jax.ShapeDtypeStruct:
    is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended)
    return jax.ShapeDtypeStruct(x.shape, x.dtype if is_key else jnp.result_type(x.dtype))
