"""The rows of a summary as a table for notebooks."""

import html as html_escape
from typing import Any

from .columns import NUMBERS, counts, headings
from .mask_flow import COLOURS, MASK_FLOW

_CELL = "padding:3px 12px;border:0;border-bottom:1px solid #8884;vertical-align:top;white-space:nowrap;"
_PILL = "display:inline-block;padding:0 7px;margin-right:4px;border-radius:8px;font-size:85%;font-weight:600;"


def html_table(summary: Any) -> str:
    """The rows as an HTML table, readable on light and on dark pages.

    Args:
        summary: a `Summary`.

    Returns:
        A `div`.
    """
    columns = headings(summary)
    heads = "".join(f'<th style="{_CELL}{_align(heading)}">{heading}</th>' for heading in columns)
    rows = [_line(_cells(row), columns) for row in summary.rows]
    total = {heading: f"<b>{text}</b>" for heading, text in {"Layer": "Total", **counts(summary)}.items()}
    return (
        f'<div class="jmask-summary" style="overflow-x:auto"><b>Model: {_escape(summary.title)}</b>'
        '<table style="border-collapse:collapse;margin-top:4px;color:inherit;background:none">'
        f"<thead><tr>{heads}</tr></thead><tbody>{''.join(rows)}{_line(total, columns)}</tbody></table></div>"
    )


def _cells(row: Any) -> dict[str, str]:
    kind = "" if row.kind == "Input" else f' <span style="opacity:0.65">({_escape(row.kind)})</span>'
    return {
        "Layer": f'<span style="padding-left:{1.5 * row.depth}em">{_escape(row.name)}</span>{kind}',
        "Output": "<br>".join(f"<code>{_escape(shape)}</code>" for shape in row.shapes),
        **counts(row),
        "From": _escape(", ".join(row.sources)),
        "Mask": "".join(map(_pill, row.mask_flow)),
    }


def _pill(word: str) -> str:
    style = f"{_PILL}color:#fff;background:{COLOURS[word]}"
    return f'<span title="the mask {MASK_FLOW[word]}" style="{style}">{word}</span>'


def _line(cells: dict[str, str], columns: list[str]) -> str:
    line = "".join(f'<td style="{_CELL}{_align(heading)}">{cells.get(heading, "")}</td>' for heading in columns)
    return f"<tr>{line}</tr>"


def _align(heading: str) -> str:
    return f"text-align:{'right' if heading in NUMBERS else 'left'}"


def _escape(text: str) -> str:
    return html_escape.escape(text)
