"""A diagram as SVG: cards for layers, solid lines for values, dashed lines for masks."""

import dataclasses
import html
import itertools
import math

from ..graph.mask_flow import COLOURS, MASK_FLOW
from .diagram import Box, Diagram, Link
from .layout import lay_out
from .routes import Point, Route
from .style import css, shorten, text_width

_PADDING, _TITLE, _LEGEND_GAP, _LEAST_WIDTH = 20.0, 36.0, 22.0, 400.0
_LINE, _INSET = 18.0, 12.0  # of text in a card
_APART = 4.4  # half the distance between a value's line and its mask's
_LONGEST = 44  # characters in a name


@dataclasses.dataclass(frozen=True)
class _Part:
    """A piece of SVG, with its top left at (0, 0), and its size."""

    body: str
    width: float
    height: float


def svg(diagram: Diagram) -> str:
    """The picture of a diagram.

    Args:
        diagram: boxes and links.

    Returns:
        A standalone SVG, readable on light and on dark pages.
    """
    picture = _picture(diagram)
    title = shorten(diagram.title, 2 * _LONGEST)
    least = max(picture.width, text_width(title, 15.0, is_bold=True), _LEAST_WIDTH)
    legend = _legend(diagram, least)
    width, top = max(least, legend.width) + 2 * _PADDING, _PADDING + _TITLE
    legend_top = top + picture.height + _LEGEND_GAP
    height = legend_top + legend.height + _PADDING * 0.8
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="jmask-drawing" role="img" width="{_n(width)}" '
        f'height="{_n(height)}" viewBox="0 0 {_n(width)} {_n(height)}">'
        f"<title>{_escape(diagram.title)}</title><style>{css()}</style>"
        f'<rect class="paper" x="0.5" y="0.5" width="{_n(width - 1)}" height="{_n(height - 1)}" rx="12"/>'
        + _text(_PADDING, _PADDING + 13, title, "title")
        + _at((width - picture.width) / 2, top, picture.body)
        + _at(_PADDING, legend_top, legend.body)
        + "</svg>"
    )


def _picture(diagram: Diagram) -> _Part:
    """Boxes and links, without title and legend."""
    cards = [_card(box) for box in diagram.boxes]
    links = [(link.source, link.port, link.target) for link in diagram.links]
    layout = lay_out([(card.width, card.height) for card in cards], links)
    lines, signs = [], []
    for link, route in zip(diagram.links, layout.routes, strict=True):
        line, sign = _link(link, route, {"made", "given"} & {*diagram.boxes[link.source].mask_flow})
        lines.append(line)
        signs.append(sign)
    boxes = [_at(x, y, card.body) for (x, y), card in zip(layout.boxes, cards, strict=True)]
    return _Part("".join([*lines, *boxes, *signs]), layout.width, layout.height)


def _card(box: Box) -> _Part:
    """A box with its text, drawn in full."""
    name, kind = shorten(box.name, _LONGEST), shorten(box.kind + (" · shared" if box.is_shared else ""), _LONGEST)
    if box.role == "output":
        width = text_width(name, 12.0) + 2 * _INSET
        return _Part(
            _rect("io", width, 26.0, 13.0) + _text(width / 2, 17.0, name, "kind", anchor="middle"), width, 26.0
        )
    head = text_width(name, 13.0, is_bold=True)
    pills = [_pill(word) for word in box.mask_flow]
    pills_width = sum(pill.width + 5 for pill in pills)
    shape_widths = [text_width(shape, 11.5, is_mono=True) for shape in box.shapes]
    first_line = head + 8 + text_width(kind, 12.0)
    second_line = max(shape_widths[:1], default=0.0) + (pills_width + 7 if pills else 0)
    inner = _picture(box.inside) if box.inside else _Part("", 0.0, 0.0)
    width = max(first_line, second_line, inner.width, *shape_widths, 90.0) + 2 * _INSET
    text_height = _INSET + _LINE * (1 + len(box.shapes)) + 6
    height = text_height + (inner.height + _INSET if box.inside else 0)
    flow = [f"mask {word}: {MASK_FLOW[word]}" for word in box.mask_flow]
    tooltip = "\n".join([f"{box.name} ({box.kind})", *box.shapes, *flow])
    parts = [f"<title>{_escape(tooltip)}</title>"]
    style = "inside" if box.inside else "io" if box.role == "input" else "card"
    parts.append(_rect(style, width, height, 18.0 if box.role == "input" else 8.0))
    parts.append(_text(_INSET, 23.0, name, "name") + _text(_INSET + head + 8, 23.0, kind, "kind"))
    parts += [_text(_INSET, 23 + _LINE * (i + 1), shape, "shape") for i, shape in enumerate(box.shapes)]
    x = width - _INSET - pills_width + 5
    for pill in pills:
        parts.append(_at(x, 23 + _LINE - 12.5, pill.body))
        x += pill.width + 5
    parts.append(_at((width - inner.width) / 2, text_height, inner.body))
    return _Part(f"<g>{''.join(parts)}</g>", width, height)


def _pill(word: str) -> _Part:
    width, colour = text_width(word, 10.5, is_bold=True) + 13, COLOURS[word]
    body = f'<rect width="{_n(width)}" height="17" rx="8.5" fill="{colour}"/>'
    text = f'<text class="word" x="{_n(width / 2)}" y="12.2" text-anchor="middle" fill="#fff">{word}</text>'
    return _Part(body + text, width, 17.0)


