"""`Masked`: sequences of different lengths as one pytree, values and mask together."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import ArrayLike, Int

from . import display
from .arithmetic import Arithmetic, convert, expand, fits, guard, is_host_only, still_bool
from .indexing import side_after, split_index, take

PaddingSide = Literal["right", "left"] | None


@functools.partial(jax.tree_util.register_dataclass, data_fields=("values", "mask"), meta_fields=("padding_side",))
@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Masked(Arithmetic):
    """A batch of sequences: `values`, and a `mask` that is True at real steps.

    Build one with `jm.masked`, `jm.from_lengths`, `jm.pad_sequences` or `jm.as_masked`, which check their input; this
    class does not, because JAX rebuilds pytrees through it with tracers and placeholders.

    Arithmetic, comparison and indexing keep the mask; two masks combine by AND. Padded positions of a result hold
    anything; read them through `fill`. Reductions over masked axes are refused in favour of `jm.ops`.

    Attributes:
        values: `(batch, time, ...)`; anything at padded positions, NaN included.
        mask: bool, its shape a prefix of the values' shape, usually `(batch, time)`.
        padding_side: a static hint, `"right"` if every row is real steps and then padding, `"left"` for the mirror
            image, None where nothing is known. Results never depend on it; fast paths may. `jax.tree.map`, `jax.vmap`
            and `jax.lax.scan` carry it along: before they move the time axis, drop it with `x.with_mask(x.mask)`.
    """

    values: Any
    mask: Any
    padding_side: PaddingSide = None

    @property
    def shape(self) -> tuple[Any, ...]:
        """Shape of the values."""
        return self.values.shape

    @property
    def ndim(self) -> int:
        """Rank of the values."""
        return self.values.ndim

    @property
    def dtype(self) -> Any:
        """Dtype of the values."""
        return self.values.dtype

    @property
    def lengths(self) -> Int[ArrayLike, "..."]:
        """Number of real steps along the last axis of the mask, int32: `(batch,)` for a `(batch, time)` mask."""
        if self.mask.ndim == 0:
            raise ValueError("`lengths` needs a mask with a time axis; this mask has rank 0 (one step).")
        return still_bool(self.mask).sum(axis=-1, dtype=np.int32)

    @property
    def is_right_padded(self) -> bool:
        """Whether a fast path may take every row for real steps and then padding.

        A mask of rank 1 never counts: `jax.vmap(f, in_axes=1)` hands `f` one step of all rows under a batch's hint.
        """
        return self.padding_side == "right" and self.mask.ndim > 1

    def fill(self, value: Any = 0) -> Any:
        """The values as a plain array, with `value` at every padded position.

        Args:
            value: a scalar, or an array that broadcasts against the values; it must fit their dtype.

        Returns:
            `(batch, time, ...)` of the values' dtype.

        Raises:
            TypeError: `value` does not fit the dtype (0.5 into integers, 300 into uint8, a number into strings).

        >>> import jmask as jm
        >>> jm.pad_sequences([[3, 4], [5]]).fill(-1).tolist()
        [[3, 4], [5, -1]]
        """
        if not fits(value, self.values):
            rule = f"`fill`: the value {value!r} does not fit values of dtype {self.dtype}"
            raise TypeError(f"{rule}; give another one, or convert the values first with `x.astype(...)`.")
        mask = expand(still_bool(self.mask), self.ndim)
        if is_host_only(self.values):
            return np.where(mask, self.values, value)
        values = jnp.asarray(self.values)
        return jnp.where(mask, values, jnp.asarray(value, values.dtype))

    def with_mask(self, mask: Any, *, padding_side: PaddingSide = None) -> "Masked":
        """The same values under another mask (bool, a prefix of the values' shape)."""
        return masked(self.values, mask, padding_side=padding_side)

    def with_values(self, values: Any) -> "Masked":
        """Other values under the same mask; their leading shape must be the mask's."""
        values = _as_array(values)
        check_mask(values, self.mask)
        return Masked(values, self.mask, self.padding_side)

    def unmasked(self) -> Any:
        """The values as a plain array, padding and all: from here on every position counts as real."""
        return self.values

    def map(self, function: Callable[[Any], Any]) -> "Masked":
        """Applies a function that treats every step alone, and keeps the mask.

        The function sees ones at padded positions (of strings and objects, a copy of a real one), so NaN there
        reaches neither a value nor a gradient.

        >>> import jax.numpy as jnp, jmask as jm
        >>> jm.from_lengths(jnp.array([[0.0, jnp.nan]]), [1]).map(jnp.cos).fill().tolist()
        [[1.0, 0.0]]
        """
        return self.with_values(function(guard(self.values, self.mask)))

    def astype(self, dtype: Any) -> "Masked":
        """The values converted to `dtype`, under the same mask."""
        return self.with_values(convert(self.values, self.mask, dtype))

    def __getitem__(self, index: Any) -> "Masked":
        """Indexes values and mask together: `x[2]`, `x[:, :5]`, `x[..., 0]`, `x[order]`.

        Raises:
            IndexError: index arrays over masked axes and the axes behind them at once, or moved in front by NumPy.
        """
        front, back = split_index(index, self.ndim, self.mask.ndim)
        values, mask = take(self.values, front), take(self.mask, front)
        if back:
            values = take(values, (slice(None),) * mask.ndim + back)
        return Masked(values, mask, side_after(self.padding_side, front))

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator["Masked"]:
        return (self[row] for row in range(len(self)))

    def __bool__(self) -> bool:
        raise TypeError("The truth of a `Masked` is ambiguous; reduce it first, e.g. `jm.ops.any(x)`.")

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "A `Masked` does not turn into an array by itself, because its mask would be lost. "
            "Say what becomes of the padding: `x.fill(0)`, `x.unmasked()`, or `jm.unpad(x)`."
        )

    def __repr__(self) -> str:
        return display.text(self)

    def _repr_html_(self) -> str:
        return display.html(self)

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        return display.treescope(self, path, subtree_renderer)


