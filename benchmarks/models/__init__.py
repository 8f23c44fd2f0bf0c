"""The models that `layers.py` compares, one file a library."""

from collections.abc import Iterator

from . import with_flax, with_jmask, with_keras
from .task import Rival, Task

LIBRARIES = (with_jmask, with_keras, with_flax)


def rivals_at(task: Task) -> Iterator[Rival]:
    """The rivals at a task, jmask first."""
    for library in LIBRARIES:
        yield from library.rivals_at(task)
