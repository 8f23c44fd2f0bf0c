"""The models that `layers.py` compares, one file a library."""

from collections.abc import Iterator

from . import with_flax, with_jmask, with_keras
from .task import Entrant, Task

LIBRARIES = (with_jmask, with_keras, with_flax)


def entrants(task: Task) -> Iterator[Entrant]:
    """The rivals at a task, jmask first."""
    for library in LIBRARIES:
        yield from library.entrants(task)
