"""Parameters of layers made of layers: found by tracing the call once, without computing anything."""

import inspect
import zlib
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import jax
import jax.numpy as jnp

from ..core.errors import muted
from . import path
from .arguments import is_array


def init_layer(layer: Any, key: Any, inputs: tuple[Any, ...]) -> Any:
    """Calls `layer.init` with as many of the inputs of `call` as it takes."""
    parameters = inspect.signature(layer.init).parameters.values()
    if not any(p.kind is p.VAR_POSITIONAL for p in parameters):
        inputs = inputs[: sum(p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD) for p in parameters) - 1]
    return layer.init(key, *inputs)


# A ContextVar, because it must pass through the `init` of the user's own layers, which has no argument for it.
_shapes_only: ContextVar[bool] = ContextVar("jmask_shapes_only", default=False)


@jax.tree_util.register_static
class ParamsRef:
    """A placeholder for one sub-layer's parameters while they are being made: `params["lstm"]` during `init`.

    It is a pytree without leaves, so it passes through `jax.checkpoint`, `jax.vmap` and the like, as parameters do.
    """

    def __init__(self, name: str, key: Any) -> None:
        self.name, self.key = name, key
        self.required = False
        self.layer: Any = None
        self.specs: tuple[Any, ...] = ()
        self.shapes: Any = None

    @property
    def params(self) -> Any:
        """Zeros in the shapes of the parameters, made at each use, which may be in a different trace."""
        return jax.tree.map(lambda spec: jnp.zeros(spec.shape, spec.dtype), self.shapes)

    def fill(self, layer: Any, inputs: tuple[Any, ...]) -> Any:
        """Finds the shapes of the parameters at the first call, and remembers its inputs; later calls share them."""
        if self.layer is None:
            self.layer, self.specs = layer, abstract(inputs)
            token = _shapes_only.set(True)
            try:
                with muted():
                    self.shapes = jax.eval_shape(lambda key: init_layer(layer, key, self.specs), _spec(self.key))
            finally:
                _shapes_only.reset(token)
        elif self.layer is not layer:
            raise ValueError(
                f"{path.current()}: two layers share the parameters `{self.name}`; give each its own name in `params`."
            )
        return self.params

    def init(self, key: Any) -> Any:
        """The parameters themselves."""
        with muted():
            return init_layer(self.layer, fold_in_name(key, self.name), self.specs)

    def _refuse(self, *_: Any) -> Any:
        raise TypeError(self._refusal())

    def _refusal(self) -> str:
        return (
            f"`params[{self.name!r}]` is used as an array or a dict, but while `init` follows `call` it stands for the "
            f"parameters of a sub-layer: `layer.apply(params[{self.name!r}], ...)`. A layer with parameters of its own "
            "needs an `init(self, key, *inputs)` that returns all of them."
        )

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(self._refusal())

    __getitem__ = __iter__ = __contains__ = __len__ = __jax_array__ = _refuse
    __add__ = __sub__ = __mul__ = __truediv__ = __matmul__ = __neg__ = _refuse
    __radd__ = __rsub__ = __rmul__ = __rtruediv__ = __rmatmul__ = _refuse


@jax.tree_util.register_static
class LazyParams:
    """Replaces `params` in a call that finds out which parameters there are."""

    def __init__(self, key: Any) -> None:
        self.key = key
        self.slots: dict[str, ParamsRef] = {}

    def __getitem__(self, name: str) -> ParamsRef:
        slot = self.get(name)
        slot.required = True  # `call` will look for it, even if it is empty
        return slot

    def get(self, name: str, _default: Any = None) -> ParamsRef:
        """Like `slots[name]`, but a layer without parameters may be missing from `params`."""
        return self.slots.setdefault(name, ParamsRef(name, self.key))

    def __contains__(self, name: str) -> bool:
        return True

    def __iter__(self) -> Any:
        raise TypeError('While `init` follows `call`, `params` only takes names: `params["name"]`.')


def inputs_of_init(layer: Any, bound: inspect.BoundArguments) -> tuple[Any, ...]:
    """The inputs of a call in the order in which `init` takes them, including those given by name."""
    taken = list(inspect.signature(layer.init).parameters.values())[1:]
    given = bound.arguments
    if any(parameter.kind is parameter.VAR_POSITIONAL for parameter in taken) or len(bound.args) == len(given):
        return bound.args
    last = max((i for i, parameter in enumerate(taken) if parameter.name in given), default=-1)
    if last < len(bound.args):
        return bound.args
    return tuple(given.get(parameter.name, parameter.default) for parameter in taken[: last + 1])


def init_sublayers(call: Callable[..., Any], key: Any, inputs: tuple[Any, ...]) -> dict[str, Any]:
    """The parameters of all sub-layers that `call(params, *inputs)` reaches.

    Args:
        call: a function of `(params, *inputs, key=key)`; it runs abstractly, once.
        key: a PRNG key; each sub-layer draws from the key folded with its name.
        inputs: arrays, `Masked` or `jax.ShapeDtypeStruct`, nested; only shapes and dtypes count.

    Returns:
        `{name: parameters}`; a sub-layer without parameters has `{}` if `call` looks it up with `params[name]`.

    Raises:
        ValueError: `call` reads a name without applying a layer to it.
    """
    found: dict[str, ParamsRef] = {}

    def trace(key: Any, *inputs: Any) -> None:
        slots = LazyParams(key)
        call(slots, *inputs, key=key)  # a key for layers that always draw; the draw is discarded
        found.update(slots.slots)

    eval_shape(trace, key, *inputs)
    made = {}
    for name, slot in found.items():
        if slot.layer is not None:
            params = slot.params if _shapes_only.get() else slot.init(key)
            if slot.required or jax.tree.leaves(params):
                made[name] = params
        elif slot.required:
            raise ValueError(
                f"`call` reads `params[{name!r}]` and applies no layer to it, so its parameters are unknown; call "
                f"`layer.apply(params[{name!r}], ...)`, or write an `init(self, key, *inputs)`."
            )
    return made


def eval_shape(function: Callable[..., Any], *args: Any) -> Any:
    """`jax.eval_shape` for arguments that may hold static leaves (numbers, strings) as well as arrays."""
    leaves, structure = jax.tree.flatten(args)
    arrays = {i: _spec(leaf) for i, leaf in enumerate(leaves) if is_array(leaf)}

    def on_arrays(arrays: dict[int, Any]) -> Any:
        return function(*structure.unflatten(arrays.get(i, leaf) for i, leaf in enumerate(leaves)))

    return jax.eval_shape(on_arrays, arrays)


def abstract(tree: Any) -> Any:
    """Replaces arrays by their shapes and dtypes."""
    return jax.tree.map(lambda x: _spec(x) if is_array(x) else x, tree)


def fold_in_name(key: Any, name: str) -> Any:
    """A separate key for each name, whatever the order of the names."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def _spec(x: Any) -> jax.ShapeDtypeStruct:
    is_key = jax.dtypes.issubdtype(x.dtype, jax.dtypes.extended)
    return jax.ShapeDtypeStruct(x.shape, x.dtype if is_key else jax.dtypes.canonicalize_dtype(x.dtype))
