"""A tagger in a folder: the model by `jm.save`, the vocabularies as JSON, and `run/`, which training goes on from."""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import jmask as jm

from ..data import Vocabulary
from .corpus import Vocabularies
from .errors import DemoError

VOCABULARIES = "vocabularies.json"
RUN = "run"


class Tagger(NamedTuple):
    """A model with its parameters, and the numbers it reads and writes."""

    model: Any
    params: Any
    vocabularies: Vocabularies


def make_folder(directory: str | Path, vocabularies: Vocabularies, *, resume: bool) -> Path:
    """Makes the folder, before hours are spent on what goes into it.

    Args:
        directory: a new folder or an empty one; or, to resume, one with a run.
        vocabularies: those of the run; they are saved.
        resume: whether to go on with the run in the folder, if there is one.

    Returns:
        The folder of the run.

    Raises:
        DemoError: it is a file, holds something else, a run that is not to be resumed, or one on other data; or it
            cannot be made.
    """
    path = Path(directory).absolute()
    try:
        path.mkdir(parents=True, exist_ok=True)
        if not (path / RUN).is_dir() and any(path.iterdir()):
            raise DemoError(f"{directory}: is not empty and holds no run; name a new folder")
        if (path / RUN).is_dir() and not resume:
            raise DemoError(f"{directory}: holds a run; go on with it by --resume, or name a new folder")
        (path / RUN).mkdir(exist_ok=True)
        if not (path / VOCABULARIES).is_file():
            _write(path / VOCABULARIES, vocabularies)
    except OSError as error:
        raise DemoError(f"{directory}: cannot make this folder ({error.strerror})") from error
    if _read(path / VOCABULARIES) != vocabularies:
        raise DemoError(f"{directory}: holds a run on other data or with another --seed; name a new folder")
    return path / RUN


def save_tagger(directory: str | Path, model: Any, params: Any) -> None:
    """Writes a trained model into a folder that `make_folder` has made.

    Args:
        directory: where `load_tagger` will look for it.
        model: the model.
        params: its parameters.

    Raises:
        DemoError: the folder cannot be written; a model that was there stays.
    """
    try:
        jm.save(directory, model, params)
    except OSError as error:
        raise DemoError(f"{directory}: {error.strerror}") from error


def load_tagger(directory: str | Path) -> Tagger:
    """Reads a trained tagger.

    Args:
        directory: the folder.

    Returns:
        The tagger.

    Raises:
        DemoError: there is no tagger, or it is damaged.
    """
    try:
        model, params, _ = jm.load(directory)
    except FileNotFoundError as error:
        remedy = "finish its run with --resume" if (Path(directory) / RUN).is_dir() else f"make one: --save {directory}"
        raise DemoError(f"{directory}: holds no tagger; {remedy}") from error
    except ValueError as error:
        raise DemoError(f"{directory}: is damaged ({error})") from error
    return Tagger(model, params, _read(Path(directory) / VOCABULARIES))


def _write(path: Path, vocabularies: Vocabularies) -> None:
    """In one step, so that nobody reads half of it."""
    unfinished = path.with_suffix(".unfinished")
    with unfinished.open("w", encoding="utf-8") as file:
        parts = {name: dataclasses.asdict(part) for name, part in vocabularies._asdict().items()}
        json.dump(parts, file, indent=1, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(path)


def _read(path: Path) -> Vocabularies:
    try:
        parts = json.loads(path.read_text(encoding="utf-8"))
        return Vocabularies(**{name: Vocabulary(**part) for name, part in parts.items()})
    except (AttributeError, TypeError, ValueError, OSError) as error:
        raise DemoError(f"{path.parent}: {path.name} is damaged ({type(error).__name__}: {error})") from error
