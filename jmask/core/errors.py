"""Warnings and errors for a lost mask, and `strict`, which turns the warnings into errors."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType

# jmask itself, the libraries that trace through it, and those that check its signatures.
_NOT_THE_USER = (__name__.partition(".")[0], "jax", "jaxtyping", "beartype")

_strict: ContextVar[bool] = ContextVar("jmask_strict", default=False)
_observed: ContextVar[list[str] | None] = ContextVar("jmask_observed", default=None)
_muted: ContextVar[bool] = ContextVar("jmask_muted", default=False)


class MaskDroppedWarning(UserWarning):
    """A mask reached a layer that can neither use it nor pass it on: later layers see padding as data."""


class MaskDroppedError(ValueError):
    """Raised instead of `MaskDroppedWarning` under `jm.strict()`."""


class NotCountedWarning(UserWarning):
    """A loss or a metric counts less than its inputs seem to hold: labels without a prediction, or nothing at all."""


class NotCountedError(ValueError):
    """Raised instead of `NotCountedWarning` under `jm.strict()`."""


@contextlib.contextmanager
def strict(enabled: bool = True) -> Iterator[None]:
    """Inside this context a dropped mask raises `MaskDroppedError` instead of warning.

    Likewise, a loss or a metric raises `NotCountedError` instead of issuing a `NotCountedWarning`.

    The check runs while a function is traced: a function that `jax.jit` has already compiled is not traced again.
    A new thread starts outside the context, as with `jax.enable_x64`: enter it in the function that the thread runs.

    Args:
        enabled: `False` returns to warnings inside an outer strict context.

    Yields:
        Nothing.

    Raises:
        MaskDroppedError: where a layer inside the context drops a mask.

    >>> import jax.numpy as jnp, jmask as jm
    >>> class Mystery(jm.Layer):
    ...     def call(self, params, inputs):
    ...         return inputs
    >>> with jm.strict():
    ...     Mystery()(jm.from_lengths(jnp.ones((1, 3)), [2]))
    Traceback (most recent call last):
    jmask.core.errors.MaskDroppedError: mystery: ...
    """
    token = _strict.set(enabled)
    try:
        yield
    finally:
        _strict.reset(token)


@contextlib.contextmanager
def observe_drops() -> Iterator[list[str]]:
    """Collects the messages about masks dropped inside this context, in addition to the warning or error."""
    messages: list[str] = []
    token = _observed.set(messages)
    try:
        yield messages
    finally:
        _observed.reset(token)


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Silences reports of dropped masks inside this context: for a layer that runs again and has already reported."""
    token = _muted.set(True)
    try:
        yield
    finally:
        _muted.reset(token)


def report_dropped_mask(message: str) -> None:
    """Warns, or raises under `strict`, with `message` (which starts with the layer's path)."""
    if _muted.get():
        return
    observed = _observed.get()
    if observed is not None:
        observed.append(message)
    if _strict.get():
        raise MaskDroppedError(message)
    warnings.warn(message, MaskDroppedWarning, stacklevel=level_of_user(sys._getframe()))


def report_not_counted(message: str) -> None:
    """Warns, or raises under `strict`, about labels or results that are not counted."""
    if _strict.get():
        raise NotCountedError(message)
    warnings.warn(message, NotCountedWarning, stacklevel=level_of_user(sys._getframe()))


def level_of_user(frame: FrameType) -> int:
    """How many frames above `frame` the first one outside the library is: the line that a user can change."""
    level = 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_USER:
        frame, level = frame.f_back, level + 1
    return level
