"""The picture that `--plot` draws: how training went, and what packed rows look like."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..data import Vocabulary
from .errors import DemoError

NUM_ROWS = 12  # of the map


def check_plot_path(path: str | Path) -> None:
    """Makes sure that a picture can be drawn, before a model is trained for it.

    Args:
        path: the file to write.

    Raises:
        DemoError: matplotlib is missing, the ending is none that it writes, or the folder does not exist.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise DemoError('--plot needs matplotlib; install it with: pip install "jmask[plot]"') from error
    path, endings = Path(path), Figure().canvas.get_supported_filetypes()
    if path.suffix[1:].lower() not in endings:
        raise DemoError(f"--plot {path}: the file must end in .png (or .{', .'.join(sorted(set(endings) - {'png'}))})")
    if not path.parent.is_dir():
        raise DemoError(f"--plot {path}: there is no folder {path.parent}")
    if path.is_dir():
        raise DemoError(f"--plot {path}: is a folder")


def draw_training(
    path: str | Path,
    log: Sequence[dict[str, float]],
    baseline: float,
    batches: Iterable[Any],
    predictions: Sequence[np.ndarray],
    tags: Vocabulary,
) -> None:
    """Draws loss and F1 over time, and a map of packed rows.

    Args:
        path: the file to write.
        log: a row for each epoch, what `read_log` returned.
        baseline: F1 of the lookup.
        batches: packed sentences with their `row` in the corpus.
        predictions: the predicted tags of the sentences of the corpus.
        tags: names of the tags.

    Raises:
        DemoError: matplotlib is missing, or the file cannot be written.
    """
    check_plot_path(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 8), layout="constrained")
    halves: Any = figure.subfigures(2, 1, height_ratios=[1, 1.1])
    top, bottom = halves
    loss_axes, f1_axes = top.subplots(1, 2)
    numbers = [row["epoch"] for row in log]
    _draw_lines(loss_axes, numbers, {"while training": [row["train_loss"] for row in log]})
    loss_axes.set(ylabel="loss of a real word", title="Loss", ylim=(0, None))
    held_out = [row["held_out_f1"] for row in log]
    _draw_lines(f1_axes, numbers, {"while training": [row["train_f1"] for row in log], "held out": held_out})
    f1_axes.axhline(baseline, color="tab:red", linestyle="--", label="lookup of each word")
    f1_axes.legend(loc="lower right")
    f1_axes.set(ylabel="F1", title="F1", ylim=(0, 1))
    _draw_rows(bottom.subplots(), *_rows(batches, predictions), tags)
    try:
        figure.savefig(path, dpi=120)
    except OSError as error:
        raise DemoError(f"--plot {path}: cannot be written ({error.strerror})") from error


def _draw_lines(axes: Any, numbers: list[float], lines: dict[str, list[float]]) -> None:
    """A point for each epoch."""
    for (label, values), color in zip(lines.items(), ("tab:gray", "tab:green"), strict=False):
        axes.plot(numbers, values, "o-", color=color, label=label)
    axes.set(xlabel="epoch", xticks=numbers)
    axes.legend()


def _rows(batches: Iterable[Any], predictions: Sequence[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The predicted tags in the first packed rows, `(rows, time)`, NaN in the padding; and the ids of sentences."""
    tags, ids = [], []
    for batch in batches:
        found, here = np.full(batch["words"].shape, np.nan), np.asarray(batch["words"].segment_ids)
        for number, row in enumerate(batch["row"].values[batch["row"].mask], start=1):
            found[here == number] = predictions[row]
        tags, ids = [*tags, *found], [*ids, *here]
        if len(tags) >= NUM_ROWS:
            break
    return np.stack(tags), np.stack(ids)


def _draw_rows(axes: Any, picture: np.ndarray, ids: np.ndarray, tags: Vocabulary) -> None:
    """Packed rows: padding hatched, every tag in a color of its own, a line before each sentence."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap
    from matplotlib.patches import Patch

    others = colormaps["tab20"](np.arange(len(tags) - 1) % 20)
    colors = np.concatenate([[(0.80, 0.87, 0.95, 1.0)], others])
    axes.patch.set(facecolor="white", hatch="///", edgecolor="lightgray")
    axes.imshow(
        picture,
        cmap=ListedColormap(colors),
        vmin=-0.5,
        vmax=len(colors) - 0.5,
        aspect="auto",
        interpolation="nearest",
    )
    rows, steps = np.nonzero(np.diff(ids, axis=1))
    axes.vlines(steps + 0.5, rows - 0.5, rows + 0.5, color="black", linewidth=0.8)
    axes.hlines(np.arange(1, len(picture)) - 0.5, -0.5, picture.shape[1] - 0.5, color="white", linewidth=2)
    handles = [Patch(color=color, label=tag) for color, tag in zip(colors[:20], tags.tokens, strict=False)]
    handles.append(Patch(facecolor="white", edgecolor="lightgray", hatch="///", label="padding"))
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1), fontsize="small")
    axes.set(
        xlabel="word",
        ylabel="row",
        title=f"Held-out sentences in packed rows, with the predicted tags; {np.isnan(picture).mean():.1%} is padding",
    )
