"""Lazy imports of packages that take longer to load than jmask itself, or that only an extra of jmask brings."""

import contextlib
import importlib
import importlib.abc
import importlib.util
import sys
from collections.abc import Callable, Iterator
from typing import Any


class LazyModule:
    """A module that is imported on first access to one of its attributes.

    Args:
        name: of the module.
        extra: the extra of jmask that brings it; None: jmask always does, or says itself what to do without.
    """

    def __init__(self, name: str, extra: str | None = None) -> None:
        self._name, self._extra = name, extra

    def __getattr__(self, attribute: str) -> Any:
        with contextlib.nullcontext() if self._extra is None else from_extra(self._extra):
            return getattr(importlib.import_module(self._name), attribute)


class MissingExtraError(ImportError):
    """A package is missing that an extra of jmask brings."""


@contextlib.contextmanager
def from_extra(extra: str) -> Iterator[None]:
    """For imports of packages that an extra of jmask brings.

    Args:
        extra: its name.

    Raises:
        MissingExtraError: a package is missing.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        text = f'This needs the package {error.name}, which is not installed: pip install "jmask[{extra}]"'
        raise MissingExtraError(text, name=error.name) from error


def after_import(name: str, action: Callable[[], None]) -> None:
    """Runs an action as soon as a module has been imported: now, or when the user imports it.

    Args:
        name: the full name of the module.
        action: what to do, once.
    """
    if name in sys.modules:
        action()
    else:
        sys.meta_path.insert(0, _Watcher(name, action))


class _Watcher(importlib.abc.MetaPathFinder):
    """Waits at the front of `sys.meta_path` until Python looks for a module, and leaves finding it to the others."""

    def __init__(self, name: str, action: Callable[[], None]) -> None:
        self.name, self.action = name, action

    def find_spec(self, fullname: str, _path: Any = None, _target: Any = None) -> Any:
        """The module's own spec, whose loader also runs the action."""
        if fullname != self.name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(fullname)
        loader: Any = spec and spec.loader
        if loader is not None:
            load = loader.exec_module

            def load_and_act(module: Any) -> None:
                load(module)
                self.action()

            loader.exec_module = load_and_act
        return spec
