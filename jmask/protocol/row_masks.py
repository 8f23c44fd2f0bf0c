"""A mask of rows alone, `(batch,)`: pooling makes it, and layers over time take it.

Such a mask on values `(batch, time, features)` says that all steps of a row are real or none. So each row is a sequence
without padding, or no row.
"""

import functools
import operator
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from ..core.arithmetic import expand
from ..core.masked import Masked, is_masked, values_of


def once_a_row(inputs: Any) -> Callable[[Any], Any]:
    """What gives a result of each row its mask: the rows with a real step; an array's results stay arrays.

    Args:
        inputs: `(batch, time, ...)`.

    Returns:
        A function of results `(batch, ...)`, all of which get the same mask.
    """
    if not isinstance(inputs, Masked):
        return lambda result: result
    rows = jnp.asarray(inputs.mask).any(tuple(range(1, inputs.mask.ndim)))
    return lambda result: Masked(values_of(result), rows)


def with_rows(inputs: Any, results: Any) -> Any:
    """Results of each row; those that are arrays get a mask of the rows in which any input has a real step."""
    masks = [leaf.mask for leaf in jax.tree.leaves(inputs, is_leaf=is_masked) if is_masked(leaf)]
    if not masks:
        return results
    rows = functools.reduce(operator.or_, (mask.any(tuple(range(1, mask.ndim))) for mask in masks))
    return jax.tree.map(lambda y: y if is_masked(y) else Masked(y, rows), results, is_leaf=is_masked)


def has_rows_alone(x: Any) -> bool:
    """Whether there is a mask of rows, and time behind it. Values of rank 2 under a mask of rank 1 are one sequence."""
    return isinstance(x, Masked) and x.mask.ndim == 1 and x.ndim > 2


def with_steps(x: Any) -> Any:
    """A mask of rows as one of their steps, `(batch, time)`, also of abstract arrays; anything else as it is."""
    if not has_rows_alone(x):
        return x
    if isinstance(x.mask, jax.ShapeDtypeStruct):
        return Masked(x.values, jax.ShapeDtypeStruct(x.shape[:2], x.mask.dtype))
    return Masked(x.values, jnp.broadcast_to(expand(x.mask, 2), x.shape[:2]))


def over_time(call: Callable[..., Any]) -> Callable[..., Any]:
    """Makes the `call` of a layer over time see rows without padding under a mask of rows, which its outputs get.

    Without it a function of `jmask.ops` would take the only axis of such a mask, the batch, for time.

    Args:
        call: `call(self, params, inputs, ...)`, whose outputs begin with the batch axis.

    Returns:
        The same for all inputs.
    """

    @functools.wraps(call)
    def called(self: Any, params: Any, inputs: Any, *args: Any, **options: Any) -> Any:
        if not has_rows_alone(inputs):
            return call(self, params, inputs, *args, **options)
        outputs = call(self, params, inputs.fill(0), *args, **options)
        return jax.tree.map(lambda y: Masked(values_of(y), inputs.mask), outputs, is_leaf=is_masked)

    return called
