"""The laws as assertions for your own layers and functions, and tools for testing masked arrays."""

from ..core.public_names import listing as _listing
from .check import check_function as check_function
from .check import check_layer as check_layer
from .exactness import assert_exact as assert_exact
from .exactness import assert_one_compile as assert_one_compile
from .exactness import poisonings as poisonings
from .examples import random_masked as random_masked
from .laws import LAWS as LAWS
from .laws import LawBroken as LawBroken
from .tolerance import TOLERANCES as TOLERANCES
from .tolerance import assert_close as assert_close

__dir__ = _listing(globals())
