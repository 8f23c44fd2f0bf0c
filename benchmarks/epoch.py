"""Whole epochs of training on ragged data, input included: jmask against Keras `fit`, Flax and PyTorch, in turns.

python benchmarks/epoch.py                    prints the tables; takes some minutes
python benchmarks/epoch.py --write            writes them to benchmarks/results/epoch.md as well
python benchmarks/epoch.py --workloads classifier --rounds 1      a short run

All rivals begin with the same parameters. The rate is 0 in the first epoch, whose mean loss is thus that of the
initial parameters on all data; the run fails if a rival's differs from that of jmask.
"""

import argparse
import dataclasses
import os
import platform
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

# One thread each, so that seconds of CPU time compare, and other processes matter little.
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")
os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
from epochs import makers_at
from epochs.task import WORKLOADS, Rival, Task, make_task
from epochs.with_jmask import describe
from timing import publish, versions

RESULTS = Path(__file__).parent / "results" / "epoch.md"
RATE = 3e-3
EPOCHS = 10

METHOD = f"""\
Every rival makes its batches, trains for an epoch on all sequences (Adam) and adds up its losses. Times are seconds of
CPU time of the process, all threads together (XLA and PyTorch have one for computing), and medians over rounds, in
turns (A B C, C B A); wall-clock seconds are beside them. Tokens are real ones. "First" is the first epoch with a new
model, tracing and compiling included, from empty caches; "{EPOCHS} epochs" is that and {EPOCHS - 1} times the median.
A ratio is a rival's time over that of "jmask packed": above 1, jmask is faster.

All begin with the same parameters. The rate is 0 in the first epoch, whose mean loss is compared: to 1e-4; to 5% for
Keras, whose history has the mean of the means of batches, and for the classifier, whose batch normalisation sees the
company that a sequence has in a batch. The loss in the table is that of the last epoch that all have run.

- **jmask packed**: `data.packed`; **4 buckets**: `data.buckets(4)`.
- **Keras `fit`**: arrays padded to the longest beforehand; or a `PyDataset` of four widths. `jit_compile` as it is by
  default. **Flax**: `nnx`, one `jax.jit` of the whole step, padded beforehand as well. The widths of all buckets are
  those of jmask, the ones with the least padding, and so are their rows.
- **PyTorch**: batches of their own widths; rows sorted by length, or shuffled. Recurrent networks run on a
  `PackedSequence`.

The taggers learn which words of a paragraph of Python's documentation are code (the data of `python -m jmask`). The
classifier learns the language of a surname, character by character. Keras drops the mask at its convolution; here it is
given the mask again by hand, and so is Flax, so that all compute the same."""


@dataclasses.dataclass(frozen=True)
class Result:
    """Seconds of a rival: CPU and wall-clock time of an epoch, CPU time of the first one."""

    rival: Rival
    first: float
    cpu: float
    wall: float
    loss: float

    @property
    def all_epochs(self) -> float:
        return self.first + (EPOCHS - 1) * self.cpu


def main(arguments: Sequence[str]) -> None:
    options = _options(arguments)
    parts = [_heading(arguments)]
    for name in options.workloads:
        task = make_task(name)
        parts.append(f"## {task.workload.title}\n\n{_data(task)}\n\n{_table(task, _measure(task, options))}")
        if options.write:  # what there is, in case that the rest is interrupted
            publish("\n\n".join(parts) + "\n", RESULTS, write=True)
    if options.accuracy:
        parts.append(_accuracy(options.rounds))
    publish("\n\n".join(parts) + "\n", RESULTS, write=options.write)


def _options(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workloads", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--rivals", nargs="+", default=[], help="beginnings of names; jmask packed is always there")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--accuracy", action="store_true", help="of the classifier on names that it has not seen")
    parser.add_argument("--write", action="store_true")
    return parser.parse_args(arguments)


