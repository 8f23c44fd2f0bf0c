"""The current path in a model, which errors, warnings and profiles show."""

import contextlib
import functools
import re
from collections.abc import Iterator
from contextvars import ContextVar
from typing import Any, NamedTuple

import jax

_NOTE = "In layer"


class _Place(NamedTuple):
    """The names on the path to the layer being called, and that layer."""

    names: tuple[str, ...] = ()
    owner: Any = None


# A ContextVar, because the path must pass through the user's own `call` and `init`, which have no argument for it.
_place: ContextVar[_Place] = ContextVar("jmask_place", default=_Place())  # noqa: B039 - a constant


@contextlib.contextmanager
def scope(name: str, owner: Any = None) -> Iterator[None]:
    """Adds a layer's name to the path.

    An exception that leaves the scope gets a note with its innermost path, unless its text already names it.

    Args:
        name: the name.
        owner: the layer; inside its own scope (its `init` runs its `call`) nothing is added.

    Yields:
        Nothing.
    """
    outer = _place.get()
    if owner is not None and outer.owner is owner:
        yield
        return
    path = (*outer.names, name)
    token = _place.set(_Place(path, owner))
    try:
        with jax.named_scope(name):
            yield
    except Exception as error:
        is_known = str(error).startswith(("/".join(path) + ":", "/".join(path) + "/"))
        if not is_known and not any(note.startswith(_NOTE) for note in getattr(error, "__notes__", ())):
            error.add_note(f"{_NOTE} `{'/'.join(path)}`.")
        raise
    finally:
        _place.reset(token)


def names() -> tuple[str, ...]:
    """The names on the path."""
    return _place.get().names


def current() -> str:
    """The path as text, e.g. `tagger/bidirectional/forward`."""
    return "/".join(_place.get().names)


@functools.cache
def snake_case(class_name: str) -> str:
    """`LSTM` -> `lstm`, `LayerNormalization` -> `layer_normalization`, as Keras names layers."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name.lstrip("_"))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