def _link(link: Link, route: Route, starts_mask: bool | set[str]) -> tuple[str, str]:
    """The lines of a link, and the marks at their ends, which are drawn over the boxes."""
    both = link.has_value and link.mask is not None
    lines, signs = "", ""
    if link.has_value:
        offset = -_APART if both else 0.0
        x, y = route[-1][1][0] + offset, route[-1][1][1]
        lines += f'<path class="value" d="{_path(route, offset, y - 5)}"/>'
        signs += f'<path class="head" d="M{_n(x)} {_n(y)}l-3.8 -7.2h7.6z"/>'
    if link.mask is not None:
        offset = _APART if both else 0.0
        x, y = route[-1][1][0] + offset, route[-1][1][1]
        end = {"enters": y - 5, "ended": y - 9, "dropped": y - 12}[link.mask]
        lines += f'<path class="mask" d="{_path(route, offset, end)}"/>'
        signs += _mask_end(link.mask, x, y)
        if starts_mask:
            signs += f'<circle class="tip" cx="{_n(route[0][0][0] + offset)}" cy="{_n(route[0][0][1])}" r="3.4"/>'
    return lines, signs


def _mask_end(how: str, x: float, y: float) -> str:
    """An arrow where the mask enters, a bar where it ends, a cross where it is lost."""
    if how == "enters":
        return f'<path class="tip" d="M{_n(x)} {_n(y)}l-3.8 -7.2h7.6z"/>'
    if how == "ended":
        return f'<path class="bar" d="M{_n(x - 4)} {_n(y - 8)}h9"/>'
    return f'<path class="cross" d="M{_n(x - 2.5)} {_n(y - 14.5)}l8 8m0 -8l-8 8"/>'


def _path(route: Route, offset: float, end: float) -> str:
    """A line alongside a route: `offset` to its right, looking upwards, so always on the same side."""
    commands = []
    for i, ((x, top), (_, bottom)) in enumerate(route):
        bottom = min(bottom, end) if i == len(route) - 1 else bottom
        top = min(top, end)
        if i == 0:
            commands.append(f"M{_n(x + offset)} {_n(top)}")
        else:
            commands.append(_bend(route[i - 1][1], (x, top), offset))
        commands.append(f"V{_n(bottom)}")
    return "".join(commands)


def _bend(start: Point, end: Point, offset: float) -> str:
    """From one vertical piece to the next: an S-curve, shifted so that it keeps its distance in the middle too."""
    (x0, y0), (x1, y1) = start, end
    dx, dy = x1 - x0, y1 - y0
    if abs(dx) < 0.5:
        return f"L{_n(x1 + offset)} {_n(y1)}"
    middle, length = (y0 + y1) / 2, math.hypot(2 * dx, dy)  # the tangent in the middle is (2 dx, dy)
    side = (8 * offset * dy / length - 2 * offset) / 6
    lift = 4 / 3 * offset * 2 * dx / length
    controls = (x0 + side, middle - lift, x1 + side, middle - lift, x1 + offset, y1)
    return "C" + " ".join(map(_n, controls))


def _legend(diagram: Diagram, width: float) -> _Part:
    """What the lines and words mean, in as many lines as the width requires."""
    ends = {link.mask for link in _all_links(diagram)}
    items = [_sample('<path class="value" d="M0 0H26"/>', 26.0, "values")]
    if ends - {None}:
        items.append(_sample('<path class="mask" d="M1 0H26"/>', 26.0, "mask"))
    for word in MASK_FLOW:
        if word in diagram.words:
            pill = _pill(word)
            items.append(_sample(_at(0.0, -8.5, pill.body), pill.width, f"the mask {MASK_FLOW[word]}"))
    body, x, y = "", 0.0, 0.0
    for item in items:
        if x and x + item.width > width:
            x, y = 0.0, y + 22
        body += _at(x, y + 10, item.body)
        x += item.width + 18
    return _Part(body, width, y + 20)


def _sample(body: str, width: float, text: str) -> _Part:
    return _Part(body + _text(width + 6, 3.8, text, "small"), width + 6 + text_width(text, 11.0), 20.0)


def _all_links(diagram: Diagram) -> list[Link]:
    nested = itertools.chain.from_iterable(_all_links(box.inside) for box in diagram.boxes if box.inside)
    return [*diagram.links, *nested]


def _rect(style: str, width: float, height: float, radius: float) -> str:
    return f'<rect class="{style}" width="{_n(width)}" height="{_n(height)}" rx="{_n(radius)}"/>'


def _text(x: float, y: float, text: str, style: str, *, anchor: str = "") -> str:
    anchor = f' text-anchor="{anchor}"' if anchor else ""
    return f'<text class="{style}" x="{_n(x)}" y="{_n(y)}"{anchor}>{_escape(text)}</text>'


def _at(x: float, y: float, body: str) -> str:
    return f'<g transform="translate({_n(x)} {_n(y)})">{body}</g>' if body else ""


def _escape(text: str) -> str:
    return html.escape("".join(c if c.isprintable() or c == "\n" else " " for c in text))


def _n(number: float) -> str:
    return f"{number:.1f}".removesuffix(".0").replace("-0.0", "0") or "0"
