"""From a batch to rows: ragged arguments with their real steps at the front, and no row without any."""

import dataclasses
from collections.abc import Collection, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from ..core.arithmetic import expand, intersect_masks
from ..core.display import is_concrete
from ..core.masked import Masked
from ..core.step_order import StepPermutation, left_align
from .padded import Padded, select
from .sizes import Sizes


@dataclasses.dataclass(frozen=True)
class RaggedRows:
    """One `Masked` argument.

    Attributes:
        name: the name of its length; None if a row of it is one step.
        values: `(batch, time, ...)`, or without the batch axis, with the real steps of each row at the front.
        mask: the mask within each step, `(batch, time, ...)`, if steps have their own mask, as in documents of
            sentences of words.
        length: number of real steps of each row, int32.
        order: moves results back to where the steps were.
        is_batched: whether there is a batch axis.
    """

    name: str | None
    values: Any
    mask: Any
    length: Any
    order: StepPermutation | None
    is_batched: bool

    @property
    def time(self) -> Any:
        """Padded number of steps."""
        return self.values.shape[int(self.is_batched)]

    def fitted(self, time: Any) -> "RaggedRows":
        """The same rows with this many steps: more padding, or less."""
        own = self.time
        if not (isinstance(own, int) and isinstance(time, int)) or own == time:
            return self
        axis = int(self.is_batched)

        def fit(array: Any) -> Any:
            if time < own:
                return lax.slice_in_dim(array, 0, time, axis=axis)
            return jnp.pad(array, [(0, time - own if i == axis else 0) for i in range(array.ndim)])

        inner = None if self.mask is None else fit(self.mask)
        return dataclasses.replace(self, values=fit(self.values), mask=inner)


def read_rows(x: Masked, axis: int | None, name: str | None) -> RaggedRows:
    """A `Masked` argument as rows.

    Args:
        x: the argument.
        axis: its batch axis, None if all rows share it.
        name: the name of its length.
    """
    values, mask = jnp.asarray(x.values), jnp.asarray(x.mask)
    if axis:
        values, mask = jnp.moveaxis(values, axis, 0), jnp.moveaxis(mask, axis, 0)
    batch = int(axis is not None)
    if mask.ndim == batch:
        return RaggedRows(None, values, None, mask.astype(jnp.int32), None, bool(batch))
    inner = None
    if mask.ndim > batch + 1:
        inner, mask = mask, mask.any(tuple(range(batch + 1, mask.ndim)))
    aligned, order = left_align(Masked(values, mask))
    if inner is not None:
        inner = left_align(Masked(inner, mask))[0].values
    values, length = aligned.values, mask.sum(-1, dtype=jnp.int32)
    if not batch:  # there is no other row to borrow from
        values = select(length > 0, values, 1)
    return RaggedRows(name, values, inner, length, order, bool(batch))


def refuse_unequal(masks: Sequence[tuple[str, int | None, Any]]) -> None:
    """Raises if lengths of one name are concrete and differ.

    Args:
        masks: for each argument, the name of its length, the batch axis and the mask.

    Raises:
        ValueError: the lengths differ.
    """
    known: dict[str, Any] = {}
    shared = {name for i, (name, *_) in enumerate(masks) if name in (other for other, *_ in masks[:i])}
    for name, axis, mask in masks:
        if name not in shared or not is_concrete(mask):
            continue
        real = np.moveaxis(np.asarray(mask), axis, 0) if axis is not None else np.asarray(mask)[None]
        length = real.any(tuple(range(2, real.ndim))).sum(-1)
        first = np.broadcast_arrays(known.setdefault(name, length), length)[0]
        if (first != length).any():
            index = int(np.flatnonzero(first != length)[0])
            raise ValueError(
                f"`jm.vmap`: two arguments have lengths of the name {name!r}, which says that they are equal; in "
                f"row {index} they are {int(first[index])} and {int(np.broadcast_to(length, first.shape)[index])}. "
                "Give them two names."
            )


@dataclasses.dataclass(frozen=True)
class RowLengths:
    """The lengths of the rows of a batch.

    Attributes:
        counts: by name, int32, `(batch,)`, 0 for an empty sequence.
        may_run: whether everything that is a single step per row is real: bool, `(batch,)`.
        is_wrong: whether lengths of one name differ where `refuse_unequal` could not see it; None if none can.
    """

    counts: dict[str, Any]
    may_run: Any
    is_wrong: Any

    def have(self, empty: Collection[str]) -> Any:
        """Which rows have exactly these sequences empty."""
        nonempty = self.may_run
        for name, count in self.counts.items():
            nonempty = intersect_masks(nonempty, count == 0 if name in empty else count > 0)
        return nonempty


