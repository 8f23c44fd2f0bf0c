"""Layers with several inputs."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from .. import ops
from ..ops.dot_product import check_axes
from ..ops.merge import Merge
from ..protocol.layer import Layer
from .base import BaseMaskedLayer


class BaseMerge(BaseMaskedLayer):
    """A list of inputs, `[(batch, time, ...), ...]`, merged into one, step by step.

    An input of lower rank, `(batch, features)`, belongs to the whole sequence and is used at each of its steps; next to
    packed rows it is `(num_sequences, features)`.

    Attributes:
        merge: `"intersection"`: a step is real if it is real in all inputs; `"union"`: if it is real in any.
    """

    function: ClassVar[Callable[..., Any]]

    _: dataclasses.KW_ONLY
    merge: Merge = "intersection"

    @property
    def _uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """Whether it is a union, where the mask decides which inputs contribute to a step."""
        return self.merge == "union"

    def call(self, params: Any, inputs: Any) -> Any:
        """`[(batch, time, ...), ...]` -> `(batch, time, ...)`."""
        return type(self).function(inputs, merge=self.merge)


class Add(BaseMerge):
    """The sum of a list of inputs, step by step (see `jm.ops.add`).

    Attributes:
        merge: `"intersection"`: a step is real if it is real in all inputs; `"union"`: if it is real in any.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Add()([jnp.ones(2), jnp.ones(2)]).tolist()
    [2.0, 2.0]
    """

    function = staticmethod(ops.add)


class Subtract(BaseMerge):
    """The first of two inputs minus the second, step by step (see `jm.ops.subtract`).

    Attributes:
        merge: as for `Add`; in a union an input counts as 0 where it is padding.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Subtract()([jnp.array([5.0]), jnp.array([3.0])]).tolist()
    [2.0]
    """

    function = staticmethod(ops.subtract)


class Multiply(BaseMerge):
    """The product of a list of inputs, step by step (see `jm.ops.multiply`).

    Attributes:
        merge: as for `Add`; in a union an input counts as 1 where it is padding.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Multiply()([jnp.array([5.0]), jnp.array([3.0])]).tolist()
    [15.0]
    """

    function = staticmethod(ops.multiply)


class Average(BaseMerge):
    """The mean of a list of inputs, step by step (see `jm.ops.average`).

    Attributes:
        merge: as for `Add`; in a union the mean is over the inputs in which the step is real.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Average()([jnp.array([5.0]), jnp.array([3.0])]).tolist()
    [4.0]
    """

    function = staticmethod(ops.average)


class Maximum(BaseMerge):
    """The largest of a list of inputs, entry by entry (see `jm.ops.maximum`).

    Attributes:
        merge: as for `Add`; in a union an input is ignored where it is padding.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Maximum()([jnp.array([5.0]), jnp.array([3.0])]).tolist()
    [5.0]
    """

    function = staticmethod(ops.maximum)


class Minimum(BaseMerge):
    """The smallest of a list of inputs, entry by entry (see `jm.ops.minimum`).

    Attributes:
        merge: as for `Add`; in a union an input is ignored where it is padding.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Minimum()([jnp.array([5.0]), jnp.array([3.0])]).tolist()
    [3.0]
    """

    function = staticmethod(ops.minimum)


class Dot(Layer):
    """The dot product of two inputs along one axis of each (see `jm.ops.dot`).

    Attributes:
        axes: the axis of both inputs that is summed over, or one axis for each; it cannot be 0, the batch.
        normalize: whether to scale vectors to length 1 first, which gives the cosine similarity.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Dot(axes=1)([jnp.array([[1.0, 2.0]]), jnp.array([[3.0, 4.0]])]).tolist()
    [[11.0]]
    """

    raw_inputs = True
    supports_packing = True

    axes: int | Sequence[int]
    _: dataclasses.KW_ONLY
    normalize: bool = False

    def __post_init__(self) -> None:
        """Validates the axes."""
        check_axes(self.axes)

    def call(self, params: Any, inputs: Any) -> Any:
        """`[(batch, ...), (batch, ...)]` -> one array with the remaining axes."""
        return ops.dot(inputs, self.axes, normalize=self.normalize)


class Concatenate(BaseMaskedLayer):
    """Concatenation of a list of inputs and of their masks (see `jm.ops.concatenate`).

    Next to packed rows, an input with one entry for each sequence, `(num_sequences, features)`, comes to each step.

    Attributes:
        axis: -1, the features, by default; 1, time, for `(batch, time, ...)`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Concatenate()([jnp.ones((1, 2)), jnp.zeros((1, 1))]).tolist()
    [[1.0, 1.0, 0.0]]
    """

    _uses_mask = False

    axis: int = -1

    def call(self, params: Any, inputs: Any) -> Any:
        """`[(batch, time, ...), ...]` -> one array, longer along `axis`."""
        return ops.concatenate(inputs, self.axis)
