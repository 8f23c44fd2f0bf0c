"""A trained tagger in a folder: its config and vocabulary as JSON, its parameters by Orbax. No pickle.

The JSON names the folder of the parameters that belong to it, and comes last, in one step: whoever loads gets the old
tagger or the new one, wherever a save was cut.
"""

import json
import os
import re
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import jmask as jm

from .errors import DemoError
from .vocabulary import Vocabulary

DESCRIPTION = "tagger.json"
UNFINISHED = "tagger.json.unfinished"
FORMAT = 2

_PARAMS = re.compile(r"params-(\d+)")


class Tagger(NamedTuple):
    """A model with its parameters, and the numbers it reads and writes."""

    model: Any
    params: Any
    vocabulary: Vocabulary


def prepare(directory: str | Path) -> Path:
    """Makes the folder, before hours are spent on what goes into it.

    Args:
        directory: a new folder, an empty one, or one with an older tagger, which will be replaced.

    Returns:
        Its absolute path.

    Raises:
        DemoError: it is a file, holds something else, or cannot be made.
    """
    path = Path(directory).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DemoError(f"{directory}: cannot make this folder ({error.strerror})") from error
    if not (path / DESCRIPTION).is_file() and any(not _is_of_a_save(entry.name) for entry in path.iterdir()):
        raise DemoError(f"{directory}: is not empty and holds no tagger; name a new folder")
    return path


def save(directory: str | Path, tagger: Tagger) -> None:
    """Writes a tagger into a folder.

    Args:
        directory: where `load` will look for it; see `prepare`.
        tagger: the tagger.

    Raises:
        DemoError: the folder cannot be used.
    """
    import orbax.checkpoint

    path = prepare(directory)
    older = [entry for entry in path.iterdir() if _is_of_a_save(entry.name)]
    numbers = [int(found[1]) for entry in older if (found := _PARAMS.match(entry.name))]
    name = f"params-{max(numbers, default=0) + 1}"
    with orbax.checkpoint.StandardCheckpointer() as checkpointer:
        checkpointer.save(path / name, tagger.params)
    description = {
        "format": FORMAT,
        "params": name,
        "model": tagger.model.to_config(),
        "words": tagger.vocabulary.words,
        "tags": tagger.vocabulary.tags,
    }
    with (path / UNFINISHED).open("w", encoding="utf-8") as file:
        json.dump(description, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    (path / UNFINISHED).replace(path / DESCRIPTION)
    for entry in older:
        shutil.rmtree(entry, ignore_errors=True)


def load(directory: str | Path) -> Tagger:
    """Reads what `save` wrote.

    Args:
        directory: the folder.

    Returns:
        The tagger.

    Raises:
        DemoError: there is no tagger, or it is damaged.
    """
    import orbax.checkpoint

    path = Path(directory).absolute()
    try:
        description = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
    except OSError as error:
        raise DemoError(f"{directory}: holds no tagger; make one with --save {directory}") from error
    except ValueError as error:
        raise DemoError(f"{directory}: {DESCRIPTION} is damaged ({error})") from error
    try:
        if description["format"] != FORMAT:
            raise DemoError(f"{directory}: was saved in format {description['format']}; this jmask reads {FORMAT}")
        name = description["params"]
        if not _PARAMS.fullmatch(name):
            raise ValueError(f"no folder of parameters is called {name!r}")
        model = jm.from_config(description["model"])
        vocabulary = Vocabulary(tuple(description["words"]), tuple(description["tags"]))
        with orbax.checkpoint.StandardCheckpointer() as checkpointer:
            params = checkpointer.restore(path / name, _expected(model))
    except (AttributeError, KeyError, TypeError, ValueError, OSError) as error:
        raise DemoError(f"{directory}: is damaged ({type(error).__name__}: {_first_line(error)})") from error
    return Tagger(model, params, vocabulary)


def _is_of_a_save(name: str) -> bool:
    """Whether this is what a save leaves beside the description, finished or not."""
    return name == UNFINISHED or _PARAMS.match(name) is not None  # Orbax adds a suffix until it has finished


def _expected(model: Any) -> Any:
    """Shapes and dtypes of the parameters, on the first device."""
    words = jm.from_lengths(jnp.zeros((1, 1), jnp.int32), [1])
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shapes = jax.eval_shape(model.init, jax.random.key(0), words)
    return jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=device), shapes)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [""])[0]
