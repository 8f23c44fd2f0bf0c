"""The curves of runs, drawn from their logs: sums of the training, scores, speed and padding."""

import csv
import math
import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..core.lazy import from_extra
from .runs import Run

_AXES = {"step": "step", "epoch": "epoch", "seconds": "seconds of the run"}
_SPEED = {"tokens_per_second": "real tokens a second", "padding": "share of padding"}
_MANY = 40  # points from which on a line has no dots
_STYLES = ("-", ":", "-.")


def plot(*runs: Any, x: Literal["step", "epoch", "seconds"] = "step") -> Any:
    r"""Draws the curves of runs with matplotlib, from the `log.csv` in their folders: a point for each epoch.

    Each sum of the training has a panel, the loss the first, shared with the scores of its name: `train_loss` with
    `loss`, or with `held_out_loss`. The other scores follow, then real tokens a second and the share of padding. The
    training is dashed. A run that was killed and resumed is one line. Of several runs, each has a colour.

    Args:
        *runs: their folders, or each a `Run`; of one that another process is still training, the epochs that are over.
        x: what the horizontal axis shows.

    Returns:
        The `matplotlib.figure.Figure`, which a notebook shows; `train.plot("runs/tagger").savefig("curves.png")`
        saves it. Of runs without a finished epoch it says so. A number that is not finite leaves a gap.

    Raises:
        FileNotFoundError: the folder has no run.
        ValueError: no folder is given, `x` is none of these, or `log.csv` is no log of a run.
        ImportError: matplotlib is not installed.

    >>> import pathlib, tempfile
    >>> from jmask import train
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     log = "epoch,step,seconds,train_loss,held_out_loss,padding\n1,10,2.5,0.7,0.8,0.02\n2,20,4.5,0.5,0.7,0.02"
    ...     _ = pathlib.Path(folder, "log.csv").write_text(log)
    ...     figure = train.plot(folder)
    >>> [axes.get_title() for axes in figure.axes]
    ['loss', 'share of padding']
    """
    if not runs:
        raise ValueError('`plot` draws the runs in the folders that are given: `train.plot("runs/tagger")`.')
    for run in runs:
        if not isinstance(run, (Run, str, os.PathLike)):
            kind = type(run).__name__
            raise TypeError(f"`plot` takes folders, each an argument of its own, `plot(*folders)`; received a {kind}.")
    if not isinstance(x, str) or x not in _AXES:
        raise ValueError(f"`plot`: `x` is {', '.join(map(repr, _AXES))}; received {x!r}.")
    with from_extra("plot"):
        from matplotlib.figure import Figure
    folders = [Path(run.directory if isinstance(run, Run) else os.fspath(run)) for run in runs]
    are_apart = len({folder.name for folder in folders}) == len(folders)
    logs = {folder.name if are_apart else str(folder): _read(folder) for folder in folders}
    panels = _panels(list(dict.fromkeys(name for log in logs.values() for name in log)))
    wide = 2 if len(panels) == 4 else max(1, min(len(panels), 3))
    high = max(1, math.ceil(len(panels) / wide))
    figure = Figure(figsize=(4.2 * wide, 3.0 * high + 0.3 * (len(logs) > 1)), layout="constrained")
    for i, (title, names) in enumerate(panels.items()):
        _draw(figure.add_subplot(high, wide, i + 1), title, names, list(logs.values()), x)
    if not panels:
        figure.text(0.5, 0.5, "no epoch is over yet", ha="center", va="center")
    elif len(logs) > 1:
        labels = [name if log else f"{name} (no epoch is over yet)" for name, log in logs.items()]
        lines = [figure.axes[0].plot([], [], color=f"C{i}", label=label)[0] for i, label in enumerate(labels)]
        figure.legend(handles=lines, loc="outside upper center", ncols=min(len(logs), 2 * wide), frameon=False)
    return figure


_Log = dict[str, np.ndarray]  # by the name of the column, a number for each row, NaN where there is none


def _read(folder: Path) -> _Log:
    file = folder / "log.csv"
    if not file.is_file():
        if (folder / "checkpoints").is_dir():  # of a run that has just begun
            return {}
        raise FileNotFoundError(f"`plot`: {str(folder)!r} has no `log.csv`; name the folder of a `train.Run`.")
    with file.open(newline="", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    if rows and not {*_AXES} <= rows[0].keys():
        raise ValueError(f"`plot`: {str(file)!r} is no log of a run: its columns are {', '.join(map(str, rows[0]))}.")
    return {name: np.array([_number(row.get(name)) for row in rows]) for name in (rows[0] if rows else ()) if name}


def _number(text: Any) -> float:
    """NaN for what is no finite number, which is not drawn."""
    try:
        number = float(text)
    except (TypeError, ValueError):
        return math.nan
    return number if math.isfinite(number) else math.nan


def _panels(names: list[str]) -> dict[str, list[str]]:
    """The columns of each panel, by its title."""
    trained = {name.removeprefix("train_"): name for name in names if name.startswith("train_")}
    panels = {title: [trained[title]] for title in sorted(trained, key=lambda title: title != "loss")}
    for name in names:
        if name not in (*trained.values(), *_AXES, *_SPEED):
            titles = [title for title in trained if name == title or name.endswith(f"_{title}")]
            panels.setdefault(max(titles, key=len, default=name), []).append(name)
    return panels | {title: [name] for name, title in _SPEED.items() if name in names}


def _draw(axes: Any, title: str, names: list[str], logs: list[_Log], x: str) -> None:
    """A panel: of one run each column has a colour, of several each run."""
    scores, lines = [name for name in names if not name.startswith("train_")], {}
    for number, log in enumerate(logs):
        for place, name in enumerate(names):
            if name not in log:
                continue
            style = _STYLES[scores.index(name) % len(_STYLES)] if name in scores else "--"
            colour = f"C{number}" if len(logs) > 1 else f"C{place}"
            dots = "o" if len(log[name]) < _MANY else ""
            line = axes.plot(log[x], log[name], style, color=colour, marker=dots, markersize=3)[0]
            lines[name] = axes.plot([], [], style, color="0.3")[0] if len(logs) > 1 else line
    axes.set(title=title, xlabel=_AXES[x])
    if len(names) > 1:
        axes.legend(lines.values(), lines.keys())
    if not _drawn(axes):
        axes.text(0.5, 0.5, "no finite number", ha="center", va="center", transform=axes.transAxes)
    if title in _SPEED.values():
        axes.set_ylim(0, 1.1 * max((float(np.nanmax(y)) for y in _drawn(axes)), default=0) or 1)
        axes.yaxis.set_major_formatter((lambda y, _: f"{y:.1%}") if title == _SPEED["padding"] else "{x:,.0f}")


def _drawn(axes: Any) -> list[np.ndarray]:
    """The heights of the lines that are to be seen."""
    heights = [np.asarray(line.get_ydata(), float) for line in axes.lines]
    return [y for y in heights if np.isfinite(y).any()]
