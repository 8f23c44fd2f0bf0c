"""Packs sequences into rows in one pass over their order: best fit over the rows that are open."""

from bisect import bisect_left, bisect_right, insort

import numpy as np


def pack_in_order(
    lengths: list[np.ndarray], widths: list[int], *, open_rows: int, max_segments: int | None
) -> tuple[np.ndarray, int]:
    """Puts each sequence, in the given order, into the open row that it fills best.

    If it fits into no open row, a new one is opened, and the fullest one is closed if there are too many. A new row
    first takes sequences as they come, as long as it has room left for a quarter of one (of mean length): only the last
    one or two have to be chosen, which saves half of the time and hardly adds to the padding.

    Args:
        lengths: for each column, the steps of each sequence in their order, at most `widths`.
        widths: for each column, the steps of a row.
        open_rows: how many rows are open at a time.
        max_segments: how many sequences a row may have; None for any number.

    Returns:
        The row of each sequence, counted in the order in which they were opened; and the number of rows.
    """
    lengths = _with_room_for_empty(lengths)
    if not len(lengths[0]):
        return np.zeros(0, np.int64), 0
    most = max_segments or len(lengths[0])
    if len(lengths) == 1:
        return _pack_one(lengths[0], widths[0], open_rows, most)
    return _pack_several(np.stack(lengths, 1), widths, open_rows, most)


def _with_room_for_empty(lengths: list[np.ndarray]) -> list[np.ndarray]:
    """An empty sequence needs room for a step, so that the length of a row bounds their number too."""
    empty = np.logical_and.reduce([of == 0 for of in lengths])
    return [np.where(empty, 1, of) for of in lengths] if empty.any() else lengths


def most_segments(lengths: list[np.ndarray], capacities: list[int]) -> int:
    """How many sequences rows can hold at most: as many as the shortest ones that fit.

    Args:
        lengths: for each column, the steps of each sequence.
        capacities: for each column, the steps of all these rows together.
    """
    bounds = []
    for of, capacity in zip(_with_room_for_empty(lengths), capacities, strict=True):
        shortest = np.sort(of)
        if of.size and shortest[0] == 0:
            continue  # this column lets in any number of them, another one does not
        bounds.append(int(np.searchsorted(np.cumsum(shortest), capacity, side="right")))
    return max(min(bounds, default=len(lengths[0])), 1)


def _pack_one(lengths: np.ndarray, width: int, open_rows: int, most: int) -> tuple[np.ndarray, int]:
    # A row is one integer, its room in the high bits and its number in the low ones: sorted, they are sorted by room.
    ends, count = np.append(0, np.cumsum(lengths)).tolist(), len(lengths)
    bits, longest_run = count.bit_length(), min(most, width)
    first, run = width << bits, width - min(width, ends[-1] // (4 * count))
    low, is_limited, counts = (1 << bits) - 1, most < min(width, count), [0] * count
    rows_with_room: list[int] = []
    begins: list[int] = []  # of sequences that go into one row, and that row
    rows: list[int] = []
    begin, start, new = 0, 0, first
    while begin < count:
        i = begin + 1
        end = ends[i]
        need = (end - start) << bits
        place = bisect_left(rows_with_room, need)
        if place < len(rows_with_room):
            row = rows_with_room.pop(place)
        else:
            if place >= open_rows:
                del rows_with_room[0]
            row = new
            new += 1
            if end - start < run:
                i = bisect_right(ends, start + run, i + 1, min(count, begin + longest_run) + 1) - 1
                end = ends[i]
                need = (end - start) << bits
        begins.append(begin)
        rows.append(row)
        if is_limited:
            counts[row & low] += i - begin
        if not is_limited or counts[row & low] < most:
            insort(rows_with_room, row - need)
        begin, start = i, end
    return np.repeat(np.array(rows) & low, np.diff(begins, append=count)), new - first


def _pack_several(lengths: np.ndarray, widths: list[int], open_rows: int, most: int) -> tuple[np.ndarray, int]:
    """The same for columns that differ in length: a row has room only if it has room in each column.

    The rows are searched by the column that fills up first, from the tightest on.
    """
    fullest_first = np.argsort(-lengths.sum(0) / widths, kind="stable")
    lengths, widths = lengths[:, fullest_first], [widths[i] for i in fullest_first]
    rooms: list[tuple[int, int]] = []  # of the open rows: in the first column, and the number of the row
    free: dict[int, list[int]] = {}
    counts: list[int] = []
    rows: list[int] = []
    for steps in lengths.tolist():
        place, others = bisect_left(rooms, (steps[0], -1)), steps[1:]
        while place < len(rooms) and any(n > room for n, room in zip(others, free[rooms[place][1]], strict=True)):
            place += 1
        if place < len(rooms):
            room, row = rooms.pop(place)
        else:
            if len(rooms) >= open_rows:
                del free[rooms.pop(_fullest(rooms, free, widths))[1]]
            room, row = widths[0], len(counts)
            free[row] = widths[1:]
            counts.append(0)
        rows.append(row)
        counts[row] += 1
        free[row] = [room - n for n, room in zip(others, free[row], strict=True)]
        if counts[row] < most:
            insort(rooms, (room - steps[0], row))
    return np.array(rows), len(counts)


def _fullest(rooms: list[tuple[int, int]], free: dict[int, list[int]], widths: list[int]) -> int:
    """The place of the row with the least room in all columns together, each relative to its width."""

    def room_of(place: int) -> float:
        room, row = rooms[place]
        return sum(n / width for n, width in zip([room, *free[row]], widths, strict=True))

    return min(range(len(rooms)), key=room_of)
