"""What every model is given: sequences of different lengths, targets and weights; and what it is to hand back."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from rivals.task import lognormal_lengths

WorkName = Literal["encoder", "convolutions", "tagger"]


@dataclasses.dataclass(frozen=True)
class Work:
    """Sizes of a batch and of a model.

    Attributes:
        title: in the tables.
        features: of a step of the inputs; None: the inputs are ids.
        width: of the model.
        per_step: whether each step has a class, or each sequence.
    """

    title: str
    batch: int
    time: int
    width: int
    features: int | None = None
    per_step: bool = True


WORKS: dict[WorkName, Work] = {
    "encoder": Work("Transformer encoder block", 32, 128, 128),
    "convolutions": Work("Conv1D stack", 32, 256, 64, features=40, per_step=False),
    "tagger": Work("BiLSTM tagger", 32, 128, 64),
}
VOCABULARY, CLASSES, HEADS = 2000, 16, 4


@dataclasses.dataclass(frozen=True)
class Task:
    """A batch of one work, padded on the right; everything in NumPy.

    Attributes:
        name: of the work.
        lengths: `(batch,)`, in no order; the longest is the time.
        inputs: ids `(batch, time)`, from 1, or floats `(batch, time, features)`; 0 in the padding.
        targets: classes, `(batch, time)` or `(batch,)`.
    """

    name: WorkName
    lengths: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray

    @property
    def work(self) -> Work:
        return WORKS[self.name]

    @property
    def mask(self) -> np.ndarray:
        return np.arange(self.work.time) < self.lengths[:, None]

    @property
    def is_full(self) -> bool:
        """Whether there is no padding: then rivals are spared the mask, which is their best setting."""
        return bool(self.mask.all())

    def only_real(self, outputs: np.ndarray) -> np.ndarray:
        """The logits, zeros in the padding."""
        return np.where(self.mask[..., None], outputs, 0) if self.work.per_step else outputs


@dataclasses.dataclass(frozen=True)
class Entrant:
    """A model at one task.

    Attributes:
        name: in the tables.
        params: a pytree.
        batch: inputs, targets and masks, a pytree.
        logits: of parameters and batch.
        loss: of parameters and batch: the mean cross-entropy of the real steps, or of the sequences.
        read: the logits in the layout of the task, zeros in the padding.
    """

    name: str
    params: Any
    batch: Any
    logits: Callable[[Any, Any], Any]
    loss: Callable[[Any, Any], Any]
    read: Callable[[np.ndarray], np.ndarray]


def make_task(name: WorkName, fill: float) -> Task:
    """The same draw of lengths, whatever the fill."""
    work, rng = WORKS[name], np.random.default_rng(0)
    lengths = lognormal_lengths(rng, work.batch, work.time, fill)
    mask = np.arange(work.time) < lengths[:, None]
    if work.features is None:
        inputs = np.where(mask, rng.integers(1, VOCABULARY, mask.shape), 0).astype(np.int32)
    else:
        drawn = rng.normal(size=(*mask.shape, work.features))
        inputs = np.where(mask[..., None], drawn, 0).astype(np.float32)
    targets = rng.integers(0, CLASSES, mask.shape if work.per_step else work.batch).astype(np.int32)
    return Task(name, lengths, inputs, targets)
