"""A picture of a batch: which steps are real, where the padding and the holes are, and which sequence is which."""

import math
from typing import Any

import numpy as np

from ..core.lazy import from_extra
from ..core.masked import Masked

PADDING, HOLE = -1, -2
_LARGEST = 500  # rows and steps that are still drawn one by one
_COLOURS = 10  # that neighbouring sequences of a row take in turns


def show(x: Masked, axes: Any = None, *, title: str | None = None) -> Any:
    """Draws the mask of a batch with matplotlib: a row for each row, a square for each step.

    Real steps are coloured, those of packed rows by sequence; padding is light, and holes, which are padding between
    real steps, are dark.

    Args:
        x: a `Masked` with a mask `(rows, time)`. Documents of sentences, `(rows, sentences, words)`, are drawn sentence
            by sentence. Only the first 500 rows and steps are drawn.
        axes: the `matplotlib.axes.Axes` to draw on; None: those of a new figure.
        title: above the picture; None: what is in the batch.

    Returns:
        The `matplotlib.figure.Figure`, which a notebook shows; `show(x).savefig("batch.png")` saves it.

    Raises:
        TypeError: it is not a `Masked` with a time axis.
        ImportError: matplotlib is not installed.

    >>> import jmask as jm
    >>> figure = jm.show(jm.pack([[1.0, 2.0], [3.0], [4.0, 5.0, 6.0]], row_length=4))
    >>> figure.axes[0].get_title()
    '2 rows of 4 steps, 3 sequences, 25% padding'
    """
    if not isinstance(x, Masked) or x.mask.ndim < 2:
        raise TypeError(
            "`show` draws a `Masked` with a mask `(rows, time)`, such as `jm.pad_sequences(sequences)`; received "
            f"{f'a mask of shape {x.mask.shape}' if isinstance(x, Masked) else type(x).__name__}."
        )
    with from_extra("plot"):
        from matplotlib.colors import BoundaryNorm, ListedColormap
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    cells = cells_of(x)
    if axes is None:
        rows, time = cells.shape
        size = (min(max(3.0, 0.25 * time), 12.0), min(max(1.2, 0.25 * rows + 0.8), 8.0))
        axes = Figure(figsize=size, layout="constrained").subplots()
    colours = ListedColormap(["#404040", "#e4e4e4", *(f"C{i}" for i in range(_COLOURS))])
    shades = np.where(cells < 0, cells, cells % _COLOURS)
    bounds = np.arange(HOLE - 0.5, _COLOURS + 0.5)
    norm = BoundaryNorm(bounds, len(bounds) - 1)
    if cells.size:
        axes.imshow(shades, cmap=colours, norm=norm, aspect="auto", interpolation="nearest")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="step", ylabel="row", title=_summary(x) if title is None else title)
    if max(cells.shape, default=0) <= 60:  # lines between the squares
        axes.set_xticks(np.arange(cells.shape[1] + 1) - 0.5, minor=True)
        axes.set_yticks(np.arange(cells.shape[0] + 1) - 0.5, minor=True)
        axes.grid(which="minor", color="white", linewidth=1)
        axes.tick_params(which="minor", length=0)
    return axes.figure


def cells_of(x: Masked) -> np.ndarray:
    """Int `(rows, time)`: of each step `PADDING`, `HOLE`, or the number of its sequence, from 0, in its row."""
    of_steps = x.mask if x.segment_ids is None else x.segment_ids
    mask, ids = (_flat(part)[:_LARGEST, :_LARGEST] for part in (x.mask, of_steps))
    cells = np.full(mask.shape, PADDING)
    for row, (real, of) in enumerate(zip(mask, ids, strict=True)):
        steps = np.flatnonzero(real)
        if len(steps):
            cells[row, steps[0] : steps[-1] + 1] = HOLE
        first = {name: number for number, name in enumerate(dict.fromkeys(of[steps].tolist()))}
        cells[row, steps] = [first[name] for name in of[steps].tolist()]
    return cells


def _flat(part: Any) -> np.ndarray:
    """Sentences of documents as rows."""
    return np.asarray(part).reshape(math.prod(part.shape[:-1]), part.shape[-1])


def _summary(x: Masked) -> str:
    mask = _flat(x.mask)
    parts = [f"{mask.shape[0]} rows of {mask.shape[1]} steps"]
    if x.segment_ids is not None:
        ids = np.asarray(x.segment_ids)
        parts.append(f"{len(np.unique(ids[ids > 0]))} sequences")
    parts.append(f"{1 - mask.mean() if mask.size else 0:.0%} padding")
    return ", ".join(parts)
