"""What devices send each other in a compiled program."""

import re
from typing import Any, NamedTuple

import jax

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


def shapes_of(tree: Any) -> set[tuple[int, ...]]:
    return {leaf.shape for leaf in jax.tree.leaves(tree)}
