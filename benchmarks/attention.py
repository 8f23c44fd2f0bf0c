"""Attention over padded and packed rows: jmask against `jax.nn.dot_product_attention` with a mask, in turns.

python benchmarks/attention.py                   prints the table; takes some minutes
python benchmarks/attention.py --write           writes it and a plot to benchmarks/results/attention.* as well
python benchmarks/attention.py --times 512 --fills 0.35 --rounds 3 --seconds 0.05     a short run

Before anything is timed, outputs at real steps and gradients are compared; the run fails if they differ.
"""

import argparse
import dataclasses
import functools
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false")

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure
from timing import Timed, publish, race

import jmask as jm

RESULTS = Path(__file__).parent / "results" / "attention.md"
HEADS, FEATURES = 4, 64
ROWS = {64: 32, 128: 32, 256: 16, 512: 8, 2048: 4}
FILLS = (0.1, 0.2, 0.35, 0.5, 0.75, 1.0)
MODES = ("forward", "training")
RIVALS = ("jax.nn", "jmask", "jmask, xla")
TOLERANCE = 1e-4  # of the largest value

METHOD = f"""\
{HEADS} heads of {FEATURES} features, float32. Rows are padded on the right, their lengths lognormal; "packed" rows
are full, of four sequences each. "jax.nn" is `jax.nn.dot_product_attention` with the mask of all pairs, made in the
program; "jmask" is `jm.ops.attention`; "jmask, xla" the same with `implementation="xla"`, all pairs at once. Training
is the gradient of a weighted sum of the outputs with respect to queries, keys and values. Outputs at real steps and
gradients agree to 1e-4 of the largest.
Times are CPU milliseconds of one thread, medians over rounds, in turns (A B C, C B A), of the medians of each turn. A
ratio is the time of "jax.nn" over that of the other: above 1, the other is faster. Memory is what XLA allots for
temporary arrays."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One line of the table."""

    time: int
    fill: float
    mode: str
    is_packed: bool = False
    is_causal: bool = False

    def __str__(self) -> str:
        kind = "packed" if self.is_packed else "padded"
        return f"{self.time} steps, {kind}{', causal' if self.is_causal else ''}"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Milliseconds and MiB of each rival."""

    times: dict[str, float]
    memory: dict[str, float]


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    outcomes = {}
    for case in _cases(options):
        outcomes[case] = outcome = _measure(case, options)
        times = ", ".join(f"{name} {ms:.2f} ms" for name, ms in outcome.times.items())
        print(f"{case}, {case.fill:.0%}, {case.mode}: {times}", file=sys.stderr, flush=True)
    publish("\n\n".join([_heading(arguments), _table(outcomes)]) + "\n", RESULTS, write=options.write)
    if options.write:
        _plot(outcomes)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", nargs="+", type=int, choices=ROWS, default=list(ROWS))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--fills", nargs="+", type=float, default=list(FILLS), help="parts of the batch that are real")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.1, help="of a rival's turn, at least")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    for steps in options.times:
        for mode in options.modes:
            short = set(options.fills) & {0.35, 1.0} if steps < 512 else set(options.fills)
            yield from (Case(steps, fill, mode) for fill in sorted(short))
            if steps >= 512:
                yield Case(steps, 0.35, mode, is_causal=True)
                yield Case(steps, 1.0, mode, is_packed=True)


def _measure(case: Case, options: argparse.Namespace) -> Outcome:
    """Compares what the rivals compute, then races them."""
    args, is_real = _draw(case)
    rivals = {"jax.nn": _by_hand, "jmask": _by_jmask, "jmask, xla": functools.partial(_by_jmask, implementation="xla")}
    timed, memory, answers = [], {}, {}
    for name, rival in rivals.items():
        function = _function(functools.partial(rival, case), case.mode, is_real)
        program: Any = jax.jit(function).lower(*args).compile()
        memory[name] = program.memory_analysis().temp_size_in_bytes / 2**20
        answers[name] = jax.tree.leaves(program(*args))
        timed.append(Timed(name, functools.partial(program, *args)))
    for name, answer in answers.items():
        for found, expected in zip(answer, answers["jax.nn"], strict=True):
            if not jnp.abs(found - expected).max() <= TOLERANCE * jnp.abs(expected).max():
                raise AssertionError(f"{name}, {case}, {case.mode}: differs from jax.nn.")
    timings = race(timed, rounds=options.rounds, clock=time.process_time, seconds_a_turn=options.seconds)
    return Outcome({timing.name: timing.run * 1e3 for timing in timings}, memory)


def _draw(case: Case) -> tuple[list[Any], Any]:
    """Queries, keys, values and ids; and which steps are real."""
    rng, rows = np.random.default_rng(0), ROWS[case.time]
    lengths = rng.lognormal(0, 0.6, rows)
    lengths = np.clip((lengths * case.fill * case.time * rows / lengths.sum()).astype(int), 1, case.time)
    lengths = np.full(rows, case.time) if case.fill == 1 else lengths
    ids = (np.arange(case.time) < lengths[:, None]).astype(np.int32)
    if case.is_packed:
        ids = np.tile(np.repeat(np.arange(1, 5, dtype=np.int32), case.time // 4), (rows, 1))
    values = [rng.normal(size=(rows, case.time, HEADS, FEATURES)).astype(np.float32) for _ in range(3)]
    return [jnp.asarray(x) for x in (*values, ids)], jnp.asarray(ids > 0)[..., None, None]


def _by_hand(case: Case, q: Any, k: Any, v: Any, ids: Any) -> Any:
    mask = (ids[:, :, None] == ids[:, None]) & (ids[:, None] > 0)
    return jax.nn.dot_product_attention(q, k, v, mask=mask[:, None], is_causal=case.is_causal)


def _by_jmask(case: Case, q: Any, k: Any, v: Any, ids: Any, *, implementation: Any = "auto") -> Any:
    x = jm.from_segment_ids(q, ids) if case.is_packed else jm.masked(q, ids > 0)
    others: dict[str, Any] = {"key": x.with_values(k), "value": x.with_values(v)}
    y: Any = jm.ops.attention(x, **others, causal=case.is_causal, implementation=implementation)
    return y.values


def _function(rival: Callable[..., Any], mode: str, is_real: Any) -> Callable[..., Any]:
    """What is timed."""
    if mode == "forward":
        return lambda *args: jnp.where(is_real, rival(*args), 0)

    def gradients(q: Any, k: Any, v: Any, ids: Any) -> Any:
        weights = jnp.where(is_real, jnp.cos(jnp.arange(FEATURES, dtype=jnp.float32)), 0)
        return jax.grad(lambda *values: jnp.sum(rival(*values, ids) * weights), (0, 1, 2))(q, k, v)

    return gradients


def _table(outcomes: dict[Case, Outcome]) -> str:
    names = RIVALS[1:]
    ratios = [f"{name}: ms | ratio" for name in names]
    head = ["", "real", "", "jax.nn, ms", *ratios, "memory: jax.nn, MiB", *(f"{name}, part" for name in names)]
    lines = [f"| {' | '.join(head)} |", "|---|--:|---|" + "--:|" * (2 + 3 * len(names))]
    for case, outcome in outcomes.items():
        first, memory = outcome.times["jax.nn"], outcome.memory["jax.nn"]
        cells = [f"{outcome.times[name]:.1f} | {first / outcome.times[name]:.2f}" for name in names]
        parts = [f"{outcome.memory[name] / memory:.3f}" for name in names]
        row = [str(case), f"{case.fill:.0%}", case.mode, f"{first:.1f}", *cells, f"{memory:.1f}", *parts]
        lines.append(f"| {' | '.join(row)} |")
    return "\n".join(lines)


def _plot(outcomes: dict[Case, Outcome]) -> None:
    """Time over fill, a panel for each number of steps and mode."""
    padded = [case for case in outcomes if case.time >= 512 and not (case.is_packed or case.is_causal)]
    panels = list(dict.fromkeys((case.time, case.mode) for case in padded))
    if not panels:
        return
    figure = Figure(figsize=(4.2 * len(panels), 3.6), layout="constrained")
    for axes, (steps, mode) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        here = [case for case in padded if (case.time, case.mode) == (steps, mode)]
        for name in RIVALS:
            axes.plot([case.fill for case in here], [outcomes[case].times[name] for case in here], "o-", label=name)
        axes.set(xscale="log", yscale="log", title=f"{steps} steps, {mode}", xlabel="fill", ylabel="ms")
        axes.set_xticks([case.fill for case in here], [f"{case.fill:.0%}" for case in here])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.savefig(RESULTS.with_suffix(".png"), dpi=110)


def _heading(arguments: Sequence[str]) -> str:
    return (
        "# Attention\n\n"
        f"`{' '.join(['python benchmarks/attention.py', *arguments])}`, {jax.default_backend()}, load "
        f"{os.getloadavg()[0]:.1f}, Python {platform.python_version()}, jax {version('jax')}.\n\n{METHOD}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
