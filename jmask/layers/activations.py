"""Elementwise functions as layers, and softmax."""

import dataclasses
from collections.abc import Sequence
from typing import Annotated, Any

import jax

from .. import ops
from ..core.masked import Masked
from ..protocol.config import register_serializable
from ..protocol.fields import AnyFloat, Dtype, Interval, NotNegative
from ..protocol.layer import Layer
from ..protocol.masks import reaches
from ..protocol.options import Activation as ActivationOption
from ..protocol.options import Initializer, activation, initializer
from .base import BaseMaskedLayer

# What `jm.from_keras` makes of `Dense(activation="softmax")`: configs know them, as they know what has a name of ours.
register_serializable(jax.nn.softmax, name="jax.nn.softmax")
register_serializable(jax.nn.log_softmax, name="jax.nn.log_softmax")


class Activation(Layer):
    """An elementwise function.

    Attributes:
        activation: a name (`"relu"`, `"tanh"`, ...) or a function, which must treat every entry independently.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Activation("relu")(jnp.array([-1.0, 2.0])).tolist()
    [0.0, 2.0]
    """

    supports_masking = True
    supports_packing = True

    activation: ActivationOption

    def call(self, params: Any, inputs: Any) -> Any:
        """The function applied to the inputs."""
        return activation(self.activation)(inputs)


class Softmax(BaseMaskedLayer):
    """Softmax along one axis; along a masked axis, over the real steps only (see `jm.ops.softmax`).

    Attributes:
        axis: the axis that sums to 1; 1 is time for `(batch, time, features)`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Softmax(axis=1)(jm.from_lengths(jnp.zeros((1, 3)), [2])).values.tolist()
    [[0.5, 0.5, 0.0]]
    """

    axis: int = -1

    def _uses_mask(self, inputs: Any = None) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """Whether the axis is masked."""
        return reaches(self.axis, inputs)

    def call(self, params: Any, inputs: Any) -> Any:
        """The weights, with the mask of the inputs."""
        return ops.softmax(inputs, self.axis)


class ReLU(Layer):
    """The rectified linear unit, with a ceiling, a slope below and a threshold (see `jm.ops.relu`).

    Attributes:
        max_value: the largest output; None for no limit.
        negative_slope: slope below the threshold.
        threshold: the input above which it is the identity.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.ReLU(6.0, negative_slope=0.5)(jnp.array([-2.0, 3.0, 9.0])).tolist()
    [-1.0, 3.0, 6.0]
    """

    supports_masking = True
    supports_packing = True

    max_value: Annotated[float, Interval(0), AnyFloat()] | None = None
    _: dataclasses.KW_ONLY
    negative_slope: NotNegative = 0.0
    threshold: NotNegative = 0.0

    def call(self, params: Any, inputs: Any) -> Any:
        """The function applied to the inputs."""
        return ops.relu(inputs, max_value=self.max_value, negative_slope=self.negative_slope, threshold=self.threshold)


class LeakyReLU(Layer):
    """The identity above 0, and a slope below (see `jm.ops.relu`).

    Attributes:
        negative_slope: slope below 0.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.LeakyReLU(0.5)(jnp.array([-2.0, 3.0])).tolist()
    [-1.0, 3.0]
    """

    supports_masking = True
    supports_packing = True

    negative_slope: NotNegative = 0.3

    def call(self, params: Any, inputs: Any) -> Any:
        """The function applied to the inputs."""
        return ops.relu(inputs, negative_slope=self.negative_slope)


class ELU(Layer):
    """The exponential linear unit (see `jm.ops.elu`).

    Attributes:
        alpha: the negative of the limit for large negative inputs.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.ELU()(jnp.array([-jnp.inf, 3.0])).tolist()
    [-1.0, 3.0]
    """

    supports_masking = True
    supports_packing = True

    alpha: float = 1.0

    def call(self, params: Any, inputs: Any) -> Any:
        """The function applied to the inputs."""
        return ops.elu(inputs, alpha=self.alpha)


class PReLU(BaseMaskedLayer):
    """The identity above 0, and a learned slope below, `alpha` (see `jm.ops.prelu`).

    Attributes:
        alpha_initializer: by name or as `(key, shape, dtype)`.
        shared_axes: the axes of the inputs, 1 or more, along which the slope is shared. For inputs with a mask they
            must include its axes, so `shared_axes=[1]` for `(batch, time, features)`: the number of steps of a batch
            is not a property of a sequence.
        param_dtype: dtype of the slopes.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> layer = jm.layers.PReLU(shared_axes=[1])
    >>> layer.init(jax.random.key(0), jnp.ones((2, 3, 5)))["alpha"].shape
    (1, 5)
    """

    supports_masking = True

    _: dataclasses.KW_ONLY
    alpha_initializer: Initializer = "zeros"
    shared_axes: int | Sequence[int] | None = None
    param_dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        """Validates the axes."""
        if any(axis < 1 for axis in self._shared):
            raise ValueError(
                "`shared_axes` of `PReLU` count the axes of the inputs from 1, the first after the batch; received "
                f"{self.shared_axes!r}."
            )

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"alpha": inputs.shape[1:]}`, with 1 for shared axes."""
        shared, shape = self._shared, inputs.shape
        if any(axis >= len(shape) for axis in shared):
            raise ValueError(f"`shared_axes` {self.shared_axes!r} of `PReLU` are out of bounds for values {shape}.")
        mask_ndim = inputs.mask.ndim if isinstance(inputs, Masked) else 0
        if apart := [axis for axis in range(1, mask_ndim) if axis not in shared]:
            raise ValueError(
                f"`PReLU` has no slope for each step: axes {apart} of values {shape} are those of a mask "
                f"{inputs.mask.shape}, and their sizes belong to the batch. Share them: "
                f"`shared_axes={sorted({*shared, *apart})}`."
            )
        alpha_shape = tuple(1 if axis in shared else shape[axis] for axis in range(1, len(shape)))
        return {"alpha": initializer(self.alpha_initializer)(key, alpha_shape, self.param_dtype)}

    def call(self, params: Any, inputs: Any) -> Any:
        """The function applied to the inputs."""
        return ops.prelu(inputs, params["alpha"])

    @property
    def _shared(self) -> tuple[int, ...]:
        axes = self.shared_axes
        return (axes,) if isinstance(axes, int) else tuple(axes or ())
