"""The widths of buckets that leave the least padding, by dynamic programming."""

import numpy as np

_MOST_LENGTHS = 4_096  # distinct lengths for which all cuts are compared; more are first joined with their neighbours


def cut_lengths(lengths: list[np.ndarray], number: int, multiple: int) -> tuple[np.ndarray, np.ndarray]:
    """Cuts the range of lengths into buckets so that the padded steps are fewest.

    Sequences are ordered by their steps in all columns together. A bucket is a range of that order, and in each column
    as wide as its longest sequence there. With `m` distinct lengths it takes O(number · m²) operations of NumPy.

    Args:
        lengths: for each column, the steps of each sequence; at least one sequence.
        number: how many buckets at most.
        multiple: widths are rounded up to a multiple of this, at least one.

    Returns:
        The bucket of each sequence, int `(sequences,)`; and the widths, int `(buckets, columns)`.
    """
    totals = np.sum(lengths, axis=0)
    distinct = np.unique(totals)
    if len(distinct) > _MOST_LENGTHS:
        totals = totals // -(-int(distinct[-1] + 1) // _MOST_LENGTHS)
    distinct, of, counts = np.unique(totals, return_inverse=True, return_counts=True)
    longest = np.zeros((len(distinct), len(lengths)), np.int64)
    for column, steps in enumerate(lengths):
        np.maximum.at(longest[:, column], of, steps)
    longest = np.maximum(-(-longest // multiple), 1) * multiple
    ends = _best_ends(counts, longest, min(number, len(distinct)))
    bucket = np.searchsorted(ends, np.arange(len(distinct)), side="right")
    widths = np.maximum.reduceat(longest, np.append(0, ends[:-1]), axis=0)
    widths, merged = np.unique(widths, axis=0, return_inverse=True)  # two buckets that were rounded to one width
    return merged.reshape(-1)[bucket][of], widths


def _best_ends(counts: np.ndarray, longest: np.ndarray, number: int) -> np.ndarray:
    """Where the buckets end, as indices into the distinct lengths."""
    size = len(counts)
    before = np.append(0, np.cumsum(counts))
    best = np.full((number + 1, size + 1), np.inf)
    best[0, 0] = 0
    begin = np.zeros((number + 1, size + 1), np.int64)
    widths = np.zeros_like(longest)  # of the bucket from each length to the current one
    for end in range(1, size + 1):
        np.maximum(widths[:end], longest[end - 1], out=widths[:end])
        padded = best[:-1, :end] + (before[end] - before[:end]) * widths[:end].sum(1)
        begin[1:, end] = padded.argmin(1)
        best[1:, end] = padded.min(1)
    ends = [size]
    for bucket in range(number, 1, -1):
        ends.append(int(begin[bucket, ends[-1]]))
    return np.array(ends[::-1])
