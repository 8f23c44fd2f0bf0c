"""Layers of several inputs."""

import dataclasses
from typing import Any

from .. import ops
from ..ops.merge import Merge, check_merge
from .base import Layer


class Add(Layer):
    """The sum of a list of inputs, step by step (see `jm.ops.add`).

    Attributes:
        merge: `"intersection"`: a step is real where it is in all inputs; `"union"`: where it is in any.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Add()([jnp.ones(2), jnp.ones(2)]).tolist()
    [2.0, 2.0]
    """

    supports_segments = True
    takes_masked = True

    _: dataclasses.KW_ONLY
    merge: Merge = "intersection"

    def __post_init__(self) -> None:
        """Checks the word while the user's line is still on the stack."""
        check_merge(self.merge)

    @property
    def uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """In a union the mask decides which inputs a step sums."""
        return self.merge == "union"

    def call(self, params: Any, inputs: Any) -> Any:
        """`[(batch, time, ...), ...]` -> `(batch, time, ...)`."""
        return ops.add(inputs, merge=self.merge)


class Concatenate(Layer):
    """Concatenation of a list of inputs and of their masks (see `jm.ops.concatenate`).

    Attributes:
        axis: -1, the features, by default; 1, time, for `(batch, time, ...)`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Concatenate()([jnp.ones((1, 2)), jnp.zeros((1, 1))]).tolist()
    [[1.0, 1.0, 0.0]]
    """

    supports_segments = True
    takes_masked = True
    uses_mask = False

    axis: int = -1

    def call(self, params: Any, inputs: Any) -> Any:
        """`[(batch, time, ...), ...]` -> one array, longer along `axis`."""
        return ops.concatenate(inputs, self.axis)
