"""Pooling over time: over windows, or over all steps, which removes the time axis and leaves a mask of rows."""

import dataclasses
from typing import Any

from .. import ops
from ..ops.pool import PoolPadding, check_pool
from ..protocol.fields import Size
from ..protocol.layer import Layer
from ..protocol.row_masks import over_time
from .base import BaseMaskedLayer


class BasePooling(BaseMaskedLayer):
    """What the pooling layers over windows share."""

    pool_size: Size = 2
    _: dataclasses.KW_ONLY
    strides: Size | None = None
    padding: PoolPadding = "valid"

    def __post_init__(self) -> None:
        """Validates the options."""
        check_pool(self.pool_size, self.strides, self.padding)


class MaxPooling1D(BasePooling):
    """The largest value of each feature in every window (see `jm.ops.max_pool`).

    Inputs: `(batch, time, features)`. Outputs: `(batch, places, features)`. Each row has the places that its sequence
    alone would give, at the front, and zeros in the padding; for `"same"` with strides of 1 they have the mask of the
    inputs. An empty row, or one that is too short for any window, gives an empty row and passes no gradient. Packed
    rows raise an error.

    Attributes:
        pool_size: number of steps in a window.
        strides: number of steps from one window to the next; None: `pool_size`.
        padding: `"valid"`: windows lie within the sequence; `"same"`: there are `ceil(steps / strides)` windows.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.MaxPooling1D(2)(jm.from_lengths(jnp.ones((2, 5, 3)), [5, 1])).lengths.tolist()
    [2, 0]
    """

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, features)` -> `(batch, places, features)`."""
        return ops.max_pool(inputs, self.pool_size, strides=self.strides, padding=self.padding)


class AveragePooling1D(BasePooling):
    """The mean of the real steps in every window (see `jm.ops.average_pool`).

    Inputs: `(batch, time, features)`. Outputs: `(batch, places, features)`, as from `MaxPooling1D`: an empty row, or
    one that is too short for any window, gives an empty row and passes no gradient, and packed rows raise an error.

    Attributes:
        pool_size: number of steps in a window.
        strides: number of steps from one window to the next; None: `pool_size`.
        padding: `"valid"`: windows lie within the sequence; `"same"`: there are `ceil(steps / strides)` windows, and
            one that extends beyond the sequence averages only the steps within it.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.AveragePooling1D(2, padding="same")(jm.from_lengths(jnp.ones((2, 5, 3)), [5, 1])).lengths.tolist()
    [3, 1]
    """

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, features)` -> `(batch, places, features)`."""
        return ops.average_pool(inputs, self.pool_size, strides=self.strides, padding=self.padding)


class GlobalAveragePooling1D(Layer):
    """The mean over the real steps of each sequence; an empty row gives 0 (see `jm.ops.mean_pool`).

    For a `Masked` the outputs have a mask `(batch,)`: the rows with a real step. Packed rows have one output for each
    sequence, `(num_sequences, features)`, by id.

    Attributes:
        keepdims: whether to keep the time axis with size 1.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.GlobalAveragePooling1D()(jm.from_lengths(jnp.ones((1, 3, 2)), [2])).values.tolist()
    [[1.0, 1.0]]
    """

    raw_inputs = True
    supports_packing = True

    _: dataclasses.KW_ONLY
    keepdims: bool = False

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, features)` -> `(batch, features)`, with a mask `(batch,)` if the inputs have one."""
        return ops.mean_pool(inputs, keepdims=self.keepdims)


class GlobalMaxPooling1D(Layer):
    """The largest value of the real steps of each sequence; an empty row gives 0 (see `jm.ops.global_max_pool`).

    For a `Masked` the outputs have a mask `(batch,)`: the rows with a real step. Packed rows have one output for each
    sequence, `(num_sequences, features)`, by id.

    Attributes:
        keepdims: whether to keep the time axis with size 1.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.GlobalMaxPooling1D()(jm.from_lengths(jnp.array([[[-2.0], [-1], [9]]]), [2])).values.tolist()
    [[-1.0]]
    """

    raw_inputs = True
    supports_packing = True

    _: dataclasses.KW_ONLY
    keepdims: bool = False

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, features)` -> `(batch, features)`, with a mask `(batch,)` if the inputs have one."""
        return ops.global_max_pool(inputs, keepdims=self.keepdims)
