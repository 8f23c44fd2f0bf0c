"""`from_keras`: a built Keras model, or a `.keras` file, as a jmask model."""

import os
import zipfile
from pathlib import Path
from typing import Any

import jax

from .converted import Context, Converted, Custom, keras
from .files import check_file
from .graph import convert_model
from .stored import read_model


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

    A `.keras` file of Keras 3 is read by h5py (`pip install h5py`), without Keras, and as data: no code in it runs. So
    a `Lambda`, and functions and classes that are not Keras', are refused by name, unless `custom` has the class.

    A `training=True` that is fixed in a call of the graph stays fixed, even where Keras' `predict` would override it.
    Ids must be integers; a Keras model would cast floats.

    Models in memory may be on any of Keras' backends.

    Args:
        model: a `keras.Sequential`, a Functional `keras.Model`, a single built layer, or the path of a `.keras` file.
        custom: for Keras layers or models that jmask does not have, a function for each class. It takes the Keras layer
            and returns a jmask layer and its parameters; the layer gets the same name unless it has one.

    Returns:
        The model, its parameters and its running statistics, as a named tuple.

    Raises:
        ImportError: a path is given and h5py is not installed.
        FileNotFoundError: there is no such file.
        TypeError: the model is not a Keras layer.
        ValueError: something cannot be converted (the error has the path to the layer), or the model has not been
            built; or a file is of another format or version, or cut off.
    """
    if isinstance(model, (str, os.PathLike)):
        return _from_file(Path(model), custom or {})
    if not (hasattr(model, "get_config") and hasattr(model, "weights")):
        raise TypeError(f"`from_keras` takes a model or layer of Keras, or the path of a file; received {model!r}.")
    return _convert(model, custom or {})


def _convert(model: Any, custom: Custom) -> Converted:
    context = Context(model.name, custom, convert_model)
    converted = convert_model(model, context)
    _check_params(converted, context)
    return converted


def _from_file(file: Path, custom: Custom) -> Converted:
    """Reads a file without Keras, unless it has classes of others, whose converters take the layer itself."""
    check_file(file, {cls.__name__ for cls in custom})
    if custom:
        return _convert(_load(file, custom), custom)
    try:
        return _convert(read_model(file), custom)
    except ImportError as error:
        raise ImportError(
            "`from_keras` reads the weights of a `.keras` file by h5py, which cannot be imported: `pip install h5py`, "
            'or with Keras: `pip install "jmask[keras]"`.'
        ) from error
    except (AttributeError, KeyError, IndexError, OSError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"`from_keras` cannot read {str(file)!r}: it is damaged, or not as Keras 3.15 writes it ({error!r}). Save "
            "it anew, or pass the model: `jm.from_keras(keras.saving.load_model(path))`."
        ) from error


def _load(file: Path, custom: Custom) -> Any:
    saving = keras().saving  # installed, as the classes come from it
    try:
        return saving.load_model(file, custom_objects={cls.__name__: cls for cls in custom}, compile=False)
    except Exception as error:
        raise ValueError(f"`from_keras` cannot read {str(file)!r}: Keras does not load it ({error}).") from error


def _check_params(converted: Converted, context: Context) -> None:
    """Checks that the converted parameters have the names and shapes that `init` would give."""
    if not hasattr(converted.model, "named_layers"):
        return  # a single layer makes its parameters from inputs, which are not available here
    expected = jax.eval_shape(converted.model.init, jax.random.key(0))
    shapes, wanted = (jax.tree.map(lambda leaf: tuple(leaf.shape), tree) for tree in (converted.params, expected))
    if shapes != wanted:
        context.refuse(f"its weights have the shapes {shapes}, and jmask's parameters {wanted}")
