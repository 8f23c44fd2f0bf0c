"""How often a function is traced."""

import functools
from collections.abc import Callable
from typing import Any


class Counted:
    """The function, which counts its calls: under `jax.jit`, its traces.

    JAX's own count of compiled programs, `_cache_size()`, says 0 where JAX has let go of them.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function, self.num_traces = function, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.num_traces += 1
        return self.function(*args, **kwargs)
