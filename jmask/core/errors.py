"""What jmask says when a mask is lost, and how loudly it says it."""

import contextlib
import sys
import warnings
from collections.abc import Iterator
from contextvars import ContextVar
from types import FrameType

# Jmask itself, what traces through it, and what checks its signatures.
_NOT_THE_USER = (__name__.partition(".")[0], "jax", "jaxtyping", "beartype")

_strict: ContextVar[bool] = ContextVar("jmask_strict", default=False)
_observed: ContextVar[list[str] | None] = ContextVar("jmask_observed", default=None)
_muted: ContextVar[bool] = ContextVar("jmask_muted", default=False)


class MaskDroppedWarning(UserWarning):
    """A mask met a layer that can neither use it nor pass it on: what follows sees padding as data."""


class MaskDroppedError(ValueError):
    """The same under `jm.strict()`: the model is refused."""


class NotCountedWarning(UserWarning):
    """A loss or a metric counts less than its inputs seem to hold: labels without a prediction, or nothing at all."""


class NotCountedError(ValueError):
    """The same under `jm.strict()`."""


@contextlib.contextmanager
def strict(enabled: bool = True) -> Iterator[None]:
    """Inside this context a dropped mask raises `MaskDroppedError` instead of warning.

    So does, as a `NotCountedError`, what a loss or a metric would warn of with a `NotCountedWarning`.

    The check runs while a function is traced: a function that `jax.jit` has compiled before is not traced again.
    A new thread begins outside of the context, as with `jax.enable_x64`: enter it in the function that the thread runs.

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
    """Collects the messages of masks that are dropped inside this context, besides the warning or error."""
    messages: list[str] = []
    token = _observed.set(messages)
    try:
        yield messages
    finally:
        _observed.reset(token)


@contextlib.contextmanager
def muted() -> Iterator[None]:
    """Reports no dropped mask inside this context: for a layer that runs again, and has reported it before."""
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
    warnings.warn(message, MaskDroppedWarning, stacklevel=_level_of_user(sys._getframe()))


def report_not_counted(message: str) -> None:
    """Warns, or raises under `strict`, of labels or results that count for nothing."""
    if _strict.get():
        raise NotCountedError(message)
    warnings.warn(message, NotCountedWarning, stacklevel=_level_of_user(sys._getframe()))


def _level_of_user(frame: FrameType) -> int:
    """How far above `frame` the first one outside the library is: the line that a user can change."""
    level = 1
    while frame.f_back is not None and frame.f_globals.get("__name__", "").partition(".")[0] in _NOT_THE_USER:
        frame, level = frame.f_back, level + 1
    return level
