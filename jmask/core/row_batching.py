"""`jax.vmap` of functions of rows: the rows of all examples become the rows of one batch.

JAX vmaps a loop whose number of steps is an array by running it for all examples until the last one is done, selecting
between old and new for every buffer it carries. Here no such loop is ever vmapped.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap


def folds_rows(function: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Gives `function(rows, weights)` a rule for `jax.vmap`.

    Args:
        function: of pytrees `rows`, whose arrays begin with the rows' axis, and `weights`; all that it returns begins
            with the rows' axis as well.

    Returns:
        The function. Vmapped with shared weights, it runs once on the rows of all examples; if each example has its own
        weights, it runs on one example after another.
    """
    batched = custom_vmap(function)

    @batched.def_vmap
    def rule(size: int, in_batched: Any, rows: Any, weights: Any) -> tuple[Any, Any]:
        if is_any(in_batched[1]):
            return map_examples(batched, in_batched, rows, weights)
        return all_batched(unfold(size, batched(fold(size, in_batched[0], rows), weights)))

    return batched


def fold(size: int, in_batched: Any, rows: Any) -> Any:
    """`(examples, rows, ...)` as `(examples * rows, ...)`; what the examples share is repeated."""

    def fold_leaf(is_batched: bool, leaf: Any) -> Any:
        leaf = leaf if is_batched else jnp.broadcast_to(leaf, (size, *leaf.shape))
        return leaf.reshape(-1, *leaf.shape[2:])

    return jax.tree.map(fold_leaf, in_batched, rows)


def unfold(size: int, rows: Any) -> Any:
    """`(examples * rows, ...)` as `(examples, rows, ...)`."""
    return jax.tree.map(lambda leaf: leaf.reshape(size, -1, *leaf.shape[1:]), rows)


def map_examples(function: Callable, in_batched: Any, *args: Any) -> tuple[Any, Any]:
    """One example after another."""
    leaves, structure = jax.tree.flatten(args)
    flags = jax.tree.leaves(in_batched)

    def one(batched: list[Any]) -> Any:
        own = iter(batched)
        return function(*structure.unflatten(next(own) if f else x for f, x in zip(flags, leaves, strict=True)))

    return all_batched(lax.map(one, [x for f, x in zip(flags, leaves, strict=True) if f]))


def all_batched(outputs: Any) -> tuple[Any, Any]:
    """Outputs, and that all of them have an axis for the examples."""
    return outputs, jax.tree.map(lambda _: True, outputs)


def is_any(in_batched: Any) -> bool:
    """Whether anything has an axis for the examples."""
    return any(jax.tree.leaves(in_batched))
