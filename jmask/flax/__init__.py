"""jmask's layers and models as modules of Flax, and parameters that Flax has learned for layers and models."""

from ..core.public_names import listing as _listing
from .conversion import to_linen as to_linen
from .conversion import to_nnx as to_nnx
from .weights import from_linen as from_linen
from .weights import from_nnx as from_nnx
from .weights import linen_variables as linen_variables
from .weights import nnx_state as nnx_state

__dir__ = _listing(globals())
