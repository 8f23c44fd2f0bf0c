"""What `dir` shows of a package: its public names, without the modules that define them."""

import types
from collections.abc import Callable, Mapping
from typing import Any


def listing(namespace: Mapping[str, Any], packages: tuple[str, ...] = ()) -> Callable[[], list[str]]:
    """The `__dir__` of a package.

    Args:
        namespace: `globals()` of the package.
        packages: its public packages; other modules and names with a leading underscore are left out.
    """

    def names() -> list[str]:
        return sorted(
            name
            for name, value in namespace.items()
            if name in packages or not (name.startswith("_") or isinstance(value, types.ModuleType))
        )

    return names
