"""The rows of a summary as a table for terminals; it needs `rich`, so it is imported only to print one."""

import io
import sys
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from .columns import NUMBERS, counts, headings
from .mask_flow import COLOURS

_WIDEST = 10_000


def rich_table(summary: Any, *, has_sources: bool = True, is_ascii: bool = False) -> Table:
    """A table for `rich`: a line for each call, one for the total, and what happens to the mask in colour.

    Args:
        summary: a `Summary`.
        has_sources: whether there is a column for what a call reads; it is the first to go if room is short.
        is_ascii: whether the frame is drawn in ASCII.

    Returns:
        The table.
    """
    table = Table(
        title=Text(f"Model: {summary.title}"), title_justify="left", box=box.ASCII if is_ascii else box.HEAVY_HEAD
    )
    columns = [heading for heading in headings(summary) if has_sources or heading != "From"]
    for heading in columns:
        justify = "right" if heading in NUMBERS else "left"
        table.add_column(heading, justify=justify, overflow="fold", max_width=48 if heading == "From" else None)
    for row in summary.rows:
        name = Text("  " * row.depth + row.name)
        cells = {
            "Layer": name if row.kind == "Input" else Text.assemble(name, (f" ({row.kind})", "dim")),
            "Output": Text("\n".join(row.shapes)),
            **counts(row),
            "From": Text(", ".join(row.sources)),
            "Mask": Text(", ").join(Text(word, style=COLOURS[word]) for word in row.mask_flow) or Text("-"),
        }
        table.add_row(*(cells[heading] for heading in columns))
    table.add_section()
    total = {"Layer": "Total", **counts(summary)}
    table.add_row(*(total.get(heading, "") for heading in columns), style="bold")
    return table


def show_table(summary: Any) -> None:
    """Shows the table: in a notebook as HTML, in a terminal in colour and fitted to it, elsewhere as text."""
    notebook = sys.modules.get("ipykernel.iostream")
    if notebook is not None and isinstance(sys.stdout, notebook.OutStream):  # and not redirected into a file
        forms = {"text/html": summary._repr_html_(), "text/plain": str(summary)}
        sys.modules["IPython.display"].display(forms, raw=True)
        return
    console = Console(force_jupyter=False)
    if console.is_terminal:
        options = console.options.update(width=_WIDEST)
        has_sources = console.measure(rich_table(summary), options=options).maximum <= console.width
        console.print(rich_table(summary, has_sources=has_sources))
    else:
        text = plain_text(rich_table(summary, is_ascii=console.options.ascii_only))
        console.print(text, soft_wrap=True, markup=False, highlight=False, emoji=False)


def plain_text(table: Table) -> str:
    """A table as text, as wide as it needs to be."""
    stream = io.StringIO()
    console = Console(file=stream, width=_WIDEST, color_system=None, force_jupyter=False)
    console.print(table)
    return "\n".join(line.rstrip() for line in stream.getvalue().splitlines())
