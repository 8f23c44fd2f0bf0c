"""What losses and metrics ask of their options; each error names the option."""

import operator
from typing import Any

import numpy as np


def check_bool(name: str, option: str, value: Any) -> None:
    """Refuses what is only taken for true or false, such as "no"."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"`{name}`: `{option}` must be True or False; received {value!r}.")


def check_integer(name: str, option: str, value: Any, minimum: int | None = None) -> int:
    """The option as an int; refuses bools, floats such as 2.0 and NaN, and what is below the minimum."""
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
    """Refuses what is no number, or is known to be NaN or not from `low` to `high`; `rule` says it in words."""
    dtype = getattr(value, "dtype", None)
    is_number = isinstance(value, (int, float)) if dtype is None else dtype.kind in "iuf" or dtype.name == "bfloat16"
    if not is_number or isinstance(value, bool) or np.ndim(value):
        raise TypeError(f"`{name}`: `{option}` must be {rule}; received {value!r}.")
    if isinstance(value, (int, float, np.generic)) and not low <= float(value) <= high:
        raise ValueError(f"`{name}`: `{option}` must be {rule}; received {value}.")
