"""Position encodings: learned vectors, sines, and rotations."""

import dataclasses
from typing import Any

from .. import ops
from ..ops.linear import check_feature_axis
from ..protocol.fields import Dtype, Positive, Size
from ..protocol.options import Initializer, initializer
from ..protocol.row_masks import over_time
from .base import BaseMaskedLayer


class PositionEmbedding(BaseMaskedLayer):
    """A learned vector for the position of each real step, to be added to it (see `jm.ops.position_embedding`).

    Inputs: `(batch, time, features)`; `offset`, how many real steps of each sequence came before, an integer or
    `(batch,)`; or `positions`, integers `(batch, time)`. Outputs have the shape and mask of the first input. Positions
    count real steps, in packed rows within each sequence. An empty row passes no gradient.

    Attributes:
        max_length: number of positions; a real step beyond it gives NaN, and a longer array raises an error.
        initializer: by name or as `(key, shape, dtype)`.
        param_dtype: dtype of the vectors.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> layer, x = jm.layers.PositionEmbedding(9), jm.from_lengths(jnp.ones((2, 7, 3)), [4, 7])
    >>> jm.layers.Add()([x, layer.apply(layer.init(jax.random.key(0), x), x)]).lengths.tolist()
    [4, 7]
    """

    max_length: Size
    _: dataclasses.KW_ONLY
    initializer: Initializer = "glorot_uniform"
    param_dtype: Dtype = "float32"

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"position_embeddings": (max_length, features)}`."""
        check_feature_axis(inputs, "PositionEmbedding")
        shape = (self.max_length, inputs.shape[-1])
        return {"position_embeddings": initializer(self.initializer)(key, shape, self.param_dtype)}

    @over_time
    def call(self, params: Any, inputs: Any, offset: Any = None, positions: Any = None) -> Any:
        """`(batch, time, features)` -> `(batch, time, features)`."""
        return ops.position_embedding(inputs, params["position_embeddings"], offset=offset, positions=positions)


class SinePositionEncoding(BaseMaskedLayer):
    """Sines and cosines of the position of each real step, to be added to it (see `jm.ops.sine_position_encoding`).

    Inputs: `(batch, time, features)`; `offset`, how many real steps of each sequence came before, an integer or
    `(batch,)`; or `positions` `(batch, time)`. Outputs have the shape, dtype and mask of the first input. Positions
    count real steps, in packed rows within each sequence.

    Attributes:
        max_wavelength: the longest wavelength, over 2 pi.

    References:
        Vaswani et al.: Attention Is All You Need, arXiv:1706.03762, section 3.5.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.SinePositionEncoding()(jnp.ones((1, 1, 4))).tolist()
    [[[0.0, 1.0, 0.0, 1.0]]]
    """

    _: dataclasses.KW_ONLY
    max_wavelength: Positive = 10000.0

    @over_time
    def call(self, params: Any, inputs: Any, offset: Any = None, positions: Any = None) -> Any:
        """`(batch, time, features)` -> `(batch, time, features)`."""
        places = {"offset": offset, "positions": positions}
        return ops.sine_position_encoding(inputs, max_wavelength=self.max_wavelength, **places)


class RotaryEmbedding(BaseMaskedLayer):
    """Rotates pairs of features by angles that grow with the position of each real step (see `jm.ops.rotary`).

    Dot products of queries and keys that are both rotated depend only on the difference of their positions.

    Inputs: `(batch, time, features)`, or `(batch, time, heads, features)`, an even number of features; `offset`, how
    many real steps of each sequence came before, an integer or `(batch,)`; or `positions` `(batch, time)`. Outputs have
    the shape, dtype and mask of the first input. Positions count real steps, in packed rows within each sequence. An
    empty row passes no gradient.

    Attributes:
        max_wavelength: the longest wavelength, over 2 pi.
        interleaved: whether a pair is two neighbouring features; by default it is a feature of the first half and its
            counterpart in the second half.

    References:
        Su et al.: RoFormer: Enhanced Transformer with Rotary Position Embedding, arXiv:2104.09864, equation 34.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.masked(jnp.ones((1, 3, 2)), jnp.array([[False, True, True]]))
    >>> jm.layers.RotaryEmbedding()(x)[0, 1].values.tolist()  # the first real step
    [1.0, 1.0]
    """

    _: dataclasses.KW_ONLY
    max_wavelength: Positive = 10000.0
    interleaved: bool = False

    @over_time
    def call(self, params: Any, inputs: Any, offset: Any = None, positions: Any = None) -> Any:
        """The rotated inputs, in their shape."""
        options = {"max_wavelength": self.max_wavelength, "interleaved": self.interleaved}
        return ops.rotary(inputs, **options, offset=offset, positions=positions)
