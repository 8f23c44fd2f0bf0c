"""How often a function is traced, and what is compiled."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax


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


_open: list[list[str]] = []


def _listen(event: str, *args: Any, **details: Any) -> None:
    if event == "/jax/core/compile/backend_compile_duration":
        for programs in _open:
            programs.append(str(details))


jax.monitoring.register_event_duration_secs_listener(_listen)  # once: jax 0.7.2 has no way to take it back


@contextlib.contextmanager
def compiles() -> Iterator[list[str]]:
    """Collects what is compiled inside this context, in eager calls too: one event for each program."""
    programs: list[str] = []
    _open.append(programs)
    try:
        yield programs
    finally:
        _open.remove(programs)
