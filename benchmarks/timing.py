"""Rivals timed in one process, in turns, so that what slows the machine down slows down all of them."""

import dataclasses
import functools
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import jax


@dataclasses.dataclass(frozen=True)
class Timed:
    """One way to do the work.

    Attributes:
        name: in the table.
        run: does the work once, and returns what it made.
        trace: seconds that JAX took to trace and lower it, if it was compiled.
        compile: seconds that XLA took to compile it.
    """

    name: str
    run: Callable[[], Any]
    trace: float | None = None
    compile: float | None = None


@dataclasses.dataclass(frozen=True)
class Timing:
    """What a rival took, in seconds; `run` is the median of the rounds."""

    name: str
    run: float
    trace: float | None
    compile: float | None


def compiled(functions: Mapping[str, tuple[Any, ...]], *, repeats: int = 7) -> list[Timed]:
    """Rivals that are compiled beforehand, given as `{name: (function, *args)}`.

    They are traced and compiled `repeats` times in turns, from empty caches; the medians count.
    """
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in functions}
    programs: dict[str, Any] = {}
    for turn in range(repeats):
        for name in functions if turn % 2 else reversed(list(functions)):
            function, *args = functions[name]
            jax.clear_caches()
            start = time.perf_counter()
            lowered = jax.jit(lambda *args, f=function: f(*args)).lower(*args)
            traced = time.perf_counter()
            programs[name] = lowered.compile()
            seconds[name].append((traced - start, time.perf_counter() - traced))
    medians = {name: list(map(statistics.median, zip(*times, strict=True))) for name, times in seconds.items()}
    return [
        Timed(name, functools.partial(programs[name], *args), *medians[name]) for name, (_, *args) in functions.items()
    ]


def race(
    rivals: Sequence[Timed],
    *,
    rounds: int = 11,
    clock: Callable[[], float] = time.perf_counter,
    seconds_a_turn: float = 0.0,
) -> list[Timing]:
    """Runs all rivals once to warm up, then `rounds` times in turns, every other round in reverse order.

    A turn is one run, or as many as fill `seconds_a_turn`, of which the median counts.
    `clock=time.process_time` suits work that runs on one core and no device: other processes count for less.
    """
    seconds: dict[str, list[float]] = {rival.name: [] for rival in rivals}
    for rival in rivals:
        jax.block_until_ready(rival.run())
    for turn in range(rounds):
        for rival in rivals if turn % 2 else reversed(rivals):
            seconds[rival.name].append(_turn(rival.run, clock, seconds_a_turn))
    return [Timing(r.name, statistics.median(seconds[r.name]), r.trace, r.compile) for r in rivals]


def table(timings: Sequence[Timing]) -> str:
    """Markdown: a row a rival, in milliseconds, and how that compares with the first rival's time."""
    columns = [c for c in ("run", "trace", "compile") if any(getattr(timing, c) is not None for timing in timings)]
    lines = ["| | " + " | ".join(f"{c}, ms | ratio" for c in columns) + " |", "|---|" + "--:|--:|" * len(columns)]
    for timing in timings:
        cells = (_cell(getattr(timing, c), getattr(timings[0], c)) for c in columns)
        lines.append(f"| {timing.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def publish(report: str, results: Path, *, write: bool) -> None:
    """Prints a report; writes it to the file of its results if that was asked for."""
    print(report)
    if write:
        results.parent.mkdir(exist_ok=True)
        results.write_text(report)


def versions(*packages: str) -> str:
    """The versions of packages, for a heading."""
    return ", ".join(f"{package} {_version(package)}" for package in packages)


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _turn(run: Callable[[], Any], clock: Callable[[], float], seconds_a_turn: float) -> float:
    times = [_seconds(run, clock)]
    while sum(times) < seconds_a_turn:
        times.append(_seconds(run, clock))
    return statistics.median(times)


def _seconds(run: Callable[[], Any], clock: Callable[[], float]) -> float:
    start = clock()
    result = jax.block_until_ready(run())
    seconds = clock() - start
    del result  # which may take long, and is not the rival's fault
    return seconds


def _cell(seconds: float | None, first: float | None) -> str:
    if seconds is None:
        return "– | –"
    return f"{seconds * 1e3:.1f} | {seconds / first:.2f}" if first else f"{seconds * 1e3:.1f} | –"
