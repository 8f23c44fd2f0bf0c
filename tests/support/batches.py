"""Ragged data for the law tests: rows without padding, and batches of the same rows in every layout."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

import jmask as jm
from jmask.testing import examples

# Primes or nearly so, and distinct, so that no axis is taken for another; one row is empty and one has no padding.
TIME, LONGER = 7, 11
LENGTHS = (3, 0, 7, 1, 5)
OTHER_LENGTHS = (0, 6, 2, 4, 1)
BATCH = len(LENGTHS)

# The same rows packed: room before, between and behind them, and a row without a sequence.
PACKED = np.array([[1, 1, 1, 0, 5, 5, 5, 5, 5], [0] * 9, [0, 3, 3, 3, 3, 3, 3, 3, 4]], np.int32)


@dataclasses.dataclass(frozen=True)
class Steps:
    """An input that is a sequence: normal floats, or ids below `maximum`.

    Attributes:
        features: shape of a step.
        maximum: for ids: one more than the largest.
        with_zeros: of floats, every third step is zero, and the first feature of the steps after these.
    """

    features: tuple[int, ...] = ()
    maximum: int | None = None
    with_zeros: bool = False

    def garbage(self, kind: int) -> Any:
        """What padding may hold: -1 is harmless, 0 marks it."""
        return examples.garbage("float64" if self.maximum is None else "int32", self.maximum)[kind]

    def draw(self, rng: np.random.Generator, length: int) -> np.ndarray:
        if self.maximum is not None:
            return rng.integers(0, self.maximum, (length, *self.features), dtype=np.int32)
        row = rng.normal(size=(length, *self.features))
        if self.with_zeros:
            row[::3] = row[1::3, 0] = 0
        return row


@dataclasses.dataclass(frozen=True)
class Vector:
    """An input without a time axis, such as an initial state."""

    shape: tuple[int, ...] = ()

    def draw(self, rng: np.random.Generator, length: int) -> np.ndarray:
        return rng.normal(size=self.shape)


def floats(*features: int, with_zeros: bool = False) -> Steps:
    return Steps(features, with_zeros=with_zeros)


def ids(maximum: int) -> Steps:
    return Steps(maximum=maximum)


def draw_rows(rng: np.random.Generator, inputs: Sequence[Any], lengths: Sequence[int], overlapping: bool) -> list[list]:
    """Unpadded rows for each input. If they only overlap, NaN marks the steps that an input lacks, never in all."""
    rows = [[spec.draw(rng, n) for n in lengths] for spec in inputs]
    if overlapping:
        for row, n in enumerate(lengths):
            lacking = rng.integers(-1, len(inputs), n)  # -1: no input lacks the step
            for i in range(len(inputs)):
                rows[i][row][lacking == i] = np.nan
    return rows


def right(lengths: Sequence[int], time: int) -> np.ndarray:
    return examples.layout(lengths, time, "right")


def left(lengths: Sequence[int], time: int) -> np.ndarray:
    return examples.layout(lengths, time, "left")


def holes(lengths: Sequence[int], time: int) -> np.ndarray:
    return np.random.default_rng(time).permuted(right(lengths, time), axis=1)


def place(spec: Any, rows: Sequence[np.ndarray], layout: np.ndarray, garbage: Any) -> Any:
    """Rows as a batch in which the steps stand where `layout` says, between garbage."""
    if isinstance(spec, Vector):
        return np.stack(rows)
    steps = np.concatenate(rows)
    mask = layout.copy()
    mask[layout] = ~np.isnan(steps).any(axis=tuple(range(1, steps.ndim)))
    return examples.place([steps[mask[layout]]], mask, garbage)


def place_all(inputs: Sequence[Any], rows: Sequence[Any], layout: np.ndarray, kind: int = -1) -> list:
    """A batch of every input; `kind` is that of the garbage."""
    return [
        place(spec, given, layout, spec.garbage(kind) if isinstance(spec, Steps) else None)
        for spec, given in zip(inputs, rows, strict=True)
    ]


def place_packed(inputs: Sequence[Any], rows: Sequence[Any]) -> list[np.ndarray]:
    """The values of every input where `PACKED` says, with garbage in the padding."""
    return [
        _packed(spec, given) if isinstance(spec, Steps) else np.stack(given)
        for spec, given in zip(inputs, rows, strict=True)
    ]


def _packed(spec: Steps, rows: Sequence[np.ndarray]) -> np.ndarray:
    values = np.full((*PACKED.shape, *spec.features), spec.garbage(0), rows[0].dtype)
    for i, row in enumerate(rows):
        values[i + 1 == PACKED] = row
    return values


def real_steps(x: Any) -> list[np.ndarray]:
    """The rows of a batch of an input, or of its gradients: without padding where there is a mask."""
    if not isinstance(x, jm.Masked):
        return list(np.asarray(x))
    values = np.asarray(x.values)
    return [values[row][np.asarray(mask)] for row, mask in enumerate(x.mask)]
