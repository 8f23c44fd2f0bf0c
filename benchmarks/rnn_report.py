"""The tables of `rnn.py`: one a case, and what was to be reached against what was."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from rivals.task import CellKind, Mode, Task
from timing import Timing

JMASK = ("jmask", "jmask packed", "jmask, no mask")


@dataclasses.dataclass(frozen=True)
class Case:
    """What was measured at one task.

    Attributes:
        fill: as asked for; the task has the true one.
        matmul_rate: of the machine, measured among the rivals, in floating point operations a second.
        timings: of every rival, by name.
        memory: bytes of temporary buffers, of the rivals whose compiler says it.
        disagreement: the largest, as a part of the largest value.
        load: average of the machine, over a minute, when the case was done.
    """

    task: Task
    fill: float
    matmul_rate: float
    timings: Mapping[str, Timing]
    memory: Mapping[str, int]
    disagreement: float
    load: float

    def ratio(self, name: str, entry: str = "jmask") -> float:
        """How many times longer a rival takes than an entry of jmask."""
        return self.timings[name].run / self.timings[entry].run

    def best(self, names: Iterable[str]) -> str | None:
        return min(names, key=lambda name: self.timings[name].run, default=None)

    @property
    def jax_rivals(self) -> list[str]:
        return [name for name in self.timings if name not in JMASK and not is_torch(name)]

    @property
    def torch_rivals(self) -> list[str]:
        return [name for name in self.timings if is_torch(name)]


def is_torch(name: str) -> bool:
    return name.startswith("PyTorch")


def case_table(case: Case) -> str:
    task, size = case.task, case.task.workload
    lines = [
        f"### {title(case)}",
        f"Batch {size.batch}, {size.time} steps, {size.features} features, {size.units} units, {task.tokens:,} real "
        f"steps; all agree to {case.disagreement:.0e}; matrix products run at {case.matmul_rate / 1e9:.0f} GFLOP/s; "
        f"load {case.load:.1f}.",
        "",
        "| | ms | ratio | real steps/s | share of matrix-product rate | tracing + compiling, s | temporary MB |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for name, timing in case.timings.items():
        compiling = f"{setup(timing):.1f}" if timing.compile is not None else "–"
        memory = f"{case.memory[name] / 1e6:.1f}" if name in case.memory else "–"
        ratio = f"{case.ratio(name):.2f}" if "jmask" in case.timings else "–"
        share = task.flops / timing.run / case.matmul_rate
        lines.append(
            f"| {name} | {timing.run * 1e3:.2f} | {ratio} | {task.tokens / timing.run:,.0f} | {share:.0%} "
            f"| {compiling} | {memory} |"
        )
    return "\n".join(lines)


def title(case: Case) -> str:
    task = case.task
    return f"{task.workload.name}, {task.cell.upper()}, {task.mode}, {task.fill:.0%} real"


def setup(timing: Timing) -> float:
    return (timing.trace or 0.0) + (timing.compile or 0.0)


class Speed(NamedTuple):
    """How many times faster than the best rivals of each kind an entry of jmask is to be; None: report only."""

    mode: Mode
    fill: float
    entry: str
    than_jax: float
    than_torch: float | None


SPEEDS = (
    Speed("training", 0.35, "jmask", 2.5, 1.1),
    Speed("training", 0.35, "jmask packed", 3.0, 1.3),
    Speed("training", 0.1, "jmask", 4.0, 1.1),
    Speed("training", 0.1, "jmask packed", 6.0, 2.0),
    Speed("inference", 0.35, "jmask", 2.2, 1.0),
    Speed("inference", 0.35, "jmask packed", 2.4, 1.1),
    Speed("training", 1.0, "jmask", 1.0, None),
    Speed("training", 1.0, "jmask, no mask", 1.0, None),
)


class Goal(NamedTuple):
    """A row of the summary; `reached` is None where nothing was to be reached."""

    what: str
    target: str
    measured: str
    reached: bool | None


def summary(cases: Sequence[Case]) -> str:
    """Target against reached, for the cases that were run."""
    parts = []
    for cell in dict.fromkeys(case.task.cell for case in cases):
        rows = [row for goals in GOALS for row in goals([case for case in cases if case.task.cell == cell])]
        if rows:
            heading = f"## {cell.upper()}: target and reached"
            lines = ["| | target | measured | reached |", "|---|--:|--:|---|"]
            words = {True: "yes", False: "**no**", None: "–"}
            lines += [f"| {row.what} | {row.target} | {row.measured} | {words[row.reached]} |" for row in rows]
            parts.append(f"{heading}\n\n" + "\n".join(lines))
    return "\n\n".join(parts)


def _speeds(cases: Sequence[Case]) -> Iterator[Goal]:
    for speed in SPEEDS:
        for case in cases:
            if (case.task.mode, case.fill) == (speed.mode, speed.fill) and speed.entry in case.timings:
                best = ((case.jax_rivals, speed.than_jax), (case.torch_rivals, speed.than_torch))
                yield from (_faster(case, speed.entry, names, target) for names, target in best if names)


def _faster(case: Case, entry: str, names: Sequence[str], target: float | None) -> Goal:
    best = case.best(names) or ""
    ratio = case.ratio(best, entry)
    what = f"{case.task.workload.name}, {case.task.mode}, {case.fill:.0%}: {entry} against {best}"
    if target is None:
        return Goal(what, "–", f"{ratio:.2f}", None)
    return Goal(what, f"≥ {target:.1f}", f"{ratio:.2f}", ratio >= target)


def _scaling(cases: Sequence[Case]) -> Iterator[Goal]:
    """Time at 10% fill as a part of that at 100%."""
    by_place = {(case.task.workload.name, case.task.mode, case.fill): case for case in cases}
    for (workload, mode, fill), full in by_place.items():
        short = by_place.get((workload, mode, 0.1))
        if fill == 1.0 and short is not None:
            for entry in JMASK[:2]:
                if entry in full.timings and entry in short.timings:
                    part = short.timings[entry].run / full.timings[entry].run
                    what = f"{workload}, {mode}: {entry}, time at 10% over time at 100%"
                    yield Goal(what, "≤ 0.20", f"{part:.2f}", part <= 0.2)


def _memory(cases: Sequence[Case]) -> Iterator[Goal]:
    for case in _training_at_35(cases):
        rivals = [name for name in case.jax_rivals if name in case.memory]
        for entry in JMASK[:2]:
            if rivals and entry in case.memory:
                best = min(rivals, key=case.memory.__getitem__)
                part = case.memory[entry] / case.memory[best]
                what = f"{title(case)}: {entry}, temporary memory over that of {best}"
                yield Goal(what, "≤ 1.2", f"{part:.2f}", part <= 1.2)


def _compiling(cases: Sequence[Case]) -> Iterator[Goal]:
    for case in _training_at_35(cases):
        rivals = case.jax_rivals
        for entry in JMASK[:2]:
            if rivals and entry in case.timings:
                slowest = max(rivals, key=lambda name: setup(case.timings[name]))
                part = setup(case.timings[entry]) / setup(case.timings[slowest])
                what = f"{title(case)}: {entry}, tracing and compiling over that of {slowest}"
                yield Goal(what, "≤ 1.0", f"{part:.2f}", part <= 1.0)


def _training_at_35(cases: Sequence[Case]) -> list[Case]:
    return [case for case in cases if case.task.mode == "training" and case.fill == 0.35]


GOALS: tuple[Callable[[Sequence[Case]], Iterator[Goal]], ...] = (_speeds, _scaling, _memory, _compiling)


def fill_table(cases: Sequence[Case], cell: CellKind, mode: Mode) -> str:
    """Real steps a second of jmask and of the best rivals, as the fill goes down."""
    lines = [
        f"### {cell.upper()}, {mode}: thousands of real steps a second",
        "",
        "| | fill | jmask | jmask packed | best JAX or Keras rival | best PyTorch setting |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for case in cases:
        if (case.task.cell, case.task.mode) == (cell, mode):
            names = ("jmask", "jmask packed", case.best(case.jax_rivals), case.best(case.torch_rivals))
            cells = " | ".join(_thousands(case, name) for name in names)
            lines.append(f"| {case.task.workload.name} | {case.task.fill:.0%} | {cells} |")
    return "\n".join(lines)


def _thousands(case: Case, name: str | None) -> str:
    if name is None or name not in case.timings:
        return "–"
    rate = f"{case.task.tokens / case.timings[name].run / 1e3:,.1f}"
    return rate if name in JMASK else f"{rate} ({name})"
