"""What a layer of Keras becomes, and how it is said that one cannot be carried."""

from typing import Any, NamedTuple, NoReturn

import jax.numpy as jnp

from ..layers.base import Layer


class Carried(NamedTuple):
    """A layer or model of jmask, and what Keras has learned.

    Attributes:
        model: the layer.
        params: its parameters.
        state: its running statistics, `{}` if it has none.
    """

    model: Layer
    params: Any
    state: Any


def refuse(place: str, what: str, remedy: str = "") -> NoReturn:
    """Says which layer cannot be carried, and why.

    Args:
        place: the path to the layer.
        what: what jmask does not have.
        remedy: what to do about it.
    """
    raise ValueError(f"{place}: cannot be carried from Keras: {what}.{remedy and f' {remedy}'}")


def below(place: str, name: str) -> str:
    """The path of a layer inside another."""
    return f"{place}/{name}"


def read(variable: Any) -> Any:
    """The value of a variable, whatever the backend of Keras."""
    import keras

    return jnp.asarray(keras.ops.convert_to_numpy(variable.value))


def weights_of(keras_layer: Any) -> dict[str, Any]:
    """The values of a layer's weights by their names."""
    return {variable.name: read(variable) for variable in keras_layer.weights}
