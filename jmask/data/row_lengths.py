"""How many steps each row of a padded batch has, at all levels of nested sequences."""

from typing import Any, Literal, get_args

import numpy as np

from ..sources import Flat, Lists
from ..sources.nested import ranges

End = Literal["post", "pre"]
ENDS = get_args(End)


def arrange_rows(
    items: Any, maxlens: list[int | None], multiples: list[int | None], padding: End, truncating: End | None
) -> tuple[Any, np.ndarray, int]:
    """Truncates the sequences, and pads the levels around them.

    Args:
        items: a `RowLists` or a `Flat`, or `Lists` of them.
        maxlens: for each level, the outermost first, how many items a list may have; None for any number.
        multiples: for each level, its number of items is rounded up to a multiple of this; None for 1.
        padding: where padding goes, at each level.
        truncating: which end is cut off; None raises instead of cutting.

    Returns:
        The sequences that are left, a `RowLists` or a `Flat`; their numbers of steps, `(batch,)` for one level and
        `(batch, sequences)` for two, 0 where there is padding; and the number of steps of a row.

    Raises:
        ValueError: a list is too long, and `truncating` is None.
    """
    width = _checked_width(items.lengths, maxlens[0], truncating, is_innermost=not isinstance(items, Lists))
    if not isinstance(items, Lists):
        cut: Flat = items.truncated(width, truncating or "post")
        return cut, cut.lengths, _rounded(width, multiples[0])
    kept = np.minimum(items.lengths, width)
    starts = np.cumsum(items.lengths) - items.lengths
    if truncating == "pre":
        starts = starts + items.lengths - kept
    inner = items.items if (kept == items.lengths).all() else items.items.taken(ranges(starts, kept))
    ragged, rows, inner_width = arrange_rows(inner, maxlens[1:], multiples[1:], padding, truncating)
    width = _rounded(width, multiples[0])
    placed = np.zeros((len(kept), width, *rows.shape[1:]), rows.dtype)
    placed[mask_of_lengths(kept, width, padding)] = rows
    return ragged, placed, inner_width


def mask_of_lengths(lengths: np.ndarray, width: int, padding: End = "post") -> np.ndarray:
    """The mask `(rows, width)` of rows with this many real steps and padding on one side."""
    # The narrowest integers that can count the steps: the comparison is bound by memory.
    dtype = np.min_scalar_type(width)
    steps = np.arange(width, dtype=dtype)
    return (steps if padding == "post" else steps[::-1]) < lengths.astype(dtype)[:, None]


def _checked_width(lengths: np.ndarray, maxlen: int | None, truncating: End | None, *, is_innermost: bool) -> int:
    longest = int(lengths.max(initial=0))
    if maxlen is None or longest <= maxlen or truncating is not None:
        return longest if maxlen is None else maxlen
    lost, longer = int(np.maximum(lengths - maxlen, 0).sum()), int((lengths > maxlen).sum())
    items, lists = ("steps", "sequences") if is_innermost else ("sequences", "documents")
    raise ValueError(
        f"`maxlen`: {longer} of {len(lengths)} {lists} have more than {maxlen} {items}, the longest {longest}, and "
        f'{lost} of {lengths.sum()} {items} would be cut off. Pass `truncating="post"` to cut them off the end or '
        f'`truncating="pre"` off the beginning, or `maxlen={longest}`, or leave it out.'
    )


def _rounded(width: int, multiple: int | None) -> int:
    return width if multiple is None else max(-(-width // multiple), 1) * multiple
