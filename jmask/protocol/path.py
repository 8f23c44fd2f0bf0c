"""Where in a model we are: the path that errors, warnings and profiles show."""

import contextlib
import functools
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any

import jax

_NOTE = "In layer"
_path: ContextVar[tuple[str, ...]] = ContextVar("jmask_path", default=())
_owner: ContextVar[Any] = ContextVar("jmask_owner", default=None)


@contextlib.contextmanager
def scope(name: str, owner: Any = None) -> Iterator[None]:
    """Adds a layer's name to the path.

    An exception on its way out learns the innermost path it came from, unless its text says so already.

    Args:
        name: the name.
        owner: the layer; inside its own scope (its `init` follows its `call`) it adds nothing.

    Yields:
        Nothing.
    """
    if owner is not None and _owner.get() is owner:
        yield
        return
    path = (*_path.get(), name)
    token, owner_token = _path.set(path), _owner.set(owner)
    try:
        with jax.named_scope(name):
            yield
    except Exception as error:
        is_known = str(error).startswith(("/".join(path) + ":", "/".join(path) + "/"))
        if not is_known and not any(note.startswith(_NOTE) for note in getattr(error, "__notes__", ())):
            error.add_note(f"{_NOTE} `{'/'.join(path)}`.")
        raise
    finally:
        _path.reset(token)
        _owner.reset(owner_token)


def names() -> tuple[str, ...]:
    """The names on the path."""
    return _path.get()


def current() -> str:
    """The path as text, e.g. `tagger/bidirectional/forward`."""
    return "/".join(_path.get())


@functools.cache
def snake_case(class_name: str) -> str:
    """`LSTM` -> `lstm`, `LayerNormalization` -> `layer_normalization`, as Keras names layers."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name.lstrip("_"))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
