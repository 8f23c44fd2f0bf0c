"""All public names with what they take, as text; `python -m tests.support.public_names` writes the test's list."""

import inspect
import pathlib
from collections.abc import Iterator
from typing import Any

import jmask as jm

FROZEN = pathlib.Path(__file__).with_suffix(".txt")
ROOMS = {"jm": jm, **{f"jm.{name}": getattr(jm, name) for name in dir(jm) if inspect.ismodule(getattr(jm, name))}}


def parameter(parameter: inspect.Parameter) -> str:
    default = parameter.default
    if default is parameter.empty:
        return str(parameter.replace(annotation=parameter.empty))
    shown = repr(default) if isinstance(default, (int, float, str, tuple, type(None))) else type(default).__name__
    return f"{parameter.replace(annotation=parameter.empty, default=parameter.empty)!s}={shown}"


def taken(value: Any) -> str:
    """The parameters of a function or class, without annotations, `/` and `*` as Python writes them."""
    parts, kinds = [], inspect.Parameter
    parameters = list(inspect.signature(value).parameters.values())
    for i, each in enumerate(parameters):
        before = parameters[i - 1].kind if i else None
        if before is kinds.POSITIONAL_ONLY and each.kind is not kinds.POSITIONAL_ONLY:
            parts.append("/")
        if each.kind is kinds.KEYWORD_ONLY and before not in (kinds.KEYWORD_ONLY, kinds.VAR_POSITIONAL):
            parts.append("*")
        parts.append(parameter(each))
    if parameters and parameters[-1].kind is kinds.POSITIONAL_ONLY:
        parts.append("/")
    return f"({', '.join(parts)})"


def lines() -> Iterator[str]:
    for room, module in ROOMS.items():
        for name in dir(module):
            value, path = getattr(module, name), f"{room}.{name}"
            if inspect.ismodule(value) or (inspect.isclass(value) and issubclass(value, BaseException)):
                yield path
                continue
            if callable(value):
                yield path + taken(value)
            else:
                yield f"{path}: {type(value).__name__}"
            if inspect.isclass(value) and room == "jm":  # of layers and containers, the protocol is `jm.Layer`'s
                yield from members(value, path)


def members(owner: type, path: str) -> Iterator[str]:
    for name in sorted(vars(owner)):
        value = getattr(owner, name)
        if not name.startswith("_"):
            yield f"{path}.{name}{taken(value) if callable(value) else ''}"


if __name__ == "__main__":
    FROZEN.write_text("\n".join(lines()) + "\n")