def masked(values: Any, mask: Any, *, padding_side: PaddingSide = None) -> Masked:
    """Pairs values with their mask, and checks that they fit.

    Args:
        values: `(batch, time, ...)`, an array or what turns into one.
        mask: bool, True = real step; its shape a prefix of the values' shape: `(batch, time)`, `(time,)` for one
            sequence, `(batch, sentences, words)` for documents.
        padding_side: `"right"` or `"left"` if every row is known to be padded on that side only.

    Returns:
        The `Masked`.

    Raises:
        TypeError: the mask is not bool, or the values are a `Masked` already.
        ValueError: the shapes do not fit, or a concrete mask contradicts `padding_side`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.masked(jnp.array([[7, 8, 9]]), jnp.array([[True, False, True]]))
    Masked(int32[1, 3], lengths=[2])
    [[7 · 9]]
    """
    if isinstance(values, Masked):
        raise TypeError("`masked`: the values are a `Masked` already; use `x.with_mask(mask)` to change its mask.")
    values, mask = _as_array(values), _as_array(mask)
    check_mask(values, mask)
    _check_padding_side(mask, padding_side)
    return Masked(values, mask, padding_side)


def from_lengths(values: Any, lengths: Any, *, padding_side: Literal["right", "left"] = "right") -> Masked:
    """Pairs padded values with the number of real steps of each row.

    Args:
        values: `(*rows, time, ...)`.
        lengths: integers `(*rows,)`; `(batch,)` for a batch. One beyond `time` counts as `time`, a negative one as 0.
        padding_side: where the padding stands.

    Returns:
        A `Masked` with a mask `(*rows, time)`. A length of 0 makes an empty row.

    Raises:
        TypeError: the lengths are not integers.
        ValueError: their shape is not a prefix of the values' shape.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.from_lengths(jnp.ones((2, 3)), [1, 3]).mask.tolist()
    [[True, False, False], [True, True, True]]
    """
    if padding_side not in ("right", "left"):
        raise ValueError(f"`padding_side` must be 'right' or 'left'; received {padding_side!r}.")
    values, lengths = _as_array(values), _as_array(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"`lengths` must be integers; received dtype {lengths.dtype}.")
    if lengths.shape != values.shape[: lengths.ndim] or lengths.ndim >= values.ndim:
        raise ValueError(
            f"`lengths` must have one entry per row, a shape that is a prefix of the values' shape {values.shape} "
            f"and leaves a time axis; received {lengths.shape}."
        )
    time = values.shape[lengths.ndim]
    array_module = np if isinstance(lengths, np.ndarray) else jnp
    steps = array_module.arange(time)
    if padding_side == "left":
        steps = time - 1 - steps
    return Masked(values, steps < lengths[..., None], padding_side)


