"""Associative scans over the real steps of each sequence, and the most common one, the linear recurrence."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike

from ..core.arithmetic import Marks, expand, join, marks_of
from ..core.masked import Masked, is_masked, values_of
from .scans import segmented_scan


def associative_scan(fn: Callable[..., Any], elems: Any, reverse: bool = False, axis: int | None = None) -> Any:
    """`jax.lax.associative_scan` over the real steps of each sequence, also within packed rows.

    It also works inside `jm.vmap`, where JAX's own function raises because the length is not known.

    Args:
        fn: an associative function of two trees like `elems`, `fn(earlier, later)`, as in JAX: it combines all steps of
            two arrays at once, whatever their number along `axis`.
        elems: an array, or a tree of arrays of one size along `axis`, some or all of them `Masked`.
        reverse: from the last step to the first; as in JAX, `fn` then gets the later step first.
        axis: the axis to scan along: for a `Masked`, only the last axis of its mask, which is the default; otherwise 0
            by default.

    Returns:
        A tree like `elems`: at each real step, all real steps up to it combined. If anything is `Masked`, all leaves
        are, and a step is real where it is real in all of them. An empty row holds no real step and passes no gradient.

    Raises:
        ValueError: there are no arrays, sizes along `axis` differ, or a `Masked` is scanned along another axis.

    References:
        Blelloch, "Prefix sums and their applications", 1990.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.masked(jnp.array([[1.0, 9.0, 2.0, 3.0]]), jnp.array([[True, False, True, True]]))
    >>> jm.ops.associative_scan(jnp.multiply, x).fill(0).tolist()
    [[1.0, 0.0, 2.0, 6.0]]
    >>> jm.vmap(lambda x: jm.ops.associative_scan(jnp.maximum, x, reverse=True))(x).fill(0).tolist()
    [[3.0, 0.0, 3.0, 3.0]]
    """
    leaves, structure = jax.tree.flatten(elems, is_leaf=is_masked)
    axis = _check(leaves, axis, "associative_scan")

    def combine(left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
        return jax.tree.leaves(fn(structure.unflatten(left), structure.unflatten(right)))

    marks = _marks(leaves)
    options = {"axis": axis, "reverse": reverse, "mask": marks.mask, "ids": marks.segment_ids}
    found = segmented_scan(combine, [jnp.asarray(values_of(x)) for x in leaves], **options)
    if marks.mask is not None:
        found = [Masked(x, *marks) for x in found]
    return structure.unflatten(found)


@overload
def linear_recurrence(
    decay: Masked,
    inputs: Masked | ArrayLike,
    *,
    initial_state: ArrayLike | None = None,
    reverse: bool = False,
    axis: int | None = None,
) -> Masked: ...
@overload
def linear_recurrence(
    decay: ArrayLike,
    inputs: Masked,
    *,
    initial_state: ArrayLike | None = None,
    reverse: bool = False,
    axis: int | None = None,
) -> Masked: ...
@overload
def linear_recurrence(
    decay: ArrayLike,
    inputs: ArrayLike,
    *,
    initial_state: ArrayLike | None = None,
    reverse: bool = False,
    axis: int | None = None,
) -> Array: ...
def linear_recurrence(
    decay: Masked | ArrayLike,
    inputs: Masked | ArrayLike,
    *,
    initial_state: ArrayLike | None = None,
    reverse: bool = False,
    axis: int | None = None,
) -> Masked | Array:
    """The states of `h_t = decay_t h_{t-1} + inputs_t` at all real steps, computed in parallel, entry by entry.

    It is the core of diagonal state-space models and of networks whose gates do not see the state: S4D, S5, LRU, Mamba,
    minGRU, RG-LRU. It also works inside `jm.vmap`.

    Args:
        decay: `(batch, time, ...)` with a mask `(batch, time)`, or an array of the rank of `inputs`, or one that
            broadcasts against a single step and is the same at all steps. Real or complex.
        inputs: `(batch, time, ...)` with a mask `(batch, time)`, or an array, whose axis 0 is time unless `axis` says
            otherwise or `decay` is a `Masked`.
        initial_state: the state before the first step, which broadcasts against `inputs` without its time axis; zeros
            by default. Every packed sequence begins with it.
        reverse: `h_t = decay_t h_{t+1} + inputs_t`, from the last step to the first.
        axis: the time axis.

    Returns:
        The states, `(batch, time, ...)`; a `Masked` if `decay` or `inputs` is one. An empty row holds no real step and
        passes no gradient.

    Raises:
        ValueError: sizes along `axis` differ, a `Masked` is scanned along an axis other than time, or ranks do not fit.

    References:
        Martin and Cundy, "Parallelizing linear recurrent neural nets over sequence length", 2018.

    >>> import jax.numpy as jnp, jmask as jm
    >>> x = jm.from_lengths(jnp.array([[1.0, 1.0, 1.0], [1.0, 1.0, 9.0]]), [3, 2])
    >>> jm.ops.linear_recurrence(0.5, x, initial_state=8.0).fill(0).tolist()
    [[5.0, 3.5, 2.75], [5.0, 3.5, 0.0]]
    """
    leaves = [x for x in (inputs, decay) if isinstance(x, Masked) or x is inputs]
    axis = _check(leaves, axis, "linear_recurrence")
    marks = _marks(leaves)
    mask, ids, _ = marks
    a, b = jnp.asarray(values_of(decay)), jnp.asarray(values_of(inputs))
    rank = max(a.ndim, b.ndim)
    a, b = (expand(x, rank) if is_masked(given) else x for x, given in ((a, decay), (b, inputs)))
    dtype = jnp.result_type(a, b, *(() if initial_state is None else (initial_state,)))
    a, b = (x.astype(dtype) for x in jnp.broadcast_arrays(a, b))
    if mask is not None:  # a padded step leaves the state unchanged
        a, b = (jnp.where(expand(mask, rank), x, jnp.asarray(neutral, dtype)) for x, neutral in ((a, 1), (b, 0)))

    def combine(left: Sequence[Any], right: Sequence[Any]) -> list[Any]:
        (a, b), (c, d) = left, right
        return [a * c, c * b + d]

    is_packed = ids is not None
    decays, states = segmented_scan(
        combine, [a, b], axis=axis, reverse=reverse, mask=mask if is_packed else None, ids=ids if is_packed else None
    )
    if initial_state is not None:
        start = jnp.asarray(initial_state, dtype)
        start = jnp.expand_dims(start, axis) if start.ndim > rank - 1 - axis else start
        states = states + decays * jnp.expand_dims(start, tuple(range(rank - start.ndim)))
    return states if mask is None else Masked(states, *marks)


def _marks(leaves: Sequence[Any]) -> Marks:
    """The marks of the steps that are real in all inputs; none if no input is a `Masked`."""
    return functools.reduce(join, map(marks_of, leaves))


def _check(leaves: Sequence[Any], axis: int | None, name: str) -> int:
    """The time axis, counted from the front."""
    if not leaves:
        raise ValueError(f"`{name}` needs an array to scan over; received none.")
    rank = min(jnp.ndim(values_of(x)) for x in leaves)
    ranks = {x.mask.ndim for x in leaves if is_masked(x)}
    time = min(ranks) - 1 if ranks else 0
    found = time if axis is None else axis + rank if axis < 0 else axis
    if len(ranks) > 1 or (ranks and found != time):
        raise ValueError(
            f"`{name}` scans over time, the last axis of the mask, and masks of one rank; received the axis {axis} and "
            f"masks of rank {', '.join(map(str, sorted(ranks)))}. For another axis hand it `x.values`."
        )
    if not 0 <= found < rank:
        raise ValueError(
            f"`{name}` needs a time axis in every array: axis {found} of arrays of rank {rank} and more. Of a single "
            "step, write `x[None]`."
        )
    sizes = {values_of(x).shape[found] if is_masked(x) else jnp.shape(x)[found] for x in leaves}
    if len(sizes) > 1:
        words = ", ".join(map(str, sizes))
        raise ValueError(f"`{name}` needs arrays of one size along axis {found}; received {words}. Cut or pad them.")
    return found
