"""From the variables of Flax' modules to the parameters of a layer or model, and back."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..protocol.layer import Layer
from ..weights import (
    LayerPlace,
    Library,
    Tensors,
    branch_at,
    check_complete,
    check_epsilon,
    check_shapes,
    find_places,
    put_at,
    unused,
)
from .options import check_options
from .rules import EPSILONS, RULES, parts_of
from .variables import in_linen, in_nnx, is_nnx_module, of_linen, of_nnx

Modules = Mapping[str, str] | None
_STATISTICS = ("moving_mean", "moving_variance")
_LINEN, _NNX = (
    Library(
        name="Flax",
        reader=f"`from_{kind}`",
        writer=f"`{writer}`",
        call=f"jm.flax.{writer}({target}, {{}}, {{}})",
        separator="/",
        rules=RULES,
        module="flax_name",
        parts=parts_of,
    )
    for kind, writer, target in (("linen", "linen_variables", "variables"), ("nnx", "nnx_state", "module"))
)


def from_linen(model: Layer, variables: Any, modules: Modules = None) -> tuple[Any, Any]:
    """Parameters and running statistics of a layer or model, from the variables of a module of `flax.linen`.

    Takes `RNN` of an `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` or `SimpleCell`, `Bidirectional` of them, `Dense`,
    `Embed`, `Conv` over time, `LayerNorm`, `RMSNorm`, `GroupNorm`, `BatchNorm` and `MultiHeadDotProductAttention`.
    Outputs are then those of Flax on each sequence alone.

    Args:
        model: a layer, or a model whose layers have the names of Flax' modules, such as
            `jm.layers.Dense(5, name="head")`.
        variables: `{"params": ..., "batch_stats": ...}`, as `module.init` returns and `module.apply` takes them.
        modules: the name of the layer for a module, where they differ: `{"Dense_0": "head", "encoder/rnn": "lstm"}`. A
            compact module keeps its cells beside its other modules, with names such as `"GRUCell_0"`; those of a
            `Bidirectional` are then `{"GRUCell_0": "both/forward", "GRUCell_1": "both/backward"}`. A layer in a model
            in the model is `"inner/dense"`, the module itself is `""`.

    Returns:
        Parameters, as from `model.init`, and running statistics, `{}` if there are none. Variables do not hold options:
        give layers Flax', such as `LayerNormalization(epsilon=1e-6)`, `Conv1D(padding="same")`,
        `LSTM(activation="relu")`.

    Raises:
        TypeError: the variables or `modules` are of no such kind, or the model is no layer.
        ValueError: a layer finds no array, an array no layer, shapes differ in a model that knows its inputs (of
            others, wrong sizes show when they are applied, if at all: give them a `jm.Input`), or a cell is not that
            of the layer.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> from flax import linen as nn
    >>> rnn, x = nn.RNN(nn.LSTMCell(3)), jnp.ones((2, 4, 5))
    >>> variables = rnn.init(jax.random.key(0), x)
    >>> layer = jm.layers.LSTM(3, return_sequences=True)
    >>> params, state = jm.flax.from_linen(layer, variables)
    >>> bool(jnp.allclose(layer.apply(params, x), rnn.apply(variables, x), atol=1e-5))
    True
    """
    return _read(_LINEN, model, of_linen(variables), modules)


def from_nnx(model: Layer, module: Any, modules: Modules = None) -> tuple[Any, Any]:
    """Parameters and running statistics of a layer or model, from a module of `flax.nnx`.

    Takes the same modules as `from_linen`, and checks that their options and ours agree: activations, `epsilon`, and
    what a convolution does.

    Args:
        model: as for `from_linen`.
        module: the module, or its state, which holds no options to check.
        modules: as for `from_linen`; the second layer of an `nnx.Sequential` is `"layers/1"`.

    Returns:
        Parameters and running statistics, as from `from_linen`.

    Raises:
        TypeError: as `from_linen`.
        ValueError: as `from_linen`, or a layer and its module have different options.

    >>> import jax.numpy as jnp, jmask as jm
    >>> from flax import nnx
    >>> rnn, x = nnx.RNN(nnx.GRUCell(5, 3, rngs=nnx.Rngs(0))), jnp.ones((2, 4, 5))
    >>> layer = jm.layers.GRU(3, return_sequences=True)
    >>> params, state = jm.flax.from_nnx(layer, rnn)
    >>> bool(jnp.allclose(layer.apply(params, x), rnn(x), atol=1e-5))
    True
    """
    arrays = of_nnx(module)
    check = functools.partial(check_options, module=module) if is_nnx_module(module) else None
    return _read(_NNX, model, arrays, modules, check)


def linen_variables(variables: Any, model: Layer, params: Any, state: Any = None, modules: Modules = None) -> Any:
    """The variables of a module of `flax.linen` that computes what a layer or model does; the inverse of `from_linen`.

    Args:
        variables: those of the module as it is, for their names: `module.init(key, x)`.
        model: as for `from_linen`.
        params: its parameters.
        state: its running statistics.
        modules: as for `from_linen`.

    Returns:
        Variables for `module.apply`. A cell of Flax has a bias; for a layer without one it is 0.

    Raises:
        TypeError: as `from_linen`, or the parameters are no dict.
        ValueError: as `from_linen`, Flax has no module like a layer with parameters, or parameters or statistics are
            missing.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> from flax import linen as nn
    >>> rnn, x, layer = nn.RNN(nn.LSTMCell(3)), jnp.ones((2, 4, 5)), jm.layers.LSTM(3, return_sequences=True)
    >>> params = layer.init(jax.random.key(0), x)
    >>> variables = jm.flax.linen_variables(rnn.init(jax.random.key(1), x), layer, params)
    >>> bool(jnp.allclose(rnn.apply(variables, x), layer.apply(params, x), atol=1e-5))
    True
    """
    return in_linen(variables, _write(_LINEN, of_linen(variables), model, params, state, modules))


def nnx_state(module: Any, model: Layer, params: Any, state: Any = None, modules: Modules = None) -> Any:
    """The state of a module of `flax.nnx` that computes what a layer or model does; the inverse of `from_nnx`.

    Args:
        module: the module, or its state. It stays as it is.
        model: as for `from_linen`.
        params: its parameters.
        state: its running statistics.
        modules: as for `from_nnx`.

    Returns:
        Its `nnx.Param` and `nnx.BatchStat`, for `nnx.update(module, state)`.

    Raises:
        TypeError: as `linen_variables`.
        ValueError: as `linen_variables`, or a GRU has a bias that `nnx.GRUCell` has not.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> from flax import nnx
    >>> linear, layer = nnx.Linear(5, 3, rngs=nnx.Rngs(0)), jm.layers.Dense(3)
    >>> params = layer.init(jax.random.key(0), jnp.ones((2, 5)))
    >>> nnx.update(linear, jm.flax.nnx_state(linear, layer, params))
    >>> bool((linear.kernel[...] == params["kernel"]).all())
    True
    """
    return in_nnx(module, _write(_NNX, of_nnx(module), model, params, state, modules))


def _read(
    library: Library,
    model: Layer,
    arrays: dict[str, Any],
    modules: Modules,
    check: Callable[[LayerPlace], None] | None = None,
) -> tuple[Any, Any]:
    params: dict[str, Any] = {}
    state: dict[str, Any] = {}
    for place in find_places(model, modules, library):
        of_module = _arrays_of(place, arrays, library, library.reader)
        found = jax.tree.map(jnp.asarray, place.rule.read(place.layer, of_module))
        if check is not None:
            check(place)
        elif type(place.layer) in EPSILONS:
            check_epsilon(place, EPSILONS[type(place.layer)], library)
        put_at(params, place.path, {name: x for name, x in found.items() if name not in _STATISTICS})
        if statistics := {name: x for name, x in found.items() if name in _STATISTICS}:
            put_at(state, place.path, statistics)
    if arrays:
        raise ValueError(f"{unused(sorted(arrays), model, library)}read the layers one by one.")
    if not hasattr(model, "named_layers"):
        return params[""], state.get("", {})
    check_shapes(model, params, library)
    return params, state


def _write(
    library: Library, arrays: dict[str, np.ndarray], model: Layer, params: Any, state: Any, modules: Modules
) -> dict[str, Any]:
    """The arrays of a module by name."""
    if not hasattr(model, "named_layers"):
        params, state = {"": params}, {"": state}
    places = find_places(model, modules, library)
    check_complete(places, params, state, library)
    written: dict[str, Any] = {}
    for place in places:
        nest = jax.tree.map(np.asarray, {**branch_at(params, place.path), **branch_at(state, place.path)})
        found = place.rule.write(place.layer, nest, _arrays_of(place, arrays, library, library.writer))
        written |= {library.join(place.module, name): x for name, x in found.items()}
    for name in sorted(written.keys() | arrays.keys()):
        found, there = (np.shape(tree[name]) if name in tree else "none" for tree in (written, arrays))
        if found != there:
            raise ValueError(
                f"{library.writer}: {name!r} has shape {found} in the model, and {there} in the module. Say which "
                f"layer is which module, `modules={{{library.module}: layer_name}}`, and give both the same options."
            )
    return written


def _arrays_of(place: LayerPlace, arrays: dict[str, Any], library: Library, function: str) -> Tensors:
    prefix = f"{place.module}/" if place.module else ""
    return Tensors(arrays, place, library, lambda name: prefix + name, function=function)
