"""What batches cost on the host: padding and packing against Keras, torch, grain and a tokenizer, and planning.

python benchmarks/data.py                        prints the tables
python benchmarks/data.py --write                writes them to benchmarks/results/data.md as well
python benchmarks/data.py packing --write        one of padding, packing, planning, pipeline; to data_packing.md

pyarrow, torch and transformers are left out where they are not installed.
"""

import importlib
import os
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ["KERAS_BACKEND"] = "jax"
os.environ.setdefault("XLA_FLAGS", "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1")

import grain
import jax
import keras
import numpy as np
import optax
from timing import Timed, publish, race

import jmask as jm
from jmask import data

RESULTS = Path(__file__).parent / "results" / "data.md"
NUM_SEQUENCES, LONGEST, ROWS, ROW_LENGTH = 300_000, 160, 256, 256
ROUNDS = 3  # so that all tables take a few minutes
FEW = 200  # what is slow gets one sequence in so many, and its rate is shown


def lengths_of(median: float, count: int = NUM_SEQUENCES) -> np.ndarray:
    """Lengths like those of text: lognormal, within 1 and `LONGEST` steps."""
    return np.clip(np.random.default_rng(0).lognormal(np.log(median), 0.8, count).astype(int), 1, LONGEST)


def corpus_of(lengths: np.ndarray) -> data.Ragged:
    flat = np.random.default_rng(1).integers(1, 30_000, lengths.sum()).astype(np.int32)
    return data.Ragged(words=data.Column(flat, np.append(0, np.cumsum(lengths))))


def padding() -> str:
    """An epoch of padded batches, all of the width of the longest sequence."""
    parts = ["## Padding", PADDING_NOTE]
    for median in (12, 33):
        lengths = lengths_of(median)
        corpus = corpus_of(lengths)
        arrays = np.split(corpus["words"].values, np.cumsum(lengths)[:-1])
        lists = [row.tolist() for row in arrays]

        def epoch(corpus: Any = corpus, *, shuffle: bool) -> None:  # a new dataset, so that each run plans anew
            plan = data.padded(rows=ROWS, width=LONGEST, shuffle=shuffle)
            drain(data.batches(corpus, plan, seed=0, epochs=1, prefetch=0))

        rivals = {
            "Keras, of arrays": (lambda a=arrays: each(a, _keras), lengths.sum()),
            "`data.batches`, `data.padded(shuffle=False)`": (lambda e=epoch: e(shuffle=False), lengths.sum()),
            "Keras, of shuffled arrays": (lambda a=arrays: each(shuffled(a), _keras), lengths.sum()),
            "`data.batches`, `data.padded`": (lambda e=epoch: e(shuffle=True), lengths.sum()),
            "`jm.pad_sequences`, of a column of Arrow": _arrow(corpus),
            "Keras, of lists": (lambda a=lists: each(a, _keras), lengths.sum()),
            "`jm.pad_sequences`, of lists": (lambda a=lists: each(a, _pad_sequences), lengths.sum()),
            "torch `pad_sequence`, of tensors": _torch(arrays[::FEW]),
            "`pad` of a fast tokenizer, of lists": _tokenizer(lists[::FEW]),
        }
        parts += [_title(lengths), rates(rivals)]
    return "\n\n".join(parts)


PADDING_NOTE = f"""\
{NUM_SEQUENCES:,} sequences in batches of {ROWS}, padded to the longest of all; Keras is told the dtype and makes no
mask. `data.batches` includes the plan; the column is padded as a whole. What is not shuffled is read in the order of
memory, which is faster. Wanted: 7 times Keras with the same order."""


def packing() -> str:
    """An epoch of packed batches, plan included."""
    parts = ["## Packing", PACKING_NOTE]
    for median in (12, 33):
        lengths = lengths_of(median)
        corpus = corpus_of(lengths)
        arrays = np.split(corpus["words"].values, np.cumsum(lengths)[:-1])

        def epoch(corpus: Any = corpus, *, shuffle: bool) -> None:  # a new dataset, so that each run plans anew
            plan = data.packed(row_length=ROW_LENGTH, rows=16, shuffle=shuffle)
            drain(data.batches(corpus, plan, seed=0, epochs=1, prefetch=0))

        def pack(arrays: Any = arrays) -> None:
            jm.pack(arrays, row_length=ROW_LENGTH)

        few = [{"words": row} for row in arrays[::FEW]]
        rivals = {
            "Keras' `pad_sequences`, of arrays": (lambda a=arrays: each(a, _keras), lengths.sum()),
            "`data.batches`, `data.packed(shuffle=False)`": (lambda e=epoch: e(shuffle=False), lengths.sum()),
            "Keras' `pad_sequences`, of shuffled arrays": (lambda a=arrays: each(shuffled(a), _keras), lengths.sum()),
            "`data.batches`, `data.packed`": (lambda e=epoch: e(shuffle=True), lengths.sum()),
            "`jm.pack` of all arrays at once": (pack, lengths.sum()),
            "grain `FirstFitPackIterDataset`": _grain("FirstFitPackIterDataset", few),
            "grain `BestFitPackIterDataset`": _grain("BestFitPackIterDataset", few),
            "grain `ConcatThenSplitIterDataset`, which cuts sequences": _concat(few),
        }
        parts += [_title(lengths), rates(rivals)]
    return "\n\n".join(parts)


