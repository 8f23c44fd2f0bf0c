"""Checks of the options of losses and metrics; each error names the option."""

import operator
from typing import Any

import numpy as np


def check_bool(name: str, option: str, value: Any) -> None:
    """Raises unless the value is a bool; the string "no" would be true."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}`: `{option}` must be True or False; received {value!r}.")


def check_integer(name: str, option: str, value: Any, minimum: int | None = None) -> int:
    """The option as an int; raises for bools, for floats such as 2.0, and below the minimum."""
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}`: `{option}` must be an integer; received {value!r}.")
    if minimum is not None and number < minimum:
        raise ValueError(f"`{name}`: `{option}` must be at least {minimum}; received {number}.")
    return number


def check_number(
    name: str, option: str, value: Any, rule: str, low: int | float = -np.inf, high: int | float = np.inf
) -> None:
    """Raises unless the value is a number from `low` to `high`, if that is known; `rule` states the range in words."""
    dtype = getattr(value, "dtype", None)
    is_number = isinstance(value, (int, float)) if dtype is None else dtype.kind in "iuf" or dtype.name == "bfloat16"
    if not is_number or isinstance(value, bool) or np.ndim(value):
        raise TypeError(f"`{name}`: `{option}` must be {rule}; received {value!r}.")
    if isinstance(value, (int, float, np.generic)) and not low <= float(value) <= high:
        raise ValueError(f"`{name}`: `{option}` must be {rule}; received {value}.")
