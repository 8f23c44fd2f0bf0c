"""What every model is given: sequences of different lengths, targets and weights; and what it is to hand back."""

import dataclasses
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from rivals.task import lognormal_lengths

WorkloadName = Literal["encoder", "convolutions", "tagger"]


@dataclasses.dataclass(frozen=True)
class Workload:
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


WORKLOADS: dict[WorkloadName, Workload] = {
    "encoder": Workload("Transformer encoder block", 32, 128, 128),
    "convolutions": Workload("Conv1D stack", 32, 256, 64, features=40, per_step=False),
    "tagger": Workload("BiLSTM tagger", 32, 128, 64),
}
VOCABULARY, CLASSES, HEADS = 2000, 16, 4


@dataclasses.dataclass(frozen=True)
class Task:
    """A batch of one workload, padded on the right; everything in NumPy.

    Attributes:
        name: of the workload.
        lengths: `(batch,)`, in no order; the longest is the time.
        inputs: ids `(batch, time)`, from 1, or floats `(batch, time, features)`; 0 in the padding.
        targets: classes, `(batch, time)` or `(batch,)`.
    """

    name: WorkloadName
    lengths: np.ndarray
    inputs: np.ndarray
    targets: np.ndarray

    @property
    def workload(self) -> Workload:
        return WORKLOADS[self.name]

    @property
    def mask(self) -> np.ndarray:
        return np.arange(self.workload.time) < self.lengths[:, None]

    @property
    def is_full(self) -> bool:
        """Whether there is no padding: then rivals are spared the mask, which is their best setting."""
        return bool(self.mask.all())

    def only_real(self, outputs: np.ndarray) -> np.ndarray:
        """The logits, zeros in the padding."""
        return np.where(self.mask[..., None], outputs, 0) if self.workload.per_step else outputs


@dataclasses.dataclass(frozen=True)
class Rival:
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


def make_task(name: WorkloadName, fill: float) -> Task:
    """The same draw of lengths, whatever the fill."""
    workload, rng = WORKLOADS[name], np.random.default_rng(0)
    lengths = lognormal_lengths(rng, workload.batch, workload.time, fill)
    mask = np.arange(workload.time) < lengths[:, None]
    if workload.features is None:
        inputs = np.where(mask, rng.integers(1, VOCABULARY, mask.shape), 0).astype(np.int32)
    else:
        drawn = rng.normal(size=(*mask.shape, workload.features))
        inputs = np.where(mask[..., None], drawn, 0).astype(np.float32)
    targets = rng.integers(0, CLASSES, mask.shape if workload.per_step else workload.batch).astype(np.int32)
    return Task(name, lengths, inputs, targets)