PACKING_NOTE = f"""\
The same sequences in rows of {ROW_LENGTH} steps, 16 rows a batch; `data.batches` includes the plan. Keras only
pads. Wanted: 3.5 times Keras with the same order."""


def planning() -> str:
    """How long the plan of an epoch takes."""
    lengths = lengths_of(12, 1_000_000)
    corpus = corpus_of(lengths)
    plans = {
        "`data.padded(rows=256)`": data.padded(rows=256),
        "`data.buckets(4, tokens=4096)`": data.buckets(4, tokens=4_096),
        "`data.packed(row_length=256, rows=16)`": data.packed(row_length=256, rows=16),
        "the same, `max_segments=32`": data.packed(row_length=256, rows=16, max_segments=32),
    }
    prepared = {name: plan.prepare(corpus) for name, plan in plans.items()}
    timings = race(
        [Timed(name, lambda p=p: p.epoch(0, 0) and None) for name, p in prepared.items()],
        rounds=ROUNDS,
        clock=time.process_time,
    )
    lines = ["| plan | CPU s | padding | excess ICC | partner repeat |", "|---|--:|--:|--:|--:|"]
    for timing in timings:
        found = plans[timing.name].describe(corpus)
        lines.append(
            f"| {timing.name} | {timing.run:.2f} | {found.padding:.2%} | {found.excess_icc:.3f} | "
            f"{found.partner_repeat:.2f} |"
        )
    return "\n\n".join(["## The plan of an epoch of a million sequences", PLANNING_NOTE, "\n".join(lines)])


PLANNING_NOTE = "Lengths as above, median 12. The other columns are what `plan.describe` prints. Wanted: at most 0.5 s."


def pipeline() -> str:
    """What a batch costs beside the training step that takes it."""
    corpus = corpus_of(lengths_of(12, 20_000))
    corpus = corpus.replace(tags=data.Column(corpus["words"].values % 17, corpus["words"].offsets))
    batches = data.batches(corpus, data.packed(row_length=256, rows=16), seed=0, epochs=1, prefetch=0)
    model = jm.Sequential(
        [
            jm.layers.Embedding(30_000, 64),
            jm.layers.Bidirectional(jm.layers.LSTM(64, return_sequences=True)),
            jm.layers.Dense(17),
        ]
    )
    batch = next(iter(batches))
    params = model.init(jax.random.key(0), batch["words"])
    optimizer = optax.sgd(1e-2)

    @jax.jit
    def step(params: Any, state: Any, batch: Any) -> tuple[Any, Any]:
        def loss(params: Any) -> jax.Array:
            logits = model.apply(params, batch["words"])
            return jm.losses.softmax_cross_entropy_with_integer_labels(logits, batch["tags"])

        updates, state = optimizer.update(jax.grad(loss)(params), state)
        return optax.apply_updates(params, updates), state

    state = optimizer.init(params)
    iterator = iter(batches.epoch(0))
    steps = min(len(batches.epoch(0)) - 1, 20)

    def train() -> Any:
        carried = params, state
        for _ in range(steps):
            carried = step(*carried, batch)
        return carried

    def feed() -> None:
        nonlocal iterator
        iterator = iter(batches.epoch(0))
        for _ in range(steps):
            next(iterator)

    found = race([Timed("training step", train), Timed("batch", feed)], rounds=5, clock=time.process_time)
    training, feeding = (timing.run / steps for timing in found)
    lines = [
        "| | CPU ms a batch | share |",
        "|---|--:|--:|",
        f"| training step | {training * 1e3:.2f} | 100% |",
        f"| making the batch | {feeding * 1e3:.2f} | {feeding / training:.2%} |",
    ]
    return "\n\n".join(["## The pipeline beside a training step", PIPELINE_NOTE, "\n".join(lines)])


PIPELINE_NOTE = """\
A BiLSTM tagger (64 units), batches of 16 packed rows of 256 steps, words and tags; one thread of XLA.
Wanted: below 2%."""


def each(sequences: Sequence[Any], pad: Callable[[Any], Any]) -> None:
    for start in range(0, len(sequences), ROWS):
        pad(sequences[start : start + ROWS])


def shuffled(sequences: Sequence[Any]) -> Sequence[Any]:
    return [sequences[i] for i in np.random.default_rng(0).permutation(len(sequences)).tolist()]


def drain(batches: Any) -> None:
    for _ in batches:
        pass


def _keras(sequences: Sequence[Any]) -> Any:
    return keras.utils.pad_sequences(sequences, maxlen=LONGEST, dtype="int32", padding="post")


