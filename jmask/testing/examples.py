"""Random sequences of given lengths, and their layout among the padding."""

import dataclasses
from collections.abc import Sequence
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from ..core.masked import Masked

Padding = Literal["right", "left", "holes"]
NUM_KINDS = 4  # of garbage, in addition to the harmless one


@dataclasses.dataclass(frozen=True)
class Example:
    """Everything about a batch except its numbers.

    Attributes:
        lengths: number of real steps of each row.
        time: number of steps.
        padding: where the padding is.
    """

    lengths: tuple[int, ...]
    time: int
    padding: Padding = "right"

    @property
    def mask(self) -> np.ndarray:
        """`(rows, time)`."""
        return layout(self.lengths, self.time, self.padding)

    def __str__(self) -> str:
        where = "with holes" if self.padding == "holes" else f"padding on the {self.padding}"
        return f"lengths {list(self.lengths)}, time {self.time}, {where}"


def random_masked(
    key: Any,
    lengths: Sequence[int],
    features: int | tuple[int, ...] = (),
    *,
    time: int | None = None,
    dtype: Any = "float32",
    maximum: int | None = None,
    padding: Padding = "right",
    padding_value: Any = None,
) -> Masked:
    """A random batch for tests, with NaN at padded positions, to expose code that reads them.

    The steps depend on the key, the lengths and the features, not on the padding: the same key gives the same
    sequences in every layout.

    Args:
        key: a PRNG key.
        lengths: number of real steps of each row; 0 makes an empty row.
        features: shape of a step.
        time: number of steps of the batch, by default one more than in the longest row.
        dtype: floats are normally distributed, integers are in `[0, maximum)`, bools are random.
        maximum: for integers, one more than the largest.
        padding: where the padding is: `"right"`, `"left"`, or `"holes"`, among the steps.
        padding_value: what the padding holds, by default NaN, or the largest number of the dtype.

    Returns:
        A `Masked`, values `(rows, time, *features)`, without a hint of its padding side.

    Raises:
        TypeError: `key` is no PRNG key, or `features` no shape.
        ValueError: lengths are no integers from 0 on, integers have no `maximum`, `time` is too short, or `padding` is
            unknown.

    >>> import jax, jmask as jm
    >>> x = jm.testing.random_masked(jax.random.key(0), [2, 0], dtype="int32", maximum=9, padding_value=-1)
    >>> x.shape, x.lengths.tolist(), x.values[1].tolist()
    ((2, 3), [2, 0], [-1, -1, -1])
    """
    if not hasattr(key, "dtype"):
        raise TypeError(f"`key` is a PRNG key, such as `jax.random.key(0)`; received {key!r:.80}.")
    if not isinstance(features, (int, np.integer, tuple)):
        raise TypeError(
            f"`features` is the shape of a step, a number or a tuple; received {features!r:.80}. Lengths go in by "
            "name, `lengths=[3, 1]`."
        )
    numbers = np.asarray(lengths)
    if numbers.ndim != 1 or (numbers.size and (numbers.dtype.kind not in "iu" or numbers.min() < 0)):
        raise ValueError(
            f"`lengths` are the numbers of steps of the rows, integers from 0 on, such as [3, 0, 5]; received "
            f"{lengths!r:.80}."
        )
    time = max(lengths, default=0) + 1 if time is None else time
    if max(lengths, default=0) > time:
        raise ValueError(f"`time` must be at least the longest of `lengths`; received {time} and {list(lengths)}.")
    features = features if isinstance(features, tuple) else (features,)
    some = list(lengths) or [0]  # so that a batch without rows has a dtype too
    rows = [draw_steps(key, row, (n, *features), dtype, maximum) for row, n in enumerate(some)]
    value = garbage(dtype, maximum)[0] if padding_value is None else padding_value
    return jax.tree.map(jnp.asarray, place(rows, layout(lengths, time, padding), value))


def layout(lengths: Sequence[int] | np.ndarray, time: int, padding: Padding) -> np.ndarray:
    """The mask `(rows, time)` of rows of these lengths."""
    mask = np.zeros((len(lengths), time), bool)
    for row, n in zip(mask, lengths, strict=True):
        if padding == "holes":  # as evenly as possible, the first step at the beginning and the last one at the end
            row[np.arange(n) * (time - 1) // max(n - 1, 1)] = True
        elif padding in ("right", "left"):
            row[:n] = True
        else:
            raise ValueError(f"`padding` must be 'right', 'left' or 'holes'; received {padding!r}.")
    return mask[:, ::-1] if padding == "left" else mask


def draw_steps(key: Any, row: int, shape: tuple[int, ...], dtype: Any, maximum: int | None) -> np.ndarray:
    """The steps of one row; for the same key and row, a shorter one is a prefix of a longer one."""
    dtype = jnp.dtype(dtype)
    data = jax.random.key_data(key) if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else key
    rng = np.random.default_rng([*np.asarray(data).ravel().tolist(), row])
    if jnp.issubdtype(dtype, jnp.inexact):
        return rng.normal(size=shape).astype(dtype)
    if dtype == bool:
        return rng.integers(0, 2, shape).astype(bool)
    if maximum is None:
        raise ValueError(f"Values of dtype {dtype} need a `maximum`: they are drawn from [0, maximum).")
    return rng.integers(0, maximum, shape).astype(dtype)


def garbage(dtype: Any, maximum: int | None) -> tuple[Any, ...]:
    """What padding may hold: the first value is the one that marks it, the last is harmless."""
    dtype = jnp.dtype(dtype)
    if jnp.issubdtype(dtype, jnp.inexact):
        return np.nan, np.inf, -np.inf, min(1e30, float(jnp.finfo(dtype).max)), 0.5
    if dtype == bool:
        return True, False
    smallest = jnp.iinfo(dtype).min
    return jnp.iinfo(dtype).max, smallest, max(smallest, -1), maximum, 0


def place(rows: Sequence[np.ndarray], mask: np.ndarray, padding_value: Any) -> Masked:
    """The rows as a batch of NumPy arrays, their steps where the mask is True."""
    steps = np.concatenate(rows)
    values = np.full((*mask.shape, *steps.shape[1:]), padding_value, steps.dtype)
    values[mask] = steps
    return Masked(values, mask)
