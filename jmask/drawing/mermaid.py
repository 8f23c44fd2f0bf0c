"""A diagram as Mermaid, which GitHub and notebooks draw in Markdown."""

from ..graph.mask_flow import COLOURS
from .diagram import Box, Diagram, Link
from .style import CROSS, MASK

_ARROWS = {"enters": "-.->", "ended": "-.-o", "dropped": "-.-x"}


def mermaid(diagram: Diagram) -> str:
    """The Mermaid code of a diagram, for a Markdown block with the language `mermaid`.

    Args:
        diagram: boxes and links.

    Returns:
        A flowchart from top to bottom: `-->` for values, `-.->` for masks, `-.-x` for a mask that is dropped.
    """
    lines, styles, colours = _flowchart(diagram, "n")
    for colour in sorted({*colours} - {""}):
        numbers = ",".join(str(i) for i, other in enumerate(colours) if other == colour)
        styles.append(f"linkStyle {numbers} stroke:{colour},stroke-width:2px")
    return "\n".join(["flowchart TD", *(f"  {line}" for line in [*lines, *styles])])


def _flowchart(diagram: Diagram, prefix: str) -> tuple[list[str], list[str], list[str]]:
    """The lines of boxes and links, the styles of the boxes, and the colour of every link, "" for the default."""
    lines, styles, colours = [], [], []
    for i, box in enumerate(diagram.boxes):
        key = f"{prefix}{i}"
        if box.inside:
            inner, inner_styles, inner_colours = _flowchart(box.inside, f"{key}_")
            title = _escape(f"{box.name} · {box.kind}")
            lines += [f'subgraph {key}["{title}"]', *(f"  {line}" for line in inner), "end"]
            styles += inner_styles
            colours += inner_colours
        else:
            opening, closing = ("(", ")") if box.role == "call" else ("([", "])")
            lines.append(f'{key}{opening}"{_label(box)}"{closing}')
        if box.mask_flow:
            styles.append(f"style {key} stroke:{COLOURS[box.mask_flow[-1]]},stroke-width:2px")
    for link in diagram.links:
        for arrow, colour in _arrows(link):
            lines.append(f"{prefix}{link.source} {arrow} {prefix}{link.target}")
            colours.append(colour)
    return lines, styles, colours


def _arrows(link: Link) -> list[tuple[str, str]]:
    """The arrows of a link, one for the value and one for the mask, with their colours."""
    arrows = [("-->", "")] if link.has_value else []
    if link.mask is not None:
        arrows.append((_ARROWS[link.mask], CROSS if link.mask == "dropped" else MASK))
    return arrows


def _label(box: Box) -> str:
    kind = [f"{box.kind} · shared" if box.is_shared else box.kind] if box.kind else []
    flow = [f"mask {', '.join(box.mask_flow)}"] if box.mask_flow else []
    return "<br/>".join(map(_escape, [box.name, *kind, *box.shapes, *flow]))


def _escape(text: str) -> str:
    return "".join(f"#{ord(c)};" if c in '"#<>&;`{}|\\' or not c.isprintable() else c for c in text)
