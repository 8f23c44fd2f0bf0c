"""The models that `epoch.py` trains, one file a library."""

import importlib
import importlib.util
from collections.abc import Callable, Iterator

from .task import Rival, Task

LIBRARIES = {"jmask": "jmask", "keras": "keras", "flax": "flax", "torch": "torch"}


def makers_at(task: Task, rate: float) -> Iterator[tuple[str, Callable[[], Rival]]]:
    """The rivals at a task by name, jmask first, as functions that make a new one; those of what is installed."""
    for label in LIBRARIES:
        if importlib.util.find_spec(LIBRARIES[label]):
            yield from importlib.import_module(f".with_{label}", __name__).makers_at(task, rate)
