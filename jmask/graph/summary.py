"""A model as a table: its calls in order, their shapes and parameters, and what happens to the mask."""

import dataclasses
import math
from typing import Any

import jax

from .dimensions import shape_text
from .html_table import html_table
from .nesting import inside
from .node import Call, nodes_in


@dataclasses.dataclass(frozen=True)
class Row:
    """One call of a layer.

    Attributes:
        name: the layer's name; its path for a layer inside a nested model.
        kind: the layer's class.
        shapes: shapes of the outputs.
        num_params: number of parameters; 0 for a layer that an earlier row counts.
        sources: names of the layers and inputs that the call reads.
        mask_flow: what happens to the mask, e.g. `("used", "passed")`.
        depth: how many models the call is nested in.
        num_statistics: number of running statistics, which are not parameters; 0 as for `num_params`.
    """

    name: str
    kind: str
    shapes: tuple[str, ...]
    num_params: Any
    sources: tuple[str, ...]
    mask_flow: tuple[str, ...]
    depth: int = 0
    num_statistics: Any = 0


@dataclasses.dataclass(frozen=True)
class Summary:
    """The rows of a model; a notebook shows it as a table, and so does `print`.

    Attributes:
        title: the model's name.
        rows: one per call, in order.
    """

    title: str
    rows: tuple[Row, ...]

    @property
    def num_params(self) -> Any:
        """Number of parameters of the model."""
        return sum(row.num_params for row in self.rows if row.depth == 0)

    @property
    def num_statistics(self) -> Any:
        """Number of running statistics of the model."""
        return sum(row.num_statistics for row in self.rows if row.depth == 0)

    def table(self) -> Any:
        """A table for `rich`, which fits it to the terminal."""
        return _terminal_table().rich_table(self)

    def show(self) -> None:
        """Shows the table: in a notebook as HTML, in a terminal in colour and fitted to it, elsewhere as text."""
        _terminal_table().show_table(self)

    def __str__(self) -> str:
        tables = _terminal_table()
        return tables.plain_text(tables.rich_table(self))

    def _repr_html_(self) -> str:
        return html_table(self)


def summarize(model: Any, *inputs: Any, expand_nested: bool = False) -> Summary:
    """The table of a model.

    Args:
        model: a `jm.Model`, or a `jm.Sequential`.
        *inputs: examples, to see the shapes and masks that follow from these; needed for a `Sequential` that does
            not begin with an `Input`.
        expand_nested: whether to list the calls inside nested models below these, as `inner/dense`.

    Returns:
        The rows; `str(...)` of it is the table that `model.summary()` prints.

    >>> import jmask as jm
    >>> x = jm.Input((None,), "int32")
    >>> rows = jm.summarize(jm.Model(x, jm.layers.Embedding(9, 4, mask_zero=True)(x))).rows
    >>> [(row.name, row.mask_flow) for row in rows]
    [('input', ()), ('embedding', ('made',))]
    """
    model = model.graph(*inputs)
    rows = []
    for node in nodes_in(model.inputs):
        flow = () if node.edge is None else ("given",)
        rows.append(Row(model.input_names[id(node)], "Input", (shape_text(node.shape),), 0, (), flow))
    rows += _rows(model, dict(model.input_names), "", expand_nested)
    return Summary(model.name or "model", tuple(rows))


def _rows(model: Any, names: dict[int, str], prefix: str, expand_nested: bool, is_counted: bool = True) -> list[Row]:
    """The rows of a model's calls, and of the calls inside them.

    Args:
        model: the model.
        names: names of its inputs, by the ids of the nodes.
        prefix: the path of the model.
        expand_nested: whether to list the calls inside nested models.
        is_counted: whether the parameters and statistics have not been counted in an earlier row.

    Returns:
        The rows.
    """
    rows, seen = [], set()
    for call in model.calls:
        name = prefix + model.names[id(call.layer)]
        is_shared = id(call.layer) in seen
        numbers = (_size(call.params), _size(call.statistics)) if is_counted and not is_shared else (0, 0)
        seen.add(id(call.layer))
        sources = [names[id(node)] for node in call.sources]
        names |= {id(node): name for node in nodes_in(call.outputs)}
        rows.append(_row(call, name, numbers, sources, prefix.count("/")))
        inner = inside(call) if expand_nested else None
        if inner is not None:
            inner_names = dict(zip(map(id, nodes_in(inner.inputs)), sources, strict=False))
            rows += _rows(inner, inner_names, f"{name}/", expand_nested, is_counted and not is_shared)
    return rows


def _row(call: Call, name: str, numbers: tuple[Any, Any], sources: list[str], depth: int) -> Row:
    shapes = tuple(shape_text(node.shape) for node in nodes_in(call.outputs))
    kind, (num_params, num_statistics) = type(call.layer).__name__, numbers
    return Row(name, kind, shapes, num_params, tuple(dict.fromkeys(sources)), call.mask_flow, depth, num_statistics)


def _size(tree: Any) -> Any:
    """The number of entries in a tree of shapes."""
    return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree))


def _terminal_table() -> Any:
    """The module that draws tables for terminals."""
    from . import terminal_table  # `rich` takes longer to load than all of jmask

    return terminal_table
