"""Bringing several inputs to one rank, so that their time axes line up before they are combined."""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp

from ..core.arithmetic import expand
from ..core.masked import Masked, values_of
from ..core.segment_ids import check_not_packed, number_of_sequences
from .spreading import broadcast_to_steps


def align_ranks(xs: Sequence[Any], name: str) -> list[Any]:
    """Brings inputs to one rank, so that their shapes broadcast.

    Every input has the batch axes, `(batch, ...)`. An input of lower rank has no steps: `(batch, features)` belongs to
    the sequence and gets a time axis of size 1, `(batch, 1, features)`. Under a mask of rank 3,
    `(documents, sentences, features)` belongs to the sentence; with a single sequence, `(time, features)` with a mask
    of rank 1, `(features,)` belongs to the sequence. A mask of rows, `(batch,)`, covers all their entries. Next to
    packed rows an input of lower rank has one entry for each sequence, `(num_sequences, features)`.

    Args:
        xs: `Masked` or arrays.
        name: the operation, for error messages.

    Returns:
        The inputs. The masks of those that had a lower rank are raised to the rank of the other masks.

    Raises:
        ValueError: there are no inputs, shapes or masks do not fit, or an input has a lower rank and it is not known
            how many sequences packed rows hold.
    """
    check_list(xs, name)
    xs = with_steps_of_packed(xs, name)
    ndim = max(x.ndim for x in xs)
    highest = iter(with_masks_of_one_rank([x for x in xs if x.ndim == ndim], name))
    aligned = [next(highest) if x.ndim == ndim else x for x in xs]
    mask_ndim = next((x.mask.ndim for x in aligned if x.ndim == ndim and isinstance(x, Masked)), 2)
    mask_ndim = max(mask_ndim, min(2, ndim - 1))  # a mask of rows covers all their steps
    aligned = [x if x.ndim == ndim else _as_one_step(x, xs, ndim, mask_ndim, name) for x in aligned]
    try:
        jnp.broadcast_shapes(*(x.shape for x in aligned))
    except ValueError:
        raise ValueError(
            f"`{name}` takes inputs whose shapes broadcast, where (batch, features) belongs to the sequence and "
            f"becomes (batch, 1, features); received {_shapes(xs)}. A number for each step needs a feature axis: "
            "`x[..., None]`."
        ) from None
    return aligned


def check_list(xs: Any, name: str) -> None:
    """Raises unless `xs` is a list of inputs."""
    if not isinstance(xs, (list, tuple)) or not xs:
        raise ValueError(f"`{name}` takes a list of one or more inputs; received {xs!r}.")


def with_steps_of_packed(xs: Sequence[Any], name: str) -> Sequence[Any]:
    """The inputs; next to packed rows one of lower rank, which belongs to the sequences, is brought to their steps.

    Raises:
        ValueError: it does not have one entry for each sequence, or their number is not known.
    """
    ndim = max(x.ndim for x in xs)
    packed = next((x for x in xs if x.ndim == ndim and getattr(x, "segment_ids", None) is not None), None)
    if packed is None:
        return xs
    return [x if x.ndim == ndim else _at_steps(x, packed, name) for x in xs]


def _at_steps(x: Any, packed: Masked, name: str) -> Masked:
    number = number_of_sequences(packed, f"`{name}` with an input of lower rank")
    rank = packed.ndim - packed.mask.ndim  # the axes of a step
    if x.ndim < 1 or x.shape[0] != number or x.ndim - 1 > rank or (isinstance(x, Masked) and x.mask.ndim > 1):
        mask = f" with a mask {tuple(x.mask.shape)}" if isinstance(x, Masked) else ""
        raise ValueError(
            f"`{name}`: next to packed rows, an input of lower rank has one entry for each sequence, ({number}, "
            f"features); received {tuple(x.shape)}{mask}. A number for each step needs a feature axis, `x[..., None]`."
        )
    return broadcast_to_steps(_with_axes(x, rank + 1), like=packed)


def _with_axes(x: Any, ndim: int) -> Any:
    values = jnp.asarray(values_of(x))
    values = values.reshape(*values.shape[:1], *(1,) * (ndim - x.ndim), *values.shape[1:])
    return Masked(values, x.mask) if isinstance(x, Masked) else values


def with_masks_of_one_rank(xs: Sequence[Any], name: str) -> list[Any]:
    """Raises unless inputs have one rank; a row mask `(batch,)` next to a step mask covers every step of a row."""
    shapes = {tuple(x.mask.shape) for x in xs if isinstance(x, Masked)}
    rank = max(map(len, shapes), default=0)
    if len({x.ndim for x in xs}) > 1 or any(len(shape) not in (1, rank) for shape in shapes):
        raise ValueError(
            f"`{name}` takes inputs of one rank with masks of one rank; received values {_shapes(xs)} "
            f"and masks {sorted(shapes)}. Add axes with indexing, e.g. `x[:, None]`."
        )
    return [x if not isinstance(x, Masked) or x.mask.ndim == rank else _with_rank(x, rank, name) for x in xs]


def _with_rank(x: Masked, rank: int, name: str) -> Masked:
    check_not_packed(x, f"`{name}` with a mask of another rank")
    return Masked(x.values, jnp.broadcast_to(expand(x.mask, rank), x.shape[:rank]))


def _as_one_step(x: Any, xs: Sequence[Any], ndim: int, mask_ndim: int, name: str) -> Any:
    """A per-sequence input, with axes of size 1 for time and any other axis that it lacks."""
    missing = ndim - x.ndim
    axis = max(mask_ndim - missing, min(mask_ndim - 1, 1), 0)
    if isinstance(x, Masked) and x.mask.ndim > axis:
        raise ValueError(
            f"`{name}` takes an input of lower rank for one that belongs to the sequence and has no steps, and one of "
            f"these has a mask over steps; received values {_shapes(xs)}, the mask {tuple(x.mask.shape)} among them. "
            "Add a feature axis: `x[..., None]`."
        )
    values = jnp.expand_dims(values_of(x), tuple(range(axis, axis + missing)))
    if not isinstance(x, Masked):
        return values
    return Masked(values, jnp.broadcast_to(expand(x.mask, mask_ndim), values.shape[:mask_ndim]))


def _shapes(xs: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [tuple(x.shape) for x in xs]
