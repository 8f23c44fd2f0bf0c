"""Whether an nnx module computes what a layer does: it holds its options, which variables of linen do not."""

from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from .. import layers
from ..protocol.options import activation
from ..weights import LayerPlace

_CELLS = (layers.LSTM, layers.GRU, layers.SimpleRNN)
_PROBES = np.linspace(-3, 3, 13, dtype=np.float32)


def check_options(place: LayerPlace, module: Any) -> None:
    """Raises if the module of a place computes something else than its layer.

    Args:
        place: the layer, and the name of the module.
        module: the module that has all others in it.
    """
    own = _inner(module, place.module)
    for name, ours, their_name, theirs in _options(place.layer, own):
        if ours != theirs:
            raise ValueError(
                f"`from_nnx`: {place.described} has {name}={getattr(place.layer, name, None)!r}, and the module "
                f"{place.module or type(own).__name__!r} has {their_name}={theirs!r}. Give the layer the option of the "
                "module, if jmask has it."
            )


def _inner(module: Any, name: str) -> Any:
    for part in filter(None, name.split("/")):
        module = module[int(part)] if part.isdecimal() else getattr(module, part)
    return module


def _options(layer: Any, module: Any) -> Iterator[tuple[str, Any, str, Any]]:
    """Each option: our name and value, Flax' name and value."""
    if isinstance(layer, _CELLS):
        yield "go_backwards", layer.go_backwards, "reverse", getattr(module, "reverse", layer.go_backwards)
        if getattr(module, "reverse", False) and module.keep_order:  # ours gives outputs in the order of its steps
            yield "keep_order", False, "keep_order", True
        if getattr(module, "time_major", False):
            yield "time_major", False, "time_major", True
        cell = getattr(module, "cell", module)
        if getattr(cell, "residual", False):
            yield "residual", False, "residual", True
        for name, theirs in (("activation", "activation_fn"), ("recurrent_activation", "gate_fn")):
            if hasattr(layer, name) and hasattr(cell, theirs):
                ours, function = activation(getattr(layer, name)), getattr(cell, theirs)
                is_same = function is ours or np.allclose(*(jax.vmap(f)(_PROBES) for f in (ours, function)), atol=1e-5)
                yield name, None if is_same else ours, theirs, None if is_same else function
    elif hasattr(layer, "epsilon"):
        yield "epsilon", layer.epsilon, "epsilon", module.epsilon
        if isinstance(layer, layers.GroupNormalization):
            yield "groups", layer.groups, "num_groups", module.num_groups
        elif hasattr(module, "reduction_axes"):
            yield "axis", (-1,), "reduction_axes", _axes(module.reduction_axes)
    if isinstance(layer, layers.Conv1D):
        yield "strides", layer.strides, "strides", _only(module.strides)
        yield "dilation_rate", layer.dilation_rate, "kernel_dilation", _only(module.kernel_dilation)
        yield "groups", layer.groups, "feature_group_count", module.feature_group_count
        yield "padding", layer.padding.upper(), "padding", module.padding


def _axes(axes: Any) -> tuple[int, ...]:
    return (axes,) if isinstance(axes, int) else tuple(axes)


def _only(sizes: Any) -> int:
    return sizes if isinstance(sizes, int) else 1 if sizes is None else sizes[0]
