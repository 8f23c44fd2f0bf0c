"""One layer in both libraries with the same weights: what it gives, and its gradients."""

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm


@dataclasses.dataclass(frozen=True)
class Result:
    """Outputs of a call, and gradients of a weighted sum of them.

    Attributes:
        outputs: arrays.
        masks: those of the outputs, None for one without.
        params: gradients with respect to the parameters, in jmask's structure.
        inputs: gradients with respect to the values of the inputs, None for ids.
    """

    outputs: list[Any]
    masks: list[Any]
    params: Any
    inputs: list[Any]


def weights_of(theirs: Any, params: Any) -> Any:
    """The weights of a Keras layer, in the structure of jmask's parameters.

    A weight of jmask is the one of Keras that has its name, lies under layers whose names begin with the keys on the
    way to it, and has its shape.
    """
    found = jax.tree_util.tree_map_with_path(
        lambda path, leaf: _weight(theirs, [entry.key for entry in path], leaf), params
    )
    assert len({id(weight) for weight in jax.tree.leaves(found)}) == len(theirs.trainable_weights)
    return found


def _weight(theirs: Any, keys: list[str], leaf: Any) -> Any:
    *layers, name = keys

    def fits(weight: Any) -> bool:
        *parts, own = weight.path.split("/")
        remaining = iter(parts)
        return own == name and all(any(part.startswith(layer) for part in remaining) for layer in layers)

    (weight,) = filter(fits, theirs.trainable_weights)
    assert tuple(weight.shape) == tuple(leaf.shape), f"{'/'.join(keys)}: {leaf.shape} in jmask, {weight.shape} in Keras"
    return weight


def draw_params(rng: np.random.Generator, shapes: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(0, 0.7, leaf.shape), "float32"), shapes)


@contextlib.contextmanager
def muted(message: str) -> Iterator[None]:
    """Hides the warnings that begin like this and no others."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=message)
        yield


def masks_dropped() -> Any:
    """For Keras' word on a mask that it destroys."""
    return muted(r"Layer '.*' \(of type .*\) was passed an input with a mask attached to it")


def call_keras(
    keras: Any, layer: Any, variables: Any, params: Any, args: Sequence[Any], options: dict[str, Any], masks: Any = None
) -> tuple[Any, Any]:
    """Outputs and their masks of a Keras layer under other weights, as a pure function.

    Args:
        keras: the module.
        layer: the layer, built.
        variables: its weights, from `weights_of`.
        params: what they are to be.
        args: arguments by position, nests of arrays.
        options: arguments by name.
        masks: one mask or None for each array in `args`, which gets it attached.
    """
    backend = keras.src.backend
    args = jax.tree.map(lambda leaf: leaf * 1, args)  # no mask of another call is attached to these
    if masks is not None:
        for leaf, mask in zip(jax.tree.leaves(args), masks, strict=True):
            if mask is not None:
                backend.set_keras_mask(leaf, jnp.asarray(mask))
    values = zip(jax.tree.leaves(variables), jax.tree.leaves(params), strict=True)
    with keras.StatelessScope(state_mapping=list(values)):
        outputs = layer(*args, **options)
        return outputs, jax.tree.map(backend.get_keras_mask, outputs)


def with_gradients(call: Callable[[Any, Any], tuple[Any, Any]]) -> Callable[[Any, Any, Any], Result]:
    """A compiled function `(params, inputs, weights) -> Result`, of a call `(params, inputs) -> (outputs, masks)`.

    The gradients are those of the sum of all entries of all outputs, each times its weight; weights come in any shape
    that can be reshaped to the output's.
    """

    @jax.jit
    def run(params: Any, inputs: Any, weights: Any) -> Any:
        floats = [x if jnp.issubdtype(x.dtype, jnp.floating) else None for x in inputs]

        def outputs_of(params: Any, floats: Any) -> Any:
            outputs, masks = call(params, [x if f is None else f for f, x in zip(floats, inputs, strict=True)])
            return jax.tree.leaves(outputs), jax.tree.leaves(masks, is_leaf=is_none)

        outputs, pull, masks = jax.vjp(outputs_of, params, floats, has_aux=True)
        pulled = [jnp.reshape(w, y.shape).astype(y.dtype) for w, y in zip(weights, outputs, strict=True)]
        return outputs, masks, *pull(pulled)

    return lambda params, inputs, weights: Result(*run(params, inputs, weights))


def values_and_masks(outputs: Any) -> tuple[Any, Any]:
    """Outputs of jmask as Keras has them: with zeros at padded steps, masks apart, and none of rows alone."""
    leaves = jax.tree.leaves(outputs, is_leaf=lambda leaf: isinstance(leaf, jm.Masked))
    of_rows = [isinstance(leaf, jm.Masked) and leaf.mask.shape[1:] in ((), (1,)) for leaf in leaves]
    leaves = [leaf.values if pooled else leaf for leaf, pooled in zip(leaves, of_rows, strict=True)]
    values = [leaf.fill(0) if isinstance(leaf, jm.Masked) else leaf for leaf in leaves]
    return values, [leaf.mask if isinstance(leaf, jm.Masked) else None for leaf in leaves]


def mask_of(keras: Any, x: Any) -> Any:
    """The mask that Keras has attached to an array."""
    return keras.src.backend.get_keras_mask(x)


def with_mask(keras: Any, values: Any, mask: Any) -> Any:
    """A new array with a mask attached, as Keras does it."""
    x = jnp.array(values)
    keras.src.backend.set_keras_mask(x, jnp.asarray(mask))
    return x


def is_none(leaf: Any) -> bool:
    return leaf is None
