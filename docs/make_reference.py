"""Writes the pages of the reference, one for each public name, and those that include benchmark results."""

import functools
import importlib
import inspect
import itertools
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jmask as jm

ROOMS = {"jm": jm} | {f"jm.{name}": getattr(jm, name) for name in dir(jm) if inspect.ismodule(getattr(jm, name))}
MANY = 30  # a room of more names has a heading for each of its files

# The names of `jm` itself, in the order in which one meets them. A new one is under "More".
TOP = {
    "Masked sequences": ("Masked", "masked", "as_masked", "NO_MASK", "left_align"),
    "From data and back": (
        *("pad_sequences", "unpad", "from_lengths", "from_attention_mask", "to_attention_mask", "from_nan_padding"),
        *("pack", "unpack", "unpack_batch", "from_segment_ids", "from_cu_seqlens", "from_position_ids"),
    ),
    "Models": ("Layer", "Sequential", "Input", "Model", "trace", "summarize", "draw"),
    "Functions of one sequence": ("vmap", "def_vmap_rule", "is_pointwise", "explain", "skip_padding"),
    "Saving and converting": ("save", "load", "to_config", "from_config", "register_serializable", "from_keras"),
    "Errors and warnings": (
        *("strict", "MaskDroppedError", "MaskDroppedWarning", "NotCountedError", "NotCountedWarning"),
        "SymbolicLengthError",
    ),
}
CONSTANTS = {  # which cannot hold a docstring
    "jm.NO_MASK": "The explicit absence of a mask: `layer.apply(params, x, mask=jm.NO_MASK)` ignores the one of `x`.",
    "jm.testing.LAWS": "The laws that `jm.testing.check_layer` and `jm.testing.check_function` try, by name.",
    "jm.testing.TOLERANCES": "How close counts as equal, by dtype; relative to the largest expected entry, or to 1.",
}


@functools.cache
def names() -> dict[str, Any]:
    """All public names, such as `jm.ops.mean`, with what they stand for; modules left out."""
    found = {f"{room}.{name}": getattr(module, name) for room, module in ROOMS.items() for name in dir(module)}
    return {path: value for path, value in found.items() if not inspect.ismodule(value)}


def file_of(path: str) -> str:
    """The name of the page; those of `jm.Masked` and `jm.masked` differ where capitals do not count."""
    alike = sum(other.lower() == path.lower() for other in names()) > 1
    return f"{path}-class" if alike and inspect.isclass(names()[path]) else path


def groups(room: str) -> Iterator[tuple[str, list[str]]]:
    """The names of a room under headings; the heading is empty where a room is short."""
    members = [path.rpartition(".")[2] for path in names() if path.rpartition(".")[0] == room]
    if room == "jm":
        yield from ((heading, [name for name in listed if name in members]) for heading, listed in TOP.items())
        others = sorted(set(members) - {*itertools.chain(*TOP.values())})
        if others:
            yield "More", others
    elif len(members) <= MANY:
        yield "", members
    else:
        yield from sorted(_by_file(room, members).items())


def _by_file(room: str, members: list[str]) -> dict[str, list[str]]:
    """Names by the first sentence of the file that they come from."""
    found: dict[str, list[str]] = {}
    for name in members:
        file = importlib.import_module(inspect.unwrap(names()[f"{room}.{name}"]).__module__)
        heading = re.split(r"[.:,;] |\.\n|\.$", file.__doc__ or "")[0].replace("`", "")
        found.setdefault(heading, []).append(name)
    return found


def room_page(room: str) -> Iterator[str]:
    """The page of a room: what it is for, and tables of its names."""
    yield f"{room}\n{'=' * len(room)}\n\n{inspect.cleandoc(ROOMS[room].__doc__ or '')}\n"
    for heading, members in groups(room):
        if heading:
            yield f"{heading}\n{'-' * len(heading)}\n"
        yield ".. list-table::\n   :widths: auto\n"
        for name in members:
            path = f"{room}.{name}"
            yield f"   * - :doc:`{name} </api/{file_of(path)}>`\n     - {_first_sentence(path)}"
        yield "\n.. toctree::\n   :hidden:\n"
        yield "".join(f"   {name} </api/{file_of(f'{room}.{name}')}>\n" for name in members)


def _first_sentence(path: str) -> str:
    text = CONSTANTS[path] if path in CONSTANTS else inspect.getdoc(names()[path]) or ""
    paragraph = " ".join(text.partition("\n\n")[0].split())
    return re.split(r"(?<=\.) |:$", paragraph)[0]


def page(path: str) -> str:
    """The page of a public name."""
    value, target = names()[path], path.replace("jm", "jmask", 1)
    head = f"{path}\n{'=' * len(path)}\n\n"
    if path in CONSTANTS:
        entries = value.items() if isinstance(value, Mapping) else ()
        listed = "".join(f"   - `{key}`: {entry}\n" for key, entry in entries)
        return f"{head}.. py:data:: {target}\n\n   {CONSTANTS[path]}\n\n{listed}"
    if not inspect.isclass(value):
        return f"{head}.. autofunction:: {target}{signature(value)}\n"
    if issubclass(value, BaseException):
        return f"{head}.. autoexception:: {target}\n"
    if path != "jm.Layer" and value is jm.Layer:
        return f"{head}This is `jm.Layer`.\n"
    own = not path.startswith("jm.layers.")  # members of other layers are those of `jm.Layer`
    members = "   :members:\n   :undoc-members:\n" if own else ""
    return f"{head}.. autoclass:: {target}{signature(value)}\n{members}"


def signature(value: Any) -> str:
    """What a function or class takes, without types, which are beside the description of each argument."""

    class Shown:
        def __init__(self, default: Any) -> None:
            self.default = default

        def __repr__(self) -> str:  # a function by its name
            return getattr(self.default, "__name__", None) or repr(self.default)

    taken = inspect.signature(value)
    parameters = [
        each.replace(annotation=each.empty, default=each.default if each.default is each.empty else Shown(each.default))
        for each in taken.parameters.values()
    ]
    return str(taken.replace(parameters=parameters, return_annotation=taken.empty))


def results(docs: Path) -> list[Path]:
    """The written results of benchmarks."""
    return sorted((docs.parent / "benchmarks" / "results").glob("*.md"))


def write(docs: Path) -> None:
    """Writes all pages, and leaves those that have not changed as they are, so that Sphinx need not read them again."""
    pages = {f"api/{room}.rst": "\n".join(room_page(room)) for room in ROOMS}
    pages |= {f"api/{file_of(path)}.rst": page(path) for path in names()}
    pages |= {
        f"benchmarks/{file.name}": f"```{{include}} ../../benchmarks/results/{file.name}\n:relative-images:\n```\n"
        for file in results(docs)
    }
    for folder in ("api", "benchmarks"):
        (docs / folder).mkdir(exist_ok=True)
        for old in {*(docs / folder).iterdir()} - {docs / path for path in pages}:
            old.unlink()
    for path, text in pages.items():
        file = docs / path
        if not file.exists() or file.read_text("utf-8") != text:
            file.write_text(text, encoding="utf-8")
