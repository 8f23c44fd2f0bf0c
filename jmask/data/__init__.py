"""From ragged data on the host to batches: sources, padding, packing."""

from ..core.public_names import listing as _listing
from .batching import batches as batches
from .columns import Column as Column
from .corpus import Ragged as Ragged
from .plan_kinds import Plan as Plan
from .plans import buckets as buckets
from .plans import packed as packed
from .plans import padded as padded

__dir__ = _listing(globals())
