"""The checks and errors of `jm.skip_padding`."""

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import jax
import numpy as np

from ..core.arithmetic import is_host_only
from ..core.masked import Masked, is_masked
from ..core.row_sharding import is_laid_out, rows_axes

NAME = "`jm.skip_padding`"


def checked_fractions(fractions: Iterable[float]) -> tuple[float, ...]:
    """The fractions in order; raises unless they are numbers between 0 and 1."""
    found = tuple(fractions) if isinstance(fractions, Iterable) and not isinstance(fractions, str) else fractions
    numbers = (int, float, np.integer, np.floating)
    if not (isinstance(found, tuple) and found and all(isinstance(f, numbers) and 0 < f < 1 for f in found)):
        raise ValueError(
            f"{NAME}: `fractions` are parts of the rows of a batch, numbers between 0 and 1, such as (0.25, 0.5); the "
            f"whole batch always has a program of its own. Received {fractions!r:.80}."
        )
    return tuple(sorted(map(float, found)))


def checked_batches(leaves: Sequence[Any]) -> list[Masked]:
    """The padded batches among the arguments, which have equally many rows; none if all rows are arrays.

    Raises:
        TypeError: one holds strings or other objects.
        ValueError: rows are packed already, the batches differ in their number, or there are only documents.
    """
    masked = [leaf for leaf in leaves if is_masked(leaf)]
    if any(x.segment_ids is not None for x in masked):
        raise ValueError(
            f"{NAME} packs the rows of a padded batch, and these are packed already. Call the function itself; for "
            "`train.step`, leave out `skip_padding`."
        )
    found = [x for x in masked if x.mask.ndim == 2]
    if not found and any(x.mask.ndim > 2 for x in masked):
        raise ValueError(
            f"{NAME} packs sequences, under a mask (batch, time); received masks "
            f"{', '.join(str(tuple(x.mask.shape)) for x in masked)}. Call the function itself, or give it the "
            "innermost sequences as rows of a batch."
        )
    if len({x.mask.shape[0] for x in found}) > 1:
        raise ValueError(
            f"{NAME}: what the batches hold in one row belongs to one sequence, so they have equally many rows; "
            f"received masks {', '.join(str(tuple(x.mask.shape)) for x in found)}. What belongs to other sequences "
            "reaches the function as it is if it is bound, `functools.partial(fn, other=x)`."
        )
    for x in found:
        if is_host_only(x.values):
            raise TypeError(f"{NAME} moves steps on the device, which holds numbers; received dtype {x.dtype}.")
    return found


def checked_axes(batches: Sequence[Masked]) -> Any:
    """The explicit axes of a mesh that divide the rows of all batches, or None.

    Raises:
        ValueError: they divide something else as well, or not all alike.
    """
    arrays = [array for x in batches for array in (x.values, x.mask)]
    axes = rows_axes(arrays[0])
    if not is_laid_out(arrays, ()):
        raise ValueError(
            f"{NAME}: explicit axes of a mesh may divide the rows of a batch, all batches alike, and not its steps or "
            f"features; received {', '.join(str(jax.typeof(array)) for array in arrays)}. Lay them out by "
            "`jax.sharding.reshard(x, jax.P('data'))`."
        )
    return axes


@contextlib.contextmanager
def noted(num_packed: int, leaves: Sequence[Any], batches: Sequence[Masked]) -> Iterator[None]:
    """Context in which the function gets packed rows; its errors tell that, and what can be done."""
    try:
        yield
    except Exception as error:
        shape = tuple(batches[0].mask.shape)
        error.add_note(
            f"{NAME} was running the function on packed rows, {shape[0]} sequences in {num_packed} rows of "
            f"{shape[1]} steps; docs/packed.md says what works there.{_hint(leaves, batches)} What cannot run packed "
            "is to be called outside of the function, or without `jm.skip_padding`."
        )
        raise


def check_structure(expected: Any, found: Any) -> None:
    """Raises if results are nested otherwise than those for the padded batch."""
    if found != expected:
        raise ValueError(
            f"{NAME}: the function returns {found} for packed rows, and {expected} for the padded batch. Return the "
            "same whatever the rows are."
        )


def check_result(path: str, expected: Any, found: Any) -> None:
    """Raises unless a result for packed rows can stand for that for the padded batch.

    Args:
        path: where it is among the results.
        expected: the shapes for the padded batch.
        found: the result for packed rows.
    """
    alike = expected.dtype == found.dtype if hasattr(found, "dtype") else True
    if is_masked(expected) and expected.segment_ids is None and expected.mask.ndim == 2:
        alike = alike and is_masked(found) and found.mask.ndim == 2 and found.shape[2:] == expected.shape[2:]
    elif is_masked(expected):
        alike = alike and is_masked(found) and found.segment_ids is None and found.shape == expected.shape
    else:
        alike = alike and np.shape(found) == expected.shape and (not is_masked(found) or found.mask.ndim == 1)
    if not alike:
        raise ValueError(
            f"{NAME}: the result{path and ' ' + path} is {_kind(expected)} for the padded batch, and {_kind(found)} "
            "for its packed rows, from which it cannot be told. Return what has an entry for each step as the "
            "`Masked`, whose padding comes back as 0; make what has one for each sequence by functions that know "
            "packed rows, such as `jm.ops.mean(x, axis=1)`."
        )


def _hint(leaves: Sequence[Any], batches: Sequence[Masked]) -> str:
    """Names an array that looks as if it had a step for each of a batch."""
    shapes = {tuple(x.mask.shape) for x in batches}
    for leaf in leaves:
        shape = tuple(getattr(leaf, "shape", ()))
        if not is_masked(leaf) and shape[:2] in shapes:
            return (
                f" An array {shape} among the arguments was not packed, as only a `Masked` is: if it has a step for "
                "each of the batch, such as labels, give it the mask, `x.with_values(labels)`."
            )
    return ""


def _kind(x: Any) -> str:
    if is_masked(x):
        packed = "" if x.segment_ids is None else ", packed"
        return f"a Masked {np.dtype(x.dtype).name}{list(x.shape)} with a mask {list(x.mask.shape)}{packed}"
    if hasattr(x, "shape") and hasattr(x, "dtype"):
        return f"{jax.numpy.dtype(x.dtype).name}{list(x.shape)}"
    return f"a {type(x).__name__}"
