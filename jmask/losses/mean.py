"""Sums that add up over batches and devices, and are divided once."""

import dataclasses
import functools
import operator
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array


class Sums:
    """A frozen pytree of sums: `+` merges two of them, `sum` those of a list, and `psum` those of all devices.

    Sums are float32, or float64 where the data are. Over very many steps add them up in double precision on the host,
    `sum(jax.tree.map(np.float64, sums) for sums in batches)`.
    """

    def __add__(self, other: Any) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        ours, theirs = jax.tree.structure(self), jax.tree.structure(other)
        if ours != theirs:
            raise ValueError(
                f"Sums add up if they were made with the same options; received {ours} and {theirs}. Use one call for "
                "all batches."
            )
        return jax.tree.map(operator.add, self, other)

    def __radd__(self, other: Any) -> Any:
        return self if type(other) is int and other == 0 else NotImplemented  # 0 is where `sum` begins

    def psum(self, axis_name: Any) -> Any:
        """The sums of all devices, under `jax.shard_map` or `jax.vmap` with this axis.

        Args:
            axis_name: as for `jax.lax.psum`.

        Returns:
            The same sums on each device.
        """
        # One at a time: jax 0.7.2 cannot differentiate a sum of several arrays if one of them is constant.
        return jax.tree.map(lambda leaf: jax.lax.psum(leaf, axis_name), self)


@functools.partial(jax.tree_util.register_dataclass, data_fields=("total", "count"), meta_fields=())
@dataclasses.dataclass(frozen=True)
class Mean(Sums):
    """A mean before its division, so that batches and devices merge exactly whatever their numbers of real steps.

    A mean of means would count the steps of a short batch for more than those of a long one. Under `jax.shard_map` or
    `jax.vmap(axis_name="batch")` each device has steps of its own, and `mean.psum("batch").value` is the mean over all;
    under `jax.jit` alone, sharded arrays need nothing, as every sum is over all devices already.

    Attributes:
        total: the sum, weighted where there are weights.
        count: what it is to be divided by.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x, y = (jm.from_lengths(jnp.array([[1.0, 2.0, 3.0]]), [n]) for n in (3, 1))
    >>> mean = sum(jm.losses.squared_error(batch, batch * 0, divide=False) for batch in (x, y))
    >>> mean
    Mean(total=Array(15., dtype=float32), count=Array(4., dtype=float32))
    >>> float(mean.value)
    3.75
    """

    total: Any
    count: Any

    @property
    def value(self) -> Array:
        """`total / count`; 0 where nothing was counted, with a gradient of 0."""
        return ratio(self.total, self.count)


def ratio(total: Any, count: Any) -> Array:
    """`total / count`, 0 where `count` is."""
    nothing = count == 0
    return jnp.where(nothing, 0, total / jnp.where(nothing, 1, count))
