"""Layers and models as modules of Flax, which is loaded when one is made."""

from typing import Any

from ..protocol.layer import Layer


def to_nnx(model: Layer, *inputs: Any, rngs: Any) -> Any:
    """A layer or model as an `nnx.Module`, alone or as a part of yours.

    Parameters are `nnx.Param`, running statistics `nnx.BatchStat`, by the names that `model.init` gives them, in
    `module.params` and `module.statistics`. So `nnx.jit`, `nnx.grad`, `nnx.split`, `nnx.Optimizer` and checkpoints work
    as for any module. As with Flax' own, `module.train()` and `module.eval()` switch dropout and statistics; a new
    module trains.

    Args:
        model: the layer or model.
        *inputs: an example, unless the model has an `Input`.
        rngs: `nnx.Rngs`; parameters are drawn from its stream `params`, dropout from `dropout`.

    Returns:
        The module; `module(x)` takes and returns what `model.apply(params, x)` does.

    >>> import jax.numpy as jnp, jmask as jm
    >>> from flax import nnx
    >>> x = jm.from_lengths(jnp.ones((2, 3, 4)), [3, 1])
    >>> module = jm.flax.to_nnx(jm.layers.Dense(2), x, rngs=nnx.Rngs(0))
    >>> module(x).lengths.tolist(), module.params["kernel"].shape
    ([3, 1], (4, 2))
    """
    from .nnx import NnxModel

    if not hasattr(rngs, "params"):
        raise TypeError(f"`to_nnx` draws from `rngs`, such as `rngs=nnx.Rngs(0)`; received {rngs!r:.80}.")
    return NnxModel(model, *inputs, rngs=rngs)


def to_linen(model: Layer, name: str | None = None) -> Any:
    """A layer or model as a `flax.linen.Module`, alone or as a part of yours.

    Its variables are `{"params": ..., "batch_stats": ...}`, what `model.init` and `model.init_state` give. It draws
    from the stream `dropout`, and changes `batch_stats` where they are mutable, in training.

    Args:
        model: the layer or model.
        name: of the module, within another.

    Returns:
        The module; `module.apply(variables, x, training=False)` takes and returns what `model.apply(params, x)` does.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.ones((2, 3, 4)), [3, 1])
    >>> module = jm.flax.to_linen(jm.layers.Dense(2))
    >>> variables = module.init(jax.random.key(0), x)
    >>> module.apply(variables, x).lengths.tolist(), variables["params"]["kernel"].shape
    ([3, 1], (4, 2))
    """
    from .linen import LinenModel

    return LinenModel(model, name=name)
