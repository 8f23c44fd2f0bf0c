"""Which steps of the keys each query attends to."""

import functools
import operator
from typing import Any, NamedTuple

import jax.numpy as jnp
from jax import lax

from ..core.arithmetic import join, marks_of
from ..core.masked import Masked, values_of
from ..core.segment_ids import check_not_packed, ids_of, sequence_starts
from .step_positions import places, steps_before

Window = int | tuple[int | None, int | None] | None


def joint_keys(key: Any, value: Any) -> Any:
    """The keys where the values are real too; an array if both are."""
    if key is value or not isinstance(value, Masked):
        return key
    return Masked(values_of(key), *join(marks_of(key), marks_of(value)))


class Sight(NamedTuple):
    """What decides which keys a query attends to, apart from `attention_mask` and `bias`.

    Attributes:
        query_mask: bool `(batch, queries)`; None: all are real.
        key_mask: bool `(batch, keys)`, or None.
        sequence: int32 `(batch, time)`, in packed rows the number of the sequence of each step, rising along the row;
            queries and keys have the same. None: each row is one sequence.
        query_places: the positions of the queries, which broadcast to `(batch, queries)`; None if they do not matter.
        key_places: the positions of the keys.
        left: how far before its query a key may be, or None: as far as it likes.
        right: how far after it.
    """

    query_mask: Any
    key_mask: Any
    sequence: Any
    query_places: Any
    key_places: Any
    left: int | None
    right: int | None


def sight(
    query: Any,
    keys: Any,
    *,
    causal: bool = False,
    window: Window = None,
    query_offset: Any = None,
    query_positions: Any = None,
    key_positions: Any = None,
) -> Sight:
    """The sight of queries on keys; arguments and errors are those of `visible`."""
    left, right = _sides(window)
    right = 0 if causal else right
    is_packed = isinstance(query, Masked) and query.segment_ids is not None
    places: tuple[Any, Any] = (None, None)
    if left is not None or right is not None:
        places = _places(query, keys, query_offset, query_positions, key_positions)
    query_mask, key_mask = (x.mask if isinstance(x, Masked) else None for x in (query, keys))
    return Sight(query_mask, key_mask, _number_of_sequence(query) if is_packed else None, *places, left, right)


def is_near(query_places: Any, key_places: Any, left: int | None, right: int | None) -> Any:
    """bool: whether keys are within the window of queries, whose positions broadcast; one side at least is a number."""
    within = [key_places >= query_places - left] if left is not None else []
    within += [key_places <= query_places + right] if right is not None else []
    return functools.reduce(operator.and_, within)


def visible(
    query: Any,
    keys: Any,
    *,
    causal: bool = False,
    window: Window = None,
    attention_mask: Any = None,
    bias: Any = None,
    query_offset: Any = None,
    query_positions: Any = None,
    key_positions: Any = None,
) -> Any:
    """Which steps of the keys each query attends to: real ones of its own sequence that nothing else hides.

    Args:
        query: values `(batch, queries, heads, features)` with a mask `(batch, queries)`, or an array.
        keys: the same for the keys.
        causal: whether keys after the query are hidden, by position among the real steps.
        window: keys farther away than this many real steps are hidden, `(left, right)` or one number for both.
        attention_mask: bool, False where attention is forbidden; see `per_head` for its shape.
        bias: -inf where attention is forbidden; it broadcasts to `(batch, heads, queries, keys)`.
        query_offset: the position of the first real query of each sequence, 0 by default.
        query_positions: the positions of the queries, instead of an offset.
        key_positions: the positions of the keys, counted from 0 by default.

    Returns:
        bool that broadcasts to `(batch, heads, queries, keys)`; None if every query attends to all.

    Raises:
        TypeError: an `attention_mask` that is not bool, or positions that are not numbers.
        ValueError: an invalid window, or an `attention_mask` or positions that do not fit.
    """
    given = {"query_offset": query_offset, "query_positions": query_positions, "key_positions": key_positions}
    found = sight(query, keys, causal=causal, window=window, **given)
    seen = [] if found.query_mask is None else [_column(found.query_mask)]
    seen += [] if found.key_mask is None else [_row(found.key_mask)]
    seen += [] if found.sequence is None else [_column(found.sequence) == _row(found.sequence)]
    if found.query_places is not None:
        here, there = (_of_rank(query.ndim, x) for x in (_column(found.query_places), _row(found.key_places)))
        seen.append(is_near(here, there, found.left, found.right))
    if attention_mask is not None:
        attention_mask = jnp.asarray(attention_mask)
        if attention_mask.dtype != bool:
            raise TypeError(
                "`attention_mask` must be bool, True where a query may attend to a key; received dtype "
                f"{attention_mask.dtype}. What is added to the scores goes into `bias`."
            )
        seen.append(per_head("attention_mask", attention_mask, query, keys))
    if bias is not None:
        seen.append(bias != -jnp.inf)
    return functools.reduce(operator.and_, seen) if seen else None


