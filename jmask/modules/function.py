"""A function of one sequence, with the options that it takes by name."""

import functools
import inspect
from collections.abc import Callable
from typing import Any

import jax

_ON_IN_TRAINING: tuple[str, ...] = ("training", "train", "is_training")
_OFF_IN_TRAINING: tuple[str, ...] = ("deterministic", "inference", "use_running_average")


class Function:
    """Runs a plain function, which has no parameters; modules are functions that have some."""

    def __init__(self, function: Any) -> None:
        self.function = function

    @property
    def draws(self) -> bool:
        """Whether the function can be given a key."""
        return "key" in _keywords(self.function, 0)

    def init(self, key: Any, rows: tuple[Any, ...]) -> Any:
        """The parameters, for one row of each input."""
        return {}

    def run(self, params: Any, rows: tuple[Any, ...], *, training: bool, key: Any) -> Any:
        """The function's output for one sequence; `key` is for this sequence only, or None."""
        return self.function(*rows, **options(self.function, len(rows), training, key))


def options(function: Callable[..., Any], num_inputs: int, training: bool, key: Any = None) -> dict[str, Any]:
    """Values for the options of a call that the inputs leave free: the training flags, and a key."""
    flags = modes(training)
    found = {name: flags[name] for name in _free(function, num_inputs) if name in flags}
    if key is not None and "key" in _keywords(function, num_inputs):
        found["key"] = key
    return found


def modes(training: bool) -> dict[str, bool]:
    """The training options by their names in other libraries, with their values."""
    return dict.fromkeys(_ON_IN_TRAINING, training) | dict.fromkeys(_OFF_IN_TRAINING, not training)


def accepts(function: Callable[..., Any], name: str) -> bool:
    """Whether a function has a keyword-only option of this name."""
    return name in _keywords(function, 0)


def typed(key: Any) -> Any:
    """A key as JAX's key type; old ones are pairs of integers."""
    return key if jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key) else jax.random.wrap_key_data(key)


def _free(function: Callable[..., Any], num_inputs: int) -> dict[str, inspect.Parameter]:
    """The parameters that the inputs leave free, without those that the user has already bound."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):  # builtins without a signature
        return {}
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    taken = {p.name for p in positional[:num_inputs]} | _bound(function)
    return {
        p.name: p for p in parameters if p.name not in taken and p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    }


def _keywords(function: Callable[..., Any], num_inputs: int) -> set[str]:
    """The free parameters that are not inputs: a third input of attention may also be called `key`."""
    return {name for name, p in _free(function, num_inputs).items() if p.kind is p.KEYWORD_ONLY}


def _bound(function: Callable[..., Any]) -> set[str]:
    return set(function.keywords) if isinstance(function, functools.partial) else set()
