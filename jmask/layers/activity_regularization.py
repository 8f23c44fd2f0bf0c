"""Activity regularization: a penalty inside a model, which is returned in the state."""

import dataclasses
from typing import Any

import jax.numpy as jnp

from .. import ops
from ..protocol.fields import NotNegative
from .base import BaseMaskedLayer


class ActivityRegularization(BaseMaskedLayer):
    """The identity; its penalty, `l1 * sum(abs(x)) + l2 * sum(x**2)` of each sequence, is to be added to the loss.

    A pure model has no list of losses. The penalty is in the state that `apply_with_state` returns, where
    `jm.losses.penalties` finds it. It is the mean over the sequences of the batch that have a real step (in Keras every
    sequence does, see `jm.ops.activity_penalty`); under `jax.shard_map`, over those on the device. Every call of
    `apply_with_state` starts from 0, and a layer that is called twice in it has the sum of both penalties. `apply`
    cannot return a penalty, so it raises in training.

    Inputs: any array, with or without a mask. Outputs: the same. An empty row adds nothing and passes no gradient. Like
    every layer that counts the rows of a batch, it belongs outside `jm.layers.TimeDistributed`, where each step is a
    row.

    Attributes:
        l1: factor of the absolute values, 0 or more.
        l2: factor of the squares, 0 or more.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> model = jm.Sequential([jm.layers.Dense(3), jm.layers.ActivityRegularization(l1=0.01)])
    >>> x = jm.from_lengths(jnp.ones((2, 4, 5)), [4, 2])
    >>> params, state = model.init(jax.random.key(0), x), model.init_state(x)
    >>> def loss(params, state):
    ...     y, state = model.apply_with_state(params, state, x, training=True)
    ...     return jm.losses.squared_error(y, y * 0 + 1) + jm.losses.penalties(state), state
    >>> gradients, state = jax.grad(loss, has_aux=True)(params, state)
    >>> jax.tree.map(jnp.shape, state)
    {'activity_regularization': {'penalty': ()}}
    """

    supports_masking = True
    resets_state = True

    _: dataclasses.KW_ONLY
    l1: NotNegative = 0.0
    l2: NotNegative = 0.0

    def init_state(self, inputs: Any) -> dict[str, Any]:
        """`{"penalty": 0.0}`, in at least float32."""
        return {"penalty": jnp.zeros((), jnp.promote_types(inputs.dtype, jnp.float32))}

    def call(self, params: Any, inputs: Any, state: Any = None) -> Any:
        """The inputs, and the penalty so far."""
        so_far = state["penalty"]
        penalty = ops.activity_penalty(inputs.astype(so_far.dtype), l1=self.l1, l2=self.l2, reduction="sequences")
        return inputs, {"penalty": so_far + penalty}
