"""Labels: class ids and other targets with a known range, and targets that do not count."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ..core.arithmetic import expand
from ..core.display import is_concrete
from .options import check_integer

LARGEST = np.iinfo(np.int32).max

# (name, predictions, targets) -> the lowest and the highest valid target, after a check of shapes and dtypes.
Range = Callable[[str, Any, Any], tuple[int, int]]


def as_ids(x: Any) -> Any:
    """Integers and bools as int32, in which ids are compared with the number of classes; anything else unchanged.

    In int8, a count of 150 classes would be -106. A number beyond int32 is clipped, and so stays outside the classes,
    whereas a conversion could turn it into one of them.
    """
    if not (jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == bool):
        return x
    if x.dtype in (jnp.uint32, jnp.uint64):
        x = (np if isinstance(x, np.ndarray) else jnp).minimum(x, x.dtype.type(LARGEST))
    elif x.dtype == jnp.int64:
        x = x.clip(-LARGEST - 1, LARGEST)
    return x.astype(np.int32)


def are_not(targets: Any, ignore_index: int | None) -> Any:
    """Where targets are not `ignore_index`, a bool for each target; None if it is None."""
    return None if ignore_index is None else targets != ignore_index


def check_ignore_index(name: str, ignore_index: Any) -> int | None:
    """The option as an int or None."""
    return None if ignore_index is None else check_integer(name, "ignore_index", ignore_index)


def outside(name: str, targets: Any, mask: Any, low: int | float, high: int | float, what: str = "targets") -> Any:
    """Where targets are out of range, a bool for each; None if they are known to be in range.

    Args:
        name: the name of the loss or metric.
        targets: an array.
        mask: which of them count; its shape is a prefix of theirs. None: all.
        low: the lowest valid target.
        high: the highest valid target.
        what: what is checked, for the error.

    Returns:
        None where targets and mask are concrete; where they are traced, an array that is False at padding.

    Raises:
        ValueError: a concrete target that counts is out of range.
    """
    if not (is_concrete(targets) and (mask is None or is_concrete(mask))):
        return _outside(jnp.asarray(targets), None if mask is None else jnp.asarray(mask), low, high)
    targets, mask = jax.device_get((targets, mask))
    found = targets if mask is None else targets[mask]
    wrong = found[(found < low) | (found > high) | (found != found)]
    if wrong.size:
        raise ValueError(_message(name, what, wrong.flat[0], low, high))
    return None


def poisoned(results: Any, wrong: Any) -> Any:
    """The results, NaN if any target is out of range, since leaving it out would be silently wrong."""
    if wrong is None:
        return results
    return jax.tree.map(lambda leaf: jnp.where(jnp.any(wrong), jnp.nan, leaf), results)


def _outside(targets: Array, mask: Any, low: int | float, high: int | float) -> Array:
    found = (targets < low) | (targets > high) | (targets != targets)
    return found if mask is None else found & expand(mask, found.ndim)


def _message(name: str, what: str, wrong: Any, low: int | float, high: int | float) -> str:
    remedy = "Correct them, or mark these steps as padding"
    if what == "targets" and wrong == np.round(wrong):
        remedy = f"Leave such steps out with `ignore_index={int(wrong)}`, or correct them"
    return f"`{name}`: {what} must be from {low} to {high}, and at a step that counts there is {wrong}. {remedy}."
