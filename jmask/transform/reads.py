"""What a function is made of and reads besides its arguments, so far as that can be known."""

import builtins
import dis
import functools
import sys
from collections.abc import Callable, Hashable
from types import CodeType, FunctionType, ModuleType
from typing import Any

# Packages whose modules, classes and functions stay as they are while a program runs.
_STEADY = frozenset(("builtins", "einops", "flax", "functools", "jax", "jaxlib", "jmask", "math", "numpy", "optax"))
_CONSTANTS = (type(None), type(...), bool, int, float, complex, str, bytes)


class _UnknownError(Exception):
    """Something that may change unseen."""


def reads(fn: Callable[..., Any]) -> Hashable | None:
    """A description of a function with all that it reads: two that are equal compute the same.

    The description holds the function's code, and under the names of its defaults, its closure and its globals the
    numbers and strings, the modules, classes and functions of well-known packages, and the user's own functions,
    described in the same way. It does not keep the function alive.

    Args:
        fn: a function.

    Returns:
        The description; None if the function reads anything that may change unseen: an array, a list, an object, a
        module of the user's, a variable that functions share.
    """
    try:
        return _describe(fn, {}) if isinstance(fn, FunctionType) else None
    except _UnknownError:
        return None


def _describe(value: Any, seen: dict[FunctionType, int]) -> Hashable:
    if type(value) in _CONSTANTS:
        return type(value), repr(value)  # by `repr`: 1, 1.0 and True are equal, 0.0 and -0.0 too
    if type(value) is tuple:
        return tuple(_describe(item, seen) for item in value)
    if _is_steady(value):
        return value
    if type(value) is FunctionType:
        return _describe_function(value, seen)
    raise _UnknownError


def _describe_function(fn: FunctionType, seen: dict[FunctionType, int]) -> Hashable:
    if fn in seen:
        return seen[fn]
    seen[fn] = len(seen)
    if set(vars(fn)) - {"__wrapped__"}:  # attributes that its code may read
        raise _UnknownError
    code = fn.__code__
    values = {**dict(enumerate(fn.__defaults__ or ())), **(fn.__kwdefaults__ or {})}
    for name, cell in zip(code.co_freevars, fn.__closure__ or (), strict=True):
        try:
            values["closure", name] = cell.cell_contents
        except ValueError as error:  # not yet assigned
            raise _UnknownError from error
    values |= {("globals", name): fn.__globals__[name] for name in _globals(code) if name in fn.__globals__}
    return code, tuple((name, _describe(value, seen)) for name, value in values.items())


@functools.lru_cache(maxsize=4096)
def _globals(code: CodeType) -> tuple[str, ...]:
    """The names of the global variables that a function reads; an error if it imports modules."""
    names = {}
    for instruction in dis.get_instructions(code):
        if instruction.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names[instruction.argval] = None
        elif instruction.opname == "IMPORT_NAME":
            raise _UnknownError
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            names |= dict.fromkeys(_globals(inner))
    return tuple(names)


def _is_steady(value: Any) -> bool:
    """Whether it is a module of a well-known package, or what such a module holds under its own name."""
    if isinstance(value, ModuleType):
        return _package(value.__name__) in _STEADY
    module, name = getattr(value, "__module__", None), getattr(value, "__name__", None)
    if not callable(value) or not isinstance(module, str) or not isinstance(name, str):
        return False
    return _package(module) in _STEADY and getattr(sys.modules.get(module, builtins), name, None) is value


def _package(name: str) -> str:
    return name.partition(".")[0].lstrip("_")
