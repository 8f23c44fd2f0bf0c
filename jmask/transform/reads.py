"""What a function reads besides its arguments, so far as that can be known."""

from collections.abc import Callable, Iterator
from types import BuiltinFunctionType, CodeType, FunctionType, ModuleType
from typing import Any

# Packages whose modules and functions stay as they are while a program runs.
_STEADY = frozenset(("builtins", "einops", "flax", "functools", "jax", "jaxlib", "jmask", "math", "numpy", "optax"))


def reads(fn: Callable[..., Any]) -> tuple[Any, ...] | None:
    """The numbers and strings that a function reads from outside, with their names.

    Args:
        fn: a function.

    Returns:
        What it reads; None if it reads anything that may change unseen: a variable of a function around it, an array, a
        list, an object, a module of the user's.
    """
    found: dict[Any, Any] = {}
    return tuple(sorted(found.items(), key=repr)) if _collect(fn, found, set()) else None


def _collect(fn: Any, found: dict[Any, Any], seen: set[Any]) -> bool:
    if not isinstance(fn, FunctionType) or fn.__closure__:
        return False
    if fn in seen:
        return True
    seen.add(fn)
    defaults = {**dict(enumerate(fn.__defaults__ or ())), **(fn.__kwdefaults__ or {})}
    values = {(fn, name): value for name, value in defaults.items()}
    values |= {(fn.__module__, n): fn.__globals__[n] for n in _names(fn.__code__) if n in fn.__globals__}
    for name, value in values.items():
        if _is_constant(value):
            found[name] = (type(value), value)
        elif not _is_steady(value) and not _collect(value, found, seen):
            return False
    return True


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)


def _is_constant(value: Any) -> bool:
    if isinstance(value, tuple):
        return all(map(_is_constant, value))
    return value is None or isinstance(value, (bool, int, float, complex, str, bytes))


def _is_steady(value: Any) -> bool:
    if isinstance(value, ModuleType):
        return value.__name__.partition(".")[0] in _STEADY
    package = (getattr(value, "__module__", None) or "").partition(".")[0]
    return isinstance(value, BuiltinFunctionType) or (callable(value) and package in _STEADY)
