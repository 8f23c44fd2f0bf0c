"""Models of layers over padded batches: jmask against Keras and Flax, in turns, forward and in a training step.

python benchmarks/layers.py                   prints the tables; takes some minutes
python benchmarks/layers.py --write           writes them to benchmarks/results/layers.md as well
python benchmarks/layers.py --workloads tagger --fills 0.35 --rounds 3 --seconds 0.05     a short run

All models have the same weights. Before any is timed, its logits at real steps and its losses over three training steps
are compared with those of jmask; the run fails if they differ.
"""

import argparse
import os
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import numpy as np
import optax
from models import rivals_at
from models.task import WORKLOADS, Rival, Task, make_task
from timing import Timed, Timing, compiled, publish, race

RESULTS = Path(__file__).parent / "results" / "layers.md"
MODES = ("forward", "training")
FILLS = (0.35, 1.0)
OPTIMISER = optax.adam(1e-3)
TOLERANCE = 1e-4  # of the largest value

METHOD = """\
A training step is loss, gradients and an update of Adam (`optax`), one program. Batches are padded on the right, the
lengths of their rows lognormal; all weights are the same. All models give the same logits at real steps and the same
losses over three steps (to 1e-4); what they give in the padding is their own affair.

- **Transformer encoder block**: 32 rows of up to 128 ids, width 128, 4 heads. Embedding, learned positions,
  normalisation before attention and before an MLP of 512 (GELU), residual sums, a dense layer to 16 classes, and the
  mean cross-entropy of the real steps. Keras' own mask reaches its attention but not its loss, which is given the mask
  as weights. Flax is given a mask of the keys.
- **Conv1D stack**: 32 rows of up to 256 steps, 40 features. Convolutions of 64 filters (5 wide), 64 (4 wide, strides
  of 2), pooling by 2, two of 128 (3 wide), the mean over time, a dense layer to 16 classes. Keras and Flax cannot mask
  a convolution: by hand zeros are put where the next one reads, and the mask is shortened. That is exact for these
  widths alone: of windows 3 or 5 wide with strides of 2, where "same" begins depends on the length of a sequence, and
  they would not compute what each sequence gives alone, as jmask does.
- **BiLSTM tagger**: 32 rows of up to 128 ids, width 64. Embedding, LSTMs in both directions, layer normalisation, a
  dense layer to 16 classes, and the mean cross-entropy of the real steps. Keras masks ids 0, Flax is given lengths.

jmask guards every layer against NaN in the padding; Keras and Flax trust it to be finite, and zero where a convolution
reads it. "jmask packed" takes rows that `jm.pack` made beforehand. Without padding no model is given a mask, except
"jmask, mask of True".
Times are medians over rounds, in turns (A B C, C B A), of the medians of each turn. A ratio is a model's time over that
of "jmask": above 1, jmask is faster. Without padding the Conv1D stack (forward) is the same
program in all three, so that its ratios tell how far others are to be trusted."""


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    cases = {}
    for name in options.workloads:
        for fill in options.fills:
            for mode in options.modes:
                case = cases[WORKLOADS[name].title, fill, mode] = _measure(make_task(name, fill), mode, options)
                times = ", ".join(f"{timing.name} {timing.run * 1e3:.2f} ms" for timing in case)
                print(f"{name}, {fill:.0%}, {mode}: {times}", file=sys.stderr, flush=True)
    report = "\n\n".join([_heading(arguments), *_tables(cases)]) + "\n"
    publish(report, RESULTS, write=options.write)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--fills", nargs="+", type=float, default=list(FILLS), help="parts of the batch that are real")
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--seconds", type=float, default=0.2, help="of a model's turn, at least")
    parser.add_argument("--repeats", type=int, default=3, help="times that each is traced and compiled")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


def _measure(task: Task, mode: str, options: argparse.Namespace) -> list[Timing]:
    """Compares what the models compute, then races them."""
    rivals = list(rivals_at(task))
    functions = {rival.name: _function(rival, mode) for rival in rivals}
    timed = compiled(functions, repeats=options.repeats)
    answers = [_answer(*pair, mode) for pair in zip(rivals, timed, strict=True)]
    for rival, answer in zip(rivals, answers, strict=True):
        error = np.abs(answer - answers[0]).max() / np.abs(answers[0]).max()
        if not error <= TOLERANCE:
            raise AssertionError(f"{rival.name}, {task.name}, {mode}: differs from jmask by {error:.1e}.")
    return race(timed, rounds=options.rounds, seconds_a_turn=options.seconds)


def _function(rival: Rival, mode: str) -> tuple[Any, ...]:
    """What is timed, and its arguments."""
    if mode == "forward":
        return rival.logits, rival.params, rival.batch

    def step(params: Any, state: Any, batch: Any) -> Any:
        loss, gradients = jax.value_and_grad(rival.loss)(params, batch)
        updates, state = OPTIMISER.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    return step, rival.params, OPTIMISER.init(rival.params), rival.batch


def _answer(rival: Rival, timed: Timed, mode: str) -> np.ndarray:
    """The logits, or the losses of three training steps."""
    if mode == "forward":
        return rival.read(np.asarray(timed.run()))
    program, (params, state, batch) = timed.run.func, timed.run.args  # pyright: ignore[reportFunctionMemberAccess]
    losses = []
    for _ in range(3):
        params, state, loss = program(params, state, batch)
        losses.append(float(loss))
    return np.array(losses)


Cases = dict[tuple[str, float, str], list[Timing]]


def _tables(cases: Cases) -> Iterator[str]:
    """Markdown: what running takes, in milliseconds and as a ratio, and what tracing and compiling take."""
    names = list(dict.fromkeys(timing.name for case in cases.values() for timing in case))
    yield "## Running"
    yield _table(cases, "run", names, ".2f")
    yield "## Tracing (and lowering)"
    yield _table(cases, "trace", names, ".0f")
    yield "## Compiling"
    yield _table(cases, "compile", names, ".0f")


def _table(cases: Cases, kind: str, names: Sequence[str], form: str) -> str:
    head = ["", "real", "", "jmask, ms", *(f"{name}: ms | ratio" for name in names[1:])]
    lines = [f"| {' | '.join(head)} |", "|---|--:|---|" + "--:|" * (2 * len(names) - 1)]
    for (title, fill, mode), timings in cases.items():
        seconds = {timing.name: getattr(timing, kind) for timing in timings}
        first = seconds["jmask"]
        ratios = (_cell(seconds.get(name), first, form) for name in names[1:])
        lines.append(f"| {title} | {fill:.0%} | {mode} | {first * 1e3:{form}} | {' | '.join(ratios)} |")
    return "\n".join(lines)


def _cell(seconds: float | None, first: float, form: str) -> str:
    return "– | –" if seconds is None else f"{seconds * 1e3:{form}} | {seconds / first:.2f}"


def _heading(arguments: Sequence[str]) -> str:
    versions = ", ".join(f"{name} {version(name)}" for name in ("numpy", "jax", "keras", "flax", "optax"))
    return (
        "# Models of layers over padded batches\n\n"
        f"`{' '.join(['python benchmarks/layers.py', *arguments])}`, {os.cpu_count()} CPU cores, "
        f"{jax.default_backend()}, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {versions}.\n\n"
        f"{METHOD}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
