"""Options of a Keras layer as fields of the jmask layer: each is a field, is off, or raises an error."""

import dataclasses
import functools
import warnings
from typing import Any, NoReturn, TypeVar

import jax

from ..layers.cells import BaseCell
from ..layers.recurrent import BaseRecurrent
from ..protocol.layer import Layer
from ..protocol.options import ACTIVATIONS
from .converted import Context, is_function

L = TypeVar("L", bound=Layer)

# Options that change no output: names, seeds (JAX draws differently), ways to compute the same result.
IRRELEVANT = {"name", "trainable", "dtype", "seed", "renorm_momentum", "use_cudnn"}
LISTS_OF_ONE = {"kernel_size", "strides", "dilation_rate", "pool_size", "output_padding"}

# These mix the features of a step, as they should in a layer whose last axis is the features.
OVER_FEATURES = {"softmax": jax.nn.softmax, "log_softmax": jax.nn.log_softmax}

INITIALIZERS: dict[tuple[str, tuple[Any, ...]], str] = {
    ("Zeros", ()): "zeros",
    ("Ones", ()): "ones",
    ("GlorotUniform", ()): "glorot_uniform",
    ("GlorotNormal", ()): "glorot_normal",
    ("HeUniform", ()): "he_uniform",
    ("HeNormal", ()): "he_normal",
    ("LecunUniform", ()): "lecun_uniform",
    ("LecunNormal", ()): "lecun_normal",
    ("Orthogonal", (("gain", 1.0),)): "orthogonal",
    ("RandomUniform", (("maxval", 0.05), ("minval", -0.05))): "uniform",
    ("RandomNormal", (("mean", 0.0), ("stddev", 0.05))): "normal",
}

PENALTIES = "Set it to None on the layer, and add the penalty to the loss."
CONSTRAINTS = "Set it to None on the layer, and project the parameters after each step, as `optax.projections` does."


def layer_with_options(
    cls: type[L], keras_layer: Any, context: Context, *, without: str | None = None, **given: Any
) -> L:
    """A jmask layer with the options of a Keras layer.

    Args:
        cls: the jmask class; its fields are named as in Keras.
        keras_layer: the Keras layer.
        context: where it is in the model.
        without: an option that the caller has already read.
        **given: fields that are already known.

    Returns:
        The layer.

    Raises:
        ValueError: an option is neither a field nor off.
    """
    check_dtype(keras_layer, context)
    names = {field.name for field in dataclasses.fields(cls)}
    fields: dict[str, Any] = {"name": keras_layer.name}
    if "param_dtype" in names:
        fields["param_dtype"] = keras_layer.variable_dtype
    for name, value in _config(keras_layer, context).items():
        if name in given or name in IRRELEVANT or name == without:
            continue
        if name in names:
            is_gate = issubclass(cls, (BaseCell, BaseRecurrent))
            fields[name] = convert_option(name, value, keras_layer, context, over_features=not is_gate)
        elif not is_off(name, value):
            refuse_option(context, name, value)
    try:
        return cls(**(fields | given))
    except (TypeError, ValueError) as error:
        context.refuse(str(error))


def _config(keras_layer: Any, context: Context) -> dict[str, Any]:
    try:
        with warnings.catch_warnings(action="ignore"):  # about lambdas, which could not be loaded from a file
            return keras_layer.get_config()
    except (NotImplementedError, OSError, TypeError, ValueError) as error:
        context.refuse(f"Keras cannot say which options it has: {error}")


def convert_option(name: str, value: Any, keras_layer: Any, context: Context, *, over_features: bool) -> Any:
    """One option, translated to jmask."""
    if name.endswith("initializer"):
        return initializer_of(value)
    if name.endswith("activation"):
        return activation_of(value, getattr(keras_layer, name), context, name, over_features=over_features)
    if name in LISTS_OF_ONE and isinstance(value, (list, tuple)):
        return value[0]
    return tuple(value) if isinstance(value, list) else value


def is_off(name: str, value: Any) -> bool:
    """Whether an option has the value under which it does nothing."""
    if name == "data_format":
        return value in (None, "channels_last")
    if name.endswith("initializer"):
        return initializer_of(value) == ("ones" if name == "gamma_initializer" else "zeros")
    return value is None or value is False or value in ({}, ())


def refuse_option(context: Context, name: str, value: Any) -> NoReturn:
    """Raises for an option; for penalties and constraints, which belong to training here, it says what to do."""
    remedy = PENALTIES if name.endswith("regularizer") else CONSTRAINTS if name.endswith("constraint") else ""
    shown = value["class_name"] if isinstance(value, dict) and "class_name" in value else value
    context.refuse(f"`{name}={shown!r}`, which is no option of jmask's layer", remedy)


def check_dtype(keras_layer: Any, context: Context) -> None:
    """Raises for mixed precision, in which a layer casts its inputs."""
    policy = keras_layer.dtype_policy.name
    if policy not in ("float32", "float64"):
        context.refuse(
            f"the dtype policy {policy!r}",
            "Load it in float32, and cast parameters and inputs afterwards: a layer of jmask computes in their dtype.",
        )


def activation_of(value: Any, function: Any, context: Context, name: str, *, over_features: bool) -> Any:
    """A Keras activation by its name; softmax as a function over the features."""
    if not (isinstance(value, str) and is_function(function, value)):  # or it only shares the name
        context.refuse(f"`{name}` is no function of `keras.activations`", "Make it a layer of its own, a `Lambda`.")
    if value in ACTIVATIONS:
        return None if value == "linear" else value
    if over_features and value in OVER_FEATURES:
        return OVER_FEATURES[value]
    context.refuse(f"`{name}={value!r}`, of which jmask has no elementwise function", "Make it a layer of its own.")


def initializer_of(value: Any) -> Any:
    """An initializer: a name, a function if it has options, or one that raises if jmask does not have it."""
    kind = value["class_name"]
    config = {key: entry for key, entry in value["config"].items() if entry is not None and key != "seed"}
    known = INITIALIZERS.get((kind, tuple(sorted(config.items()))))
    return known or _initializer_with(kind, config)


def _initializer_with(kind: str, config: dict[str, Any]) -> Any:
    initializers = jax.nn.initializers
    if kind == "Constant":
        return initializers.constant(config["value"])
    if kind == "Orthogonal":
        return initializers.orthogonal(config["gain"])
    if kind == "RandomNormal" and config["mean"] == 0:
        return initializers.normal(config["stddev"])
    if kind == "TruncatedNormal" and config["mean"] == 0:
        return initializers.truncated_normal(config["stddev"])
    if kind == "VarianceScaling":
        return initializers.variance_scaling(config["scale"], config["mode"], config["distribution"])
    return functools.partial(_no_initializer, kind)


def _no_initializer(kind: str, *_: Any) -> NoReturn:
    raise ValueError(
        f"jmask has no initialiser {kind!r}, which this layer had in Keras. Its parameters were converted; to make new "
        "ones, give the layer another initialiser."
    )
