"""`from_keras`: a built model of Keras, or a `.keras` file, as a model of jmask."""

import os
from typing import Any

import jax

from .converted import Context, Converted, Custom, keras
from .graph import convert_model


def from_keras(model: Any, *, custom: Custom | None = None) -> Converted:
    """A built Keras model as a jmask model, with its weights.

    Takes Sequential and Functional models of the layers of `jm.layers`, nested and shared ones included, and the
    operators between them. Options, names and weights stay; masks follow jmask's rules from then on, so that sequences
    are exact where Keras loses or misuses a mask. What cannot be converted is refused: penalties and constraints, mixed
    precision, state between batches, weights that two models or wrappers share, functions of one's own as activations,
    other layers.

        model, params, state = jm.from_keras(keras_model)       # or jm.from_keras("model.keras")
        y = model.apply(params, x)                              # without running statistics, `state` is {}
        y, state = model.apply_with_state(params, state, x)     # with BatchNormalization

    A `training=True` that a call in the graph has fixed stays fixed, also where Keras' `predict` would override it. Ids
    are integers here; a model of Keras casts floats.

    Needs Keras 3, `pip install "jmask[keras]"`, on any of its backends.

    Args:
        model: a `keras.Sequential`, a Functional `keras.Model`, a single built layer, or the path of a `.keras` file.
        custom: by class of Keras layers or models that jmask does not have, a function that takes such a layer and
            returns a layer of jmask, which gets its name unless it has one, and its parameters.

    Returns:
        The model, its parameters and its running statistics, as a named tuple.

    Raises:
        ImportError: a path, and no Keras that could read it.
        TypeError: something that is no layer of Keras.
        ValueError: what cannot be converted, with the path to the layer; and a model that has not been built.
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
    """Holds what was converted against what `init` would make: the same names and shapes."""
    if not hasattr(converted.model, "named_layers"):
        return  # a single layer makes its parameters from inputs, which nobody has here
    expected = jax.eval_shape(converted.model.init, jax.random.key(0))
    shapes, wanted = (jax.tree.map(lambda leaf: tuple(leaf.shape), tree) for tree in (converted.params, expected))
    if shapes != wanted:
        context.refuse(f"its weights have the shapes {shapes}, and jmask's parameters {wanted}")
