"""Which library a callable is from; anyone who has a module has imported its package, so we need not import it."""

import sys
from collections.abc import Callable
from typing import Any

from .equinox import EquinoxModule
from .function import Function
from .linen import LinenModule
from .nnx import NnxModule

_RUNNERS: dict[str, type[Function]] = {
    "flax.linen": LinenModule,
    "flax.nnx": NnxModule,
    "equinox": EquinoxModule,
}


def module_of(function: Callable[..., Any]) -> str | None:
    """The package that a module comes from; None for any other function."""
    for package in _RUNNERS:
        found = sys.modules.get(package)
        if found is not None and isinstance(function, found.Module):
            return package
    return None


def runner_of(function: Callable[..., Any]) -> Function:
    """What runs a function or module on one sequence."""
    return _RUNNERS.get(module_of(function) or "", Function)(function)
