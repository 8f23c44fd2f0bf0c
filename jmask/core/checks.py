"""Checks of arguments: masks and segment ids that fit the values, options by name, probabilities, sizes."""

import operator
from collections.abc import Sequence
from typing import Any, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np

from ..sources import as_host_array, refuse_lists, refuse_marks
from .arithmetic import Arithmetic
from .display import is_concrete


def as_array(x: Any) -> Any:
    """Arrays, tracers and abstract values as they are; lists and numbers as JAX arrays, lists of strings as NumPy's.

    Arrays from other libraries become NumPy arrays; raises if entries are masked or missing.
    """
    if isinstance(x, (jax.Array, np.ndarray, jax.ShapeDtypeStruct)):
        refuse_marks(x)
        return x
    if isinstance(x, Arithmetic):
        raise TypeError("Expected an array, received a `Masked`; pass on its `x.values`, `x.mask` or `x.fill(...)`.")
    if x is None:
        raise TypeError("Expected an array, received None; `jm.as_masked(values)` marks all steps of an array as real.")
    refuse_lists(x)
    found = as_host_array(x)
    if found is not None:
        return found
    if any(isinstance(leaf, (str, bytes)) for leaf in jax.tree.leaves(x)):
        return np.asarray(x)
    return jnp.asarray(x)


def check_mask(values: Any, mask: Any) -> None:
    """Raises unless a mask is bool and its shape a prefix of the values' shape."""
    refuse_marks(mask)
    if mask.dtype != bool:
        remedy = (
            "Of 1.0 (real) and 0.0 take `mask == 1`, of 0.0 (real) and -inf or another large number `mask == 0`."
            if jnp.issubdtype(mask.dtype, jnp.floating)
            else "For 0/1 integers use `mask.astype(bool)` or `jm.from_attention_mask`; for lengths `jm.from_lengths`."
        )
        raise TypeError(f"A mask must be bool, True at real steps; received dtype {mask.dtype}. {remedy}")
    if not _is_prefix(mask, values):
        raise ValueError(
            "The shape of a mask must be a prefix of the values' shape, e.g. (batch, time) for values "
            f"(batch, time, features); received mask {_shape(mask)} for values {_shape(values)}."
        )


def check_segment_ids(values: Any, segment_ids: Any) -> Any:
    """The segment ids as int32; raises if one is negative or too large, or if they do not fit the values."""
    check_segment_ids_fit(values, segment_ids)
    if is_concrete(segment_ids) and segment_ids.size:
        low, high = int(segment_ids.min()), int(segment_ids.max())
        if low < 0 or high > np.iinfo(np.int32).max:
            raise ValueError(
                "`segment_ids` must hold 0 at padding and ids from 1 to 2147483647 elsewhere; received "
                f"{low if low < 0 else high}. Number the sequences from 1, or pass `first_id=0` if they "
                "count from 0 and -1 is padding."
            )
    return segment_ids.astype(np.int32)


def check_segment_ids_fit(values: Any, segment_ids: Any) -> None:
    """Raises unless the segment ids are integers and their shape is a prefix of the values' shape."""
    if not jnp.issubdtype(segment_ids.dtype, jnp.integer):
        raise TypeError(
            f"`segment_ids` must be integers, 0 at padding; received dtype {segment_ids.dtype}. "
            "For a mask use `jm.masked`."
        )
    if segment_ids.ndim == 0 or not _is_prefix(segment_ids, values):
        raise ValueError(
            "The shape of `segment_ids` must be a prefix of the values' shape that ends with time, e.g. (batch, time) "
            f"for values (batch, time, features); received {_shape(segment_ids)} for values {_shape(values)}."
        )


def check_parts(values: Any, mask: Any, segment_ids: Any) -> None:
    """Raises if the parts of a `Masked` do not fit; skips the check where JAX holds something other than an array."""
    if not _is_array(values):
        return
    if segment_ids is not None:
        if _is_array(segment_ids) and segment_ids.ndim:  # one step has an id of rank 0
            check_segment_ids_fit(values, segment_ids)
    elif _is_array(mask):
        if mask.dtype != jax.dtypes.float0:  # the mask of a gradient
            check_mask(values, mask)
    else:
        raise TypeError(
            f"The mask of an array is an array of bool, True at real steps; received {mask!r}. "
            "`jm.masked(values, mask)` takes a list too, and `jm.as_masked(values)` marks all steps as real."
        )


def _is_array(x: Any) -> bool:
    """Whether this is an array, traced, or abstract."""
    return hasattr(x, "dtype") and hasattr(x, "shape")


def _is_prefix(mask: Any, values: Any) -> bool:
    return mask.ndim <= values.ndim and tuple(mask.shape) == tuple(values.shape[: mask.ndim])


def _shape(x: Any) -> str:
    return "(" + ", ".join(map(str, x.shape)) + ("," if x.ndim == 1 else "") + ")"


def check_one_of(name: str, value: Any, words: Sequence[str | None], *, caller: str | None = None) -> None:
    """Raises unless an option is one of these words.

    Args:
        name: name of the option, for the error.
        value: what was given.
        words: the allowed values.
        caller: name of the function, for the error, where the option alone does not identify it.

    Raises:
        ValueError: it is none of them.

    >>> check_one_of("padding", "full", ("valid", "same"))
    Traceback (most recent call last):
    ValueError: `padding` must be 'valid' or 'same'; received 'full'.
    """
    if not (value is None or isinstance(value, str)) or value not in words:  # for an array, `in` would give an array
        context = f"`{caller}`: " if caller else ""
        raise ValueError(f"{context}`{name}` must be {_or(words)}; received {value!r}.")


def _or(words: Sequence[str | None]) -> str:
    *others, last = map(repr, words)
    return f"{', '.join(others)} or {last}" if others else last


def check_probability(name: str, rate: float, *, below_one: bool = False) -> None:
    """Raises unless a number is a probability.

    Args:
        name: name of the option, for the error.
        rate: what was given.
        below_one: whether 1 is an error.

    Raises:
        ValueError: it is not in `[0, 1]`, or with `below_one` not in `[0, 1)`.
    """
    if not 0 <= rate <= 1 or (below_one and rate == 1):
        raise ValueError(f"`{name}` is a probability in {'[0, 1)' if below_one else '[0, 1]'}; received {rate}.")


def checked_size(name: str, size: Any, minimum: int, kind: str = "an integer") -> int:
    """An argument that is a size; raises if it is not an integer or is too small."""
    if isinstance(size, bool) or not isinstance(size, SupportsIndex):
        raise TypeError(f"`{name}` must be {kind}; received {size!r}.")
    if operator.index(size) < minimum:
        raise ValueError(f"`{name}` must be at least {minimum}; received {size}.")
    return operator.index(size)


def checked_option(name: str, size: Any, minimum: int) -> int | None:
    """An option that is a size or None."""
    return None if size is None else checked_size(name, size, minimum, "an integer or None")
