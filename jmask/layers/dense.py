"""Affine maps of every step."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax

from .. import ops
from ..ops.activations import apply
from ..ops.einsum import Subscripts, parse
from ..ops.linear import check_feature_axis
from ..protocol.fields import Dtype, Size
from ..protocol.options import Activation, Initializer, activation, has_finite_gradient, initializer, kernel_initializer
from .base import BaseMaskedLayer


class Dense(BaseMaskedLayer):
    """The affine map `activation(x @ kernel + bias)` of every step.

    Inputs: `(batch, time, features)` or any array with a feature axis at the end. Outputs: `(batch, time, units)`
    with the same mask.

    Attributes:
        units: length of an output vector.
        activation: an elementwise function, or its name.
        use_bias: whether there is a bias.
        kernel_initializer: by name or as `(key, shape, dtype)`.
        bias_initializer: the same for the bias.
        param_dtype: dtype of the parameters.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1])
    >>> layer = jm.layers.Dense(4)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
    (2, 3, 4)
    """

    supports_masking = True

    units: Size
    _: dataclasses.KW_ONLY
    activation: Activation = None
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    param_dtype: Dtype = "float32"

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"kernel": (features, units), "bias": (units,)}`."""
        check_feature_axis(inputs, "Dense")
        kernel_key, bias_key = jax.random.split(key)
        shape = (inputs.shape[-1], self.units)
        params = {"kernel": initializer(self.kernel_initializer)(kernel_key, shape, self.param_dtype)}
        if self.use_bias:
            params["bias"] = initializer(self.bias_initializer)(bias_key, (self.units,), self.param_dtype)
        return params

    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, features)` -> `(batch, time, units)`."""
        y = ops.dense(inputs, params["kernel"], params["bias"] if self.use_bias else None)
        return _activated(y, self.activation)


class EinsumDense(BaseMaskedLayer):
    """An affine map of every step along the axes that an equation names: `activation(einsum(x, kernel) + bias)`.

    Inputs: `(batch, time, ...)`. Outputs: as the equation says, with the same mask, whose axes must stay at the front
    (see `jm.ops.einsum_dense`). The parameters have no axis for batch or time.

    Attributes:
        equation: `"abc,cd->abd"`, inputs and kernel to outputs; `...` may begin or end both inputs and outputs.
        output_shape: the sizes of the outputs after the first axis, without those of `...`; None for a size taken from
            the inputs. With a leading `...` there is no first axis to leave out.
        activation: an elementwise function, or its name.
        bias_axes: the letters of the outputs along which there is a bias; None for no bias.
        kernel_initializer: by name or as `(key, shape, dtype)`. A named one draws a matrix from all contracted axes to
            all others.
        bias_initializer: the same for the bias.
        param_dtype: dtype of the parameters.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.ones((2, 3, 5)), [3, 1])
    >>> heads = jm.layers.EinsumDense("btf,fhd->bthd", (None, 4, 7), bias_axes="hd")
    >>> heads.apply(heads.init(jax.random.key(0), x), x).shape
    (2, 3, 4, 7)
    """

    supports_masking = True

    equation: str
    output_shape: Size | Sequence[Size | None]
    _: dataclasses.KW_ONLY
    activation: Activation = None
    bias_axes: str | None = None
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    param_dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        """Validates the letters."""
        _, _, outputs, _ = parse(self.equation)
        if not set(self.bias_axes or "") <= set(outputs):
            raise ValueError(
                f"`bias_axes` of `EinsumDense` are letters of the outputs, here {outputs!r}; received "
                f"{self.bias_axes!r}."
            )

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"kernel": ..., "bias": ...}`, in the shapes that the equation implies."""
        kernel_key, bias_key = jax.random.split(key)
        equation = Subscripts.of(self.equation, inputs.ndim)
        sizes = equation.sizes(inputs.shape, self.output_shape)
        contracted = [axis for axis, letter in enumerate(equation.kernel) if letter not in equation.outputs]
        draw = kernel_initializer(self.kernel_initializer, contracted)
        params = {"kernel": draw(kernel_key, equation.kernel_shape(sizes), self.param_dtype)}
        if self.bias_axes is not None:
            shape = equation.bias_shape(sizes, self.bias_axes)
            params["bias"] = initializer(self.bias_initializer)(bias_key, shape, self.param_dtype)
        return params

    def call(self, params: Any, inputs: Any) -> Any:
        """The inputs mapped as the equation says."""
        bias = None if self.bias_axes is None else params["bias"]
        y = ops.einsum_dense(inputs, params["kernel"], bias, equation=self.equation)
        return _activated(y, self.activation)


def _activated(y: Any, option: Activation) -> Any:
    """The activation of the result of an affine map, whose padding holds the bias."""
    return y if option is None else apply(activation(option), y, has_finite_gradient=has_finite_gradient(option))
