"""The models that `layers.py` compares, one file a library."""

import importlib
import importlib.util
from collections.abc import Iterator

from .task import Rival, Task

LIBRARIES = {"jmask": ".with_jmask", "keras": ".with_keras", "flax": ".with_flax"}


def rivals_at(task: Task) -> Iterator[Rival]:
    """The rivals at a task, jmask first. A library that is not installed has none."""
    for library, module in LIBRARIES.items():
        if importlib.util.find_spec(library) is not None:
            yield from importlib.import_module(module, __name__).rivals_at(task)
