"""What every rival is given: sequences of different lengths, weights, targets; and how its answer is judged."""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple

import numpy as np
from timing import Timed

CellKind = Literal["lstm", "gru"]
Mode = Literal["inference", "training"]
GATES: dict[CellKind, int] = {"lstm": 4, "gru": 3}

TOLERANCE = 5e-5  # of the largest value: float32, and gradients that sum over thousands of steps


class Weights(NamedTuple):
    """In the layout of jmask and Keras: `(features, gates * units)`, `(units, gates * units)`, and the bias."""

    kernel: Any
    recurrent_kernel: Any
    bias: Any


@dataclasses.dataclass(frozen=True)
class Workload:
    name: str
    batch: int
    time: int
    features: int
    units: int


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tiny", 4, 16, 8, 8),
        Workload("W1", 32, 128, 64, 128),
        Workload("W2", 64, 256, 128, 256),
        Workload("W3", 16, 1000, 64, 512),
    )
}


@dataclasses.dataclass(frozen=True)
class Task:
    """One workload, cell, mode and fill; everything in NumPy.

    Attributes:
        lengths: `(batch,)`, in no order; the longest is `time`.
        x: inputs `(batch, time, features)`, zero in the padding.
        targets: of the squared error, `(batch, time, units)`, zero in the padding.
        unroll: steps in one turn of the loop, for the rivals that have such an option.
    """

    workload: Workload
    cell: CellKind
    mode: Mode
    lengths: np.ndarray
    x: np.ndarray
    targets: np.ndarray
    weights: Weights
    unroll: int = 1

    @property
    def mask(self) -> np.ndarray:
        return np.arange(self.workload.time) < self.lengths[:, None]

    @property
    def tokens(self) -> int:
        return int(self.lengths.sum())

    @property
    def fill(self) -> float:
        return self.tokens / (self.workload.batch * self.workload.time)

    @property
    def is_full(self) -> bool:
        """Whether there is no padding: then rivals are spared the mask, which is their best setting."""
        return self.tokens == self.workload.batch * self.workload.time

    @property
    def flops(self) -> int:
        """Of the matrix products of the real steps; a training step has three of the size of each."""
        features, units = self.workload.features, self.workload.units
        forward = 2 * self.tokens * GATES[self.cell] * units * (features + units)
        return forward * (3 if self.mode == "training" else 1)


def make_task(workload: Workload, cell: CellKind, mode: Mode, fill: float, unroll: int = 1) -> Task:
    """The same weights and the same draw of lengths, whatever the mode and the fill."""
    rng = np.random.default_rng(0)
    batch, time, features, units = workload.batch, workload.time, workload.features, workload.units
    lengths = lognormal_lengths(rng, batch, time, fill)
    weights = _weights(rng, cell, features, units)
    real = (np.arange(time) < lengths[:, None])[..., None]
    x = np.where(real, rng.normal(size=(batch, time, features)), 0).astype(np.float32)
    targets = np.where(real, rng.normal(size=(batch, time, units)), 0).astype(np.float32)
    return Task(workload, cell, mode, lengths, x, targets, weights, unroll)


def lognormal_lengths(rng: np.random.Generator, batch: int, time: int, fill: float) -> np.ndarray:
    """Lognormal lengths within `[1, time]`, the longest `time`, scaled until their mean comes to `fill * time`."""
    draw = rng.lognormal(0.0, 0.8, batch)

    def scaled(log_scale: float) -> np.ndarray:
        lengths = np.clip(np.rint(draw * math.exp(log_scale)), 1, time).astype(int)
        lengths[draw.argmax()] = time
        return lengths

    low, high = -10.0, math.log(time / draw.min())
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if scaled(middle).mean() < fill * time else (low, middle)
    return scaled(high)


def _weights(rng: np.random.Generator, cell: CellKind, features: int, units: int) -> Weights:
    """The GRU's candidate has no recurrent bias (it is 0), because that of `flax.nnx` has none."""
    width = GATES[cell] * units
    kernel = rng.normal(size=(features, width)) / math.sqrt(features)
    recurrent_kernel = rng.normal(size=(units, width)) / math.sqrt(units)
    bias = 0.1 * rng.normal(size=(2, width) if cell == "gru" else width)
    if cell == "gru":
        bias[1, 2 * units :] = 0
    return Weights(*(w.astype(np.float32) for w in (kernel, recurrent_kernel, bias)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rival(Timed):
    """A rival at one task.

    Attributes:
        read: turns what `run` returns into arrays in the layout of jmask: the outputs, or the loss and its gradients
            with respect to the inputs and to each of the `Weights`. What the rival does not have is left out.
        memory: bytes of temporary buffers of one run, where the compiler knows them.
    """

    read: Callable[[Any], Mapping[str, np.ndarray]]
    memory: int | None = None


def disagreement(expected: Mapping[str, np.ndarray], rival: Rival) -> float:
    """Runs a rival once, and gives its largest difference from `expected` as a part of the largest value.

    Raises:
        AssertionError: it does not compute the same thing, so its time says nothing.
    """
    got = rival.read(rival.run())
    worst = 0.0
    for name, array in got.items():
        scale = float(np.abs(expected[name]).max())
        error = float(np.abs(array - expected[name]).max()) / scale
        if not error <= TOLERANCE:
            difference = f"`{name}` differs from jmask's by {error:.1e} of its largest value"
            raise AssertionError(f"{rival.name}: {difference}; what it takes says nothing.")
        worst = max(worst, error)
    return worst
