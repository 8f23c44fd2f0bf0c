"""`Masked`: sequences of different lengths as one pytree, values and mask together."""

from collections.abc import Callable, Iterator
from typing import Any, SupportsIndex, TypeGuard

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..sources import refuse_marks
from . import display, state_dict
from .arithmetic import Arithmetic, astype, expand, fits, guard, is_host_only, still_bool
from .checks import as_array, check_mask, check_parts, check_segment_ids, checked_option
from .indexing import split_index, take_items
from .numpy_protocol import Explained, apply_ufunc, call_function
from .pytree import flatten_masked, kind_of, mask_of_segment_ids, put, register_pytree, unflatten_masked
from .segment_ids import check_not_packed, check_numbering, index_in_sequence
from .types import Values


class Masked(Arithmetic, metaclass=Explained):
    """A batch of sequences: `values`, and a `mask` that is True at real steps.

    Build one with `jm.masked`, `jm.from_lengths`, `jm.pad_sequences` or `jm.as_masked`, which also take lists and give
    better error messages. This class takes arrays, and whatever JAX puts in their place: axes, shardings, shapes.

    Arithmetic, comparison and indexing keep the mask; two masks combine by AND. Padded positions of a result may hold
    anything; read them through `fill`. Reductions over masked axes raise an error; use those in `jm.ops`.

    Packed rows (`jm.pack`, `jm.from_segment_ids`) hold several sequences each, distinguished by `segment_ids`.
    Operations that keep a mask also keep the segment ids; those that cannot keep the sequences of a row apart raise. If
    two packed operands are combined, a step is real where it belongs to the same sequence, with the same id, in both.

    As a pytree it has two leaves: `values` and `mask`, or for packed rows `values` and `segment_ids`. Functions that
    count the numbers in all leaves, such as `optax.tree.norm` or `jax.flatten_util.ravel_pytree`, count the mask and
    the padding too: give them `x.fill(0)`. Optimizers, such as `optax.adam`, take `x.values`.

    Attributes:
        values: `(batch, time, ...)`; anything at padded positions, NaN included.
        mask: bool, its shape a prefix of the values' shape, usually `(batch, time)`. For packed rows it is
            `segment_ids > 0`, whatever mask is given.
        segment_ids: usually None: each row is one sequence. For packed rows, int32 of the mask's shape: the id of the
            sequence that each step belongs to, and 0 at padding. A sequence is a run of real steps with the same id;
            padding among its steps does not end it. In a `Masked` of axes, such as `in_axes` of `jax.vmap`,
            packed rows need an axis for the segment ids, `Masked(0, 0, segment_ids=0)`, and the same `num_sequences`;
            or simply 0.
        num_sequences: for packed rows, how many sequences there are, if that is known: a Python integer, part of the
            tree definition and not a leaf, so that shapes can depend on it. What gives one result for each sequence,
            such as `jm.ops.mean(x, 1)` or the last output of `jm.layers.GRU`, gives `(num_sequences, ...)`: entry
            `k - 1` for id `k`, masked where an id has no steps. It may be more than occur, like the number of rows of
            a batch: batches of the same number share one compiled program. Two operands count alike, or one does not
            know.

    Raises:
        TypeError: the values are an array and the mask is not, or is not bool; or `num_sequences` is not an integer.
        ValueError: the shapes do not fit, or `num_sequences` is negative or given without segment ids.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.Masked(jnp.array([[1.0, 2.0, jnp.nan]]), jnp.array([[True, True, False]]))
    >>> x * 10
    Masked(float32[1, 3], lengths=[2])
    [[10 20  ·]]
    >>> x.fill(0).tolist(), x.lengths.tolist()
    ([[1.0, 2.0, 0.0]], [2])
    """

    __slots__ = ("__weakref__", "_kind", "_mask", "segment_ids", "values")

    values: Values
    segment_ids: Values | None
    _mask: Any

    def __init__(
        self, values: Any, mask: Any = None, segment_ids: Any = None, num_sequences: SupportsIndex | None = None
    ) -> None:
        check_parts(values, mask, segment_ids)
        if segment_ids is not None:
            of_segment_ids = mask_of_segment_ids(segment_ids)
            mask = mask if of_segment_ids is segment_ids else of_segment_ids
        elif num_sequences is not None:
            raise ValueError(
                f"`num_sequences={num_sequences}` belongs to packed rows; without segment ids each row is a sequence. "
                "Leave it out, or give the ids, `jm.from_segment_ids(values, ids, num_sequences=n)`."
            )
        put(self, values, mask, segment_ids, kind_of(segment_ids, checked_option("num_sequences", num_sequences, 0)))

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"A `Masked` does not change; make another one, e.g. `x.with_{name.lstrip('_')}(...)`.")

    __delattr__ = __setattr__  # pyright: ignore[reportAssignmentType]

    def __reduce__(self) -> Any:
        return unflatten_masked, (Masked, *flatten_masked(self))

    @property
    def mask(self) -> Values:
        """True at real steps."""
        # Not cached when a pytree was rebuilt: a mask computed in one trace must not leak into another.
        if self.segment_ids is not None and self._mask is None:
            return mask_of_segment_ids(self.segment_ids)
        return self._mask

    @property
    def num_sequences(self) -> int | None:
        """How many sequences packed rows hold; None if that is not known, or if each row is one sequence."""
        return getattr(self._kind, "num_sequences", None)

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
    def lengths(self) -> Values:
        """Number of real steps along the last axis of the mask, int32: `(batch,)` for a `(batch, time)` mask.

        Raises for packed rows, where a row has several lengths; `x.mask.sum(-1)` counts the real steps of a row.
        """
        check_not_packed(self, "`lengths`", "Use `x.mask.sum(-1)`, or `jm.unpack_batch(x, ...).lengths`.")
        if self.mask.ndim == 0:
            raise ValueError("`lengths` needs a mask with a time axis; this mask has rank 0 (one step).")
        return still_bool(self.mask).sum(axis=-1, dtype=np.int32)

    @property
    def positions(self) -> Array:
        """Index of each real step within its sequence, int32 of the mask's shape; 0 at padded steps.

        It counts real steps only, and starts again from 0 with each sequence of packed rows. An empty row has zeros.

        >>> import jax.numpy as jnp, jmask as jm
        >>> jm.from_segment_ids(jnp.ones((1, 6)), [[1, 1, 2, 0, 2, 2]]).positions.tolist()
        [[0, 1, 0, 0, 1, 2]]
        """
        return index_in_sequence(self)

    def fill(self, value: Any = 0) -> Values:
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
        refuse_marks(value)
        if not fits(value, self.values):
            rule = f"`fill`: the value {value!r} does not fit values of dtype {self.dtype}"
            raise TypeError(f"{rule}; give another one, or convert the values first with `x.astype(...)`.")
        mask = expand(still_bool(self.mask), self.ndim)
        if is_host_only(self.values):
            filled: Any = np.where(mask, self.values, value)
            return filled
        values, convert = jnp.asarray(self.values), jnp.asarray if isinstance(value, jax.Array) else np.asarray
        return jnp.where(mask, values, convert(value, values.dtype))

    def with_mask(self, mask: Any) -> "Masked":
        """The same values under another mask (bool, a prefix of the values' shape); raises for packed rows."""
        remedy = (
            "Use `x.with_segment_ids(ids)`, with 0 at padding, or first `x.with_segment_ids(None)`: a sequence a row."
        )
        check_not_packed(self, "`with_mask`", remedy)
        return self._under(mask)

    def with_segment_ids(self, segment_ids: Any, *, num_sequences: SupportsIndex | None = None) -> "Masked":
        """The same values as packed rows: `jm.from_segment_ids` of the values; the mask becomes `segment_ids > 0`.

        Args:
            segment_ids: integers, their shape a prefix of the values' shape, 0 at padding. None makes each row one
                sequence again, under its current mask.
            num_sequences: how many sequences there are, for what gives one result for each of them; None: not known.

        Raises:
            TypeError: the ids or `num_sequences` are not integers.
            ValueError: the shapes do not fit, or a concrete id is negative; or with `num_sequences` one is larger, or
                several sequences share one.

        >>> import jax.numpy as jnp, jmask as jm
        >>> x = jm.from_segment_ids(jnp.array([[3.0, 4.0, 6.0]]), [[1, 1, 2]])
        >>> jm.ops.sum(x.with_segment_ids(x.segment_ids, num_sequences=2), 1).values.tolist()
        [7.0, 6.0]
        >>> x.with_segment_ids(None).lengths.tolist()
        [3]
        """
        if segment_ids is None and num_sequences is None:
            return self._under(self.mask)
        ids = None if segment_ids is None else check_segment_ids(self.values, as_array(segment_ids))
        check_numbering(ids, num_sequences, "with_segment_ids")
        return Masked(self.values, self.mask, ids, num_sequences)

    def _under(self, mask: Any) -> "Masked":
        mask = as_array(mask)
        check_mask(self.values, mask)
        return Masked(self.values, mask)

    def with_values(self, values: Any) -> "Masked":
        """Other values under the same mask and segment ids; their leading shape must be the mask's."""
        values = as_array(values)
        mask = self.mask
        check_mask(values, mask)
        return put(object.__new__(Masked), values, mask, self.segment_ids, self._kind)

    def unmasked(self) -> Values:
        """The values as a plain array, including the padding: from here on every position counts as real."""
        return self.values

    def map(self, function: Callable[[Any], Any]) -> "Masked":
        """Applies a function that treats every step independently, and keeps the mask.

        The function sees ones at padded positions (for strings and objects, a copy of a real one), so NaN there
        reaches neither a value nor a gradient.

        >>> import jax.numpy as jnp, jmask as jm
        >>> jm.from_lengths(jnp.array([[0.0, jnp.nan]]), [1]).map(jnp.cos).fill().tolist()
        [[1.0, 0.0]]
        """
        return self.with_values(function(guard(self.values, self.mask)))

    def astype(self, dtype: Any) -> "Masked":
        """The values converted to `dtype`, under the same mask."""
        return self.with_values(astype(self.values, self.mask, dtype))

    def __getitem__(self, index: Any) -> "Masked":
        """Indexes values and mask together: `x[2]`, `x[:, :5]`, `x[..., 0]`, `x[order]`.

        Raises:
            IndexError: index arrays over both masked and trailing axes, or axes that NumPy would move to the front.
        """
        front, back = split_index(index, self.ndim, self.mask.ndim)
        values, mask = take_items(self.values, front), take_items(self.mask, front)
        if back:
            values = take_items(values, (slice(None),) * mask.ndim + back)
        segment_ids = None if self.segment_ids is None else take_items(self.segment_ids, front)
        return put(object.__new__(Masked), values, mask, segment_ids, self._kind)

    def __len__(self) -> int:
        return len(self.values)

    def __iter__(self) -> Iterator["Masked"]:
        return (self[row] for row in range(len(self)))

    def __bool__(self) -> bool:
        raise TypeError("The truth of a `Masked` is ambiguous; reduce it first, e.g. `jm.ops.any(x)`.")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        return apply_ufunc(self, ufunc, method, inputs, options)

    def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> Any:
        return call_function(self, function)

    def __array__(self, *args: Any, **kwargs: Any) -> Any:
        raise TypeError(
            "A `Masked` does not become an array implicitly, because its mask would be lost. "
            "Say what becomes of the padding: `x.fill(0)`, `x.unmasked()`, or `jm.unpad(x)`."
        )

    def __repr__(self) -> str:
        return display.text(self)

    def _repr_html_(self) -> str:
        return display.html(self)

    def __treescope_repr__(self, path: Any, subtree_renderer: Any) -> Any:
        return display.treescope(self, path, subtree_renderer)


register_pytree(Masked)
state_dict.register_state_dict(Masked)


def is_masked(x: Any) -> TypeGuard[Masked]:
    """Whether `x` is a `Masked`; also for use as `is_leaf`."""
    return isinstance(x, Masked)


def values_of(x: Any) -> Any:
    """The values of a `Masked`, or the array itself."""
    if isinstance(x, Masked):
        return x.values
    refuse_marks(x)
    return x


def mask_of(x: Any) -> Any:
    """The mask of a `Masked`, or None for an array."""
    return x.mask if isinstance(x, Masked) else None


def segment_ids_of(x: Any) -> Any:
    """The segment ids of a `Masked` of packed rows, or None for any other `Masked` and for an array."""
    return x.segment_ids if isinstance(x, Masked) else None


def fill(x: Any, value: Any = 0) -> Any:
    """`x.fill(value)` of a `Masked`; an array, which has no padding, comes back as it is."""
    return x.fill(value) if isinstance(x, Masked) else values_of(x)


def like(x: Any, values: Any) -> Any:
    """Other values for the same steps: under the mask of `x` if it is a `Masked`, otherwise unchanged."""
    return x.with_values(values) if isinstance(x, Masked) else values
