"""A model in a folder: its config as JSON, its arrays beside it. Atomic, and no code is run on load.

The JSON names the file of its arrays and comes last, in one step: whoever loads gets the old model or the new one,
wherever a save was cut.
"""

import json
import os
import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from ..core.array_file import check_file_dtype, read_arrays, write_arrays
from ..graph import from_config
from ..protocol.config import to_config
from .folders import folder_of

DESCRIPTION = "model.json"
_UNFINISHED = "model.json.unfinished"
_FORMAT = 1
_ARRAYS = re.compile(r"arrays-(\d+)\.safetensors")


def save(directory: str | os.PathLike, model: Any, params: Any, state: Any = None) -> None:
    """Saves a model with its parameters and state in a folder, from which `jm.load` reads them.

    The folder holds `model.json`, which describes the model, and the arrays in the safetensors format. A model that
    was there before is replaced at the very end, so a save that is cut short leaves it as it was.

    Args:
        directory: the folder; it is made if it is missing.
        model: a `jm.Model`, a `jm.Sequential` or a layer. Classes and functions of your own in it have to be registered
            by `jm.register_serializable`.
        params: its parameters: nested dicts, lists and tuples of arrays, of any size, also 0.
        state: its state, as `init_state` and `apply_with_state` return it, or None.

    Raises:
        ValueError: the model has a part that is not registered.
        TypeError: the parameters or the state hold something else.
        OSError: the folder cannot be written; a model that was there stays.

    >>> import jax, jmask as jm, tempfile
    >>> model = jm.Sequential([jm.Input((None, 3)), jm.layers.Dense(2)])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     jm.save(folder, model, model.init(jax.random.key(0)))
    ...     model, params, state = jm.load(folder)
    >>> jax.tree.map(jax.numpy.shape, params), state
    ({'dense': {'bias': (2,), 'kernel': (3, 2)}}, None)
    """
    tree = _Writer()
    description = {
        "format": _FORMAT,
        "model": to_config(model),
        "params": tree.encode(params, "params"),
        "state": tree.encode(state, "state"),
    }
    path = folder_of(directory, "jm.save")
    try:
        path.mkdir(parents=True, exist_ok=True)
        older = [entry.name for entry in path.iterdir() if _ARRAYS.fullmatch(entry.name)]
        numbers = [int(name.split("-")[1].split(".")[0]) for name in older]
        description["arrays"] = f"arrays-{max(numbers, default=0) + 1}.safetensors"
        _write(path, description, tree.arrays)
    except OSError as error:
        raise type(error)(
            error.errno,
            f"`jm.save`: cannot write into {str(directory)!r} ({error.strerror or error}); what it held before stays. "
            "Make room, or name a folder that can be written",
        ) from error
    for name in older:
        (path / name).unlink(missing_ok=True)


def load(directory: str | os.PathLike, *, custom: dict[str, Any] | None = None) -> tuple[Any, Any, Any]:
    """Reads what `jm.save` wrote. No code of the folder is run: only registered classes are called.

    Args:
        directory: the folder.
        custom: classes and functions by name, in addition to those registered by `jm.register_serializable`.

    Returns:
        The model, its parameters and its state; the state is None if none was saved. Arrays are on the default device;
        those of 64 bits are NumPy arrays unless JAX has 64 bits enabled.

    Raises:
        FileNotFoundError: the folder holds no model.
        ValueError: the files are damaged, or a class is not registered.
    """
    path = folder_of(directory, "jm.load")
    try:
        text = (path / DESCRIPTION).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise FileNotFoundError(
            f"`jm.load`: {str(directory)!r} holds no saved model, no {DESCRIPTION}. Save one there: "
            f"`jm.save({str(directory)!r}, model, params)`."
        ) from error
    try:
        description = json.loads(text)
        if description["format"] != _FORMAT:
            raise ValueError(f"it has format {description['format']}, and this jmask reads {_FORMAT}")
        if not _ARRAYS.fullmatch(description["arrays"]):
            raise ValueError(f"no file of arrays is called {description['arrays']!r}")
        arrays = read_arrays(path / description["arrays"])
        params, state = (_decode(description[part], arrays) for part in ("params", "state"))
        config = description["model"]
    except (AttributeError, LookupError, TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"`jm.load`: what {str(directory)!r} holds is damaged ({type(error).__name__}: {error}). Save it again."
        ) from error
    return from_config(config, custom), params, state


def _write(path: Path, description: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Arrays first, then what names them, by one renaming."""
    file = path / str(description["arrays"])
    try:
        write_arrays(file, arrays)
        with (path / _UNFINISHED).open("w", encoding="utf-8") as text:
            json.dump(description, text, indent=1, ensure_ascii=False)
            text.flush()
            os.fsync(text.fileno())
        (path / _UNFINISHED).replace(path / DESCRIPTION)
    except BaseException:
        file.unlink(missing_ok=True)
        (path / _UNFINISHED).unlink(missing_ok=True)
        raise
    if os.name == "posix":
        folder = os.open(path, os.O_RDONLY)
        try:
            os.fsync(folder)  # the renaming itself
        finally:
            os.close(folder)


class _Writer:
    """Describes trees, and collects their arrays by name."""

    def __init__(self) -> None:
        self.arrays: dict[str, np.ndarray] = {}

    def encode(self, tree: Any, name: str) -> Any:
        if tree is None:
            return None
        if type(tree) is dict:
            if wrong := [key for key in tree if not isinstance(key, str)]:
                raise TypeError(f"`jm.save`: the keys of {name!r} are names, strings; received {wrong[0]!r:.80}.")
            return {"dict": {key: self.encode(value, f"{name}/{key}") for key, value in tree.items()}}
        if type(tree) in (list, tuple):
            kind = type(tree).__name__
            return {kind: [self.encode(value, f"{name}/{i}") for i, value in enumerate(tree)]}
        return self._array(tree, name)

    def _array(self, leaf: Any, name: str) -> dict[str, str]:
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            raise ValueError(
                f"`jm.save`: {name!r} is spread over several processes. Collect it first, "
                "`jax.experimental.multihost_utils.process_allgather(params, tiled=True)`, and save in one process."
            )
        entry = {"array": self._unique(name)}
        if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            entry["key"] = str(jax.random.key_impl(leaf))
            leaf = jax.random.key_data(leaf)
        if not isinstance(leaf, (jax.Array, np.ndarray, np.generic, bool, int, float, complex)):
            raise TypeError(
                f"`jm.save`: parameters and state are nested dicts, lists and tuples of arrays; {name!r} is a "
                f"{type(leaf).__name__}."
            )
        array = np.asarray(leaf)
        check_file_dtype(name, array.dtype)
        self.arrays[entry["array"]] = array
        return entry

    def _unique(self, name: str) -> str:
        """A name that no other array has: a key of a dict may hold a `/`."""
        found = name
        while found in self.arrays:
            found += "_"
        return found


def _decode(data: Any, arrays: dict[str, np.ndarray]) -> Any:
    if data is None:
        return None
    if "dict" in data:
        return {key: _decode(value, arrays) for key, value in data["dict"].items()}
    for kind in (list, tuple):
        if kind.__name__ in data:
            return kind(_decode(value, arrays) for value in data[kind.__name__])
    array = arrays[data["array"]]
    if "key" in data:
        return jax.random.wrap_key_data(jnp.asarray(array), impl=data["key"])
    return jnp.asarray(array) if jax.dtypes.canonicalize_dtype(array.dtype) == array.dtype else array
