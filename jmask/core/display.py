"""How a `Masked` looks: as text, as HTML and in treescope, with the padding set off."""

import html as html_escape
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_PADDING = "·"
_MAX_ROWS = 12
_MAX_STEPS = 24
_MAX_FEATURES = 4
_MAX_ENTRIES = 8  # shown of a vector that has its own line


def text(x: Any) -> str:
    """A header line, then one line per row: real steps as numbers, padding as `·`, long axes shortened by `…`.

    In packed rows a `|` comes before each sequence except the first of a row. Under a mask of rank 1, of rows only or
    of one sequence, each vector has its own line, and plain numbers share one.
    """
    if not _is_readable(x):
        segment_ids = "" if x.segment_ids is None else f", segment_ids={_kind(x.segment_ids)}"
        segment_ids += "" if x.num_sequences is None else f", num_sequences={x.num_sequences}"
        return f"Masked({_kind(x.values)}, mask={_kind_of_mask(x.mask)}{segment_ids})"
    head, mask = _head(x), np.asarray(x.mask)
    if mask.ndim not in (1, 2) or mask.size == 0:
        return head
    rows = _rows(x)
    width = max((len(cell.text) for row in rows for cell in row), default=1)
    lines = [f"[{''.join(('|' if c.begins else ' ') + c.text.rjust(width) for c in row)[1:]}]" for row in rows]
    if _is_line(x):
        return head + "\n" + lines[0]
    if len(mask) > _MAX_ROWS:
        lines.append("…")
    return head + "\n[" + "\n ".join(lines) + "]"


def html(x: Any) -> str:
    """A table of the rows; padded steps are hatched and empty, and a line separates the sequences of packed rows."""
    if not _is_readable(x) or np.ndim(x.mask) not in (1, 2):
        return f"<pre>{html_escape.escape(text(x))}</pre>"
    head, mask = _head(x), np.asarray(x.mask)
    body = "".join(map(_html_row, _rows(x)))
    more = "" if _is_line(x) or len(mask) <= _MAX_ROWS else f"<div>… {len(mask) - _MAX_ROWS} more rows</div>"
    return (
        f'<div class="jmask" style="overflow-x:auto"><code>{html_escape.escape(head)}</code>'
        f'<table style="border-collapse:collapse;font-family:monospace">{body}</table>{more}</div>'
    )


def treescope(x: Any, path: Any, subtree_renderer: Any) -> Any:
    """An object with its two arrays; in HTML, treescope draws the values with the padding as invalid cells."""
    import treescope as ts

    def render(node: Any, path: str | None = None) -> Any:
        rendering = subtree_renderer(node, path=path)
        if node is not x.values or not _is_drawable(x):
            return rendering
        picture = ts.lowering.render_to_html_as_root(_picture(x).treescope_part, compressed=False)
        part = ts.rendering_parts.embedded_iframe(picture, fallback_in_text_mode=rendering.renderable)
        return ts.rendering_parts.RenderableAndLineAnnotations(part, rendering.annotations)

    return ts.repr_lib.render_object_constructor(
        object_type=type(x),
        attributes={"values": x.values, "mask": x.mask}
        | ({} if x.segment_ids is None else {"segment_ids": x.segment_ids})
        | ({} if x.num_sequences is None else {"num_sequences": x.num_sequences}),
        path=path,
        subtree_renderer=render,
        roundtrippable=False,
        color=ts.formatting_util.color_from_string("jmask"),
    )


def _picture(x: Any) -> Any:
    """Treescope's drawing of the values: one coloured cell per number, with large arrays truncated."""
    import treescope as ts

    values, mask = np.asarray(x.values), np.asarray(x.mask)
    if values.dtype.kind == "V":  # bfloat16 and similar dtypes, which treescope cannot draw
        values = values.astype(np.float32)
    real = np.broadcast_to(mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)), values.shape)
    return ts.render_array(values, valid_mask=real, truncate=True)


def is_concrete(array: Any) -> bool:
    """Whether the numbers of an array can be read: it is not traced, abstract, donated or on other hosts."""
    if isinstance(array, jax.Array) and not isinstance(array, Tracer):
        return array.is_fully_addressable and not array.is_deleted()
    return isinstance(array, (np.ndarray, np.generic))


def _is_readable(x: Any) -> bool:
    """Whether there are values and a mask to show; transforms and `jax.tree.map` may put anything in their place."""
    if not (is_concrete(x.values) and is_concrete(x.mask)) or jnp.issubdtype(x.dtype, jax.dtypes.extended):
        return False
    if x.mask.dtype != bool or x.mask.shape != x.shape[: x.mask.ndim]:
        return False
    return x.segment_ids is None or (
        is_concrete(x.segment_ids) and x.segment_ids.dtype.kind in "iu" and x.segment_ids.shape == x.mask.shape
    )


def _is_drawable(x: Any) -> bool:
    if not _is_readable(x) or x.values.size == 0:
        return False
    return x.dtype == bool or jnp.issubdtype(x.dtype, jnp.integer) or jnp.issubdtype(x.dtype, jnp.floating)


