"""Batch normalisation, the layer with running statistics."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp

from .. import ops
from ..protocol.fields import Dtype, NotNegative, Rate
from ..protocol.options import Initializer, initializer
from .base import BaseMaskedLayer


class BatchNormalization(BaseMaskedLayer):
    """Normalises each feature by its mean and variance over the batch's real steps; at inference by running statistics.

    The running statistics are not parameters: `state = layer.init_state(x)`, then
    `outputs, state = layer.apply_with_state(params, state, x, training=True)`. In training they are updated by
    `moving = momentum * moving + (1 - momentum) * batch`; a batch without a real step leaves them unchanged.

    Inputs: `(batch, time, features)` or any array with a feature axis. Outputs: the same, with the same mask.

    If a training batch is sharded over devices, the moments are those of the whole batch under `jax.jit`; under
    `jax.shard_map` (or `jax.vmap`), pass `axis_name` for the same effect.

    Attributes:
        axis: the axis of the features.
        momentum: of the running statistics, in `[0, 1]`.
        epsilon: added to the variance.
        center: whether there is an offset, `beta`.
        scale: whether there is a factor, `gamma`.
        beta_initializer: by name or as `(key, shape, dtype)`.
        gamma_initializer: the same for the factor.
        moving_mean_initializer: the same for the running mean.
        moving_variance_initializer: the same for the running variance.
        axis_name: names of the mapped axes over which the batch is split.
        param_dtype: dtype of parameters and statistics.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> layer = jm.layers.BatchNormalization(momentum=0.5)
    >>> x = jm.from_lengths(jnp.array([[[1.0], [3.0], [9.0]]]), [2])
    >>> params, state = layer.init(jax.random.key(0), x), layer.init_state(x)
    >>> y, state = layer.apply_with_state(params, state, x, training=True)
    >>> state["moving_mean"].tolist(), state["moving_variance"].tolist()
    ([1.0], [1.0])
    """

    _: dataclasses.KW_ONLY
    axis: int = -1
    momentum: Rate = 0.99
    epsilon: NotNegative = 1e-3
    center: bool = True
    scale: bool = True
    beta_initializer: Initializer = "zeros"
    gamma_initializer: Initializer = "ones"
    moving_mean_initializer: Initializer = "zeros"
    moving_variance_initializer: Initializer = "ones"
    axis_name: Any = None
    param_dtype: Dtype = "float32"

    def init(self, key: Any, inputs: Any) -> dict[str, Any]:
        """`{"gamma": (features,), "beta": (features,)}`."""
        gamma_key, beta_key = jax.random.split(key)
        params = {}
        if self.scale:
            params["gamma"] = self._vector(self.gamma_initializer, gamma_key, inputs)
        if self.center:
            params["beta"] = self._vector(self.beta_initializer, beta_key, inputs)
        return params

    def init_state(self, inputs: Any) -> dict[str, Any]:
        """`{"moving_mean": (features,), "moving_variance": (features,)}`."""
        key = jax.random.key(0)  # initializers take one, but these are not random
        return {
            "moving_mean": self._vector(self.moving_mean_initializer, key, inputs),
            "moving_variance": self._vector(self.moving_variance_initializer, key, inputs),
        }

    def call(self, params: Any, inputs: Any, training: bool = False, state: Any = None) -> Any:
        """The normalised inputs, in their shape and with their mask, and the statistics."""
        mean, variance = state["moving_mean"], state["moving_variance"]
        if training:
            mean, variance, count = ops.batch_moments(inputs, axis=self.axis, axis_name=self.axis_name)
            batch = {"moving_mean": mean, "moving_variance": variance}
            state = {name: self._moved(state[name], batch[name], count) for name in batch}
        scale = params["gamma"] if self.scale else None
        offset = params["beta"] if self.center else None
        return ops.batch_norm(inputs, mean, variance, scale, offset, axis=self.axis, epsilon=self.epsilon), state

    def _moved(self, moving: Any, batch: Any, count: Any) -> Any:
        batch = jax.lax.stop_gradient(batch).astype(moving.dtype)
        return jnp.where(count > 0, self.momentum * moving + (1 - self.momentum) * batch, moving)

    def _vector(self, how: Initializer, key: Any, inputs: Any) -> Any:
        if not -inputs.ndim <= self.axis < inputs.ndim:
            raise ValueError(
                f"`BatchNormalization` normalises the features along axis {self.axis}, which its inputs of shape "
                f"{tuple(inputs.shape)} do not have; pass another `axis`."
            )
        return initializer(how)(key, (inputs.shape[self.axis],), self.param_dtype)
