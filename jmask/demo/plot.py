"""The picture that `--plot` draws: how training went, and what a padded batch looks like."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .errors import DemoError
from .training import Epoch
from .vocabulary import Vocabulary


def prepare(path: str | Path) -> None:
    """Makes sure that a picture can be drawn, before a model is trained for it.

    Args:
        path: the file to write.

    Raises:
        DemoError: matplotlib is missing, the ending is none that it writes, or the folder does not exist.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DemoError('--plot needs matplotlib; install it with: pip install "jmask[demo]"') from error
    path, endings = Path(path), Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in endings:
        raise DemoError(f"--plot {path}: the file must end in .png (or .{', .'.join(sorted(set(endings) - {'png'}))})")
    if not path.parent.is_dir():
        raise DemoError(f"--plot {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise DemoError(f"--plot {path}: is a folder")


def draw(
    path: str | Path,
    epochs: Sequence[Epoch],
    baseline: float,
    predictions: Sequence[Sequence[int]],
    vocabulary: Vocabulary,
) -> None:
    """Draws loss and F1 over time, and a map of one padded batch.

    Args:
        path: the file to write.
        epochs: the epochs of training.
        baseline: F1 of the lookup.
        predictions: the predicted tags of the sentences of the map.
        vocabulary: names of the tags.

    Raises:
        DemoError: matplotlib is missing, or the file cannot be written.
    """
    prepare(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1, 1.1])
    top, bottom = halves
    loss_axes, f1_axes = top.subplots(1, 2)
    _draw_losses(loss_axes, epochs)
    _draw_f1(f1_axes, epochs, baseline)
    _draw_padding(bottom.subplots(), predictions, vocabulary)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise DemoError(f"--plot {path}: cannot be written ({error.strerror})") from error


def _draw_losses(axes: Any, epochs: Sequence[Epoch]) -> None:
    losses = np.concatenate([epoch.losses for epoch in epochs])
    ends = np.cumsum([len(epoch.losses) for epoch in epochs])
    axes.plot(np.arange(1, len(losses) + 1), losses, color="tab:blue", alpha=0.4, label="each step")
    axes.plot(ends, [np.mean(epoch.losses) for epoch in epochs], "o-", color="tab:blue", label="mean of the epoch")
    axes.set(xlabel="step", ylabel="loss of a real word", title="Loss", ylim=(0, None))
    axes.legend()


def _draw_f1(axes: Any, epochs: Sequence[Epoch], baseline: float) -> None:
    numbers = [epoch.number for epoch in epochs]
    axes.plot(numbers, [epoch.train_f1 for epoch in epochs], "o-", color="tab:gray", label="while training")
    axes.plot(numbers, [epoch.test_f1 for epoch in epochs], "o-", color="tab:green", label="held out")
    axes.axhline(baseline, color="tab:red", linestyle="--", label="lookup of each word")
    axes.set(xlabel="epoch", ylabel="F1", title="F1", ylim=(0, 100), xticks=numbers)
    axes.legend(loc="lower right")


def _draw_padding(axes: Any, predictions: Sequence[Sequence[int]], vocabulary: Vocabulary) -> None:
    """One row for a sentence: padding hatched, every tag in a color of its own."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    picture = np.full((len(predictions), max(len(tags) for tags in predictions)), np.nan)
    for row, tags in enumerate(predictions):
        picture[row, : len(tags)] = tags
    others = colormaps["tab20"](np.arange(len(vocabulary.tags) - 1) % 20)
    colors = np.concatenate([[(0.80, 0.87, 0.95, 1.0)], others])
    axes.patch.set(facecolor="white", hatch="///", edgecolor="lightgray")
    axes.imshow(picture, cmap=ListedColormap(colors), vmin=-0.5, vmax=len(colors) - 0.5, aspect="auto")
    handles = [Patch(color=color, label=tag) for color, tag in zip(colors[:20], vocabulary.tags, strict=False)]
    handles.append(Patch(facecolor="white", edgecolor="lightgray", hatch="///", label="padding"))
    axes.legend(handles=handles, loc="upper right", fontsize="small")
    axes.set(
        xlabel="word", ylabel="sentence", title="A batch with the predicted tags: the mask tells padding from text"
    )
