"""Where in a model we are: the path that errors, warnings and profiles show."""

import contextlib
import re
from collections.abc import Iterator
from contextvars import ContextVar

import jax

_path: ContextVar[tuple[str, ...]] = ContextVar("jmask_path", default=())


@contextlib.contextmanager
def scope(name: str) -> Iterator[None]:
    """Adds a layer's name to the path. An exception on its way out learns the innermost path it came from."""
    path = (*_path.get(), name)
    token = _path.set(path)
    try:
        with jax.named_scope(name):
            yield
    except Exception as error:
        if not getattr(error, "__jmask_path__", None):
            error.__jmask_path__ = path  # type: ignore[attr-defined]
            error.add_note(f"In layer `{'/'.join(path)}`.")
        raise
    finally:
        _path.reset(token)


def current() -> str:
    """The path as text, e.g. `tagger/bidirectional/forward`."""
    return "/".join(_path.get())


def snake_case(class_name: str) -> str:
    """`LSTM` -> `lstm`, `LayerNormalization` -> `layer_normalization`, as Keras names layers."""
    name = re.sub(r"(.)([A-Z][a-z]+)", r"\1_\2", class_name.lstrip("_"))
    return re.sub(r"([a-z])([A-Z])", r"\1_\2", name).lower()