def per_head(name: str, array: Any, query: Any, keys: Any) -> Any:
    """An array with one entry for each query and key, in the rank of the scores; raises for another shape."""
    shape = (*query.shape[:-3], query.shape[-2], query.shape[-3], keys.shape[-3])
    array = jnp.asarray(array)
    given = tuple(array.shape)
    if len(given) == len(shape) - 1 > 2:
        array = array[..., None, :, :]
    array = _of_rank(len(shape), array)
    try:
        fits = jnp.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        fits = False
    if not fits or len(given) < 2:
        raise ValueError(
            f"`{name}` has one entry for each pair of a query and a key, (queries, keys), (batch, queries, keys) or "
            f"(batch, heads, queries, keys), here {shape}; received shape {given}. Of one "
            "entry for each key, (batch, keys), make `x[:, None, :]`; where keys are padding, give them as a `Masked`."
        )
    return array


def check_shared_segment_ids(query: Any, key: Any, value: Any, name: str) -> None:
    """Raises for packed rows unless all three are packed alike."""
    ids = [getattr(x, "segment_ids", None) for x in (query, key, value)]
    if any(array is not ids[0] for array in ids):
        remedy = (
            "Packed rows attend to themselves, where query, key and value have the very same segment ids, "
            "`attention(x, key=x, value=x)`; for others use `jm.unpack_batch(x, num_sequences, length)`."
        )
        for x in (query, key, value):
            check_not_packed(x, f"`{name}` of inputs that are not packed alike", remedy)


def _places(query: Any, keys: Any, offset: Any, query_positions: Any, key_positions: Any) -> tuple[Any, Any]:
    """Positions of queries against those of keys; in packed rows within the row unless any are given."""
    if offset is None and query_positions is None and key_positions is None:
        return steps_before(query, -3), steps_before(keys, -3)
    here = places(query, query.ndim - 3, "attention", "query_", offset=offset, positions=query_positions)
    return here, places(keys, keys.ndim - 3, "attention", "key_", positions=key_positions)


def _of_rank(ndim: int, x: Any) -> Any:
    """Adds leading axes of size 1, so that ranks agree even if JAX may not promote them."""
    return x.reshape(*(1,) * (ndim - x.ndim), *x.shape)


def _column(x: Any) -> Any:
    """`(batch, queries)` against heads and keys."""
    return x[..., None, :, None]


def _row(x: Any) -> Any:
    """`(batch, keys)` against heads and queries."""
    return x[..., None, None, :]


def _number_of_sequence(x: Masked) -> Any:
    """Numbers the sequences of packed rows: each gets its own number, even if an id recurs later in the row."""
    mask = jnp.asarray(x.mask)
    return lax.cumsum(sequence_starts(mask, ids_of(x)).astype(jnp.int32), mask.ndim - 1)


def _sides(window: Window) -> tuple[int | None, int | None]:
    """Left and right, None where the window is unbounded; raises if it is not a window."""
    sides = window if isinstance(window, (tuple, list)) else (window, window)
    if len(sides) != 2 or any(n is not None and (not isinstance(n, int) or n < 0) for n in sides):
        raise ValueError(
            "`window` is a number of real steps, 0 or more, for both sides, or `(left, right)` with None where nothing "
            f"ends it; received {window!r}."
        )
    return sides[0], sides[1]
