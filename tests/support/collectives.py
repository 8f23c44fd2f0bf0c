"""What devices send each other in a compiled program."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

_KINDS = "all-gather|all-reduce|reduce-scatter|all-to-all|collective-permute|collective-broadcast|ragged-all-to-all"
_OPERATION = re.compile(rf"= *(\([^=]*?\)|[a-z0-9]+\[[0-9,]*\]\S*) ({_KINDS})(?:-start)?\(")
_ARRAY = re.compile(r"([a-z][a-z0-9]*)\[([0-9,]*)\]")


class Sent(NamedTuple):
    """One array of the result of a collective operation."""

    kind: str
    dtype: str
    shape: tuple[int, ...]


def collectives(compiled: Any) -> list[Sent]:
    """Of all collective operations of a compiled program, what they give."""
    found = []
    for line in re.sub(r"/\*.*?\*/", "", compiled.as_text()).splitlines():  # `/*index=5*/` hides the rest of a tuple
        for result, kind in _OPERATION.findall(line):
            for dtype, sizes in _ARRAY.findall(re.sub(r"\{[^}]*\}", "", result)):
                found.append(Sent(kind, dtype, tuple(map(int, filter(None, sizes.split(","))))))
    return found


def reduced_shapes(compiled: Any) -> set[tuple[int, ...]]:
    """The shapes of what is added up over devices, in a program that sends nothing else."""
    sent = collectives(compiled)
    assert {kind for kind, _, _ in sent} <= {"all-reduce"}, sent
    return {shape for _, _, shape in sent}


def sizes_of(shapes: Iterable[tuple[int, ...]]) -> set[tuple[int, ...]]:
    """Shapes but for axes of size 1 and the order of axes, which XLA changes as it likes."""
    return {tuple(sorted(size for size in shape if size > 1)) for shape in shapes}
