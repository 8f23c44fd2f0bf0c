"""The arrays of one module of another library, which are taken one by one."""

from collections.abc import Callable
from typing import Any, NoReturn

import numpy as np

from .library import Library
from .places import LayerPlace


class Tensors:
    """The arrays of one module.

    Args:
        arrays: of all modules, by name; those that are taken leave it.
        place: the layer that takes them.
        library: whose they are.
        names: the full name of an array by that within the module; the prefix of all of them for `""`.
        remedy: what helps where an array is missing, given these arrays and its full name; `""` if there is nothing.
        function: the one that asks, for errors; None for the reader of the library.
    """

    def __init__(
        self,
        arrays: dict[str, Any],
        place: LayerPlace,
        library: Library,
        names: Callable[[str], str],
        remedy: Callable[["Tensors", str], str] = lambda *_: "",
        function: str | None = None,
    ) -> None:
        self.arrays, self._place, self._library, self._full, self._remedy = arrays, place, library, names, remedy
        self._prefix, self._function = names(""), function or library.reader
        self.names = sorted(name for name in arrays if name.startswith(self._prefix))

    def has(self, name: str) -> bool:
        """Whether there is one."""
        return self._full(name) in self.arrays

    def has_module(self, name: str) -> bool:
        """Whether there are any of a module in this one."""
        return any(other.startswith(self._full(name) + self._library.separator) for other in self.names)

    def take(self, name: str, remedy: str = "") -> np.ndarray:
        """One of them.

        Raises:
            ValueError: there is none.
        """
        if not self.has(name):
            there = shortened(self.names or sorted(self.arrays))
            if not self.names:
                there = f"nothing that begins with {self._prefix!r}{', but ' if there else ''}{there}"
            helps = self._remedy(self, self._full(name)) or (remedy if self.names else "")
            self.fail(
                f"needs {self._full(name)!r}; there is {there}",
                helps or f"Say which module it is: `modules={{{self._library.module}: layer_name}}`.",
            )
        return self.arrays.pop(self._full(name))

    def refuse(self, name: str, what: str) -> None:
        """Raises if there is an array that a layer of jmask has no place for."""
        if self.has(name):
            found = f"{self._place.described}: {self._full(name)!r}"
            raise ValueError(f"{self._function}: {found} is of {what}, which jmask does not have.")

    def fail(self, what: str, remedy: str) -> NoReturn:
        """Raises: these arrays are not those of the layer."""
        raise ValueError(f"{self._function}: {self._place.described} {what}. {remedy}")


def shortened(names: list[str]) -> str:
    """The first names of a list, for errors."""
    return f"{', '.join(names[:8])}{', ...' if names[8:] else ''}"
