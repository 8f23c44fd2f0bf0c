"""The rows of a summary as a table for terminals, and as HTML for notebooks."""

import html as html_escape
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from .mask_flow import COLOURS, WAYS

_CELL = "padding:3px 12px;border:0;border-bottom:1px solid #8884;vertical-align:top;white-space:nowrap;"
_NUMBERS = ("Params", "Statistics")
_PILL = "display:inline-block;padding:0 7px;margin-right:4px;border-radius:8px;font-size:85%;font-weight:600;"


def rich_table(summary: Any, *, has_sources: bool = True, is_ascii: bool = False) -> Table:
    """A table for `rich`: one line a call, a line for the total, and the ways in colours.

    Args:
        summary: a `Summary`.
        has_sources: whether there is a column for what a call reads; the first to go where room is short.
        is_ascii: whether the frame is drawn in ASCII.

    Returns:
        The table.
    """
    table = Table(
        title=Text(f"Model: {summary.title}"), title_justify="left", box=box.ASCII if is_ascii else box.HEAVY_HEAD
    )
    headings = [heading for heading in _headings(summary) if has_sources or heading != "From"]
    for heading in headings:
        justify = "right" if heading in _NUMBERS else "left"
        table.add_column(heading, justify=justify, overflow="fold", max_width=48 if heading == "From" else None)
    for row in summary.rows:
        name = Text("  " * row.depth + row.name)
        cells = {
            "Layer": name if row.kind == "Input" else Text.assemble(name, (f" ({row.kind})", "dim")),
            "Output": Text("\n".join(row.shapes)),
            **_counts(row),
            "From": Text(", ".join(row.sources)),
            "Mask": Text(", ").join(Text(word, style=COLOURS[word]) for word in row.way) if row.way else Text("-"),
        }
        table.add_row(*(cells[heading] for heading in headings))
    table.add_section()
    total = {"Layer": "Total", **_counts(summary)}
    table.add_row(*(total.get(heading, "") for heading in headings), style="bold")
    return table


def html(summary: Any) -> str:
    """The same as an HTML table; its colours stand out on light and on dark pages.

    Args:
        summary: a `Summary`.

    Returns:
        A `div`.
    """
    headings = _headings(summary)
    heads = "".join(f'<th style="{_CELL}{_align(heading)}">{heading}</th>' for heading in headings)
    rows = [_line(_cells(row), headings) for row in summary.rows]
    total = {heading: f"<b>{text}</b>" for heading, text in {"Layer": "Total", **_counts(summary)}.items()}
    return (
        f'<div class="jmask-summary" style="overflow-x:auto"><b>Model: {_escape(summary.title)}</b>'
        '<table style="border-collapse:collapse;margin-top:4px;color:inherit;background:none">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}{_line(total, headings)}</tbody></table></div>"
    )


def count(number: Any) -> str:
    """A number of parameters; one that depends on an unknown size is an expression."""
    return f"{number:,}" if isinstance(number, int) else str(number)


def _headings(summary: Any) -> list[str]:
    """The columns; one for running statistics only where there are some."""
    statistics = ["Statistics"] if summary.num_statistics != 0 else []
    return ["Layer", "Output", "Params", *statistics, "From", "Mask"]


def _counts(row: Any) -> dict[str, str]:
    """The numbers of a row, or of all rows."""
    return {"Params": count(row.num_params), "Statistics": count(row.num_statistics)}


def _cells(row: Any) -> dict[str, str]:
    kind = "" if row.kind == "Input" else f' <span style="opacity:0.65">({_escape(row.kind)})</span>'
    return {
        "Layer": f'<span style="padding-left:{1.5 * row.depth}em">{_escape(row.name)}</span>{kind}',
        "Output": "<br>".join(f"<code>{_escape(shape)}</code>" for shape in row.shapes),
        **_counts(row),
        "From": _escape(", ".join(row.sources)),
        "Mask": "".join(
            f'<span title="the mask {WAYS[word]}" style="{_PILL}color:{COLOURS[word]};background:{COLOURS[word]}22">'
            f"{word}</span>"
            for word in row.way
        ),
    }


def _line(cells: dict[str, str], headings: list[str]) -> str:
    line = "".join(f'<td style="{_CELL}{_align(heading)}">{cells.get(heading, "")}</td>' for heading in headings)
    return f"<tr>{line}</tr>"


def _align(heading: str) -> str:
    return f"text-align:{'right' if heading in _NUMBERS else 'left'}"


def _escape(text: str) -> str:
    return html_escape.escape(text)