def as_masked(x: Any, mask: Any = None) -> Masked:
    """A `Masked` from a `Masked`, or from an array, which is a batch of sequences without padding.

    Args:
        x: a `Masked`, or an array `(batch, time, ...)`; an array `(time,)` is one sequence.
        mask: if given, it replaces the mask of `x`.

    Returns:
        `x` itself if it is a `Masked` and no mask is given; else a new one.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.as_masked(jnp.ones((2, 3, 4))).mask.shape
    (2, 3)
    """
    if isinstance(x, Masked):
        return x if mask is None else x.with_mask(mask)
    if mask is not None:
        return masked(x, mask)
    values = _as_array(x)
    leading = values.shape[: min(2, values.ndim)]
    return Masked(values, jnp.ones(leading, bool), "right" if leading else None)


def values_of(x: Any) -> Any:
    """The values of a `Masked`, or the array itself."""
    return x.values if isinstance(x, Masked) else x


def mask_of(x: Any) -> Any:
    """The mask of a `Masked`, or None for an array."""
    return x.mask if isinstance(x, Masked) else None


def fill(x: Any, value: Any = 0) -> Any:
    """`x.fill(value)` of a `Masked`; an array, which has no padding, comes back as it is."""
    return x.fill(value) if isinstance(x, Masked) else x


def check_mask(values: Any, mask: Any) -> None:
    """Refuses a mask that is not bool, or whose shape is not a prefix of the values' shape."""
    if mask.dtype != bool:
        raise TypeError(
            f"A mask must be bool, True at real steps; received dtype {mask.dtype}. For 0/1 integers use "
            "`mask.astype(bool)` or `jm.from_attention_mask`; for lengths use `jm.from_lengths`."
        )
    if mask.ndim > values.ndim or tuple(mask.shape) != tuple(values.shape[: mask.ndim]):
        raise ValueError(
            "The shape of a mask must be a prefix of the values' shape, e.g. (batch, time) for values "
            f"(batch, time, features); received mask {_shape(mask)} for values {_shape(values)}."
        )


def _check_padding_side(mask: Any, padding_side: PaddingSide) -> None:
    """Refuses a hint that a concrete mask contradicts; a traced mask is taken at its word."""
    if padding_side not in ("right", "left", None):
        raise ValueError(f"`padding_side` must be 'right', 'left' or None; received {padding_side!r}.")
    if padding_side is None or mask.ndim == 0 or not display.is_concrete(mask):
        return
    steps = np.asarray(mask) if padding_side == "right" else np.asarray(mask)[..., ::-1]
    if (~steps[..., :-1] & steps[..., 1:]).any():
        raise ValueError(f"The mask is not padded on the {padding_side} only; leave `padding_side` out.")


def _as_array(x: Any) -> Any:
    """Arrays, tracers and abstract values as they are; lists and numbers as JAX arrays, lists of strings as NumPy's."""
    if isinstance(x, (jax.Array, np.ndarray, jax.ShapeDtypeStruct)):
        return x
    if isinstance(x, Masked):
        raise TypeError("Expected an array, received a `Masked`; pass on its `x.values`, `x.mask` or `x.fill(...)`.")
    if x is None:
        raise TypeError("Expected an array, received None; `jm.as_masked(values)` marks all steps of an array as real.")
    if any(isinstance(leaf, (str, bytes)) for leaf in jax.tree.leaves(x)):
        return np.asarray(x)
    return jnp.asarray(x)


def _shape(x: Any) -> str:
    return "(" + ", ".join(map(str, x.shape)) + ("," if x.ndim == 1 else "") + ")"
