"""The recurrent layers that `rnn.py` compares, one file a library."""

import importlib
import importlib.util
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .task import Rival, Task


class Library(NamedTuple):
    """The module here, the one that it imports, and the package that brings that."""

    module: str
    imports: str
    package: str


# The label begins the name of each rival of the library.
LIBRARIES = {
    "jmask": Library(".with_jmask", "jmask", "jmask"),
    "Keras": Library(".with_keras", "keras", "keras"),
    "Flax": Library(".with_flax", "flax", "flax"),
    "Haiku": Library(".with_haiku", "haiku", "dm-haiku"),
    "Equinox": Library(".with_equinox", "equinox", "equinox"),
    "PyTorch": Library(".with_torch", "torch", "torch"),
}


def rivals_at(task: Task, names: Sequence[str] = ()) -> Iterator[Rival]:
    """The rivals at a task, jmask first. A library that is not installed has none.

    With `names`, only the rivals whose names begin with one of them, and only their libraries are imported.
    """
    for label, library in LIBRARIES.items():
        wanted = not names or any(name.startswith(label) for name in names)
        if wanted and label not in missing():
            for rival in importlib.import_module(library.module, __name__).rivals_at(task):
                if not names or rival.name.startswith(tuple(names)):
                    yield rival


def missing() -> dict[str, str]:
    """Libraries that are not installed, and the packages that would bring them."""
    return {
        label: library.package
        for label, library in LIBRARIES.items()
        if importlib.util.find_spec(library.imports) is None
    }
