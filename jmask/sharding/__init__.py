"""Many devices and processes: how a training state is divided, and one global batch from the local ones of each."""

from ..core.public_names import listing as _listing
from .global_batches import batches as batches
from .global_batches import global_batch as global_batch
from .layouts import named_shardings as named_shardings
from .rules import fsdp as fsdp

__dir__ = _listing(globals())
