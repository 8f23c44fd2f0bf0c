"""Layers that create masks: embedding vectors for ids, and steps marked by a value."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from .. import ops
from ..core.arithmetic import intersect_masks
from ..core.masked import mask_of, values_of
from ..protocol.fields import Dtype, Number, Size
from ..protocol.layer import Layer
from ..protocol.options import Initializer, initializer


class Embedding(Layer):
    """A vector for each id.

    Inputs: integer ids of any shape, such as `(batch, time)`. Outputs: `(batch, time, output_dim)`, with the mask of
    the ids; with `mask_zero`, id 0 is masked as well. An id outside `[0, input_dim)` gives NaN (see `jm.ops.embed`). An
    empty row passes no gradient.

    Attributes:
        input_dim: size of the vocabulary.
        output_dim: length of a vector.
        embeddings_initializer: by name or as `(key, shape, dtype)`.
        mask_zero: whether id 0 is padding.
        param_dtype: dtype of the table.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.layers.Embedding(9, 4, mask_zero=True).compute_mask(jnp.array([[5, 0]])).tolist()
    [[True, False]]
    """

    supports_packing = True

    input_dim: Size
    output_dim: Size
    _: dataclasses.KW_ONLY
    embeddings_initializer: Initializer = "uniform"
    mask_zero: bool = False
    param_dtype: Dtype = "float32"

    def init(self, key: Any, *inputs: Any) -> dict[str, Any]:
        """`{"embeddings": (input_dim, output_dim)}`."""
        shape = (self.input_dim, self.output_dim)
        return {"embeddings": initializer(self.embeddings_initializer)(key, shape, self.param_dtype)}

    def call(self, params: Any, inputs: Any) -> Any:
        """`(batch, time)` -> `(batch, time, output_dim)`."""
        return ops.embed(inputs, params["embeddings"])

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The mask of the ids; with `mask_zero`, id 0 is masked as well."""
        mask = mask_of(inputs) if mask is None else mask
        return intersect_masks(mask, values_of(inputs) != 0) if self.mask_zero else mask


class Masking(Layer):
    """Masks the steps in which every feature equals `mask_value`.

    Inputs: `(batch, time, features)`. Outputs: the same, zero at masked steps, with the mask `(batch, time)`; a step
    that was padding before stays padding.

    Attributes:
        mask_value: the value that marks padding; NaN works too.

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
        """True at steps with any feature that is not `mask_value`."""
        inputs, mask = values_of(inputs), mask_of(inputs) if mask is None else mask
        if inputs.ndim < 2:
            raise ValueError(f"`Masking` needs a feature axis behind the steps; received values {inputs.shape}.")
        is_value = jnp.isnan(inputs) if self.mask_value != self.mask_value else inputs == self.mask_value
        return intersect_masks(mask, ~jnp.all(is_value, axis=-1))
