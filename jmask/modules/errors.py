"""Explains the errors of Flax and Equinox for a missing key or for statistics that would change."""

import contextlib
from collections.abc import Iterator

from ..protocol import path
from .linen import STATISTICS

_KEY = (
    "the module draws at random; pass a key, from which each sequence gets its own: "
    "`model.apply(params, x, training=True, key=key)`."
)
_COLLECTION = f"the module has variables beside its parameters. {STATISTICS}"
_OF_FLAX = {
    "InvalidRngError": _KEY,
    "ModifyScopeVariableError": _COLLECTION,
    "ScopeCollectionNotFound": _COLLECTION,
}


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Adds the remedy, if there is one, to errors of other libraries raised inside this context."""
    try:
        yield
    except Exception as error:
        remedy = _OF_FLAX.get(type(error).__name__)
        if remedy is None and "requires a key" in str(error):
            remedy = _KEY
        if remedy is None:
            raise
        raise ValueError(f"{path.current()}: {remedy} {type(error).__name__}: {error}") from error
