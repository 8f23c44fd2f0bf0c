"""Time over fill: a panel a workload and mode, a line a rival."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.ticker import FormatStrFormatter, LogLocator
from rnn_report import JMASK, Case, is_torch


def save(cases: Sequence[Case], path: Path) -> None:
    """Draws the LSTM cases (or what there is); both axes logarithmic, so that time in proportion is a straight line."""
    cell = "lstm" if any(case.task.cell == "lstm" for case in cases) else "gru"
    cases = [case for case in cases if case.task.cell == cell]
    workloads = list(dict.fromkeys(case.task.workload.name for case in cases))
    modes = list(dict.fromkeys(case.task.mode for case in cases))
    figure = Figure(figsize=(4.6 * len(workloads), 3.8 * len(modes)), layout="constrained")
    axes = figure.subplots(len(modes), len(workloads), squeeze=False)
    for row, mode in enumerate(modes):
        for column, workload in enumerate(workloads):
            here = [case for case in cases if (case.task.mode, case.task.workload.name) == (mode, workload)]
            _panel(axes[row, column], here, f"{workload}, {mode}")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside right center", frameon=False)
    figure.suptitle(f"{cell.upper()}: time over the part of the batch that is real")
    path.parent.mkdir(exist_ok=True)
    figure.savefig(path, dpi=110)


def _panel(axes: Any, cases: Sequence[Case], title: str) -> None:
    names = [name for name in dict.fromkeys(name for case in cases for name in case.timings) if name != JMASK[2]]
    for index, name in enumerate(names):
        points = sorted((case.task.fill, case.timings[name].run * 1e3) for case in cases if name in case.timings)
        ours = name in JMASK
        style = {"color": f"C{index}", "linestyle": "--" if is_torch(name) else "-", "linewidth": 2.6 if ours else 1.0}
        axes.plot(*zip(*points, strict=True), label=name, marker="o", markersize=3, zorder=3 if ours else 2, **style)
    fills = sorted({case.task.fill for case in cases})
    axes.set(xscale="log", yscale="log", title=title, xlabel="fill", ylabel="ms")
    axes.set_xticks(fills, [f"{fill:.0%}" for fill in fills])
    axes.minorticks_off()
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.grid(alpha=0.3)
