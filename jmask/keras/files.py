"""Whether a `.keras` file can be read: its format and version, and that all its layers are Keras' own."""

import json
import zipfile
from collections.abc import Iterator, Set
from pathlib import Path
from typing import Any, NoReturn

_MEMBERS = ("config.json", "metadata.json", "model.weights.h5")
_REBUILD = (
    "Where its code is at hand, build the model in Python, `model.load_weights({path!r})`, and pass the model: "
    "`jm.from_keras(model)`."
)


def check_file(path: Path, known: Set[str]) -> None:
    """Raises unless a file holds a model of Keras 3 that is made of Keras' own layers, and of known classes.

    Args:
        path: of the file.
        known: the names of classes that the caller has given a converter for.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is of another format or version, cut off, or has a layer or function whose code is elsewhere.
    """
    if not path.exists():
        raise FileNotFoundError(f"`from_keras`: there is no file {str(path)!r}.")
    try:
        with zipfile.ZipFile(path) as archive:
            _check_members(path, archive.namelist())
            config, metadata = (json.loads(archive.read(name)) for name in _MEMBERS[:2])
    except (zipfile.BadZipFile, OSError, EOFError, NotImplementedError) as error:
        _refuse_format(path, error)
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        _refuse(path, f"its config is no JSON ({error})", "Save the model anew by `model.save(path)`.")
    _check_config(path, config)
    version = str(metadata.get("keras_version")) if isinstance(metadata, dict) else "unknown"
    if version.partition(".")[0] != "3":
        _refuse(
            path,
            f"it is of Keras {version}, and this function reads files of Keras 3",
            "Load it where it was made, and save it by Keras 3; or pass the model: `jm.from_keras(model)`.",
        )
    for name, what in _foreign(config, "the model", known):
        _refuse(path, f"{name}: {what}", _REBUILD.format(path=str(path)))


def _check_members(path: Path, names: list[str]) -> None:
    missing = [name for name in _MEMBERS if name not in names]
    if missing:
        _refuse(
            path,
            f"it has no {', '.join(missing)}; there is {', '.join(names[:5]) or 'nothing'}",
            "`model.save('model.keras')` writes such a file.",
        )


def _check_config(path: Path, config: Any) -> None:
    inner = config.get("config") if isinstance(config, dict) else None
    if not isinstance(inner, dict) or not isinstance(inner.get("layers", []), list):
        _refuse(path, "its config is not that of a model", "Save the model anew by `model.save(path)`.")


def _refuse_format(path: Path, error: Exception) -> NoReturn:
    """Says what a file is that is no archive."""
    if path.is_dir():
        kind, remedy = "it is a folder, as TensorFlow's SavedModel", "Load it by Keras, and pass the model."
    elif path.read_bytes()[:4] == b"\x89HDF":
        kind = "it is an HDF5 file: weights alone, or the format of Keras 2"
        remedy = "Pass the model: `jm.from_keras(keras.saving.load_model(path))`, or after `model.load_weights(path)`."
    else:
        kind, remedy = f"it is no zip archive, or it is cut off ({error})", "Copy or save it anew: `model.save(path)`."
    _refuse(path, kind, remedy)


def _foreign(config: Any, name: str, known: Set[str]) -> Iterator[tuple[str, str]]:
    """The layers and functions whose code is not Keras', each with the name of the layer that it is in."""
    if isinstance(config, list):
        for part in config:
            yield from _foreign(part, name, known)
    if not isinstance(config, dict):
        return
    kind, inner = config.get("class_name"), config.get("config")
    if kind and isinstance(inner, dict) and isinstance(inner.get("name"), str):
        name = inner["name"]
    if kind in ("Lambda", "__lambda__"):
        yield name, "is a `Lambda`, a function in Python that this file only holds as code, which is not run"
    elif kind == "function":
        yield name, f"has the function {inner!r}, whose code is not in the file"
    elif kind in known:
        return
    elif "registered_name" in config and not _is_of_keras(config.get("module")):
        yield name, f"is a `{config['registered_name'] or kind}`, a class whose code is not in the file"
    else:
        for key, part in config.items():
            if key != "compile_config":  # of losses and metrics, which are not loaded
                yield from _foreign(part, name, known)


def _is_of_keras(module: Any) -> bool:
    return isinstance(module, str) and module.partition(".")[0] in ("keras", "builtins")


def _refuse(path: Path, what: str, remedy: str) -> NoReturn:
    raise ValueError(f"`from_keras` cannot read {str(path)!r}: {what}. {remedy}")
