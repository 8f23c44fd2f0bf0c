"""Attention block by block, which skips the blocks that see nothing of one another: `docs/attention.md` derives it."""

from .engine import attend as attend
from .rows import Options as Options
from .rows import Rows as Rows
