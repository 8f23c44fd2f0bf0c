"""From ragged data, lengths and other libraries' masks to `Masked`, and back."""

import operator
from typing import Any, Literal, SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import ArrayLike

from .checks import as_array
from .conversion import OBJECT, convert, default_dtype, requested_dtype
from .masked import Masked, as_masked, masked, values_of
from .ragged import Ragged, Steps, read, split
from .segments import refuse_segments

End = Literal["post", "pre"]


def pad_sequences(
    sequences: Any,
    maxlen: SupportsIndex | None = None,
    dtype: DTypeLike | None = None,
    padding: End = "post",
    truncating: End = "post",
    value: Any = 0,
    *,
    pad_to_multiple_of: SupportsIndex | None = None,
) -> Masked:
    """Pads sequences to the same length, and keeps what is padding as a mask.

    Runs on the host, in NumPy. Padding and truncating default to "post"; Keras has "pre".

    Args:
        sequences: a list of sequences; each is a list or an array of steps, and a step is a number, a string, an
            object, or a vector or matrix of one shape throughout.
        maxlen: number of steps that a longer sequence is cut to, and a shorter one padded to; what is cut off is not
            even looked at. None: the number of steps of the longest.
        dtype: of the values. None takes it from the data as JAX does: Python integers and int64 become int32, floats
            become float32, unless x64 is on; strings become objects. An explicit int64 stays int64 on the host.
        padding: "post" puts padding behind the steps, "pre" before them.
        truncating: "post" cuts steps off the end, "pre" off the beginning.
        value: what padded positions hold: a number, or an array that broadcasts against a step. Strings are padded
            with "" by default.
        pad_to_multiple_of: rounds the number of steps up, to at least one multiple, so that batches of many lengths
            have few shapes, and `jax.jit` compiles seldom.

    Returns:
        A `Masked` of NumPy arrays, values `(sequences, steps, ...)`. An empty sequence makes an empty row.
        Where all are empty, the dtype and shape of a step come from arrays among them, else the dtype comes from
        `value`: `[]` makes `(0, 0)` of int32.

    Raises:
        TypeError: `sequences` or an option is not of the right type, or text meets a number.
        ValueError: steps differ in shape, a fraction or NaN would become an integer, or an option is out of range.
        OverflowError: a number does not fit the dtype; nothing ever wraps around.

    >>> import jmask as jm
    >>> jm.pad_sequences([[3, 4, 5], [6]])
    Masked(int32[2, 3], lengths=[3 1])
    [[3 4 5]
     [6 · ·]]
    """
    _check_end("padding", padding)
    _check_end("truncating", truncating)
    maxlen = checked_option("maxlen", maxlen, minimum=0)
    multiple = checked_option("pad_to_multiple_of", pad_to_multiple_of, minimum=1)
    ragged = read(sequences)
    width = ragged.longest if maxlen is None else maxlen
    ragged = ragged.truncated(width, truncating)
    steps = load_steps(ragged, dtype, value)
    if multiple is not None:
        width = max(-(-width // multiple), 1) * multiple
    side = "right" if padding == "post" else "left"
    mask = mask_of_lengths(ragged.lengths, width, side)
    starts = np.arange(len(mask)) * width + (0 if side == "right" else width - ragged.lengths)
    return Masked(arrange(steps, mask, starts[ragged.lengths > 0], value), mask)


def unpad(x: Masked | ArrayLike) -> Any:
    """The real steps of each sequence, as NumPy arrays without padding.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`. Padding may stand anywhere, holes are removed too.

    Returns:
        A list of arrays `(steps, ...)`; an empty row gives an array without steps. For one sequence (a mask of rank 1)
        its array; for documents (rank 3) a list of lists, in which every sentence keeps its place, an empty one too.
        An array, which has no padding, gives the list of its rows.

    Raises:
        TypeError: `x` is traced; the shapes of the result depend on data.
        ValueError: there is no time axis, or the rows are packed.

    >>> import jmask as jm
    >>> [row.tolist() for row in jm.unpad(jm.pad_sequences([[3, 4, 5], [6]]))]
    [[3, 4, 5], [6]]
    """
    refuse_tracers(x, "unpad", "`jm.compact` moves the real steps to the front")
    refuse_segments(x, "`unpad`", "Use `jm.unpack(x)`, or `x.with_segments(None)` to take each row for one sequence.")
    values = np.asarray(values_of(x))
    mask = np.asarray(x.mask) if isinstance(x, Masked) else np.ones(values.shape[:2], bool)
    if mask.ndim == 0:
        raise ValueError(f"`unpad` needs a time axis; received values {values.shape} with a mask of rank 0.")
    return _real_steps(values, mask)


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
    values, lengths = as_array(values), as_array(lengths)
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
    return Masked(values, steps < lengths[..., None])


def from_attention_mask(values: Any, attention_mask: Any) -> Masked:
    """A `Masked` from what a Hugging Face tokenizer returns.

    Args:
        values: `(batch, time, ...)`, e.g. `input_ids`.
        attention_mask: `(batch, time)`, 1 at real steps and 0 at padding, integers or bool.

    Returns:
        The `Masked`. A row of zeros makes an empty row.

    Raises:
        TypeError: the attention mask is neither bool nor of integers.
        ValueError: it is concrete and holds anything but 0 and 1, or the shapes do not fit.

    >>> import jax.numpy as jnp, jmask as jm
    >>> jm.from_attention_mask(jnp.array([[0, 7, 8]]), jnp.array([[0, 1, 1]]))
    Masked(int32[1, 3], lengths=[2])
    [[· 7 8]]
    """
    if not isinstance(attention_mask, jax.Array):
        attention_mask = np.asarray(attention_mask)
    if attention_mask.dtype != bool and not jnp.issubdtype(attention_mask.dtype, jnp.integer):
        raise TypeError(
            f"`attention_mask` must be bool, or integers 1 (real) and 0 (padding); received {attention_mask.dtype}. "
            "An additive mask of 0 and -inf becomes one by `mask == 0`."
        )
    if not isinstance(attention_mask, Tracer):
        numbers = np.asarray(attention_mask)
        wrong = numbers[(numbers != 0) & (numbers != 1)]
        if wrong.size:
            raise ValueError(
                f"`attention_mask` must hold 1 (real) and 0 (padding) only; received {wrong[0]}. "
                "Ids of packed sequences are not a mask; pair them with the values by `jm.from_segments(values, ids)`."
            )
    return masked(values, attention_mask != 0)


def to_attention_mask(x: Masked | ArrayLike, dtype: DTypeLike = jnp.int32) -> Any:
    """The mask as Hugging Face models take it: 1 at real steps, 0 at padding.

    Args:
        x: values `(batch, time, ...)`, mask `(batch, time)`; an array, which has no padding, gives ones.
        dtype: of the result.

    Returns:
        `(batch, time)` of `dtype`. An empty row gives zeros.

    Raises:
        ValueError: the rows are packed; a model that takes the ids themselves takes `x.segments`.

    >>> import jmask as jm
    >>> jm.to_attention_mask(jm.pad_sequences([[3, 4, 5], [6]])).tolist()
    [[1, 1, 1], [1, 0, 0]]
    """
    refuse_segments(x, "`to_attention_mask`", "A model that takes the ids of packed sequences takes `x.segments`.")
    return as_masked(x).mask.astype(dtype)


def load_steps(ragged: Ragged, dtype: DTypeLike | None, value: Any = 0) -> Steps:
    """All steps in the dtype that is asked for, or in their own; where nothing says what a step is, like `value`."""
    dtype = None if dtype is None else requested_dtype(dtype)
    steps = ragged.load(dtype)
    if steps is None:
        return Steps(np.empty(0, default_dtype(np.asarray(value).dtype) if dtype is None else dtype))
    return steps


def arrange(steps: Steps, mask: np.ndarray, starts: np.ndarray, value: Any = 0) -> np.ndarray:
    """The steps where the mask is True, and `value` elsewhere; `starts` as in `Steps.write`."""
    values = _padded(value, steps.flat, mask.shape)
    if len(starts):
        steps.write(values, mask, starts)
    return values


def mask_of_lengths(lengths: np.ndarray, width: int, side: Literal["right", "left"] = "right") -> np.ndarray:
    """The mask `(rows, width)` of rows with this many real steps and padding on one side."""
    # The narrowest integers that can count the steps: the comparison is bound by memory.
    dtype = np.min_scalar_type(width)
    steps = np.arange(width, dtype=dtype)
    return (steps if side == "right" else steps[::-1]) < lengths.astype(dtype)[:, None]


def refuse_tracers(x: Any, name: str, inside: str) -> None:
    """Refuses a traced `x` on behalf of what makes arrays whose shapes depend on data."""
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(x)):
        raise TypeError(
            f"`{name}` makes arrays whose shapes depend on data, so it cannot be traced by `jax.jit`, `jax.vmap` or "
            f"`jax.grad`. Call it outside of them; inside, {inside}."
        )


def _padded(value: Any, flat: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Padding only, of this leading shape, and for the rest like `flat`."""
    step = flat.shape[1:]
    if flat.dtype == OBJECT:
        fitting = np.empty((), object)  # a box, so that a list stays one object
        fitting[()] = _default_text(flat) if type(value) is int and value == 0 else value
        return np.full((*shape, *step), fitting)
    fitting = convert(np.asarray(value), flat.dtype, "value")
    try:
        np.broadcast_to(fitting, step)
    except ValueError:
        raise ValueError(
            f"`value` must be a number, or an array that broadcasts against a step, which has shape {step}; "
            f"received shape {fitting.shape}."
        ) from None
    if not fitting.any():
        return np.zeros((*shape, *step), flat.dtype)  # comes from the system as zeros, nothing is written
    return np.full((*shape, *step), fitting, flat.dtype)


def _default_text(flat: np.ndarray) -> Any:
    """What pads objects by default: the empty string for strings, 0 for others."""
    kinds = set(map(type, flat.flat))
    for text in ("", b""):
        if kinds and all(issubclass(kind, type(text)) for kind in kinds):
            return text
    return 0


def _check_end(name: str, end: Any) -> None:
    if end not in ("post", "pre"):
        raise ValueError(f"`{name}` must be 'post' or 'pre'; received {end!r}.")


def checked_size(name: str, size: Any, minimum: int, kind: str = "an integer") -> int:
    """An argument that is a size; refuses what is no integer, or too small."""
    if isinstance(size, bool) or not isinstance(size, SupportsIndex):
        raise TypeError(f"`{name}` must be {kind}; received {size!r}.")
    if operator.index(size) < minimum:
        raise ValueError(f"`{name}` must be at least {minimum}; received {size}.")
    return operator.index(size)


def checked_option(name: str, size: Any, minimum: int) -> int | None:
    """An option that is a size or None."""
    return None if size is None else checked_size(name, size, minimum, "an integer or None")


def _real_steps(values: np.ndarray, mask: np.ndarray) -> Any:
    if mask.ndim > 2:
        return [_real_steps(*row) for row in zip(values, mask, strict=True)]
    return values[mask] if mask.ndim == 1 else split(values[mask], mask.sum(axis=1).tolist())
