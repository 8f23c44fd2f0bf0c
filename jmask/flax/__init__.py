"""jmask's layers and models as modules of Flax."""

from ..core.public_names import listing as _listing
from .conversion import to_linen as to_linen
from .conversion import to_nnx as to_nnx

__dir__ = _listing(globals())
