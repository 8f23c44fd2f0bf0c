"""Blocks of attention small enough for short sequences to have several."""

import contextlib
from collections.abc import Iterator
from unittest import mock

from jmask.ops import block_attention


@contextlib.contextmanager
def small_blocks(size: int) -> Iterator[None]:
    """Within, `jm.ops.attention(implementation="blocks")` takes blocks of this size."""
    with mock.patch.object(block_attention, "_BLOCK", size):
        yield
