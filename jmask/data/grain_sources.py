"""Random-access sources of grain, read into a corpus."""

from collections.abc import Mapping, Sequence
from typing import Any

from .corpus import Ragged


def from_grain(source: Any, *, columns: Sequence[str] | None = None) -> Ragged:
    """A corpus from a random-access source of grain, read once into memory.

    A plan needs the length of every row before the first batch, so all rows are read, one by one. What is too large for
    that is better read column by column: `data.from_table`, `data.read_parquet`, or `data.Column` of a memory map.

    Args:
        source: a `grain.MapDataset`, or anything else with `len(source)` and `source[i]`, whose elements are dicts with
            the same keys: `{"words": array (steps, ...), "label": number}`. Elements that are None, which
            `MapDataset.filter` leaves, are left out.
        columns: the names of the columns to take, in this order; None: all.

    Returns:
        A `data.Ragged`. An array of rank 0, a number or a string is one value a row; other arrays are sequences.

    Raises:
        TypeError: the source has no length or no items, or an element is no dict.
        ValueError: the source is empty, or an element has other keys than the first.
        KeyError: there is no such column.

    >>> import grain, numpy as np
    >>> from jmask import data
    >>> source = grain.MapDataset.range(3).map(lambda i: {"ids": np.arange(i), "label": i % 2})
    >>> data.from_grain(source)
    Ragged of 3 rows
      ids: int32, 3 sequences of 0 to 2 steps
      label: int32, 3 values
    """
    if not (hasattr(source, "__len__") and hasattr(source, "__getitem__")) or isinstance(source, Mapping):
        raise TypeError(
            f"`source` must have `len(source)` and `source[i]`; received {type(source).__name__}. Of what can only be "
            "iterated, pass `list(source)`."
        )
    found: dict[str, list[Any]] = {}
    for i in range(len(source)):
        row = source[i]
        if row is None:
            continue
        if not isinstance(row, Mapping):
            raise TypeError(
                f"The elements of `source` must be dicts, a name for each column; element {i} is of type "
                f"{type(row).__name__}. In grain, `source.map(lambda words: {{'words': words}})` makes them so."
            )
        found = found or {name: [] for name in row}
        if set(row) != set(found):
            raise ValueError(
                f"All elements must have the keys of the first, {list(found)}; element {i} has {list(row)}."
            )
        for name, values in found.items():
            values.append(row[name])
    if not found:
        raise ValueError(
            "`source` is empty, or all its elements are None; a corpus needs at least one row to know its columns."
        )
    corpus = Ragged(**found)
    return corpus if columns is None else corpus[list(columns)]
