"""One global batch from the local batches of many processes, which agree on rows, widths and the end of the data."""

from .global_batches import batches as batches
from .global_batches import global_batch as global_batch
