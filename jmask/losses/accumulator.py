"""Sums that are added up over batches and devices, then divided once."""

import dataclasses
import functools
import operator
from typing import TYPE_CHECKING, Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool

from ..core.display import is_concrete
from ..core.errors import report_not_counted

# JAX rebuilds a pytree with anything in its leaves (axes, shardings, None), so they are not checked at run time.
if TYPE_CHECKING:
    Leaf = Array
else:
    Leaf = Any

S = TypeVar("S", bound="Sums")


class Sums:
    """A frozen pytree of sums: `+` adds two of them, `sum` a list of them, and `psum` those of all devices.

    Adding 0 changes nothing, so `total = 0; total += metric` works. `.value` divides. If nothing was counted, it is the
    documented value, with a `jm.NotCountedWarning` (a `jm.NotCountedError` under `jm.strict()`) if the sums are
    concrete; `.value_or(x)` is `x` instead, without a warning.

    Sums are float32, or float64 if the data are. Over very many steps, add them up in double precision on the host,
    `sum(jax.tree.map(np.float64, sums) for sums in batches)`.
    """

    @property
    def is_empty(self) -> Bool[ArrayLike, "..."] | bool:
        """Whether too little was counted to give a value."""
        raise NotImplementedError

    @property
    def value(self) -> Array:
        """The result: the sums divided, as the function that made them says."""
        return value_of(self)

    def value_or(self, nothing: ArrayLike) -> Array:
        """The value, or `nothing` where nothing was counted.

        Args:
            nothing: a number such as `jnp.nan`, or an array that broadcasts against the value.

        Returns:
            The same as `.value`, without a warning.

        >>> import jax.numpy as jnp, jmask as jm
        >>> batch = jm.from_lengths(jnp.ones((2, 3)), [0, 0])
        >>> float(jm.metrics.mean(batch).value_or(jnp.nan))
        nan
        """
        return jnp.where(self.is_empty, nothing, self._value())

    def _value(self) -> Array:
        raise NotImplementedError

    def __add__(self: S, other: S | int | float | np.number) -> S:
        if _is_zero(other):
            return self
        if type(other) is not type(self):
            what = f"{type(self).__name__} and {type(other).__name__}"
            raise TypeError(f"Sums add up if they are of one kind, or with 0; received {what}.")
        ours, theirs = jax.tree.structure(self), jax.tree.structure(other)
        if ours != theirs:
            raise ValueError(
                f"Sums add up if they were made with the same options; received {ours} and {theirs}. Use one call for "
                "all batches."
            )
        return jax.tree.map(operator.add, self, other)

    __array_ufunc__ = None  # so that a NumPy zero leaves the addition to this class

    def __radd__(self: S, other: S | int | float | np.number) -> S:
        return self + other

    def psum(self: S, axis_name: Any) -> S:
        """The sums over all devices, inside `jax.shard_map` or `jax.vmap` with this axis.

        Args:
            axis_name: the name of the axis, or a tuple of names.

        Returns:
            The same sums on each device.
        """
        # One at a time: jax 0.7.2 cannot differentiate a sum of several arrays if one of them is constant.
        return jax.tree.map(lambda leaf: jax.lax.psum(leaf, axis_name), self)


@functools.partial(jax.tree_util.register_dataclass, data_fields=("total", "count"), meta_fields=())
@dataclasses.dataclass(frozen=True)
class Mean(Sums):
    """A mean before its division, so that batches and devices add up exactly, however many real steps each has.

    A mean of means would give the steps of a short batch more weight than those of a long one. Inside `jax.shard_map`
    or `jax.vmap(axis_name="batch")` each device has its own steps, and `mean.psum("batch").value` is the mean over all
    of them; under `jax.jit` alone, sharded arrays need nothing more, since every sum already covers all devices.

    Losses with `divide=False` and metrics return one; build one for the initial value of a scan,
    `jm.losses.Mean(jnp.zeros(()), jnp.zeros(()))`.

    Attributes:
        total: the sum, weighted if there are weights.
        count: the number to divide by: of steps or sequences, or the sum of the weights.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x, y = (jm.from_lengths(jnp.array([[1.0, 2.0, 3.0]]), [n]) for n in (3, 1))
    >>> mean = sum(jm.losses.squared_error(batch, batch * 0, divide=False) for batch in (x, y))
    >>> mean
    Mean(total=Array(15., dtype=float32), count=Array(4., dtype=float32))
    >>> float(mean.value)
    3.75
    """

    total: Leaf
    count: Leaf

    @property
    def is_empty(self) -> Bool[ArrayLike, "..."] | bool:
        """Whether the count is 0."""
        return self.count == 0

    def _value(self) -> Array:
        """`total / count`; 0 where nothing was counted, with a gradient of 0."""
        return ratio(self.total, self.count)


def value_of(sums: Sums, name: str = "") -> Array:
    """`sums.value`; the warning names the loss or metric `name`."""
    is_empty = sums.is_empty
    if (isinstance(is_empty, bool) or is_concrete(is_empty)) and np.any(is_empty):
        whose = f"`{name}`" if name else f"`{type(sums).__name__}.value`"
        remedy = "`.value_or(jnp.nan)` gives something else" + (" of sums, `divide=False`" if name else "")
        report_not_counted(
            f"{whose}: nothing was counted that a value could be made of (is any step real?), so it is the "
            f"documented value of nothing. {remedy}; `.value_or(0.0)` says that this is meant."
        )
    return sums._value()


def _is_zero(other: Any) -> bool:
    return isinstance(other, (int, float, np.number)) and not isinstance(other, bool) and bool(other == 0)


def ratio(total: Any, count: Any) -> Array:
    """`total / count`; 0 if `count` is."""
    nothing = count == 0
    return jnp.where(nothing, 0, total / jnp.where(nothing, 1, count))
