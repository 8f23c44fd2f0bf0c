"""The names of several layers or cells, under which their parameters are found."""

import itertools
from collections.abc import Sequence
from typing import Any

from .path import snake_case


def distinct_names(items: Sequence[Any]) -> dict[int, str]:
    """A name for each layer or cell, by its id: its own, or its class in snake case, numbered if that is taken.

    Args:
        items: layers or cells; one that occurs twice has one name.

    Returns:
        The names. Those that the user has given are used unchanged.
    """
    distinct = {id(item): item for item in items}
    names: dict[int, str] = {}
    for key, item in distinct.items():
        default = getattr(item, "default_name", None) or snake_case(type(item).__name__)
        numbered = (f"{default}_{i}" if i else default for i in itertools.count())
        taken = {*given_names(items), *names.values()}
        names[key] = getattr(item, "name", None) or next(name for name in numbered if name not in taken)
    return names


def given_names(items: Sequence[Any]) -> list[str]:
    """The names that the user has given to layers or cells, once for each of them."""
    distinct = {id(item): item for item in items}
    return [item.name for item in distinct.values() if getattr(item, "name", None)]
