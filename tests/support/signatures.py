"""How calls of jmask are checked against their annotations."""

import inspect
from collections.abc import Callable

from beartype import beartype


def check_signature(function: Callable) -> Callable:
    """Checks the arguments and the result of a call together, after the call.

    Out of each signature jaxtyping makes two functions to check: one that takes the arguments, called before, and one
    that takes the result as well, as `ret0`, called after. Only the second is checked: so a wrong argument meets the
    error message of jmask, which tests want to see, and not that of beartype. What jmask takes although its annotation
    says no is still found, and reported as an error "whilst checking the return value" that lists the arguments.
    """
    return beartype(function) if "ret0" in inspect.signature(function).parameters else function