def _pad_sequences(sequences: Sequence[Any]) -> Any:
    return jm.pad_sequences(sequences, LONGEST)


Rival = tuple[Callable[[], None], int] | None


def _arrow(corpus: data.Ragged) -> Rival:
    """One call for all of them, from flat values and offsets."""
    try:
        arrow = importlib.import_module("pyarrow")
    except ImportError:
        return None
    words = corpus["words"]
    column = arrow.ListArray.from_arrays(words.offsets.astype(np.int32), words.values)
    return lambda: _pad_sequences(column), int(words.offsets[-1])


def _torch(arrays: list[np.ndarray]) -> Rival:
    try:
        torch = importlib.import_module("torch")
    except ImportError:
        return None
    tensors = [torch.from_numpy(row) for row in arrays]

    def pad(sequences: Any) -> Any:
        return torch.nn.utils.rnn.pad_sequence(sequences, batch_first=True)

    return lambda: each(tensors, pad), sum(map(len, arrays))


def _tokenizer(lists: list[list[int]]) -> Rival:
    try:
        tokenizers, transformers = map(importlib.import_module, ("tokenizers", "transformers"))
        fast = transformers.PreTrainedTokenizerFast
    except (ImportError, AttributeError):
        return None
    core = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[PAD]": 0}, unk_token="[PAD]"))
    tokenizer = fast(tokenizer_object=core, pad_token="[PAD]")

    def pad(sequences: Any) -> Any:
        return tokenizer.pad(
            {"input_ids": sequences}, padding="max_length", max_length=LONGEST, return_tensors="np", verbose=False
        )

    return lambda: each(lists, pad), sum(map(len, lists))


def _grain(name: str, elements: list[dict[str, np.ndarray]]) -> Rival:
    def run() -> None:
        rows = getattr(grain.experimental, name)(
            _source(elements), length_struct={"words": ROW_LENGTH}, num_packing_bins=64
        )
        drain(rows)

    return run, sum(len(element["words"]) for element in elements)


def _concat(elements: list[dict[str, np.ndarray]]) -> Rival:
    def run() -> None:
        drain(grain.experimental.ConcatThenSplitIterDataset(_source(elements), length_struct={"words": ROW_LENGTH}))

    return run, sum(len(element["words"]) for element in elements)


def _source(elements: list[dict[str, np.ndarray]]) -> Any:
    return grain.MapDataset.source(elements).shuffle(seed=0).to_iter_dataset(grain.ReadOptions(num_threads=0))


def rates(rivals: dict[str, Rival]) -> str:
    """Markdown: a row a rival, steps a CPU second, and how many times that of the first one."""
    present = {name: rival for name, rival in rivals.items() if rival is not None}
    timings = race([Timed(name, run) for name, (run, _) in present.items()], rounds=ROUNDS, clock=time.process_time)
    rate = {timing.name: present[timing.name][1] / timing.run / 1e6 for timing in timings}
    first = next(iter(rate.values()))
    lines = ["| | million steps a CPU second | ratio |", "|---|--:|--:|"]
    for name in rivals:
        shown = f"{rate[name]:.1f} | {rate[name] / first:.2f}" if name in rate else "not installed | –"
        lines.append(f"| {name} | {shown} |")
    return "\n".join(lines)


def _title(lengths: np.ndarray) -> str:
    return f"### Sequences of {int(np.median(lengths))} steps (median), {lengths.sum():,} in all"


def _heading(arguments: list[str]) -> str:
    versions = f"Python {platform.python_version()}, NumPy {np.__version__}, jax {jax.__version__}"
    return (
        "# What batches cost on the host\n\n"
        f"`python benchmarks/data.py {' '.join(arguments)}`, {os.cpu_count()} CPU cores, {versions}, "
        f"Keras {keras.__version__}, grain {grain.__version__}. CPU time, medians of runs in turns; a ratio above 1 is "
        f"faster than the first row. Rivals that are slow run on one sequence in {FEW}."
    )


def _sections(arguments: list[str]) -> Iterator[str]:
    names = [name for name in SECTIONS if name in arguments]
    yield from (SECTIONS[name]() for name in names or SECTIONS)


def main(arguments: list[str]) -> None:
    unknown = set(arguments) - {"--write", *SECTIONS}
    if unknown:
        sys.exit(f"Unknown arguments: {' '.join(sorted(unknown))}.\n{__doc__}")
    names = [name for name in SECTIONS if name in arguments]
    report = "\n\n".join([_heading(arguments), *_sections(arguments)]) + "\n"
    results = RESULTS.with_name("_".join([RESULTS.stem, *names]) + RESULTS.suffix)
    publish(report, results, write="--write" in arguments)


SECTIONS = {"padding": padding, "packing": packing, "planning": planning, "pipeline": pipeline}

if __name__ == "__main__":
    main(sys.argv[1:])