def _kind(array: Any) -> str:
    if not (hasattr(array, "dtype") and hasattr(array, "shape")):
        return repr(array)
    return f"{array.dtype}[{', '.join(map(str, array.shape))}]"


def _kind_of_mask(mask: Any) -> str:
    return _kind(mask).removeprefix("bool")


def _head(x: Any) -> str:
    return f"Masked({_kind(x.values)}{_lengths(x)}{_segments(x)})"


def _segments(x: Any) -> str:
    """The number of sequences of packed rows, and after "of" the number that there are, where some have no steps."""
    if x.segment_ids is None:
        return ""
    found = int(_begins(x).sum())
    return f", segments={found}" + (f" of {x.num_sequences}" if x.num_sequences not in (None, found) else "")


def _lengths(x: Any) -> str:
    mask = np.asarray(x.mask)
    if mask.ndim == 0:
        return f", real={bool(mask)}"
    if x.segment_ids is not None:
        return ""
    if mask.ndim == 1:
        return f", real={mask.sum()}"
    lengths = np.array2string(mask.sum(-1), threshold=16, edgeitems=6, separator=" ")
    return f", lengths={' '.join(lengths.split())}"


def _begins(x: Any) -> np.ndarray:
    """Where each sequence of packed rows begins; nowhere if the rows are not packed."""
    mask = np.asarray(x.mask)
    begins = np.zeros(mask.shape, bool)
    if x.segment_ids is not None and mask.ndim == 0:
        return mask
    if x.segment_ids is not None:
        ids = np.asarray(x.segment_ids)[mask]
        row = np.arange(math.prod(mask.shape[:-1])).reshape(*mask.shape[:-1], 1)
        row = np.broadcast_to(row, mask.shape)[mask]
        begins[mask] = np.append(True, (ids[1:] != ids[:-1]) | (row[1:] != row[:-1]))[: len(ids)]
    return begins


class _Cell(NamedTuple):
    """A step as text; `begins` marks the start of a sequence that is not the first of its row."""

    text: str
    is_padding: bool = False
    begins: bool = False


def _rows(x: Any) -> list[list[_Cell]]:
    values, mask, begins = np.asarray(x.values), np.asarray(x.mask), _begins(x)
    if _is_line(x):
        values, mask, begins = values[None], mask[None], begins[None]
    most = _MAX_STEPS
    if mask.ndim == 1:
        values = values if values.ndim == 2 else values[:, None]
        mask, begins, most = (*(np.broadcast_to(a[:, None], values.shape[:2]) for a in (mask, begins)), _MAX_ENTRIES)
    begins = begins & (np.cumsum(begins, axis=-1) > 1)
    rows = zip(values[:_MAX_ROWS], mask[:_MAX_ROWS], begins[:_MAX_ROWS], strict=True)
    return [_cells(*row, most) for row in rows]


def _is_line(x: Any) -> bool:
    """Whether it fits on one line: a number for each entry of a mask of rank 1, or a single packed row."""
    return np.ndim(x.mask) == 1 and (np.ndim(x.values) == 1 or x.segment_ids is not None)


def _cells(row: np.ndarray, real: np.ndarray, begins: np.ndarray, most: int) -> list[_Cell]:
    """The steps of a row as texts; a row of more than `most` steps is truncated before formatting."""
    if len(row) <= most:
        steps = zip(row, real.tolist(), begins.tolist(), strict=True)
        return [
            _Cell(_cell(value), begins=first) if r else _Cell(_PADDING, is_padding=True) for value, r, first in steps
        ]
    half = most // 2
    front = _cells(row[:half], real[:half], begins[:half], most)
    back = _cells(row[-half:], real[-half:], begins[-half:], most)
    return [*front, _Cell("…"), *back]


def _cell(value: Any) -> str:
    if isinstance(value, np.ndarray) and value.ndim > 0:
        shown = " ".join(map(_cell, value.flat[:_MAX_FEATURES]))
        return f"({shown}{' …' if value.size > _MAX_FEATURES else ''})"
    if isinstance(value, (float, np.floating)):
        return f"{value:.4g}"
    shown = str(value)
    if isinstance(value, str) and (shown.split() != [shown] or shown in (_PADDING, "…")):
        return repr(shown)
    return " ".join(shown.split())


_CELL = "border:1px solid #8886;padding:1px 6px;text-align:right;white-space:nowrap;height:1.4em;min-width:1em;"
_BEGINS = "border-left:3px solid #888;"
_HATCHED = "background:repeating-linear-gradient(45deg,#8882,#8882 3px,#8884 3px,#8884 6px);"


def _html_row(row: list[_Cell]) -> str:
    cells = []
    for cell in row:
        if cell.is_padding:
            cells.append(f'<td style="{_CELL}{_HATCHED}" title="padding"></td>')
        else:
            style = _CELL + (_BEGINS if cell.begins else "")
            cells.append(f'<td style="{style}">{html_escape.escape(cell.text)}</td>')
    return f"<tr>{''.join(cells)}</tr>"
