"""Routes of links: vertical next to boxes, bent between rows, so that no link crosses a box."""

import itertools
from collections.abc import Iterable, Sequence

from .places import Rows, Vertex, spread

Point = tuple[float, float]
Route = list[tuple[Point, Point]]

_ROW_GAP, _STEEP = 40.0, 0.1  # between rows, and more for links that run far sideways
_PORT, _MARGIN = 24.0, 18.0  # between the link ends at one box, and from the outermost to the corner of the box


def tops(rows: Rows) -> list[float]:
    """The top of every row, and the bottom of the last."""
    y = 0.0
    found = [y]
    for row in rows:
        run = max((abs(v.x - w.x) for v in row for w in v.below), default=0.0)
        gap = _ROW_GAP + min(_STEEP * run, _ROW_GAP) if row is not rows[-1] else 0.0
        y += max(v.height for v in row) + gap
        found.append(y)
    return found


def routes(rows: Rows, paths: Sequence[list[Vertex]], ports: Sequence[int]) -> list[Route]:
    """The vertical pieces of every link, from the source's bottom to the target's top; between two pieces it may bend.

    Args:
        rows: the vertices of every row, in their places.
        paths: the vertices of every link.
        ports: the port at which each link leaves its source; links from one port begin together.

    Returns:
        For every link pairs of points `(x, y)`, where a piece begins and ends.
    """
    spans = {}
    for row, top in zip(rows, tops(rows), strict=False):
        spans |= dict.fromkeys(row, (top, top + max(v.height for v in row)))
    starts = _ends((path[0], port, path[1].x) for path, port in zip(paths, ports, strict=True))
    ends = _ends((path[-1], i, path[-2].x) for i, path in enumerate(paths))
    found = []
    for i, (path, port) in enumerate(zip(paths, ports, strict=True)):
        source, target = path[0], path[-1]
        (source_top, source_bottom), (target_top, target_bottom) = spans[source], spans[target]
        start, end = starts[source, port], ends[target, i]
        leave = (source_top + source_bottom + source.height) / 2
        arrive = (target_top + target_bottom - target.height) / 2
        lanes = [((v.x, spans[v][0]), (v.x, spans[v][1])) for v in path[1:-1]]
        found.append(
            [((start, leave), (start, source_bottom)), *lanes, ((end, target_top), (end, arrive))],
        )
    return found


def _ends(wishes: Iterable[tuple[Vertex, int, float]]) -> dict[tuple[Vertex, int], float]:
    """Where links leave or reach their boxes: as near as possible to where they go or come from.

    Args:
        wishes: the box, the number of the link's end at it, and its preferred place.

    Returns:
        The x of every end.
    """
    at: dict[Vertex, dict[int, list[float]]] = {}
    for box, end, x in wishes:
        at.setdefault(box, {}).setdefault(end, []).append(x)
    found = {}
    for box, ends in at.items():
        means = {end: sum(xs) / len(xs) for end, xs in ends.items()}
        order = sorted(means, key=lambda end: (means[end], end))
        places = _along(box, [means[end] for end in order])
        found |= {(box, end): x for end, x in zip(order, places, strict=True)}
    return found


def _along(box: Vertex, wanted: list[float]) -> list[float]:
    """Places along an edge of a box for sorted wishes; a single one is in the middle."""
    if len(wanted) == 1:
        return [box.x]
    room = max(box.width / 2 - _MARGIN, 0.0)
    low, high = box.x - room, box.x + room
    step = min(_PORT, (high - low) / (len(wanted) - 1))
    places = spread([min(max(x, low), high) for x in wanted], [1.0] * len(wanted), [step] * (len(wanted) - 1))
    first = itertools.count(low, step)
    places = [max(x, least) for x, least in zip(places, first, strict=False)]
    last = itertools.count(high - step * (len(wanted) - 1), step)
    return [min(x, most) for x, most in zip(places, last, strict=False)]
