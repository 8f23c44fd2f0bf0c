"""Counts the shapes of batches that steps have been compiled for, and warns once if there are more than announced."""

import sys
import warnings
from typing import Any

import jax

from ..core.errors import level_of_user


class CompiledShapesWarning(UserWarning):
    """A step has compiled more shapes of batches than `train.step(..., shapes=)` announced."""


class Traces:
    """How many traces of steps this process has begun; a progress bar that sees the number change says "compiling"."""

    number = 0


class Shapes:
    """The shapes of the batches of one step.

    Args:
        announced: how many there will be.
    """

    def __init__(self, announced: int) -> None:
        self.announced = announced
        self.seen: set[Any] = set()
        self.warned = False

    def add(self, batch: Any) -> None:
        """Called while a step is traced, which is once for each shape."""
        Traces.number += 1
        leaves, structure = jax.tree.flatten(batch)
        self.seen.add((structure, *((leaf.shape, leaf.dtype) for leaf in map(jax.typeof, leaves))))
        if len(self.seen) <= self.announced or self.warned:
            return
        self.warned = True
        warnings.warn(
            f"this step has compiled {len(self.seen)} shapes of batches; {self.announced} announced. Each takes as "
            "long as the first. Let the batches have few shapes: `jmask.data.packed(...)` has one, "
            "`jmask.data.buckets(4, ...)` four, and `jm.pad_sequences(..., pad_to_multiple_of=64)` few. Or announce "
            f"them: `train.step(..., shapes={len(self.seen)})`.",
            CompiledShapesWarning,
            stacklevel=level_of_user(sys._getframe()),
        )
