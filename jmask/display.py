"""How a `Masked` looks: as text, as HTML and in treescope, with the padding drawn apart."""

import html as html_escape
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

_PADDING = "·"
_MAX_ROWS = 12
_MAX_STEPS = 24
_MAX_FEATURES = 4


def text(x: Any) -> str:
    """A head line, then one line a row: real steps as numbers, padding as `·`, long axes shortened by `…`."""
    if not _is_readable(x):
        return f"Masked({_kind(x.values)}, mask={_kind_of_mask(x.mask)}{_side(x)})"
    values, mask = np.asarray(x.values), np.asarray(x.mask)
    head = f"Masked({_kind(x.values)}{_lengths(mask)}{_side(x)})"
    if mask.ndim not in (1, 2) or mask.size == 0:
        return head
    rows = [[_PADDING if cell is None else cell for cell in _cells(v, m)] for v, m in _rows(values, mask)]
    width = max((len(cell) for row in rows for cell in row), default=1)
    lines = ["[" + " ".join(cell.rjust(width) for cell in row) + "]" for row in rows]
    if mask.ndim == 1:
        return head + "\n" + lines[0]
    if len(mask) > _MAX_ROWS:
        lines.append("…")
    return head + "\n[" + "\n ".join(lines) + "]"


def html(x: Any) -> str:
    """A table, one row a sequence; padded steps are hatched and empty."""
    if not _is_readable(x) or np.ndim(x.mask) not in (1, 2):
        return f"<pre>{html_escape.escape(text(x))}</pre>"
    values, mask = np.asarray(x.values), np.asarray(x.mask)
    head = f"Masked({_kind(x.values)}{_lengths(mask)}{_side(x)})"
    body = "".join(_html_row(v, m) for v, m in _rows(values, mask))
    more = "" if mask.ndim == 1 or len(mask) <= _MAX_ROWS else f"<div>… {len(mask) - _MAX_ROWS} more rows</div>"
    return (
        f'<div class="jmask"><code>{html_escape.escape(head)}</code>'
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
        attributes={"values": x.values, "mask": x.mask, "padding_side": x.padding_side},
        path=path,
        subtree_renderer=render,
        roundtrippable=False,
        color=ts.formatting_util.color_from_string("jmask"),
    )


def _picture(x: Any) -> Any:
    """Treescope's drawing of the values: a coloured cell a number, large arrays cut short."""
    import treescope as ts

    values, mask = np.asarray(x.values), np.asarray(x.mask)
    if values.dtype.kind == "V":  # bfloat16 and its kin, which treescope cannot draw
        values = values.astype(np.float32)
    real = np.broadcast_to(mask.reshape(mask.shape + (1,) * (values.ndim - mask.ndim)), values.shape)
    return ts.render_array(values, valid_mask=real, truncate=True)


def is_concrete(array: Any) -> bool:
    """Whether the numbers of an array are at hand: neither traced, nor abstract, donated or on other hosts."""
    if isinstance(array, jax.Array) and not isinstance(array, Tracer):
        return array.is_fully_addressable and not array.is_deleted()
    return isinstance(array, (np.ndarray, np.generic))


def _is_readable(x: Any) -> bool:
    """Whether there are values and a mask to show; transforms and `jax.tree.map` put anything in their places."""
    if not (is_concrete(x.values) and is_concrete(x.mask)) or jnp.issubdtype(x.dtype, jax.dtypes.extended):
        return False
    return x.mask.dtype == bool and x.mask.shape == x.shape[: x.mask.ndim]


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


def _lengths(mask: np.ndarray) -> str:
    if mask.ndim == 0:
        return f", real={bool(mask)}"
    lengths = np.array2string(mask.sum(-1), threshold=16, edgeitems=6, separator=" ")
    return f", lengths={' '.join(lengths.split())}"


def _side(x: Any) -> str:
    return f", padding_side={x.padding_side!r}" if x.padding_side else ""


def _rows(values: np.ndarray, mask: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(values, mask)] if mask.ndim == 1 else list(zip(values[:_MAX_ROWS], mask[:_MAX_ROWS], strict=True))


def _cells(row: np.ndarray, real: np.ndarray) -> list[str | None]:
    """The steps of a row as texts, None for padding; a long row is cut short before its steps are formatted."""
    if len(row) <= _MAX_STEPS:
        return [_cell(value) if is_real else None for value, is_real in zip(row, real, strict=True)]
    half = _MAX_STEPS // 2
    return [*_cells(row[:half], real[:half]), "…", *_cells(row[-half:], real[-half:])]


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


_CELL = "border:1px solid #8886;padding:1px 6px;text-align:right;"
_HATCHED = "background:repeating-linear-gradient(45deg,#8882,#8882 3px,#8884 3px,#8884 6px);"


def _html_row(row: np.ndarray, real: np.ndarray) -> str:
    cells = []
    for cell in _cells(row, real):
        if cell is None:
            cells.append(f'<td style="{_CELL}{_HATCHED}" title="padding"></td>')
        else:
            cells.append(f'<td style="{_CELL}">{html_escape.escape(cell)}</td>')
    return f"<tr>{''.join(cells)}</tr>"
