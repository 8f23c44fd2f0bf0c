"""Convolutions over time."""

import dataclasses
from typing import Any

import jax

from .. import ops
from ..core.masked import Masked
from ..ops.activations import apply
from ..ops.sliding import check_steps
from ..ops.windows import Padding, TransposedWindows, Windows
from ..protocol import options
from ..protocol.fields import Count, Dtype, Size
from ..protocol.options import Activation, Initializer, initializer
from ..protocol.row_masks import over_time, with_steps
from .base import BaseMaskedLayer

Shape = tuple[int, ...]


class Conv1D(BaseMaskedLayer):
    """Convolution over the steps of each sequence (see `jm.ops.conv`).

    Inputs: `(batch, time, features)`. Outputs: `(batch, places, filters)` with zeros in the padding. For `"same"` and
    `"causal"` with strides of 1 there are as many places as steps, with the mask of the inputs; otherwise each row has
    the places of its own sequence, at the front. An empty row, or one that is too short for any window, gives an empty
    row and passes no gradient. Packed rows raise an error unless `kernel_size` and `strides` are 1.

    Attributes:
        filters: number of features of an output step.
        kernel_size: number of steps in a window.
        strides: number of steps from one window to the next.
        padding: `"valid"`: windows lie within the sequence; `"same"`: there are `ceil(steps / strides)` windows, with
            zeros on both sides; `"causal"`: as many, with zeros before the first step.
        dilation_rate: number of steps from one entry of a window to the next.
        groups: number of groups of features and filters; each group is convolved separately.
        activation: an elementwise function, or its name.
        use_bias: whether there is a bias.
        kernel_initializer: by name or as `(key, shape, dtype)`.
        bias_initializer: the same for the bias.
        param_dtype: dtype of the parameters.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.ones((2, 5, 3)), [5, 1])
    >>> layer = jm.layers.Conv1D(4, 3, strides=2)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).lengths.tolist()
    [2, 0]
    """

    filters: Size
    kernel_size: Size
    _: dataclasses.KW_ONLY
    strides: Size = 1
    padding: Padding = "valid"
    dilation_rate: Size = 1
    groups: Size = 1
    activation: Activation = None
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    param_dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        """Validates the options."""
        Windows(self.kernel_size, self.strides, self.padding, self.dilation_rate)
        if self.filters % self.groups:
            raise ValueError(f"`filters` must be a multiple of `groups`; received {self.filters} and {self.groups}.")

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"kernel": (kernel_size, features / groups, filters), "bias": (filters,)}`."""
        features = num_features(inputs, "Conv1D")
        if features % self.groups:
            raise ValueError(f"The features must be a multiple of `groups`; received {features} and {self.groups}.")
        shape = (self.kernel_size, features // self.groups, self.filters)
        bias = (self.bias_initializer, (self.filters,))
        return make_params(self, key, kernel=(self.kernel_initializer, shape), bias=bias)

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, features)` -> `(batch, places, filters)`."""
        y = ops.conv(
            inputs,
            params["kernel"],
            params["bias"] if self.use_bias else None,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
            groups=self.groups,
        )
        return activated(y, self.activation)


class DepthwiseConv1D(BaseMaskedLayer):
    """Convolution of each feature separately (see `jm.ops.depthwise_conv`).

    Inputs: `(batch, time, features)`. Outputs: `(batch, places, features * depth_multiplier)`; places, masks, packed
    rows and the options not listed here are as in `Conv1D`. An empty row, or one that is too short for any window,
    gives an empty row and passes no gradient.

    Attributes:
        kernel_size: number of steps in a window.
        depth_multiplier: number of filters per feature.
        depthwise_initializer: of the kernel, by name or as `(key, shape, dtype)`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.ones((2, 5, 3)), [5, 1])
    >>> layer = jm.layers.DepthwiseConv1D(3, padding="same", depth_multiplier=2)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).shape
    (2, 5, 6)
    """

    kernel_size: Size
    _: dataclasses.KW_ONLY
    strides: Size = 1
    padding: Padding = "valid"
    depth_multiplier: Size = 1
    dilation_rate: Size = 1
    activation: Activation = None
    use_bias: bool = True
    depthwise_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    param_dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        """Validates the options."""
        Windows(self.kernel_size, self.strides, self.padding, self.dilation_rate)

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"kernel": (kernel_size, features, depth_multiplier), "bias": (features * depth_multiplier,)}`."""
        features = num_features(inputs, "DepthwiseConv1D")
        shape = (self.kernel_size, features, self.depth_multiplier)
        bias = (self.bias_initializer, (features * self.depth_multiplier,))
        return make_params(self, key, kernel=(self.depthwise_initializer, shape), bias=bias)

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, features)` -> `(batch, places, features * depth_multiplier)`."""
        y = ops.depthwise_conv(
            inputs,
            params["kernel"],
            params["bias"] if self.use_bias else None,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        return activated(y, self.activation)


class SeparableConv1D(BaseMaskedLayer):
    """Convolution of each feature separately, then a pointwise mix of the features (see `jm.ops.separable_conv`).

    Inputs: `(batch, time, features)`. Outputs: `(batch, places, filters)`; places, masks, packed rows and the options
    not listed here are as in `Conv1D`. An empty row, or one that is too short for any window, gives an empty row and
    passes no gradient.

    Attributes:
        filters: number of features of an output step.
        kernel_size: number of steps in a window.
        depth_multiplier: number of filters per feature before the pointwise step.
        depthwise_initializer: of the depthwise kernel, by name or as `(key, shape, dtype)`.
        pointwise_initializer: the same for the pointwise kernel.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.ones((2, 5, 3)), [5, 1])
    >>> layer = jm.layers.SeparableConv1D(4, 3)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).lengths.tolist()
    [3, 0]
    """

    filters: Size
    kernel_size: Size
    _: dataclasses.KW_ONLY
    strides: Size = 1
    padding: Padding = "valid"
    dilation_rate: Size = 1
    depth_multiplier: Size = 1
    activation: Activation = None
    use_bias: bool = True
    depthwise_initializer: Initializer = "glorot_uniform"
    pointwise_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    param_dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        """Validates the options."""
        Windows(self.kernel_size, self.strides, self.padding, self.dilation_rate)

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`depthwise_kernel` and `pointwise_kernel` as for `jm.ops.separable_conv`, and `bias`, `(filters,)`."""
        features = num_features(inputs, "SeparableConv1D")
        return make_params(
            self,
            key,
            depthwise_kernel=(self.depthwise_initializer, (self.kernel_size, features, self.depth_multiplier)),
            pointwise_kernel=(self.pointwise_initializer, (1, features * self.depth_multiplier, self.filters)),
            bias=(self.bias_initializer, (self.filters,)),
        )

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, features)` -> `(batch, places, filters)`."""
        y = ops.separable_conv(
            inputs,
            params["depthwise_kernel"],
            params["pointwise_kernel"],
            params["bias"] if self.use_bias else None,
            strides=self.strides,
            padding=self.padding,
            dilation_rate=self.dilation_rate,
        )
        return activated(y, self.activation)


class Conv1DTranspose(BaseMaskedLayer):
    """Transposed convolution over the steps of each sequence (see `jm.ops.conv_transpose`).

    Inputs: `(batch, time, features)`. Outputs: `(batch, steps, filters)`. Each row has the steps that its sequence
    alone would give, at the front, and zeros in the padding; if their number does not change, they have the mask of the
    inputs. An empty row gives an empty row and passes no gradient. Packed rows raise an error unless `kernel_size` and
    `strides` are 1. The options not listed here are as in `Conv1D`.

    Attributes:
        filters: number of features of an output step.
        kernel_size: number of steps in a window.
        strides: number of output steps per input step.
        padding: `"valid"`, or `"same"`: `steps * strides` output steps.
        output_padding: below `strides`; sets the number of output steps (see `jm.ops.conv_transpose`).
        kernel_initializer: by name or as `(key, shape, dtype)`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.ones((2, 5, 3)), [5, 1])
    >>> layer = jm.layers.Conv1DTranspose(4, 3, strides=2, padding="same")
    >>> layer.apply(layer.init(jax.random.key(0), x), x).lengths.tolist()
    [10, 2]
    """

    filters: Size
    kernel_size: Size
    _: dataclasses.KW_ONLY
    strides: Size = 1
    padding: Padding = "valid"
    output_padding: Count | None = None
    dilation_rate: Size = 1
    activation: Activation = None
    use_bias: bool = True
    kernel_initializer: Initializer = "glorot_uniform"
    bias_initializer: Initializer = "zeros"
    param_dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        """Validates the options."""
        TransposedWindows(self.kernel_size, self.strides, self.padding, self.dilation_rate, self.output_padding)

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"kernel": (kernel_size, filters, features), "bias": (filters,)}`."""
        shape = (self.kernel_size, self.filters, num_features(inputs, "Conv1DTranspose"))
        bias = (self.bias_initializer, (self.filters,))
        return make_params(self, key, kernel=(self.kernel_initializer, shape), bias=bias)

    @over_time
    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time, features)` -> `(batch, steps, filters)`."""
        y = ops.conv_transpose(
            inputs,
            params["kernel"],
            params["bias"] if self.use_bias else None,
            strides=self.strides,
            padding=self.padding,
            output_padding=self.output_padding,
            dilation_rate=self.dilation_rate,
        )
        return activated(y, self.activation)


def make_params(layer: Any, key: Any, **parameters: tuple[Initializer, Shape]) -> dict[str, Any]:
    """Parameters from their initializers and shapes; the last one is the bias, which the layer may not have."""
    keys = jax.random.split(key, len(parameters))
    return {
        name: initializer(option)(own, shape, layer.param_dtype)
        for own, (name, (option, shape)) in zip(keys, parameters.items(), strict=True)
        if name != "bias" or layer.use_bias
    }


def activated(y: Any, activation: Activation) -> Any:
    """The activation of every real step; padded steps are zeros, and stay zeros."""
    if activation is None:
        return y
    is_finite = options.has_finite_gradient(activation)
    y = apply(options.activation(activation), y, has_finite_gradient=is_finite)
    keeps_zeros = options.keeps_zeros(activation) or not isinstance(y, Masked)
    return y if keeps_zeros else y.with_values(y.fill(0))


def num_features(inputs: Any, name: str) -> int:
    """The number of features of inputs `(batch, time, features)`; raises for other ranks."""
    check_steps(with_steps(inputs), name)
    return inputs.shape[-1]
