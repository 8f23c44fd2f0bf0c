"""How often a function is traced, and how many programs are compiled."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax.monitoring


class Counted:
    """A function that counts its calls: under `jax.jit`, its traces.

    JAX's own count of compiled programs, `_cache_size()`, is 0 after JAX has evicted them.
    """

    def __init__(self, function: Callable[..., Any]) -> None:
        functools.update_wrapper(self, function, updated=())
        self.function, self.num_traces = function, 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Calls the function."""
        self.num_traces += 1
        return self.function(*args, **kwargs)


class Compiles:
    """How many programs JAX has compiled so far inside `num_compiles()`."""

    count = 0


_open: list[Compiles] = []


@contextlib.contextmanager
def num_compiles() -> Iterator[Compiles]:
    """Counts what JAX compiles inside this context, including eager operations."""
    _listen()
    compiles = Compiles()
    _open.append(compiles)
    try:
        yield compiles
    finally:
        _open.remove(compiles)


@functools.cache  # JAX never drops its listeners, so one is registered, and only when needed
def _listen() -> None:
    jax.monitoring.register_event_duration_secs_listener(lambda event, *_, **__: _on_event(event))


def _on_event(event: str) -> None:
    if event.endswith("backend_compile_duration"):
        for compiles in _open:
            compiles.count += 1
