"""Noise layers, active only in training; padding never changes what is drawn."""

from typing import Any

from .. import ops
from ..protocol.fields import NotNegative, Rate, RateBelowOne
from ..protocol.row_masks import over_time
from .base import BaseMaskedLayer, missing_key


class Dropout(BaseMaskedLayer):
    """Dropout in training, the identity otherwise; the padding does not change the draw (see `jm.ops.dropout`).

    Attributes:
        rate: probability in `[0, 1]` of setting an entry to zero.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.layers.Dropout(0.5)(jnp.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    supports_masking = True

    rate: Rate

    def call(self, params: Any, inputs: Any, training: bool = False, key: Any = None) -> Any:
        """The inputs; in training, some entries are set to zero and the rest scaled up."""
        return ops.dropout(inputs, self.rate, _needed(key)) if training and self.rate > 0 else inputs


class SpatialDropout1D(BaseMaskedLayer):
    """Drops whole features of a sequence in training, the identity otherwise (see `jm.ops.spatial_dropout`).

    Attributes:
        rate: probability in `[0, 1]` of setting a feature of a sequence to zero.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.layers.SpatialDropout1D(0.5)(jnp.ones((1, 2, 1))).tolist()
    [[[1.0], [1.0]]]
    """

    supports_masking = True

    rate: Rate

    @over_time
    def call(self, params: Any, inputs: Any, training: bool = False, key: Any = None) -> Any:
        """`(batch, time, features)`; in training, some features are set to zero and the rest scaled up."""
        return ops.spatial_dropout(inputs, self.rate, _needed(key)) if training and self.rate > 0 else inputs


class GaussianDropout(BaseMaskedLayer):
    """Multiplies by noise around 1 in training, the identity otherwise (see `jm.ops.gaussian_dropout`).

    Attributes:
        rate: number in `[0, 1)`; the noise has the variance of dropout at this rate.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.layers.GaussianDropout(0.5)(jnp.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    supports_masking = True

    rate: RateBelowOne

    def call(self, params: Any, inputs: Any, training: bool = False, key: Any = None) -> Any:
        """The inputs; in training, multiplied by noise."""
        return ops.gaussian_dropout(inputs, self.rate, _needed(key)) if training and self.rate > 0 else inputs


class GaussianNoise(BaseMaskedLayer):
    """Adds noise around 0 in training, the identity otherwise (see `jm.ops.gaussian_noise`).

    Attributes:
        stddev: standard deviation of the noise.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.layers.GaussianNoise(0.5)(jnp.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    supports_masking = True

    stddev: NotNegative

    def call(self, params: Any, inputs: Any, training: bool = False, key: Any = None) -> Any:
        """The inputs; in training, with noise added."""
        return (
            ops.gaussian_noise(inputs, self.stddev, _needed(key, "noise")) if training and self.stddev > 0 else inputs
        )


class AlphaDropout(BaseMaskedLayer):
    """Dropout that keeps mean and variance after SELU in training, else the identity (see `jm.ops.alpha_dropout`).

    Attributes:
        rate: probability in `[0, 1)` of setting an entry to SELU's limit for large negative inputs.

    >>> import jax, jax.numpy as jnp, jmask as jm
    >>> jm.layers.AlphaDropout(0.5)(jnp.ones(3)).tolist()
    [1.0, 1.0, 1.0]
    """

    supports_masking = True

    rate: RateBelowOne

    def call(self, params: Any, inputs: Any, training: bool = False, key: Any = None) -> Any:
        """The inputs; in training, some entries are replaced and all are scaled and shifted."""
        return ops.alpha_dropout(inputs, self.rate, _needed(key)) if training and self.rate > 0 else inputs


def _needed(key: Any, what: str = "dropout") -> Any:
    """The key; raises if it is missing."""
    if key is None:
        raise missing_key(what)
    return key
