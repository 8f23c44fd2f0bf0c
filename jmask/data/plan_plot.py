"""Draws a plan: the lengths of the sequences with the widths of rows, and the steps of each batch."""

from typing import Any

import numpy as np

from ..core.lazy import from_extra
from .description import Description, real_steps, total_lengths
from .epochs import Prepared


def plot_plan(prepared: Prepared, description: Description, seed: int) -> Any:
    """A figure of two panels, without pyplot.

    Args:
        prepared: the plan for a corpus.
        description: of the same, for the title.
        seed: of the epoch that is drawn.

    Returns:
        A `matplotlib.figure.Figure`.

    Raises:
        ImportError: matplotlib is not installed.
    """
    with from_extra("plot"):
        from matplotlib.figure import Figure
    figure = Figure(figsize=(10, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    for group, lengths in enumerate(prepared.pieces.lengths):
        name, colour = prepared.pieces.columns.names(group).replace("`", ""), f"C{group}"
        left.hist(lengths, bins=min(60, int(lengths.max(initial=1)) + 1), alpha=0.6, label=name, color=colour)
        for i, width in enumerate(sorted({shape.widths[group] for shape in prepared.shapes})):
            left.axvline(width, color=colour, linestyle="--", linewidth=1, label=None if i else f"width of {name}")
    left.set(xlabel="steps of a sequence", ylabel="sequences", title="Lengths, and widths of rows")
    if prepared.pieces.lengths:
        left.legend()
    epoch = prepared.epoch(seed, 0)
    steps = np.arange(len(epoch))
    real = real_steps(epoch, total_lengths(prepared))
    sizes = np.array([shape.num_steps for shape in prepared.shapes], int)[epoch.shapes]
    right.bar(steps, sizes, width=1, color="0.85", label="padded steps")
    right.bar(steps, real, width=1, color="C0", label="real steps")
    right.set(
        xlabel="step of the first epoch",
        ylabel="steps of a batch",
        title=f"{description.padding:.1%} padding, {len(description.shapes)} shapes",
    )
    right.legend(loc="lower left")
    return figure
