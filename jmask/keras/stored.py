"""A model of a `.keras` file, as the converters take one of Keras. It is read as data: no code of anyone runs."""

import json
import zipfile
from pathlib import Path
from typing import Any

from .stored_graph import StoredFunctional, StoredSequential
from .stored_layers import Stored, StoredLayer, class_name_of, class_of
from .weights_file import read_weights

_MODELS = {"Sequential": StoredSequential, "Functional": StoredFunctional, "Model": StoredFunctional}


def read_model(path: Path) -> Any:
    """The model of a file that has been checked.

    Raises:
        ImportError: h5py is not installed.
        OSError: the weights are damaged.
    """
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
        arrays, names = read_weights(archive.read("model.weights.h5"))

    def make(entry: dict[str, Any], place: str) -> Any:
        kind = class_name_of(entry)
        base = _MODELS.get(kind, StoredLayer)
        return class_of(kind, base, "keras.models" if kind in _MODELS else "keras.layers")(entry, stored, place)

    stored = Stored(arrays, names, make)
    return make(config, "")
