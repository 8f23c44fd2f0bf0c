"""Layers without parameters that reshape the same entries, or add and remove steps."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from .. import ops
from ..ops.pad_crop import pair_of
from ..ops.reshaping import check_dims, check_target_shape
from ..protocol.fields import Count, Size
from ..protocol.layer import Layer
from ..protocol.row_masks import over_time
from .base import BaseMaskedLayer


class Flatten(BaseMaskedLayer):
    """Merges all axes after the batch into one; raises for a mask over time (see `jm.ops.flatten`).

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Flatten()(jnp.ones((2, 3, 4))).shape
    (2, 12)
    """

    _uses_mask = False

    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, ...)` -> `(batch, features)`."""
        return ops.flatten(inputs)


class Reshape(BaseMaskedLayer):
    """Changes the shape after the batch axis; time stays in front (see `jm.ops.reshape`).

    Attributes:
        target_shape: the sizes after the batch axis, one of which may be -1. `(-1, 2, 3)` splits the features of
            each step of a sequence; `(-1, k)` makes steps of k features, by splitting steps or joining successive ones.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Reshape((-1, 2, 3))(jm.from_lengths(jnp.ones((2, 5, 6)), [5, 1])).shape
    (2, 5, 2, 3)
    """

    _uses_mask = False

    target_shape: Sequence[int]

    def __post_init__(self) -> None:
        """Validates the shape."""
        check_target_shape(self.target_shape)

    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, ...)` -> `(batch, *target_shape)`."""
        return ops.reshape(inputs, self.target_shape)


class Permute(BaseMaskedLayer):
    """Permutes the axes after the batch; masked axes stay in front (see `jm.ops.permute`).

    Attributes:
        dims: for each axis of the result, the input axis it comes from, counted from 1; the batch stays in front.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Permute((1, 3, 2))(jnp.ones((2, 3, 4, 5))).shape
    (2, 3, 5, 4)
    """

    _uses_mask = False

    dims: Sequence[int]

    def __post_init__(self) -> None:
        """Validates the permutation."""
        check_dims(self.dims)

    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, ...)` -> the values with permuted axes."""
        return ops.permute(inputs, self.dims)


class RepeatVector(Layer):
    """Repeats a vector per row as a sequence of `n` equal steps (see `jm.ops.repeat_vector`).

    Attributes:
        n: number of steps.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.RepeatVector(2)(jnp.array([[5, 7]])).tolist()
    [[[5, 7], [5, 7]]]
    """

    raw_inputs = True
    supports_packing = True
    _uses_mask = False

    n: Size

    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, features)` -> `(batch, n, features)`."""
        return ops.repeat_vector(inputs, self.n)


class Cropping1D(Layer):
    """Removes real steps from both ends of each sequence (see `jm.ops.crop`).

    Attributes:
        cropping: how many steps to remove at the beginning and at the end, or one number for both.

    >>> import jmask as jm
    >>> jm.layers.Cropping1D((1, 0))(jm.pad_sequences([[3, 4, 5], [6]])).lengths.tolist()
    [2, 0]
    """

    raw_inputs = True
    supports_packing = True

    cropping: Count | Sequence[Count] = (1, 1)

    def __post_init__(self) -> None:
        """Validates the numbers."""
        pair_of("cropping", self.cropping)

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, ...)` -> `(batch, time - left - right, ...)`."""
        return ops.crop(inputs, self.cropping)


class ZeroPadding1D(Layer):
    """Adds real steps of zeros at both ends of each sequence (see `jm.ops.zero_pad`).

    Attributes:
        padding: how many steps before the first real one and after the last, or one number for both.
        max_segments: for packed rows, the most sequences that a row has, each of which makes it longer; None allows for
            as many as may fit (see `jm.ops.zero_pad`).

    >>> import jmask as jm
    >>> jm.layers.ZeroPadding1D(1)(jm.pad_sequences([[3, 4, 5], []])).lengths.tolist()
    [5, 0]
    """

    raw_inputs = True
    supports_packing = True

    padding: Count | Sequence[Count] = 1
    _: dataclasses.KW_ONLY
    max_segments: Size | None = None

    def __post_init__(self) -> None:
        """Validates the numbers."""
        pair_of("padding", self.padding)

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, ...)` -> `(batch, left + time + right, ...)`."""
        return ops.zero_pad(inputs, self.padding, max_segments=self.max_segments)


class UpSampling1D(BaseMaskedLayer):
    """Repeats every step of a sequence `size` times (see `jm.ops.up_sample`).

    Attributes:
        size: how many times each step is repeated.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.UpSampling1D(2)(jnp.array([[3, 4]])).tolist()
    [[3, 3, 4, 4]]
    """

    _uses_mask = False

    size: Size = 2

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, ...)` -> `(batch, size * time, ...)`."""
        return ops.up_sample(inputs, self.size)
