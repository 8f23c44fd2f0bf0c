"""The values of a program while it runs on one padded row."""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from .sizes import Sizes


@dataclasses.dataclass(frozen=True, eq=False)
class Padded:
    """An array of a program that runs on one padded row.

    Along an axis whose size depends on a length (a ragged axis) the first entries are those that the program has on the
    sequence alone; the entries after them, the padding, hold anything.

    Attributes:
        array: the padded array.
        shape: its shape in the traced program, with symbolic sizes.
        sizes: the values of the symbolic sizes.
        has_safe_padding: whether all padding along a ragged axis is a copy of the first entry of that axis. Functions
            that are infinite somewhere, or have infinite slopes, are then no worse there than on the sequence alone.
            True where no axis is ragged.
        is_tangent: whether it depends on a tangent, so that everything computed from it must be linear.
        dim: for a scalar, the symbolic size that it equals, if known.
    """

    array: Any
    shape: tuple[Any, ...]
    sizes: Sizes
    has_safe_padding: bool = False
    is_tangent: bool = False
    dim: Any = None

    def __post_init__(self) -> None:
        """An array without ragged axes has no padding, so its padding is safe."""
        if not self.is_ragged:
            object.__setattr__(self, "has_safe_padding", True)

    @property
    def dtype(self) -> Any:
        """Dtype of the array."""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """Rank of the array."""
        return len(self.shape)

    @functools.cached_property
    def ragged_axes(self) -> tuple[int, ...]:
        """The axes whose sizes depend on a length."""
        return tuple(axis for axis, dim in enumerate(self.shape) if self.sizes.is_ragged(dim))

    @property
    def is_ragged(self) -> bool:
        """Whether there is a ragged axis."""
        return bool(self.ragged_axes)

    def size(self, axis: Any) -> Any:
        """The size of an axis without padding: an int, or along a ragged axis an int32 scalar."""
        return self.sizes.true_size(self.shape[axis])

    def valid(self, axes: Iterable[Any] | None = None) -> Any:
        """Whether each entry belongs to the sequence: bool that broadcasts against the array.

        Args:
            axes: the ragged axes to consider; None for all of them.
        """
        along = [self._valid_along(axis) for axis in (self.ragged_axes if axes is None else axes)]
        return functools.reduce(jnp.logical_and, along) if along else jnp.asarray(True)

    def fill(self, value: Any, axes: Iterable[Any] | None = None) -> Any:
        """The array with `value` in the padding along these axes, by default along all ragged axes."""
        axes = tuple(axis for axis in self.ragged_axes if axes is None or axis in axes)
        return select(self.valid(axes), self.array, value) if axes else self.array

    def with_safe_padding(self) -> "Padded":
        """The same value with safe padding, through which no gradient flows."""
        if self.has_safe_padding or 0 in self.array.shape:
            return self
        if self.is_tangent:
            return dataclasses.replace(self, array=self.fill(0), has_safe_padding=True)
        array = self.array
        for axis in self.ragged_axes:
            first = lax.stop_gradient(lax.slice_in_dim(array, 0, 1, axis=axis))
            if jnp.issubdtype(array.dtype, jnp.number):  # the first entry itself may be padding
                first = select(self.size(axis) > 0, first, 1)
            array = select(self._valid_along(axis), array, first)
        return dataclasses.replace(self, array=array, has_safe_padding=True)

    def take(self, indices: Any, axis: int) -> Any:
        """The entries at `indices` of an axis; indices beyond its ends are clipped."""
        return take_clipped(self.array, indices, axis)

    def _valid_along(self, axis: int) -> Any:
        steps = jnp.arange(self.array.shape[axis], dtype=jnp.int32)
        return jnp.expand_dims(steps < self.size(axis), [a for a in range(self.ndim) if a != axis])


def take_clipped(array: Any, indices: Any, axis: Any) -> Any:
    """The entries at `indices` of an axis, clipped to its ends; zeros if the axis is empty."""
    if array.shape[axis] == 0:
        array = jnp.zeros((*array.shape[:axis], 1, *array.shape[axis + 1 :]), array.dtype)
    return jnp.take(array, indices, axis=axis, mode="clip")


def select(condition: Any, array: Any, other: Any) -> Any:
    """`jnp.where` in the dtype of `array`; PRNG keys are unchanged, since no number is a key."""
    if jnp.issubdtype(array.dtype, jax.dtypes.extended):
        return jnp.where(condition, array, other) if getattr(other, "dtype", None) == array.dtype else array
    return jnp.where(condition, array, jnp.asarray(other, array.dtype))
