"""The result of converting a Keras layer, and the error if it cannot be converted."""

import dataclasses
import importlib
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

import jax.numpy as jnp
import numpy as np

from ..protocol.layer import Layer

Custom = Mapping[type, Callable[[Any], tuple[Layer, Any]]]


class Converted(NamedTuple):
    """A jmask layer or model, with the weights that Keras has learned.

    Attributes:
        model: the layer.
        params: its parameters.
        state: its running statistics, `{}` if it has none.
    """

    model: Layer
    params: Any
    state: Any


@dataclasses.dataclass(frozen=True)
class Context:
    """Where a layer is in a Keras model, and what converting it needs to know about the rest.

    Attributes:
        path: the names that lead to it.
        custom: converters by class, for layers that jmask does not have.
        convert: converts a layer or model, `convert_model`.
        owners: the path to its layer for each weight that has been read, by the id of the weight.
    """

    path: str
    custom: Custom
    convert: Callable[[Any, "Context"], Converted]
    owners: dict[int, str] = dataclasses.field(default_factory=dict)

    def below(self, name: str) -> "Context":
        """The context of a layer inside this one."""
        return dataclasses.replace(self, path=f"{self.path}/{name}")

    def convert_inner(self, keras_layer: Any) -> Converted:
        """Converts a layer or model inside this one."""
        return self.convert(keras_layer, self.below(keras_layer.name))

    def claim_weights(self, keras_layer: Any) -> None:
        """Raises if another layer has the same weights: in jmask they would be two copies, which drift apart."""
        for variable in keras_layer.weights:
            owner = self.owners.setdefault(id(variable), self.path)
            if owner != self.path:
                self.refuse(
                    f"it shares its weights with {owner}, and jmask's models and wrappers keep theirs to themselves",
                    "Use the layer in one of them only, or make one model of both.",
                )

    def refuse(self, what: str, remedy: str = "") -> NoReturn:
        """Raises: the layer cannot be converted.

        Args:
            what: what jmask does not have, or another reason.
            remedy: what to do about it.
        """
        raise ValueError(f"{self.path}: cannot be converted from Keras: {what.rstrip('.')}.{remedy and f' {remedy}'}")


def keras() -> Any:
    """The Keras module, imported only when there is something to convert: jmask runs without it."""
    return importlib.import_module("keras")


def model_kind(keras_layer: Any) -> str | None:
    """`"Sequential"` or `"Functional"` for a model, whether Keras has it or a file; None for a layer."""
    kinds = {cls.__name__ for cls in type(keras_layer).__mro__ if cls.__module__.partition(".")[0] == "keras"}
    return "Sequential" if "Sequential" in kinds else "Functional" if kinds & {"Model", "Functional"} else None


def is_function(function: Any, name: str) -> bool:
    """Whether an activation is the one of this name in Keras, of which a file has the name alone."""
    return function == name if isinstance(function, str) else keras().activations.get(name) is function


def read_variable(variable: Any) -> Any:
    """The value of a variable, whatever the backend of Keras; a file has arrays."""
    value = variable.value
    return jnp.asarray(value if isinstance(value, np.ndarray) else keras().ops.convert_to_numpy(value))


def weights_of(keras_layer: Any, context: Context) -> dict[str, Any]:
    """The values of a layer's weights by their names."""
    context.claim_weights(keras_layer)
    return {variable.name: read_variable(variable) for variable in keras_layer.weights}
