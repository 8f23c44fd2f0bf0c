"""`Masked` as a pytree: its leaves, their names, and how it is rebuilt without checks.

Where each row is one sequence, the leaves are `values` and `mask`. For packed rows they are `values` and `segment_ids`,
from which the mask follows, so that no two leaves can contradict each other; and since the names differ, a checkpoint
of one kind is never mistaken for the other.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.tree_util import GetAttrKey

# The static part of the tree definition; JAX prints it where two trees do not fit.
_ROWS = "one sequence a row"


class Packed(NamedTuple):
    """The static part for packed rows.

    Attributes:
        num_sequences: how many sequences there are, or None if that is not known.
    """

    num_sequences: int | None = None

    def __repr__(self) -> str:
        """What JAX prints."""
        return "packed rows" + ("" if self.num_sequences is None else f", num_sequences={self.num_sequences}")


Kind = str | Packed


def register_pytree(cls: Any) -> None:
    """Registers the class of `Masked` as a pytree."""
    jax.tree_util.register_pytree_with_keys(
        cls, _flatten_with_keys, lambda kind, leaves: unflatten_masked(cls, leaves, kind), flatten_masked
    )


def put(x: Any, values: Any, mask: Any, segment_ids: Any, kind: Kind) -> Any:
    """Sets the attributes of a bare object; nothing is checked or computed.

    The kind is stored separately, since JAX and other libraries may also put None in the place of segment ids.
    """
    object.__setattr__(x, "_kind", kind)
    object.__setattr__(x, "values", values)
    object.__setattr__(x, "segment_ids", segment_ids)
    object.__setattr__(x, "_mask", mask)
    return x


def kind_of(segment_ids: Any, num_sequences: int | None) -> Kind:
    """The kind of a `Masked` with these segment ids, or None."""
    return _ROWS if segment_ids is None else Packed(num_sequences)


def mask_of_segment_ids(segment_ids: Any) -> Any:
    """True at the steps that have an id; a placeholder for ids (an axis, a sharding) is returned as it is."""
    dtype = getattr(segment_ids, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jnp.integer):
        return segment_ids
    if isinstance(segment_ids, (jax.Array, np.ndarray, np.integer)):
        return segment_ids > 0
    if isinstance(segment_ids, jax.ShapeDtypeStruct):
        return jax.ShapeDtypeStruct(segment_ids.shape, np.bool_, sharding=segment_ids.sharding)
    return segment_ids


def flatten_masked(x: Any) -> tuple[tuple[Any, Any], Kind]:
    """The leaves, and of which kind they are."""
    kind = x._kind
    return ((x.values, x.mask), kind) if kind == _ROWS else ((x.values, x.segment_ids), kind)


def names_of(kind: Kind) -> tuple[str, str]:
    """The names of the leaves."""
    return "values", "mask" if kind == _ROWS else "segment_ids"


def _flatten_with_keys(x: Any) -> tuple[tuple[tuple[Any, Any], ...], Kind]:
    leaves, kind = flatten_masked(x)
    return tuple(zip(map(GetAttrKey, names_of(kind)), leaves, strict=True)), kind


def unflatten_masked(cls: Any, leaves: Any, kind: Kind) -> Any:
    """The object with these leaves."""
    values, other = leaves
    mask, segment_ids = (other, None) if kind == _ROWS else (None, other)
    return put(object.__new__(cls), values, mask, segment_ids, kind)
