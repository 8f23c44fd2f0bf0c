"""The identity, and a user's function as a layer."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, Literal

from ..protocol.layer import Layer
from .base import BaseMaskedLayer


class Identity(BaseMaskedLayer):
    """Returns its inputs unchanged, masks included: an array, a `Masked`, or a nest of them.

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

    The mask is dropped, with a warning, unless the function is declared to treat every step independently
    (`supports_masking=True`), can be proved to (`supports_masking="auto"`), or `mask` computes the new mask. A mask of
    rows, `(batch,)`, as pooling returns it, is kept wherever that can be proved.

    Attributes:
        function: a function of the values; if it has a parameter `mask`, it receives the mask.
        mask: a function `(inputs, mask) -> mask` for the masks of the outputs.
        supports_masking: whether the function treats every step independently; `"auto"`: where that can be proved.
        supports_packing: whether it accepts packed rows, of which it sees only the values (see `jm.Layer`). So does a
            function with `supports_masking=True` that does not ask for the mask; any other gets a row for each
            sequence, which needs `num_sequences`.

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
        """The result of the function."""
        return self.function(inputs, mask=mask) if _asks_for_mask(self.function) else self.function(inputs)

    @property
    def _uses_mask(self) -> bool:  # pyright: ignore[reportIncompatibleVariableOverride] - here it depends
        """Whether the function has a parameter `mask`."""
        return _asks_for_mask(self.function)

    @property
    def _keeps_sequences_apart(self) -> bool:
        """Whether the function is declared to treat every step independently."""
        is_stepwise = self.supports_masking is True and self.mask is None and not _asks_for_mask(self.function)
        return self.supports_packing or is_stepwise

    @property
    def changes_mask(self) -> bool:
        """Whether `mask` was given."""
        return self.mask is not None

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The result of the function `mask`."""
        return super().compute_mask(inputs, mask) if self.mask is None else self.mask(inputs, mask)


def _asks_for_mask(function: Callable[..., Any]) -> bool:
    try:
        return "mask" in inspect.signature(function).parameters
    except ValueError:  # builtins without a signature
        return False
