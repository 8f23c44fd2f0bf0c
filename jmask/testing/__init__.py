"""The laws as assertions, for layers and functions of one's own."""

from .tolerance import TOLERANCES as TOLERANCES
from .tolerance import assert_close as assert_close