def _measure(task: Task, options: argparse.Namespace) -> list[Result]:
    """The first epochs, compared, and then the others in turns."""
    rivals, first, losses = [], {}, {}
    for name, make in makers_at(task, RATE):
        if name != "jmask packed" and options.rivals and not name.startswith(tuple(options.rivals)):
            continue
        if not rivals:
            make().run(0)  # imports and the like, which happen once
            jax.clear_caches()
        rival = make()
        loss, first[name], _ = _seconds(rival, 0)
        rivals.append(rival)
        losses.setdefault("start", loss)
        _check(task, rival, loss, losses["start"])
        print(f"{task.name}: {name}, first epoch {first[name]:.1f} s", file=sys.stderr, flush=True)
    times: dict[str, list[tuple[float, float]]] = {rival.name: [] for rival in rivals}
    for turn in range(options.rounds):
        for rival in rivals if turn % 2 else reversed(rivals):
            losses[rival.name], *seconds = _seconds(rival, 1 + turn)
            times[rival.name].append(tuple(seconds))
    medians = {name: list(map(statistics.median, zip(*of, strict=True))) for name, of in times.items()}
    return [Result(rival, first[rival.name], *medians[rival.name], losses[rival.name]) for rival in rivals]


def _seconds(rival: Rival, epoch: int) -> tuple[float, float, float]:
    """The loss; seconds of CPU and wall-clock time."""
    cpu, wall = time.process_time(), time.perf_counter()
    loss = rival.run(epoch)
    return loss, time.process_time() - cpu, time.perf_counter() - wall


def _check(task: Task, rival: Rival, loss: float, expected: float) -> None:
    tolerance = 1e-4 if rival.is_exact and task.workload.per_step else 0.05
    if not abs(loss / expected - 1) <= tolerance:
        raise AssertionError(f"{rival.name}, {task.name}: a loss of {loss:.5f} at first; jmask has {expected:.5f}.")


def _data(task: Task) -> str:
    plans = "\n".join(f"| {name} | {' | '.join(cells)} |" for name, cells in describe(task))
    return (
        f"{len(task.inputs):,} sequences, {task.tokens:,} tokens, mean {task.lengths.mean():.1f}, longest "
        f"{task.longest}; width {task.workload.width}.\n\n| plan | shapes | padding | steps an epoch | excess ICC of "
        f"length | partner repeat |\n|---|---|--:|--:|--:|--:|\n{plans}"
    )


def _table(task: Task, results: Sequence[Result]) -> str:
    return "\n".join(_lines(task, results))


def _lines(task: Task, results: Sequence[Result]) -> Iterator[str]:
    yield "| | steps | shapes | CPU s | wall s | tokens/CPU s | ratio | first, s | 10 epochs, s | ratio | loss |"
    yield "|---|" + "--:|" * 10
    ours = results[0]
    for result in results:
        cells = [
            result.rival.name,
            str(result.rival.steps),
            str(result.rival.shapes or "–"),
            f"{result.cpu:.2f}",
            f"{result.wall:.2f}",
            f"{task.tokens / result.cpu:,.0f}",
            f"{result.cpu / ours.cpu:.2f}",
            f"{result.first:.1f}",
            f"{result.all_epochs:.1f}",
            f"{result.all_epochs / ours.all_epochs:.2f}",
            f"{result.loss:.3f}",
        ]
        yield f"| {' | '.join(cells)} |"


def _accuracy(epochs: int) -> str:
    from epochs.accuracy import WIDTHS, accuracies

    widths = " | ".join("alone" if width is None else f"padded to {width}" for width in WIDTHS)
    lines = [
        "## Accuracy of the classifier",
        "",
        f"The share of 1,801 unseen names whose language is right, after {epochs} epochs, where each name is given "
        'alone, without padding, or in a batch of a width. "As written" has `Embedding(mask_zero=True)` and no more: '
        "Keras drops the mask at `Conv1D`, so that padding enters the statistics and the state.",
        "",
        f"| | {widths} |",
        "|---|" + "--:|" * len(WIDTHS),
    ]
    for name, shares in accuracies(RATE, epochs):
        lines.append(f"| {name} | {' | '.join(f'{share:.3f}' for share in shares)} |")
    return "\n".join(lines)


def _heading(arguments: Sequence[str]) -> str:
    found = versions("numpy", "jax", "keras", "flax", "optax", "torch")
    return (
        "# Whole epochs of training\n\n"
        f"`{' '.join(['python benchmarks/epoch.py', *arguments])}`, {os.cpu_count()} CPU cores, "
        f"{jax.default_backend()}, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}, {found}.\n\n"
        f"{METHOD}"
    )


if __name__ == "__main__":
    main(sys.argv[1:])
