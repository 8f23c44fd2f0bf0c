"""What a layer of Keras becomes, and how it is said that one cannot be carried."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import jax.numpy as jnp

from ..protocol.layer import Layer

Custom = Mapping[type, Callable[[Any], tuple[Layer, Any]]]


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


@dataclasses.dataclass(frozen=True)
class Place:
    """Where a layer stands in a model of Keras.

    Attributes:
        path: the names on the way to it.
        custom: by class, what becomes of layers that jmask does not know.
        owners: by the id of each weight that was read, the path to its layer.
    """

    path: str
    custom: Custom
    owners: dict[int, str] = dataclasses.field(default_factory=dict)

    def below(self, name: str) -> "Place":
        """The place of a layer inside this one."""
        return Place(f"{self.path}/{name}", self.custom, self.owners)

    def claim(self, keras_layer: Any) -> None:
        """Refuses a layer whose weights another one has too: in jmask they would be two, and drift apart."""
        for variable in keras_layer.weights:
            owner = self.owners.setdefault(id(variable), self.path)
            if owner != self.path:
                self.refuse(
                    f"it shares its weights with {owner}, and jmask's models and wrappers keep theirs to themselves",
                    "Use the layer in one of them only, or make one model of both.",
                )

    def refuse(self, what: str, remedy: str = "") -> NoReturn:
        """Says that the layer cannot be carried.

        Args:
            what: what jmask does not have, or why it refuses.
            remedy: what to do about it.
        """
        raise ValueError(f"{self.path}: cannot be carried from Keras: {what.rstrip('.')}.{remedy and f' {remedy}'}")


def keras() -> Any:
    """The module, imported when there is something to be carried: jmask does without it."""
    return importlib.import_module("keras")


def read(variable: Any) -> Any:
    """The value of a variable, whatever the backend of Keras."""
    return jnp.asarray(keras().ops.convert_to_numpy(variable.value))


def weights_of(keras_layer: Any, place: Place) -> dict[str, Any]:
    """The values of a layer's weights by their names."""
    place.claim(keras_layer)
    return {variable.name: read(variable) for variable in keras_layer.weights}
