"""What `dir` shows of a package: its public names, without the modules that define them."""

import types
from collections.abc import Callable, Mapping
from typing import Any


def listing(namespace: Mapping[str, Any]) -> Callable[[], list[str]]:
    """The `__dir__` of a package.

    Args:
        namespace: `globals()` of the package. Modules and names with a leading underscore are left out.
    """

    def names() -> list[str]:
        return sorted(
            name
            for name, value in namespace.items()
            if not (name.startswith("_") or isinstance(value, types.ModuleType))
        )

    return names
