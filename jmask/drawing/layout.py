"""Layout of a directed graph: places for its boxes, and routes for its links.

Boxes are in rows, each below those that it follows (longest path). A link over several rows has a waypoint in every row
on its way, which all links from the same port share. Rows are ordered by barycentre (Sugiyama, Tagawa and Toda 1981),
and placed horizontally in `places`.
"""

import dataclasses
import itertools
from collections.abc import Sequence

from .places import Rows, Vertex, place_vertices
from .routes import Point, Route, routes, tops

_SWEEPS = 24

Links = Sequence[tuple[int, int, int]]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Where everything is; the top left is at (0, 0).

    Attributes:
        boxes: left and top of every box.
        routes: the vertical pieces of every link, as in `routes`.
        width: the total width.
        height: the total height.
    """

    boxes: list[Point]
    routes: list[Route]
    width: float
    height: float


def lay_out(sizes: Sequence[tuple[float, float]], links: Links) -> Layout:
    """Finds places and routes.

    Args:
        sizes: width and height of every box; a box comes after those that it follows.
        links: source, port of the source, and target of every link.

    Returns:
        The layout.
    """
    vertices = [Vertex(width, height) for width, height in sizes]
    ranks = _ranks(len(sizes), links)
    paths, rows = _with_waypoints(vertices, ranks, links)
    rows = _ordered(rows)
    place_vertices(rows)
    lines = tops(rows)
    boxes = []
    for vertex, rank in zip(vertices, ranks, strict=True):
        height = max(v.height for v in rows[rank])
        boxes.append((vertex.x - vertex.width / 2, lines[rank] + (height - vertex.height) / 2))
    width = max(vertex.x + vertex.width / 2 for vertex in itertools.chain.from_iterable(rows))
    return Layout(boxes, routes(rows, paths, [port for _, port, _ in links]), width, lines[-1])


def _ranks(num_boxes: int, links: Links) -> list[int]:
    """The row of every box: as high as possible, or as low as possible if it has more outputs than inputs."""
    ranks = [0] * num_boxes
    for source, _, target in sorted(links, key=lambda link: link[2]):
        ranks[target] = max(ranks[target], ranks[source] + 1)
    for box in reversed(range(num_boxes)):
        below = [ranks[target] for source, _, target in links if source == box]
        ports_in = {(source, port) for source, port, target in links if target == box}
        ports_out = {port for source, port, _ in links if source == box}
        if below and len(ports_in) < len(ports_out):
            ranks[box] = min(below) - 1
    return ranks


def _with_waypoints(vertices: list[Vertex], ranks: list[int], links: Links) -> tuple[list[list[Vertex]], Rows]:
    """The vertices of every link, from source to target, and of every row, with the waypoints added."""
    rows: Rows = [[] for _ in range(max(ranks) + 1)]
    for vertex, rank in zip(vertices, ranks, strict=True):
        rows[rank].append(vertex)
    lanes: dict[tuple[int, int, int], Vertex] = {}
    paths = []
    for source, port, target in links:
        path = [vertices[source]]
        for rank in range(ranks[source] + 1, ranks[target]):
            if (source, port, rank) not in lanes:
                lanes[source, port, rank] = Vertex(14.0, 0.0, is_lane=True)
                rows[rank].append(lanes[source, port, rank])
            path.append(lanes[source, port, rank])
        paths.append([*path, vertices[target]])
    for upper, lower in dict.fromkeys(pair for path in paths for pair in itertools.pairwise(path)):
        upper.below.append(lower)
        lower.above.append(upper)
    return paths, rows


def _ordered(rows: Rows) -> Rows:
    """The rows in the order with the fewest crossings found by a few barycentre sweeps."""
    best, fewest = rows, _crossings(rows)
    for sweep in range(_SWEEPS):
        if fewest == 0:
            break
        downwards = sweep % 2 == 0
        rows = list(rows)
        for i in range(1, len(rows)) if downwards else range(len(rows) - 2, -1, -1):
            rows[i] = _by_barycentre(rows[i], rows[i - 1 if downwards else i + 1], downwards)
        crossings = _crossings(rows)
        if crossings < fewest:
            best, fewest = rows, crossings
    return best


def _by_barycentre(row: list[Vertex], fixed: list[Vertex], downwards: bool) -> list[Vertex]:
    """A row sorted by the mean place of the neighbours in the fixed row; vertices without any stay in place."""
    at = {vertex: i for i, vertex in enumerate(fixed)}
    means = {}
    for vertex in row:
        neighbours = vertex.above if downwards else vertex.below
        if neighbours:
            means[vertex] = sum(at[v] for v in neighbours) / len(neighbours)
    moved = iter(sorted(means, key=lambda vertex: means[vertex]))
    return [next(moved) if vertex in means else vertex for vertex in row]


def _crossings(rows: Rows) -> int:
    total = 0
    for upper, lower in itertools.pairwise(rows):
        at = {vertex: i for i, vertex in enumerate(lower)}
        ends = [(i, at[w]) for i, vertex in enumerate(upper) for w in vertex.below]
        total += sum((a - c) * (b - d) < 0 for (a, b), (c, d) in itertools.combinations(ends, 2))
    return total
