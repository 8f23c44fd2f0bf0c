"""From ragged data on the host to batches: sources, padding, packing."""

from ..core.public_names import listing as _listing
from .columns import Column as Column
from .corpus import Ragged as Ragged

__dir__ = _listing(globals())
