"""Attention block by block, which skips the blocks that see nothing of one another: `docs/attention.md` derives it."""

from .engine import attend as attend
from .rows import AttentionOptions as AttentionOptions
from .rows import AttentionRows as AttentionRows
