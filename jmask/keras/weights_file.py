"""The arrays of a `.keras` file: those of each layer in order, by the path that Keras' attributes make."""

import importlib
import io
import re
from typing import Any

import numpy as np


def read_weights(content: bytes) -> tuple[dict[str, dict[str, np.ndarray]], dict[str, str]]:
    """Arrays by path and number, and the name of the layer of each path.

    Args:
        content: of `model.weights.h5`.

    Raises:
        ImportError: h5py is not installed.
        OSError: it is no file of HDF5.
        ValueError: an array is in another file.
    """
    h5py: Any = importlib.import_module("h5py")
    arrays: dict[str, dict[str, np.ndarray]] = {}
    names: dict[str, str] = {}

    def visit(path: str, item: Any) -> None:
        place, _, last = path.rpartition("/")
        if isinstance(item, h5py.Dataset):
            if item.external or item.is_virtual:
                raise ValueError(f"the array {path} is in another file.")
            arrays.setdefault(_owner(place), {})[last] = np.asarray(item[()])
        elif last == "vars":
            names[_owner(path)] = str(item.attrs.get("name", ""))

    with h5py.File(io.BytesIO(content), "r") as file:
        file.visititems(visit)
    return arrays, names


def _owner(path: str) -> str:
    """The layer of a path that ends with `vars`."""
    return path.removesuffix("vars").rstrip("/")


def unique_names(kinds: list[str]) -> list[str]:
    """How Keras names the members of a list: by class, numbered from the second on."""
    used: dict[str, int] = {}
    found = []
    for kind in kinds:
        name = re.sub("([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", kind)).lower()
        used[name] = used.get(name, -1) + 1
        found.append(f"{name}_{used[name]}" if used[name] else name)
    return found
