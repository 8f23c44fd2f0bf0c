"""What every model of a workload is trained on: sequences and targets in NumPy, sizes, and what a rival hands back."""

import dataclasses
import functools
import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from jmask.data.bucket_widths import cut_lengths
from jmask.demo.corpus import make_vocabularies
from jmask.demo.text import read_topics

NAMES = Path(__file__).parent.parent / "names"
HEADS, BLOCKS, EPSILON = 4, 2, 1e-3  # EPSILON: of layer and batch normalisation

WorkloadName = Literal["bilstm", "transformer", "classifier"]


@dataclasses.dataclass(frozen=True)
class Workload:
    """A model and how its batches are made.

    Attributes:
        title: in the tables.
        width: of the model.
        batch: sequences of a step; buckets and packed rows have about as many on average.
        row_length: of packed rows.
        rows: packed rows of a batch.
        tokens: of a batch of a bucket, padding included.
        per_step: whether each step has a class, or each sequence.
        max_segments: sequences of a packed row, where each has one result.
    """

    title: str
    width: int
    batch: int
    row_length: int
    rows: int
    tokens: int
    per_step: bool = True
    max_segments: int | None = None


WORKLOADS: dict[WorkloadName, Workload] = {
    "bilstm": Workload("BiLSTM tagger", 64, batch=40, row_length=480, rows=4, tokens=2940),
    "transformer": Workload("Transformer tagger", 64, batch=40, row_length=480, rows=4, tokens=2940),
    "classifier": Workload(
        "Conv1D, BatchNormalization, GRU", 64, 128, row_length=64, rows=15, tokens=1050, per_step=False, max_segments=14
    ),
}


@dataclasses.dataclass(frozen=True)
class Task:
    """The training data of one workload.

    Attributes:
        name: of the workload.
        inputs: int32 ids from 1 on, one array a sequence.
        targets: classes: an array a sequence, or `(sequences,)`.
        vocabulary: number of ids, 0 included.
        classes: number of classes.
    """

    name: WorkloadName
    inputs: Sequence[np.ndarray]
    targets: Any
    vocabulary: int
    classes: int

    @property
    def workload(self) -> Workload:
        return WORKLOADS[self.name]

    @functools.cached_property
    def lengths(self) -> np.ndarray:
        return np.array([len(ids) for ids in self.inputs])

    @property
    def longest(self) -> int:
        return int(self.lengths.max())

    @property
    def tokens(self) -> int:
        """Real ones, of an epoch."""
        return int(self.lengths.sum())


@dataclasses.dataclass
class Rival:
    """A library with one way to make batches; a new one has compiled nothing.

    Attributes:
        name: in the tables.
        run: trains for the epoch of a number, input included; returns the mean loss of its real steps (or sequences),
            those of each batch taken before its update. The rate is 0 in epoch 0.
        model: what has been trained.
        steps: of an epoch.
        shapes: of batches.
        is_exact: whether the mean loss is that of all steps alike; Keras gives that of the batches.
    """

    name: str
    run: Callable[[int], float]
    model: Callable[[], Any]
    steps: int
    shapes: int
    is_exact: bool = True


@dataclasses.dataclass(frozen=True)
class Padded:
    """Rows padded beforehand to the width of their bucket: inputs, targets and masks by width.

    Batches of a bucket have one shape: the last one is filled up with empty rows.
    """

    buckets: Sequence[tuple[np.ndarray, np.ndarray, np.ndarray]]
    rows: Sequence[int]

    @property
    def steps(self) -> int:
        return sum(-(-len(bucket[0]) // rows) for bucket, rows in zip(self.buckets, self.rows, strict=True))

    def order(self, epoch: int) -> list[tuple[int, np.ndarray]]:
        """The number of the bucket and the rows of each batch: buckets are shuffled, and then all batches."""
        rng = np.random.default_rng(epoch)
        chosen = []
        for number, ((inputs, *_), rows) in enumerate(zip(self.buckets, self.rows, strict=True)):
            order = rng.permutation(len(inputs))
            chosen += [(number, order[start : start + rows]) for start in range(0, len(order), rows)]
        rng.shuffle(chosen)
        return chosen

    def batch(self, chosen: tuple[int, np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        number, order = chosen
        inputs, targets, mask = (_filled(array[order], self.rows[number]) for array in self.buckets[number])
        return inputs, targets, mask


def padded(task: Task, number: int) -> Padded:
    """One width and `batch` rows, or as many widths of equal tokens, those with the least padding."""
    number_of, widths = cut_lengths([task.lengths], number, 1)
    widths = [int(width) for width in np.ravel(widths)]
    buckets = [_pad(task, np.flatnonzero(number_of == i), width) for i, width in enumerate(widths)]
    rows = [task.workload.batch] if number == 1 else [task.workload.tokens // width for width in widths]
    return Padded(buckets, rows)


def _pad(task: Task, chosen: np.ndarray, width: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mask = np.arange(width) < task.lengths[chosen, None]
    inputs = np.zeros(mask.shape, np.int32)
    inputs[mask] = np.concatenate([task.inputs[row] for row in chosen])
    if not task.workload.per_step:
        return inputs, np.asarray(task.targets)[chosen], mask
    targets = np.zeros(mask.shape, np.int32)
    targets[mask] = np.concatenate([task.targets[row] for row in chosen])
    return inputs, targets, mask


def _filled(array: np.ndarray, rows: int) -> np.ndarray:
    if len(array) == rows:
        return array
    return np.concatenate([array, np.zeros((rows - len(array), *array.shape[1:]), array.dtype)])


def make_task(name: WorkloadName) -> Task:
    return _names("train") if name == "classifier" else _paragraphs(name)


def test_names() -> Task:
    """Those that the classifier has not seen."""
    return _names("test")


def _paragraphs(name: WorkloadName) -> Task:
    """All distinct paragraphs of the documentation in the running Python."""
    corpus = read_topics()
    distinct = {(tuple(row["words"]), tuple(row["tags"])): number for number, row in reversed(list(enumerate(corpus)))}
    corpus = corpus[sorted(distinct.values())]
    vocabularies = make_vocabularies(corpus, corpus)
    rows = list(vocabularies.encode(corpus))
    inputs = [1 + np.asarray(row["words"], np.int32) for row in rows]
    targets = [np.asarray(row["tags"], np.int32) for row in rows]
    return Task(name, inputs, targets, 1 + len(vocabularies.words), len(vocabularies.tags))


def _names(part: Literal["train", "test"]) -> Task:
    """Distinct names in an order by hash: the first 80% to train on, the last 10% to test."""
    languages = sorted(path.stem for path in NAMES.glob("*.txt"))
    pairs = {(of, name) for of in languages for name in (NAMES / f"{of}.txt").read_text("utf-8").splitlines()}
    pairs = sorted(pairs, key=lambda pair: hashlib.sha256("/".join(pair).encode()).hexdigest())
    characters = {character: i for i, character in enumerate(sorted({c for _, name in pairs for c in name}), start=1)}
    count = len(pairs)
    chosen = pairs[: count * 8 // 10] if part == "train" else pairs[count - count // 10 :]
    inputs = [np.array([characters[c] for c in name], np.int32) for _, name in chosen]
    targets = np.array([languages.index(of) for of, _ in chosen], np.int32)
    return Task("classifier", inputs, targets, 1 + len(characters), len(languages))
