"""jmask: a JAX library in which a mask is data."""

import sys as _sys
import threading as _threading

import lazy_loader as _lazy_loader

# What each name stands for is in `__init__.pyi`; it is imported when it is used first.
_lock = _threading.RLock()  # JAX cannot be imported by several threads at once
_load, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> object:
    if name in __all__:
        with _lock:
            return _load(name)
    text = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(text, name=name, obj=_sys.modules[__name__])  # by which Python finds what was meant


__version__ = "0.1.0"
