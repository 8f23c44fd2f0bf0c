"""One piece of work and its rivals: what each computes is compared, then all are timed in turns."""

import dataclasses
import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from timing import Timed, race

ROUNDS, SECONDS_A_TURN = 5, 0.05


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rival(Timed):
    """One way to do the work; `run` waits until it is done.

    Attributes:
        read: turns what `run` returns into arrays at the real steps, by name.
        memory: bytes of temporary memory of one run, where they are known.
    """

    read: Callable[[Any], Mapping[str, np.ndarray]]
    memory: int | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """One piece of work.

    Attributes:
        title: in the report.
        expected: what every rival should compute, by name.
        tolerance: the largest error that is right, as a part of the largest value.
        makers: make the rivals, by name; one that cannot do the work raises.
    """

    title: str
    expected: Callable[[], Mapping[str, np.ndarray]]
    tolerance: float
    makers: Mapping[str, Callable[[], Rival]]


@dataclasses.dataclass
class Row:
    """What came of a rival: a figure, or why there is none."""

    name: str
    error: float | None = None
    reason: str = ""
    seconds: float | None = None
    compile: float | None = None
    memory: int | None = None


def in_jax(name: str, function: Callable[..., Any], args: Sequence[Any], read: Callable[[Any], Any]) -> Rival:
    """A function of JAX, compiled."""
    start = time.perf_counter()
    program = jax.jit(function).lower(*args).compile()
    seconds = time.perf_counter() - start
    memory = program.memory_analysis()
    run = functools.partial(program, *args)
    return Rival(name, run, compile=seconds, read=read, memory=getattr(memory, "temp_size_in_bytes", None))


def in_torch(name: str, function: Callable[[], Any], read: Callable[[Any], Any]) -> Rival:
    """A function of PyTorch; its first run, which may compile, is timed apart."""
    import torch

    on_gpu = torch.cuda.is_available()

    def run() -> Any:
        result = function()
        if on_gpu:
            torch.cuda.synchronize()
        return result

    start = time.perf_counter()
    run()
    seconds, memory = time.perf_counter() - start, None
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        memory = torch.cuda.max_memory_allocated() - before
    return Rival(name, run, compile=seconds, read=read, memory=memory)


def measured(case: Case) -> list[Row]:
    """Compares what the rivals compute, and races those that are right."""
    expected, rows, right = case.expected(), [], []
    for name, make in case.makers.items():
        row = Row(name)
        rows.append(row)
        try:
            rival = make()
            got = rival.read(rival.run())
        except Exception as error:  # a library refuses in whatever way it likes, and the others go on
            row.reason = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0][:100]}"
            continue
        row.error = max(_error(expected[key], array) for key, array in got.items())
        row.compile, row.memory = rival.compile, rival.memory
        if row.error <= case.tolerance:
            right.append(rival)
        else:
            row.reason = "WRONG"
    if right:
        seconds = {timing.name: timing.run for timing in race(right, rounds=ROUNDS, seconds_a_turn=SECONDS_A_TURN)}
        for row in rows:
            row.seconds = seconds.get(row.name)
    return rows


def table(case: Case, rows: Sequence[Row]) -> str:
    """Markdown: time, and how it compares with the first rival that has one; memory, compiling and error."""
    first = next((row.seconds for row in rows if row.seconds), None)
    lines = [
        f"### {case.title}",
        "",
        "| | ms | ratio | temporary, MiB | compile, s | error |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for row in rows:
        cells = (
            f"{row.seconds * 1e3:.2f}" if row.seconds else row.reason,
            f"{row.seconds / first:.2f}" if row.seconds and first else "–",
            "–" if row.memory is None else f"{row.memory / 2**20:.0f}",
            "–" if row.compile is None else f"{row.compile:.1f}",
            "–" if row.error is None else f"{row.error:.0e}",
        )
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _error(expected: np.ndarray, got: np.ndarray) -> float:
    """The largest difference, as a part of the largest value; infinite if anything is not finite."""
    got = np.asarray(got, np.float64)
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got - expected).max(initial=0) / np.abs(expected).max(initial=1e-30))
