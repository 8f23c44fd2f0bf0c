"""`from_keras`: a built Keras model, or a `.keras` file, as a jmask model."""

import os
from typing import Any

import jax

from .converted import Context, Converted, Custom, keras
from .graph import convert_model


def from_keras(model: Any, *, custom: Custom | None = None) -> Converted:
    """Converts a built Keras model to a jmask model, with its weights.

    Takes Sequential and Functional models made of the layers of `jm.layers`, nested and shared ones included, and the
    operators between them. Options, names and weights are kept; masks follow jmask's rules from then on, so that
    sequences are exact where Keras loses or misuses a mask. These cannot be converted and raise an error: penalties and
    constraints, mixed precision, state between batches, weights that two models or wrappers share, custom functions as
    activations, other layers.

        model, params, state = jm.from_keras(keras_model)       # or jm.from_keras("model.keras")
        y = model.apply(params, x)                              # without running statistics, `state` is {}
        y, state = model.apply_with_state(params, state, x)     # with BatchNormalization

    A `training=True` that is fixed in a call of the graph stays fixed, even where Keras' `predict` would override it.
    Ids must be integers; a Keras model would cast floats.

    Needs Keras 3, `pip install "jmask[keras]"`, on any of its backends.

    Args:
        model: a `keras.Sequential`, a Functional `keras.Model`, a single built layer, or the path of a `.keras` file.
        custom: for Keras layers or models that jmask does not have, a function for each class. It takes the Keras layer
            and returns a jmask layer and its parameters; the layer gets the same name unless it has one.

    Returns:
        The model, its parameters and its running statistics, as a named tuple.

    Raises:
        ImportError: a path is given and Keras is not installed.
        TypeError: the model is not a Keras layer.
        ValueError: something cannot be converted (the error has the path to the layer), or the model has not been
            built.
    """
    if isinstance(model, (str, os.PathLike)):
        model = _load(model)
    if not (hasattr(model, "get_config") and hasattr(model, "weights")):
        raise TypeError(f"`from_keras` takes a model or layer of Keras, or the path of a file; received {model!r}.")
    context = Context(model.name, custom or {}, convert_model)
    converted = convert_model(model, context)
    _check_params(converted, context)
    return converted


def _load(file: Any) -> Any:
    try:
        module = keras()
    except ImportError as error:
        raise ImportError(
            "`from_keras` reads a `.keras` file with Keras 3, which cannot be imported: install it by "
            '`pip install "jmask[keras]"`, and set the environment variable `KERAS_BACKEND=jax`.'
        ) from error
    return module.saving.load_model(file, compile=False)


def _check_params(converted: Converted, context: Context) -> None:
    """Checks that the converted parameters have the names and shapes that `init` would give."""
    if not hasattr(converted.model, "named_layers"):
        return  # a single layer makes its parameters from inputs, which are not available here
    expected = jax.eval_shape(converted.model.init, jax.random.key(0))
    shapes, wanted = (jax.tree.map(lambda leaf: tuple(leaf.shape), tree) for tree in (converted.params, expected))
    if shapes != wanted:
        context.refuse(f"its weights have the shapes {shapes}, and jmask's parameters {wanted}")
