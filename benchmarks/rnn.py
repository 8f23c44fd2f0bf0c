"""Recurrent layers over padded batches: jmask against Keras, Flax, Haiku, Equinox and PyTorch, in turns.

python benchmarks/rnn.py                      prints the tables; takes an hour or more
python benchmarks/rnn.py --memory --write     adds resident memory; writes benchmarks/results/rnn.md and rnn.png
python benchmarks/rnn.py --workloads W1 --fills 0.35 --cells lstm --rounds 3     a short run
python benchmarks/rnn.py --workloads tiny --rounds 1 --seconds 0                 whether it works

All rivals have the same weights. Before any is timed, its outputs, or its loss and gradients, are compared with jmask's
on the real steps; the run fails if they differ.
"""

import argparse
import functools
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")  # where all rivals run

import jax
import jax.numpy as jnp
import rnn_memory
from rivals import missing, rivals_at
from rivals.task import GATES, WORKLOADS, CellKind, Mode, Task, disagreement, make_task
from rnn_report import Case, case_table, fill_table, summary, title
from timing import Timed, race

RESULTS = Path(__file__).parent / "results"
MODES = ("inference", "training")
FILLS = (1.0, 0.7, 0.35, 0.1)
MATRIX_SIZE = 2048

METHOD = f"""\
Every rival takes the same right-padded batch and weights, and gives outputs that are zero in the padding (inference),
or the mean squared error over the real steps and its gradients with respect to inputs and weights (training). Where
nothing is padded, no rival is given a mask, except "jmask". "jmask packed" takes rows that `jm.pack` made beforehand;
"PyTorch buckets" sorts, trims to the longest of each of four buckets of rows, runs each, and puts the rows back;
"PyTorch packed" packs the inputs within the time, and has its targets packed beforehand. Haiku and Equinox mask their
outputs alone, which is enough for right padding. Flax, Haiku and Equinox unroll their loops as `--unroll` says.
Times are medians over rounds, in turns (A B C, C B A), of the medians of each turn. A ratio is a rival's time over that
of "jmask": above 1, jmask is faster. Tracing and compiling come before, and apart. The matrix-product rate is that of
`jnp.dot` of {MATRIX_SIZE} × {MATRIX_SIZE}, which takes its turns with the rivals."""


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    heading = _heading(arguments)
    print(heading, flush=True)
    cases = list(_cases(options))
    parts = [heading, summary(cases), *_fill_tables(cases)]
    if options.memory:
        parts.append(_memory_tables(cases))
    print("\n\n".join(parts[1:]))
    if options.write:
        _write(parts, cases)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=["W1", "W2", "W3"])
    parser.add_argument("--cells", nargs="+", choices=GATES, default=list(GATES))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--fills", nargs="+", type=float, default=list(FILLS), help="parts of the batch that are real")
    parser.add_argument("--rivals", nargs="+", default=[], help="beginnings of names; jmask is always there")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=0.3, help="of a rival's turn, at least")
    parser.add_argument("--unroll", type=int, default=1, help="steps in one turn of a rival's loop")
    parser.add_argument("--memory", action="store_true", help="resident memory too, in processes of their own")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


def _cases(options: argparse.Namespace) -> Iterator[Case]:
    for workload in options.workloads:
        for cell in options.cells:
            for mode in options.modes:
                for fill in options.fills:
                    task = make_task(WORKLOADS[workload], cell, mode, fill, options.unroll)
                    case = _case(task, fill, options)
                    print(f"\n{case_table(case)}", flush=True)
                    yield case


def _case(task: Task, fill: float, options: argparse.Namespace) -> Case:
    """Compares what the rivals compute, then races them, a matrix product among them."""
    names = ["jmask", *options.rivals] if options.rivals else []
    rivals = list(rivals_at(task, names))
    expected = rivals[0].read(rivals[0].run())
    worst = max(disagreement(expected, rival) for rival in rivals)
    *timings, product = race([*rivals, _matrix_product()], rounds=options.rounds, seconds_a_turn=options.seconds)
    rate = 2 * MATRIX_SIZE**3 / product.run
    memory = {rival.name: rival.memory for rival in rivals if rival.memory is not None}
    return Case(task, fill, rate, {t.name: t for t in timings}, memory, worst, os.getloadavg()[0])


def _matrix_product() -> Timed:
    matrix = jnp.ones((MATRIX_SIZE, MATRIX_SIZE))
    return Timed("matrix product", functools.partial(jax.jit(jnp.dot), matrix, matrix))


def _fill_tables(cases: Sequence[Case]) -> list[str]:
    kinds: dict[tuple[CellKind, Mode], None] = dict.fromkeys((case.task.cell, case.task.mode) for case in cases)
    return ["## As the padding grows", *(fill_table(cases, *kind) for kind in kinds)]


def _memory_tables(cases: Sequence[Case]) -> str:
    """Of the training steps at the fill of the targets, or at the smallest there is."""
    fill = 0.35 if any(case.fill == 0.35 for case in cases) else min(case.fill for case in cases)
    lines = [
        "## Memory of a training step",
        "",
        "Temporary: buffers of the compiled program. Step: how far three steps raise the resident memory of a process "
        "of their own. Process: its peak, with imports and compiler. In MB.",
        "",
        "| | | temporary | step | process |",
        "|---|---|--:|--:|--:|",
    ]
    for case in cases:
        if case.task.mode == "training" and case.fill == fill:
            for name in case.timings:
                resident = rnn_memory.resident(name, case.task.workload.name, case.task.cell, fill)
                temporary = f"{case.memory[name] / 1e6:.1f}" if name in case.memory else "–"
                sizes = f"{temporary} | {resident.step / 1e6:.1f} | {resident.process / 1e6:.0f}"
                lines.append(f"| {title(case)} | {name} | {sizes} |")
    return "\n".join(lines)


def _write(parts: Sequence[str], cases: Sequence[Case]) -> None:
    import rnn_plot  # needs matplotlib, which the tables do without

    report = RESULTS / "rnn.md"
    report.parent.mkdir(exist_ok=True)
    rnn_plot.save(cases, RESULTS / "rnn.png")
    figure = "![Time over fill](rnn.png)"
    tables = ["## Every case", *(case_table(case) for case in cases)]
    report.write_text("\n\n".join([parts[0], figure, *parts[1:], *tables]) + "\n")


def _heading(arguments: Sequence[str]) -> str:
    installed = ("numpy", "jax", "keras", "flax", "dm-haiku", "equinox", "torch")
    absent = missing()
    versions = ", ".join(f"{name} {version(name)}" for name in installed if name not in absent.values())
    left_out = "".join(f"\n\n{label} is left out: `{package}` is not installed." for label, package in absent.items())
    return (
        "# Recurrent layers over padded batches\n\n"
        f"`python benchmarks/rnn.py {' '.join(arguments)}`, {os.cpu_count()} CPU cores, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}, {versions}.\n\n{METHOD}{left_out}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
