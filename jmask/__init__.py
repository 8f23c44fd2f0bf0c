"""jmask: a JAX library in which a mask is data."""

import lazy_loader as _lazy_loader

# What each name stands for is in `__init__.pyi`; it is imported when it is used first.
__getattr__, __dir__, __all__ = _lazy_loader.attach_stub(__name__, __file__)

__version__ = "0.1.0"
