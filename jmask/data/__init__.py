"""From ragged data on the host to batches: sources, padding, packing."""

from ..core.public_names import listing as _listing
from .batching import batches as batches
from .columns import Column as Column
from .conll import read_conll as read_conll
from .corpus import Ragged as Ragged
from .grain_sources import from_grain as from_grain
from .json_lines import read_json_lines as read_json_lines
from .plan_kinds import Plan as Plan
from .plans import buckets as buckets
from .plans import packed as packed
from .plans import padded as padded
from .tables import from_table as from_table
from .tables import read_parquet as read_parquet
from .time_series_files import read_ts as read_ts
from .vocabulary import Vocabulary as Vocabulary

__dir__ = _listing(globals())
