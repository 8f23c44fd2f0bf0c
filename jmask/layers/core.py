"""Layers that treat every step alone: maps of features, a user's functions, and the two that make masks."""

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp

from .. import ops
from ..core.arithmetic import intersect_masks
from ..core.masked import mask_of, values_of
from ..ops.activations import apply
from ..ops.einsum import Equation, parse
from ..ops.linear import check_feature_axis
from ..protocol.fields import Dtype, Number, Size
from ..protocol.layer import Layer
from ..protocol.options import Activation, Initializer, activation, has_finite_gradient, initializer, kernel_initializer
from .base import BaseMaskedLayer


class Embedding(Layer):
    """A vector for each id.

    Inputs: integer ids of any shape, `(batch, time)`. Outputs: `(batch, time, output_dim)`, with the mask of the
    ids; with `mask_zero`, ids 0 are masked as well. An id outside `[0, input_dim)` gives NaN (see `jm.ops.embed`). An
    empty row passes no gradient.

    Attributes:
        input_dim: size of the vocabulary.
        output_dim: length of a vector.
        mask_zero: whether id 0 is padding.
        embeddings_initializer: by name or as `(key, shape, dtype)`.
        param_dtype: dtype of the table.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.layers.Embedding(9, 4, mask_zero=True).compute_mask(jnp.array([[5, 0]])).tolist()
    [[True, False]]
    """

    supports_packing = True

    input_dim: Size
    output_dim: Size
    _: dataclasses.KW_ONLY
    mask_zero: bool = False
    embeddings_initializer: Initializer = "uniform"
    param_dtype: Dtype = "float32"

    def init(self, key: Any, *inputs: Any) -> dict[str, Any]:
        """`{"embeddings": (input_dim, output_dim)}`."""
        shape = (self.input_dim, self.output_dim)
        return {"embeddings": initializer(self.embeddings_initializer)(key, shape, self.param_dtype)}

    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time)` -> `(batch, time, output_dim)`."""
        return ops.embed(inputs, params["embeddings"])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the ids, without ids 0 if `mask_zero`."""
        mask = mask_of(inputs) if mask is None else mask
        return intersect_masks(mask, values_of(inputs) != 0) if self.mask_zero else mask


class Masking(Layer):
    """Masks the steps in which every feature equals `mask_value`.

    Inputs: `(batch, time, features)`. Outputs: the same, zero at masked steps, with the mask `(batch, time)`; a step
    that was padding before stays padding.

    Attributes:
        mask_value: the value that marks padding; NaN is found too.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Masking()(jnp.array([[[3.0], [0.0]]])).mask.tolist()
    [[True, False]]
    """

    supports_packing = True

    mask_value: Number = 0.0

    def call(self, params: Any, inputs: Any, mask: Any = None) -> Any:
        """`(batch, time, features)`, zero at masked steps."""
        return jnp.where(self.compute_mask(inputs, mask)[..., None], inputs, jnp.zeros((), inputs.dtype))

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """Steps with any feature that is not `mask_value`."""
        inputs, mask = values_of(inputs), mask_of(inputs) if mask is None else mask
        if inputs.ndim < 2:
            raise ValueError(f"`Masking` needs a feature axis behind the steps; received values {inputs.shape}.")
        is_value = jnp.isnan(inputs) if self.mask_value != self.mask_value else inputs == self.mask_value
        return intersect_masks(mask, ~jnp.all(is_value, axis=-1))


class Dense(BaseMaskedLayer):
    """The affine map `activation(x @ kernel + bias)` of every step.

    Inputs: `(batch, time, features)` or any array with a feature axis at the end. Outputs: `(batch, time, units)`
    with the same mask.

    Attributes:
        units: length of an output vector.
        activation: an elementwise function, by name or itself.
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

    Inputs: `(batch, time, ...)`. Outputs: what the equation says, with the same mask, whose axes it must leave in place
    at the front (see `jm.ops.einsum_dense`). A parameter has no axis for batch or time.

    Attributes:
        equation: `"abc,cd->abd"`, inputs and kernel to outputs; `...` may begin or end both inputs and outputs.
        output_shape: the sizes of the outputs after the first axis, without those of `...`; None for a size that the
            inputs have. With `...` in front there is no first axis to leave out.
        activation: an elementwise function, by name or itself.
        bias_axes: the letters of the outputs along which there is a bias; None for no bias.
        kernel_initializer: by name or as `(key, shape, dtype)`. By name it draws a matrix, from all contracted axes
            to all others.
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
        """`{"kernel": ..., "bias": ...}`, in the shapes that the equation gives them."""
        kernel_key, bias_key = jax.random.split(key)
        equation = Equation.of(self.equation, inputs.ndim)
        sizes = equation.sizes(inputs.shape, self.output_shape)
        contracted = [axis for axis, letter in enumerate(equation.kernel) if letter not in equation.outputs]
        draw = kernel_initializer(self.kernel_initializer, contracted)
        params = {"kernel": draw(kernel_key, equation.kernel_shape(sizes), self.param_dtype)}
        if self.bias_axes is not None:
            shape = equation.bias_shape(sizes, self.bias_axes)
            params["bias"] = initializer(self.bias_initializer)(bias_key, shape, self.param_dtype)
        return params

    def call(self, params: Any, inputs: Any) -> Any:
        """What the equation makes of the inputs."""
        bias = None if self.bias_axes is None else params["bias"]
        y = ops.einsum_dense(inputs, params["kernel"], bias, equation=self.equation)
        return _activated(y, self.activation)


class Identity(BaseMaskedLayer):
    """Hands its inputs on as they are, masks included: an array, a `Masked`, or a nest of them.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Identity()(jnp.ones(2)).tolist()
    [1.0, 1.0]
    """

    supports_masking = True

    def call(self, params: Any, inputs: Any) -> Any:
        """The inputs."""
        return inputs


class Lambda(Layer):
    """A function as a layer, without parameters.

    Its mask is dropped, with a warning, unless the function is declared to treat every step alone
    (`supports_masking=True`), can be proved to (`supports_masking="auto"`), or `mask` says what becomes of the mask. A
    mask of rows, `(batch,)`, which pooling leaves, goes on wherever that can be proved.

    Attributes:
        function: a function of the values; if it has a parameter `mask`, it receives the mask.
        mask: a function `(inputs, mask) -> mask` for the masks of the outputs.
        supports_masking: whether the function treats every step alone; `"auto"` for where that can be proved.
        supports_packing: whether it may be given packed rows, of which it sees the values (see `jm.Layer`).

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.Lambda(jnp.square, supports_masking=True)(jm.from_lengths(jnp.array([[3.0, 4.0]]), [1]))
    Masked(float32[1, 2], lengths=[1])
    [[9 ·]]
    """

    function: Callable[..., Any]
    _: dataclasses.KW_ONLY
    mask: Callable[..., Any] | None = None
    supports_masking: bool | Literal["auto"] = False  # pyright: ignore[reportIncompatibleVariableOverride] - a hyperparameter here
    supports_packing: bool = False  # pyright: ignore[reportIncompatibleVariableOverride] - a hyperparameter here

    def call(self, params: Any, inputs: Any, mask: Any = None) -> Any:
        """What the function returns."""
        return self.function(inputs, mask=mask) if _asks_for_mask(self.function) else self.function(inputs)

    @property
    def _uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """Whether the function has a parameter `mask`."""
        return _asks_for_mask(self.function)

    @property
    def changes_mask(self) -> bool:
        """Whether `mask` was given."""
        return self.mask is not None

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """What `mask` says."""
        return super().compute_mask(inputs, mask) if self.mask is None else self.mask(inputs, mask)


def _asks_for_mask(function: Callable[..., Any]) -> bool:
    try:
        return "mask" in inspect.signature(function).parameters
    except ValueError:  # builtins without a signature
        return False


def _activated(y: Any, option: Activation) -> Any:
    """The activation of what an affine map gives, whose padding is a bias."""
    return y if option is None else apply(activation(option), y, has_finite_gradient=has_finite_gradient(option))
