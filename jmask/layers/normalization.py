"""Normalisation of each step, or of each sequence over its real steps."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from .. import ops
from ..core.masked import Masked
from ..ops.linear import check_feature_axis
from ..ops.normalization import group_size
from ..protocol.fields import Dtype, NotNegative
from ..protocol.layer import Layer
from ..protocol.masks import reaches
from .base import BaseMaskedLayer


class LayerNormalization(BaseMaskedLayer):
    """Layer normalisation over the features of each step (see `jm.ops.layer_norm`).

    Attributes:
        epsilon: added to the variance.
        center: whether there is an offset, `beta`.
        scale: whether there is a factor, `gamma`.
        param_dtype: dtype of the parameters.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> layer, x = jm.layers.LayerNormalization(epsilon=0.0), jnp.array([[1.0, 3.0]])
    >>> layer.apply(layer.init(jax.random.key(0), x), x).tolist()
    [[-1.0, 1.0]]
    """

    supports_masking = True

    _: dataclasses.KW_ONLY
    epsilon: NotNegative = 1e-3
    center: bool = True
    scale: bool = True
    param_dtype: Dtype = "float32"

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"gamma": (features,), "beta": (features,)}`."""
        check_feature_axis(inputs, "LayerNormalization")
        return _scale_and_offset(self, inputs.shape[-1])

    def call(self, params: Any, inputs: Any) -> Any:
        """The normalised inputs, in their shape and with their mask."""
        return ops.layer_norm(inputs, *_read(self, params), epsilon=self.epsilon)


class RMSNormalization(BaseMaskedLayer):
    """Normalisation of each step by the root of its mean square (see `jm.ops.rms_norm`).

    Attributes:
        epsilon: added to the mean square.
        param_dtype: dtype of the factor, `scale`.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> layer, x = jm.layers.RMSNormalization(epsilon=0.0), jnp.array([[4.0, 4.0]])
    >>> layer.apply(layer.init(jax.random.key(0), x), x).tolist()
    [[1.0, 1.0]]
    """

    supports_masking = True

    _: dataclasses.KW_ONLY
    epsilon: NotNegative = 1e-6
    param_dtype: Dtype = "float32"

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"scale": (features,)}`."""
        check_feature_axis(inputs, "RMSNormalization")
        return {"scale": jnp.ones(inputs.shape[-1], self.param_dtype)}

    def call(self, params: Any, inputs: Any) -> Any:
        """The normalised inputs, in their shape and with their mask."""
        return ops.rms_norm(inputs, params["scale"], epsilon=self.epsilon)


class UnitNormalization(BaseMaskedLayer):
    """Division by the Euclidean norm; along a masked axis, the norm of the real steps (see `jm.ops.unit_norm`).

    Attributes:
        axis: the axis or axes along which the norm becomes 1; 1 is time for `(batch, time, features)`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.layers.UnitNormalization()(jnp.array([[0.0, 2.0]])).tolist()
    [[0.0, 1.0]]
    """

    axis: int | Sequence[int] = -1

    def _uses_mask(self, inputs: Any = None) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """Whether one of the axes is masked."""
        return reaches(self.axis, inputs)

    def call(self, params: Any, inputs: Any) -> Any:
        """The normalised inputs, in their shape and with their mask."""
        return ops.unit_norm(inputs, self.axis)


class GroupNormalization(Layer):
    """Normalisation of groups of features over the real steps of each sequence (see `jm.ops.group_norm`).

    Inputs: `(batch, time, ..., features)`; or vectors `(batch, features)` with a mask `(batch,)`, each normalised
    separately.

    Attributes:
        groups: number of groups of neighbouring features, a divisor of the number of features; -1 for one group per
            feature (instance normalisation).
        epsilon: added to the variance.
        center: whether there is an offset, `beta`.
        scale: whether there is a factor, `gamma`.
        param_dtype: dtype of the parameters.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[[1.0], [3.0], [jnp.nan]]]), [2])
    >>> layer = jm.layers.GroupNormalization(1, epsilon=0.0)
    >>> layer.apply(layer.init(jax.random.key(0), x), x).fill(0).ravel().tolist()
    [-1.0, 1.0, 0.0]
    """

    raw_inputs = True
    supports_packing = True

    groups: int = 32
    _: dataclasses.KW_ONLY
    epsilon: NotNegative = 1e-3
    center: bool = True
    scale: bool = True
    param_dtype: Dtype = "float32"

    def __post_init__(self) -> None:
        """Validates the number."""
        if self.groups != -1 and self.groups < 1:
            raise ValueError(f"`groups` of `GroupNormalization` is 1 or more, or -1; received {self.groups}.")

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"gamma": (features,), "beta": (features,)}`."""
        check_feature_axis(inputs, "GroupNormalization")
        group_size(inputs.shape[-1], self.groups)  # raises before there are parameters
        return _scale_and_offset(self, inputs.shape[-1])

    def call(self, params: Any, inputs: Any) -> Any:
        """The normalised inputs, in their shape and with their mask."""
        options = {"groups": self.groups, "epsilon": self.epsilon}
        if isinstance(inputs, Masked) and inputs.mask.ndim == 1:  # a batch of vectors, each with its own statistics
            return inputs.with_values(ops.group_norm(inputs.fill(0), *_read(self, params), **options))
        return ops.group_norm(inputs, *_read(self, params), **options)


def _scale_and_offset(layer: LayerNormalization | GroupNormalization, features: int) -> dict[str, Any]:
    """The parameters that the layer uses."""
    params = {}
    if layer.scale:
        params["gamma"] = jnp.ones(features, layer.param_dtype)
    if layer.center:
        params["beta"] = jnp.zeros(features, layer.param_dtype)
    return params


def _read(layer: LayerNormalization | GroupNormalization, params: Any) -> tuple[Any, Any]:
    """The factor and the offset, None if the layer does not use it."""
    return params["gamma"] if layer.scale else None, params["beta"] if layer.center else None
