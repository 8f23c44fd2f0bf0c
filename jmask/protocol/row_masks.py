"""Masks of rows only, `(batch,)`: pooling makes them, and layers over time accept them.

On values `(batch, time, features)` such a mask says that either all steps of a row are real, or none. So each row is a
sequence without padding, or an empty row.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..core.arithmetic import expand
from ..core.masked import Masked, is_masked, values_of
from ..core.segment_ids import found_ids
from . import path


def once_a_row(inputs: Any) -> Callable[[Any], Any]:
    """A function that gives results per row their mask, the rows with a real step; results of arrays stay arrays.

    Args:
        inputs: `(batch, time, ...)`.

    Returns:
        A function of results `(batch, ...)`, which all get the same mask; for packed rows of results for each
        sequence, `(num_sequences, ...)`, and the mask is of the ids that have steps.
    """
    if not isinstance(inputs, Masked):
        return lambda result: result
    if inputs.segment_ids is not None:
        found = found_ids(inputs, path.current())
        return lambda result: Masked(values_of(result), found)
    rows = jnp.asarray(inputs.mask).any(tuple(range(1, inputs.mask.ndim)))
    return lambda result: Masked(values_of(result), rows)


def with_rows(inputs: Any, results: Any) -> Any:
    """Results per row; those that are arrays get a mask of the rows in which any input has a real step.

    The results for packed rows have their masks already.
    """
    found = [leaf for leaf in jax.tree.leaves(inputs, is_leaf=is_masked) if is_masked(leaf)]
    if not found or any(leaf.segment_ids is not None for leaf in found):
        return results
    masks = [leaf.mask for leaf in found]
    rows = functools.reduce(operator.or_, (mask.any(tuple(range(1, mask.ndim))) for mask in masks))
    return jax.tree.map(lambda y: y if is_masked(y) else Masked(y, rows), results, is_leaf=is_masked)


def has_rows_alone(x: Any) -> bool:
    """Whether the mask is of rows only, with a time axis after it; rank 2 under a mask of rank 1 is one sequence."""
    return isinstance(x, Masked) and x.mask.ndim == 1 and x.ndim > 2


def with_steps(x: Any) -> Any:
    """Expands a mask of rows to their steps, `(batch, time)`, for abstract arrays too; anything else is unchanged."""
    if not has_rows_alone(x):
        return x
    if isinstance(x.mask, jax.ShapeDtypeStruct):
        return Masked(x.values, jax.ShapeDtypeStruct(x.shape[:2], x.mask.dtype))
    return Masked(x.values, jnp.broadcast_to(expand(x.mask, 2), x.shape[:2]))


def over_time(call: Callable[..., Any]) -> Callable[..., Any]:
    """Makes a `call` over time accept a mask of rows: it sees rows without padding, and its outputs get the mask.

    Without it a function of `jmask.ops` would take the only axis of such a mask, the batch, for time.

    Args:
        call: `call(self, params, inputs, ...)`, whose outputs begin with the batch axis.

    Returns:
        A `call` for all inputs.
    """

    @functools.wraps(call)
    def called(self: Any, params: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        if not has_rows_alone(inputs):
            return call(self, params, inputs, *args, **options)
        outputs = call(self, params, inputs.fill(0), *args, **options)
        return jax.tree.map(lambda y: Masked(values_of(y), inputs.mask), outputs, is_leaf=is_masked)

    return called
