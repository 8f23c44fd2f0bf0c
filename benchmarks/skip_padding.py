"""A training step under `jm.skip_padding` against the same step on the padded batch: jmask, Keras, Flax, in turns.

python benchmarks/skip_padding.py                   prints the tables; takes some minutes
python benchmarks/skip_padding.py --write           writes them to benchmarks/results/skip_padding.md as well
python benchmarks/skip_padding.py --fills 0.35 --rounds 5 --seconds 0.05      a short run

Before any is timed, the losses of three training steps are compared with those of jmask on the padded batch.
"""

import argparse
import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import jax.numpy as jnp
import numpy as np
import optax
from models import with_flax, with_jmask, with_keras
from models.task import WORKLOADS, Task, make_task
from timing import Timed, Timing, compiled, publish, race

import jmask as jm

RESULTS = Path(__file__).parent / "results" / "skip_padding.md"
FILLS = (0.1, 0.35, 0.6, 1.0)
OPTIMISER = optax.adam(1e-3)
TOLERANCE = 1e-4

METHOD = """\
The models, batches and weights are those of [layers.md](layers.md). A training step is loss, gradients and an update of
Adam, one program; all of it is given to `jm.skip_padding`, with its default fractions. "jmask" is the same step on the
padded batch, under its mask, also where every step is real. "from outside" is `jax.value_and_grad` of
`jm.skip_padding(loss)`, for comparison: what the backward pass needs then leaves the branch. Times are processor time
of the process, medians over rounds in turns (A B C, C B A). For running, a ratio is the time of "jmask" over that of
another: above 1, the other is faster. For tracing and compiling it is the time of another over that of "jmask"."""


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    cases: dict[tuple[str, float], list[Timing]] = {}
    for name in options.workloads:
        for fill in options.fills:
            task = make_task(name, fill)
            cases[WORKLOADS[name].title, fill] = timings = _measure(task, options)
            times = ", ".join(f"{t.name} {t.run * 1e3:.1f}" for t in timings)
            print(f"{name}, {fill:.0%}: {times} ms", file=sys.stderr, flush=True)
    publish("\n\n".join([_heading(arguments), *_tables(cases)]) + "\n", RESULTS, write=options.write)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--fills", nargs="+", type=float, default=list(FILLS), help="parts of the batch that are real")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a model's turn, at least")
    parser.add_argument("--repeats", type=int, default=3, help="times that each is traced and compiled")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


def _measure(task: Task, options: argparse.Namespace) -> list[Timing]:
    """Compares the losses of the steps, then races them."""
    functions = dict(_steps(task))
    timed = compiled(functions, repeats=options.repeats)
    losses = [_losses(each) for each in timed]
    for each, found in zip(timed, losses, strict=True):
        error = np.abs(found - losses[0]).max() / np.abs(losses[0]).max()
        if not error <= TOLERANCE:
            raise AssertionError(f"{each.name}, {task.name}: differs from jmask by {error:.1e}.")
    return race(timed, rounds=options.rounds, clock=time.process_time, seconds_a_turn=options.seconds)


def _steps(task: Task) -> Any:
    """The steps by name, with their arguments."""
    model, params = with_jmask.MODELS[task.name](task.workload), with_jmask.make_params(task.name)
    targets = jnp.asarray(task.targets)
    masked = jm.masked(jnp.asarray(task.inputs), jnp.asarray(task.mask))
    batch = masked, jm.masked(targets, masked.mask) if task.workload.per_step else targets

    def loss(params: Any, batch: Any) -> Any:
        return jm.losses.softmax_cross_entropy_with_integer_labels(model.apply(params, batch[0]), batch[1])

    start = params, OPTIMISER.init(params), batch
    yield "jmask", (_step_of(loss), *start)
    yield "jmask, skip_padding", (jm.skip_padding(_step_of(loss)), *start)
    yield "from outside", (_step_of(jm.skip_padding(loss)), *start)
    for library in (with_keras, with_flax):
        for rival in library.rivals_at(task):
            yield rival.name, (_step_of(rival.loss), rival.params, OPTIMISER.init(rival.params), rival.batch)


def _step_of(loss: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def step(params: Any, state: Any, batch: Any) -> Any:
        value, gradients = jax.value_and_grad(loss)(params, batch)
        updates, state = OPTIMISER.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, value

    return step


def _losses(timed: Timed) -> np.ndarray:
    """The losses of three training steps."""
    program, (params, state, batch) = timed.run.func, timed.run.args  # pyright: ignore[reportFunctionMemberAccess]
    losses = []
    for _ in range(3):
        params, state, loss = program(params, state, batch)
        losses.append(float(loss))
    return np.array(losses)


def _tables(cases: dict[tuple[str, float], list[Timing]]) -> Any:
    yield "## Running"
    yield _table(cases, lambda t: t.run, ".1f", lambda first, other: first / other)
    yield "## Tracing and compiling"
    yield _table(cases, lambda t: (t.trace or 0) + (t.compile or 0), ".0f", lambda first, other: other / first)


def _table(cases: Any, seconds: Callable[[Timing], Any], form: str, ratio: Callable[[float, float], float]) -> str:
    names = list(dict.fromkeys(t.name for case in cases.values() for t in case))
    head = ["", "real", f"{names[0]}, ms", *(f"{name}: ms | ratio" for name in names[1:])]
    lines = [f"| {' | '.join(head)} |", "|---|--:|" + "--:|" * (2 * len(names) - 1)]
    for (title, fill), timings in cases.items():
        first, *others = map(seconds, timings)
        cells = (f"{other * 1e3:{form}} | {ratio(first, other):.2f}" for other in others)
        lines.append(f"| {title} | {fill:.0%} | {first * 1e3:{form}} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _heading(arguments: Sequence[str]) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "jax", "keras", "flax", "optax"))
    return (
        "# Training steps that skip padding\n\n"
        f"`{' '.join(['python benchmarks/skip_padding.py', *arguments])}`, XLA_FLAGS `{os.environ.get('XLA_FLAGS')}`, "
        f"{len(os.sched_getaffinity(0))} CPU cores, "
        f"{jax.default_backend()}, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {versions}.\n\n"
        f"{METHOD}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
