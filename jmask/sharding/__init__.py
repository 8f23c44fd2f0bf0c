"""One global batch from the local batches of many processes, which agree on rows, widths and the end of the data."""

from ..core.public_names import listing as _listing
from .global_batches import batches as batches
from .global_batches import global_batch as global_batch

__dir__ = _listing(globals())