def merge_lengths(rows: list[RaggedRows], size: Any) -> RowLengths:
    """The lengths of each row by name; the shortest among those of one name."""
    counts: dict[str, Any] = {}
    may_run: Any = jnp.ones(size, bool)
    is_wrong: Any = None
    for row in rows:
        length = jnp.broadcast_to(row.length, (size,))
        if row.name is None:
            may_run = intersect_masks(may_run, length > 0)
        elif row.name in counts:
            differ = counts[row.name] != length
            is_wrong = differ if is_wrong is None else is_wrong | differ
            counts[row.name] = jnp.minimum(counts[row.name], length)
        else:
            counts[row.name] = length
    return RowLengths(counts, may_run, is_wrong)


def lending_row(nonempty: Any) -> Any:
    """The index of a row that is to run, int32; -1 if none is."""
    rows = jnp.arange(nonempty.shape[0], dtype=jnp.int32)
    return jnp.max(jnp.where(nonempty, rows, -1), initial=-1)


def find_fillers(
    nonempty: Any, lender: Any, counts: dict[str, Any], in_specs: Sequence[Any], padded: dict[str, Any]
) -> tuple[Any, list[Any]]:
    """The data for rows that are not to run: those of another row.

    A function may be infinite, or have infinite slopes, on made-up numbers; its results for these rows are discarded.

    Args:
        nonempty: bool, `(batch,)`.
        lender: from `lending_row`.
        counts: lengths, `(batch,)`, by name.
        in_specs: the arrays of the arguments, `InSpec`.
        padded: padded sizes by name.

    Returns:
        The lengths, none of them 0, and for each array a row with safe padding, or ones if no row is to run; None for
        arrays without a batch axis and for PRNG keys. If all rows are to run, no filler is read, and it may be any row.
    """
    if nonempty.shape[0] == 0:
        return counts, [None for _ in in_specs]
    arrays = [
        None if _is_key(in_spec.array) or not in_spec.is_batched else lax.stop_gradient(in_spec.array)
        for in_spec in in_specs
    ]

    def unread() -> tuple[dict[str, Any], list[Any]]:
        # Under `jax.shard_map` both branches must vary over the same mesh axes; elsewhere XLA drops this.
        yes = (lender >= 0) | True
        rows = [None if array is None else select(yes, _row(array, 0), 1) for array in arrays]
        return {name: select(yes, length, 1) for name, length in counts.items()}, rows

    def lent() -> tuple[dict[str, Any], list[Any]]:
        are_any, row = lender >= 0, jnp.maximum(lender, 0)
        count = {name: select(are_any, _row(length, row), 1) for name, length in counts.items()}
        sizes = Sizes(padded, count)

        def filler(array: Any, in_spec: Any) -> Any:
            if 0 in array.shape:  # whose row does not vary, as `jnp.where` of no entries does not
                return _row(array, 0)
            return Padded(select(are_any, _row(array, row), 1), in_spec.spec.shape, sizes).with_safe_padding().array

        rows = [
            None if array is None else filler(array, in_spec) for array, in_spec in zip(arrays, in_specs, strict=True)
        ]
        return {name: select(nonempty, length, count[name]) for name, length in counts.items()}, rows

    # A branch, since XLA would recompute the cheap operations in here for each entry of the batch.
    return lax.cond(nonempty.all(), unread, lent)


def detach_if_unused(constants: Sequence[Any], lender: Any) -> list[Any]:
    """What all rows share, without a gradient if no row is to run: the function may be infinite on ones, too."""

    def detached(array: Any) -> Any:
        is_inexact = jnp.issubdtype(array.dtype, jnp.inexact)
        return jnp.where(lender >= 0, array, lax.stop_gradient(array)) if is_inexact else array

    return [detached(array) for array in constants]


def pad_row(x: Padded, filler: Any, nonempty: Any) -> Padded:
    """One array of one row with safe padding; a row that is not run gets the filler.

    One `select` serves both: XLA repeats it wherever the array is read.

    Args:
        x: the array, ragged along its first axis or not at all.
        filler: what `find_fillers` returns for it.
        nonempty: whether the row is one to run.
    """
    if filler is None:
        return x.with_safe_padding()
    if not x.is_ragged:
        return dataclasses.replace(x, array=select(nonempty, x.array, filler))
    first = lax.stop_gradient(x.array[:1])
    array = select(x.valid() & nonempty, x.array, select(nonempty, jnp.broadcast_to(first, x.array.shape), filler))
    return dataclasses.replace(x, array=array, has_safe_padding=True)


def _is_key(array: Any) -> bool:
    return jnp.issubdtype(array.dtype, jax.dtypes.extended)


def _row(array: Any, index: Any) -> Any:
    """One row; on a mesh with explicit axes it is picked by a sum, since no device has all rows."""
    spec = jax.typeof(array).sharding.spec
    if not spec or spec[0] is None:
        return lax.dynamic_index_in_dim(array, index, keepdims=False)
    is_row = expand(jnp.arange(array.shape[0]) == index, array.ndim)
    one = jnp.where(is_row, array, jnp.zeros((), array.dtype))
    return one.any(0) if array.dtype == jnp.bool_ else one.sum(0, dtype=array.dtype)
