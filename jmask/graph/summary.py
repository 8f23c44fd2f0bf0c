"""A model as a table: its calls in order, their shapes and parameters, and the mask's way."""

import dataclasses
import io
import math
from typing import Any

import jax
from rich.console import Console
from rich.table import Table

from .dimensions import shape_text
from .node import Call, nodes_in

_WIDTH = 100


@dataclasses.dataclass(frozen=True)
class Row:
    """One call of a layer.

    Attributes:
        name: the layer's name.
        kind: the layer's class.
        shapes: shapes of the outputs.
        num_params: number of parameters; 0 for a layer that an earlier row counts.
        sources: names of the layers and inputs that the call reads.
        way: what happens to the mask, e.g. `("used", "passed")`.
    """

    name: str
    kind: str
    shapes: tuple[str, ...]
    num_params: int
    sources: tuple[str, ...]
    way: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Summary:
    """The rows of a model, printed as a table.

    Attributes:
        title: the model's name.
        rows: one a call, in order.
    """

    title: str
    rows: tuple[Row, ...]

    @property
    def num_params(self) -> int:
        """Number of parameters of the model."""
        return sum(row.num_params for row in self.rows)

    def table(self) -> Table:
        """A table for `rich`."""
        table = Table(title=f"Model: {self.title}", caption=f"Parameters: {self.num_params:,}", title_justify="left")
        for heading, justify in (
            ("Layer", "left"),
            ("Output", "left"),
            ("Params", "right"),
            ("From", "left"),
            ("Mask", "left"),
        ):
            table.add_column(heading, justify=justify, overflow="fold")  # type: ignore[arg-type]
        for row in self.rows:
            layer = row.name if row.kind == "Input" else f"{row.name} ({row.kind})"
            way = ", ".join(row.way) or "–"
            table.add_row(layer, "\n".join(row.shapes), f"{row.num_params:,}", ", ".join(row.sources), way)
        return table

    def __str__(self) -> str:
        stream = io.StringIO()
        Console(file=stream, width=_WIDTH, color_system=None).print(self.table())
        return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())


def summarize(model: Any, *inputs: Any) -> Summary:
    """The table of a model.

    Args:
        model: a `jm.Model`, or a `jm.Sequential`.
        *inputs: examples, to see the shapes and masks that follow from these; needed for a `Sequential` that does
            not begin with an `Input`.

    Returns:
        The rows; `str(...)` of it is the table that `model.summary()` prints.

    >>> import jmask as jm
    >>> x = jm.Input((None,), "int32")
    >>> rows = jm.summarize(jm.Model(x, jm.layers.Embedding(9, 4, mask_zero=True)(x))).rows
    >>> [(row.name, row.way) for row in rows]
    [('input', ()), ('embedding', ('made',))]
    """
    if hasattr(model, "graph"):
        model = model.graph(*inputs)
    elif inputs:
        model = model.replay(*inputs)
    seen: set[int] = set()
    rows = [_input_row(node) for node in nodes_in(model.inputs)]
    rows += [_row(model, call, seen) for call in model.calls]
    return Summary(model.name or "model", tuple(rows))


def _input_row(node: Any) -> Row:
    way = ("given",) if node.edge is not None else ()
    return Row(node.label, "Input", (shape_text(node.shape),), 0, (), way)


def _row(model: Any, call: Call, seen: set[int]) -> Row:
    inputs = {id(node) for node in nodes_in(model.inputs)}
    sources = tuple(
        dict.fromkeys(
            node.label if id(node) in inputs or node.call is None else model.names[id(node.call.layer)]
            for node in call.sources
        )
    )
    shapes = tuple(shape_text(node.shape) for node in nodes_in(call.outputs))
    num_params = 0 if id(call.layer) in seen else sum(math.prod(p.shape) for p in jax.tree.leaves(call.params))
    seen.add(id(call.layer))
    return Row(model.names[id(call.layer)], type(call.layer).__name__, shapes, num_params, sources, call.way)
