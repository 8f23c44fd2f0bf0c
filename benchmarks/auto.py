"""Which implementation of the recurrent layers pays, compiling included, and whether `"auto"` takes it.

python benchmarks/auto.py                    prints the table; takes half an hour
python benchmarks/auto.py --write            writes it to benchmarks/results/auto.md as well
python benchmarks/auto.py --batches 32 --times 20 --units 32 --cells lstm --rounds 3     a short run
"""

import argparse
import itertools
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import jax
import jax.numpy as jnp
import numpy as np
from rivals.task import GATES, Workload, make_task
from timing import Timed, publish, race

import jmask as jm
from jmask.rnn.implementations import earns_its_compile

RESULTS = Path(__file__).parent / "results" / "auto.md"
STEPS = 1_000  # training steps over which compiling is spread
FILLS = (0.35, 1.0)

METHOD = f"""\
A training step of one layer: the gradients of a squared error. CPU time of one thread; what is compiled twice counts
once. "Total" is tracing, compiling and {STEPS:,} steps, in seconds, at the two fills; "auto" is what it takes, by shape
alone, and in the last column the better total over its own, the fills together: 1.00 where it took the better one.
Wanted: 0.95."""


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    lines = ["| | | engine, total | scan, total | auto | better / auto |", "|---|---|--:|--:|---|--:|"]
    for cell, batch, steps, units in itertools.product(options.cells, options.batches, options.times, options.units):
        lines.append(_row(cell, Workload("", batch, steps, units, units), options.rounds))
        print(lines[-1], file=sys.stderr, flush=True)
    publish("\n\n".join([_heading(arguments), "\n".join(lines)]) + "\n", RESULTS, write=options.write)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", nargs="+", choices=GATES, default=list(GATES))
    parser.add_argument("--batches", nargs="+", type=int, default=[8, 64])
    parser.add_argument("--times", nargs="+", type=int, default=[16, 128, 512])
    parser.add_argument("--units", nargs="+", type=int, default=[16, 64, 256])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


def _row(cell: Any, workload: Workload, rounds: int) -> str:
    totals = {name: [0.0, 0.0] for name in ("xla", "scan")}
    for i, fill in enumerate(FILLS):
        rivals, compiling = [], {}
        for name in totals:
            program, arguments, compiling[name] = _compiled(cell, workload, fill, name)
            rivals.append(Timed(name, lambda p=program, a=arguments: p(*a)))
        for timing in race(rivals, rounds=rounds, clock=time.process_time):
            totals[timing.name][i] = compiling[timing.name] + STEPS * timing.run
    sums = {name: sum(both) for name, both in totals.items()}
    taken = "xla" if earns_its_compile(workload.batch, workload.time, workload.units) else "scan"
    shape = f"{workload.batch} x {workload.time} steps, {workload.units} units"
    shown = " | ".join(" and ".join(f"{seconds:.1f}" for seconds in totals[name]) for name in totals)
    word = {"xla": "engine", "scan": "scan"}[taken]
    return f"| {cell.upper()} | {shape} | {shown} | {word} | {min(sums.values()) / sums[taken]:.2f} |"


def _compiled(cell: Any, workload: Workload, fill: float, implementation: str) -> tuple[Any, Any, float]:
    """The program, its arguments, and the CPU seconds that it took to trace and compile."""
    task = make_task(workload, cell, "training", fill)
    weights, x = tuple(map(jnp.asarray, task.weights)), jm.masked(jnp.asarray(task.x), jnp.asarray(task.mask))
    layer, parameters = (jm.rnn.lstm, jm.rnn.LSTMParams) if cell == "lstm" else (jm.rnn.gru, jm.rnn.GRUParams)

    def loss(weights: Any, x: Any, targets: Any) -> Any:
        y = layer(parameters(*weights), x, return_state=False, implementation=implementation)
        return jnp.square(y.fill(0) - targets).sum()

    arguments = weights, x, jnp.asarray(task.targets)
    jax.clear_caches()
    start = time.process_time()
    program = jax.jit(jax.grad(loss)).lower(*arguments).compile()
    return program, arguments, time.process_time() - start


def _heading(arguments: Sequence[str]) -> str:
    command = " ".join(["python benchmarks/auto.py", *arguments])
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, jax {jax.__version__}"
    load = f"{os.cpu_count()} CPU cores, load {os.getloadavg()[0]:.1f}"
    return f'# What `"auto"` takes\n\n`{command}`, {load}, {versions}.\n\n{METHOD}'


if __name__ == "__main__":
    main(sys.argv[1:])
