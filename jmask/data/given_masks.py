"""Converts lengths, and masks as other libraries write them, to `Masked` and back."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import ArrayLike

from ..core.checks import as_array, check_one_of
from ..core.constructors import as_masked, masked
from ..core.display import is_concrete
from ..core.masked import Masked
from ..core.segment_ids import check_not_packed
from ..core.types import Values
from ..sources import as_host_array, refuse_marks


def from_lengths(values: Any, lengths: Any, *, padding_side: Literal["right", "left"] = "right") -> Masked:
    """Pairs padded values with the number of real steps of each row.

    Args:
        values: `(*rows, time, ...)`.
        lengths: integers `(*rows,)`; `(batch,)` for a batch, each from 0 to `time`. Traced lengths cannot be checked:
            one beyond `time` counts as `time`, and a negative one as 0.
        padding_side: the side that the padding is on.

    Returns:
        A `Masked` with a mask `(*rows, time)`. A length of 0 makes an empty row.

    Raises:
        TypeError: the lengths are not integers.
        ValueError: their shape is not a prefix of the values' shape, or one of them is negative or beyond `time`.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.from_lengths(jnp.ones((2, 3)), [1, 3]).mask.tolist()
    [[True, False, False], [True, True, True]]
    """
    check_one_of("padding_side", padding_side, ("right", "left"))
    values, lengths = as_array(values), as_array(lengths)
    if not jnp.issubdtype(lengths.dtype, jnp.integer):
        raise TypeError(f"`lengths` must be integers; received dtype {lengths.dtype}.")
    if lengths.shape != values.shape[: lengths.ndim] or lengths.ndim >= values.ndim:
        raise ValueError(
            f"`lengths` must have one entry per row, a shape that is a prefix of the values' shape {values.shape} "
            f"and leaves a time axis; received {lengths.shape}."
        )
    time = values.shape[lengths.ndim]
    _check_range(lengths, time)
    array_module = np if isinstance(lengths, np.ndarray) else jnp
    steps = array_module.arange(time)
    if padding_side == "left":
        steps = time - 1 - steps
    return Masked(values, steps.reshape(*(1,) * lengths.ndim, time) < lengths[..., None])


def _check_range(lengths: Any, time: Any) -> None:
    """Raises for concrete lengths that are negative or larger than the number of steps."""
    if not is_concrete(lengths) or not isinstance(time, int):
        return
    numbers = np.asarray(lengths)
    wrong = (numbers < 0) | (numbers > time)
    if wrong.any():
        row = tuple(map(int, np.argwhere(wrong)[0]))
        raise ValueError(
            f"`lengths` must lie between 0 and the number of steps, {time}; received {numbers[row]} for row "
            f"{row[0] if len(row) == 1 else row}. If the values were cut, cut the lengths too, "
            f"`np.clip(lengths, 0, {time})`."
        )


def from_attention_mask(values: Any, attention_mask: Any) -> Masked:
    """Builds a `Masked` from the output of a Hugging Face tokenizer.

    Args:
        values: `(batch, time, ...)`, e.g. `input_ids`.
        attention_mask: `(batch, time)`, 1 at real steps and 0 at padding, integers or bool. A traced one cannot be
            checked; anything but 0 counts as 1.

    Returns:
        The `Masked`. A row of zeros makes an empty row.

    Raises:
        TypeError: the attention mask is neither bool nor integer.
        ValueError: it is concrete and holds anything but 0 and 1, or the shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.from_attention_mask(jnp.array([[0, 7, 8]]), jnp.array([[0, 1, 1]]))
    Masked(int32[1, 3], lengths=[2])
    [[· 7 8]]
    """
    if not isinstance(attention_mask, jax.Array):
        refuse_marks(attention_mask)
        found = as_host_array(attention_mask)
        attention_mask = np.asarray(attention_mask) if found is None else found
    if attention_mask.dtype != bool and not jnp.issubdtype(attention_mask.dtype, jnp.integer):
        raise TypeError(
            f"`attention_mask` must be bool, or integers 1 (real) and 0 (padding); received {attention_mask.dtype}. "
            "Of 1.0 (real) and 0.0 take `mask == 1`, of an additive mask, 0.0 (real) and -inf, `mask == 0`."
        )
    if is_concrete(attention_mask):
        numbers = np.asarray(attention_mask)
        wrong = numbers[(numbers != 0) & (numbers != 1)]
        if wrong.size:
            raise ValueError(
                f"`attention_mask` must hold 1 (real) and 0 (padding) only; received {wrong[0]}. "
                "Ids of packed sequences are not a mask; pair them with the values: `jm.from_segment_ids(values, ids)`."
            )
    return masked(values, attention_mask != 0)


_PACKED = (
    "0 and 1 say nothing of that. A model that takes the ids of packed sequences takes `x.segment_ids`, and their "
    "positions, `x.positions`; for any other, give each sequence a row of its own, "
    "`jm.unpack_batch(x, num_sequences, length)`."
)


def to_attention_mask(x: Masked | ArrayLike, dtype: DTypeLike = jnp.int32) -> Values:
    """The mask in the form that Hugging Face models take: 1 at real steps, 0 at padding.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`; an array, which has no padding, gives ones.
        dtype: of the result.

    Returns:
        `(batch, time)` of `dtype`. An empty row gives zeros.

    Raises:
        ValueError: the rows are packed; pass `x.segment_ids` to a model that takes segment ids.

    >>> import jmask as jm
    >>> jm.to_attention_mask(jm.pad_sequences([[3, 4, 5], [6]])).tolist()
    [[1, 1, 1], [1, 0, 0]]
    """
    check_not_packed(x, "`to_attention_mask`", _PACKED)
    return as_masked(x).mask.astype(dtype)
