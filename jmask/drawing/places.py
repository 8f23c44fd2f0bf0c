"""Horizontal places: boxes and waypoints move, without changing order, to make the links as straight as possible."""

import dataclasses
import itertools
from collections.abc import Sequence

_GAP, _LANE_GAP = 30.0, 16.0  # between boxes, and next to a waypoint
_PULLS, _ROUNDS = 60, 8
_NEAR = 24.0  # two ends this close should be aligned


@dataclasses.dataclass(eq=False)
class Vertex:
    """A box, or a waypoint of a link (`is_lane`), with its centre and its neighbours in the rows above and below."""

    width: float
    height: float
    is_lane: bool = False
    above: list["Vertex"] = dataclasses.field(default_factory=list)
    below: list["Vertex"] = dataclasses.field(default_factory=list)
    x: float = 0.0

    @property
    def neighbours(self) -> list["Vertex"]:
        """The neighbours above and below."""
        return [*self.above, *self.below]


Rows = list[list[Vertex]]


def place_vertices(rows: Rows) -> None:
    """Sets `x` of every vertex; the leftmost edge is at 0.

    First every row in turn moves to where its links are shortest, then columns of vertices in line move as one.

    Args:
        rows: the vertices of every row from left to right.
    """
    for row in rows:
        offsets = [*itertools.accumulate(_distances(row), initial=0.0)]
        for vertex, offset in zip(row, offsets, strict=True):
            vertex.x = offset - offsets[-1] / 2
    for sweep in range(_PULLS):
        for row in rows if sweep % 2 == 0 else rows[::-1]:
            _pull(row)
    for _ in range(_ROUNDS):
        columns = _columns(rows)
        for column in columns:
            _shift(column, rows)
    left = min(vertex.x - vertex.width / 2 for row in rows for vertex in row)
    for vertex in itertools.chain.from_iterable(rows):
        vertex.x -= left


def spread(wanted: Sequence[float], weights: Sequence[float], distances: Sequence[float]) -> list[float]:
    """The places nearest to the wanted ones, in weighted least squares, that keep their distances.

    Isotonic regression by pooling adjacent violators (Ayer et al. 1955), of the places less the distances before them.

    Args:
        wanted: the place of every item, in order.
        weights: the weight of each item.
        distances: the least distance between neighbours.

    Returns:
        The places.
    """
    before = list(itertools.accumulate(distances, initial=0.0))
    pools: list[tuple[float, float, int]] = []  # mean, weight, size
    for x, weight, offset in zip(wanted, weights, before, strict=True):
        mean, size = x - offset, 1
        while pools and pools[-1][0] > mean:
            other, other_weight, other_size = pools.pop()
            mean = (mean * weight + other * other_weight) / (weight + other_weight)
            weight, size = weight + other_weight, size + other_size
        pools.append((mean, weight, size))
    means = [mean for mean, _, size in pools for _ in range(size)]
    return [mean + offset for mean, offset in zip(means, before, strict=True)]


def _pull(row: list[Vertex]) -> None:
    """The best places of one row while all others stay."""
    wanted, weights = [], []
    for vertex in row:
        # Reweighted squares approach absolute lengths, which favour many straight links and a few that bend.
        pulls = [_stiffness(vertex, other) / (abs(other.x - vertex.x) + 1) for other in vertex.neighbours]
        total = sum(pulls)
        mean = sum(pull * other.x for pull, other in zip(pulls, vertex.neighbours, strict=True)) / (total or 1.0)
        wanted.append(mean if total else vertex.x)
        weights.append(total or 1e-6)
    for vertex, x in zip(row, spread(wanted, weights, _distances(row)), strict=True):
        vertex.x = x


def _columns(rows: Rows) -> list[list[Vertex]]:
    """The vertices in columns: aligned ones, and, if there is room, pairs that are only linked to each other."""
    room = _room(rows)
    column_of = {vertex: [vertex] for row in rows for vertex in row}
    for upper in itertools.chain.from_iterable(rows):
        for lower in sorted(upper.below, key=lambda v: (abs(v.x - upper.x), not v.is_lane)):
            is_only = len(upper.below) == len(lower.above) == 1
            column = [*column_of[upper], *column_of[lower]]
            in_rows = len(column) == len({id(row) for row in rows for vertex in column if vertex in row})
            low, high = max(room[v][0] for v in column), min(room[v][1] for v in column)
            if (is_only or abs(upper.x - lower.x) < _NEAR) and in_rows and low <= high:
                x = min(max(upper.x, low), high)
                for vertex in column:
                    vertex.x, column_of[vertex] = x, column
                room = _room(rows)
    return list({id(column): column for column in column_of.values()}.values())


def _shift(column: list[Vertex], rows: Rows) -> None:
    """Moves a column to the weighted median of what it is linked to, as far as its neighbours allow."""
    room = _room(rows)
    low, high = max(room[v][0] for v in column), min(room[v][1] for v in column)
    links = [(other.x, _stiffness(v, other)) for v in column for other in v.neighbours if other not in column]
    if links and low <= high:
        x = min(max(_median(sorted(links)), low), high)
        for vertex in column:
            vertex.x = x


def _median(links: list[tuple[float, float]]) -> float:
    """The weighted median of sorted places, or the middle between the two that qualify."""
    half, seen = sum(weight for _, weight in links) / 2, 0.0
    for i, (x, weight) in enumerate(links):
        seen += weight
        if seen == half:
            return (x + links[i + 1][0]) / 2
        if seen > half:
            return x
    return links[-1][0]


def _room(rows: Rows) -> dict[Vertex, tuple[float, float]]:
    """How far to the left and right every vertex could move."""
    room = {}
    for row in rows:
        distances = _distances(row)
        lows = [float("-inf"), *(v.x + d for v, d in zip(row, distances, strict=False))]
        highs = [*(v.x - d for v, d in zip(row[1:], distances, strict=True)), float("inf")]
        room |= {v: (low - 1e-6, high + 1e-6) for v, low, high in zip(row, lows, highs, strict=True)}
    return room


def _stiffness(a: Vertex, b: Vertex) -> float:
    return (2.0, 1.0, 8.0)[a.is_lane + b.is_lane]


def _distances(row: list[Vertex]) -> list[float]:
    """The least distances between the centres of neighbours in a row."""
    gaps = [_LANE_GAP if a.is_lane or b.is_lane else _GAP for a, b in itertools.pairwise(row)]
    return [(a.width + b.width) / 2 + gap for (a, b), gap in zip(itertools.pairwise(row), gaps, strict=True)]
