"""A function of one sequence, or a Flax module, as a layer: it runs on each sequence alone, through `jm.vmap`."""

import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from ..masked import values_of
from ..transform import vmap
from . import path
from .base import Layer


class PerSequence(Layer):
    """Runs a function of one sequence on each sequence alone, exactly, whatever padding the batch has (see `jm.vmap`).

    The function sees neither masks nor padding nor the batch. A `flax.linen` module is initialised with the layer, on a
    row of the batch, and its parameters are the layer's; a `flax.nnx` module brings its parameters along. Either way
    they are arguments of the model like all others.

    Attributes:
        function: a function of one sequence, or of several inputs; a `flax.linen.Module` or a `flax.nnx.Module`.
        lengths: names for the lengths of several inputs, as for `jm.vmap`.
        constraints: what it needs of the lengths, as for `jm.vmap`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.layers.PerSequence(jnp.flip).apply({}, jm.pad_sequences([[1, 2, 3], [4]]))
    Masked(int32[2, 3], lengths=[3 1])
    [[3 2 1]
     [4 · ·]]
    """

    takes_masked = True

    function: Callable[..., Any]
    _: dataclasses.KW_ONLY
    lengths: Any = None
    constraints: Sequence[str] = ()

    def __post_init__(self) -> None:
        """Checks the function while the user's line is still on the stack."""
        if not callable(self.function):
            raise TypeError(f"`PerSequence` takes a function or a Flax module; received {self.function!r}.")

    @property
    def default_name(self) -> str:
        """The class of a Flax module, or the name of the function, in snake case."""
        if _is_of(self.function, "flax.linen") or _is_of(self.function, "flax.nnx"):
            return path.snake_case(type(self.function).__name__)
        name = getattr(self.function, "__name__", "")
        return path.snake_case(name) if name.isidentifier() else super().default_name

    def init(self, key: Any, *inputs: Any) -> Any:
        """The parameters of the Flax module, `{}` for a function."""
        if _is_of(self.function, "flax.nnx"):
            nnx = sys.modules["flax.nnx"]
            return nnx.to_pure_dict(nnx.state(self.function, nnx.Param))
        if not _is_of(self.function, "flax.linen"):
            return {}
        rows = [jnp.zeros(values_of(x).shape[1:], values_of(x).dtype) for x in inputs]
        variables = dict(self.function.init(key, *rows))  # pyright: ignore[reportFunctionMemberAccess] - of linen
        params = variables.pop("params", {})
        if variables:
            raise ValueError(
                f"{path.current()}: `{type(self.function).__name__}` has the collections {sorted(variables)} beside "
                "its parameters. A layer has parameters alone; statistics over a batch, which they mostly are, are no "
                "function of one sequence either."
            )
        return params

    def call(self, params: Any, *inputs: Any, training: bool = False, key: Any = None) -> Any:
        """What the function gives for each sequence; a `Masked` where its shape depends on a length."""
        if key is None or not training or not _is_of(self.function, "flax.linen"):
            return self._vmap(lambda *rows: self._run(params, rows))(*inputs)
        keys = jax.random.split(key, inputs[0].shape[0])
        lengths = self.lengths if self.lengths is None or isinstance(self.lengths, str) else (None, *self.lengths)
        return self._vmap(lambda key, *rows: self._run(params, rows, {"dropout": key}), lengths)(keys, *inputs)

    def _vmap(self, function: Callable[..., Any], lengths: Any = None) -> Callable[..., Any]:
        return vmap(function, lengths=self.lengths if lengths is None else lengths, constraints=self.constraints)

    def _run(self, params: Any, rows: tuple[Any, ...], rngs: Any = None) -> Any:
        if _is_of(self.function, "flax.linen"):
            return self.function.apply({"params": params}, *rows, rngs=rngs)  # pyright: ignore[reportFunctionMemberAccess]
        if _is_of(self.function, "flax.nnx"):
            return self._module(params)(*rows)
        return self.function(*rows)

    def _module(self, params: Any) -> Any:
        """A `flax.nnx` module of this trace, so that it may change what it keeps, with these parameters."""
        nnx = sys.modules["flax.nnx"]
        module = nnx.clone(self.function)
        state = nnx.state(module, nnx.Param)
        nnx.replace_by_pure_dict(state, params)
        nnx.update(module, state)
        return module


def _is_of(function: Any, package: str) -> bool:
    """Whether it is a module of this package; nobody has one without having imported the package."""
    module = sys.modules.get(package)
    return module is not None and isinstance(function, module.Module)
