"""What a process has to offer for the next global batch: the structure of its local batch, and its sizes.

A structure is a nest of dicts, lists and tuples as JSON, with the dtype and the fixed sizes of each leaf. So it can be
sent to a process that has no batch, which makes an empty one of it.
"""

import dataclasses
import json
import zlib
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from ..core.masked import Masked, is_masked

_NESTS = {"list": list, "tuple": tuple}


@dataclasses.dataclass(frozen=True)
class LeafSpec:
    """What all processes must have in common in one leaf.

    Attributes:
        dtype: of the values.
        mask_rank: axes under the mask, 0 for an array.
        is_packed: whether rows have several sequences.
        features: sizes of the axes behind the mask; of an array, behind the first.
    """

    dtype: str
    mask_rank: int
    is_packed: bool
    features: tuple[int, ...]

    @property
    def has_time(self) -> bool:
        """Whether its rows are sequences; otherwise there is one entry for each of them."""
        return self.mask_rank > 1

    @property
    def num_widths(self) -> int:
        """Axes whose size is agreed on, besides the first."""
        return max(self.mask_rank - 1, 0)


@dataclasses.dataclass(frozen=True)
class BatchSizes:
    """The sizes of one local batch.

    Attributes:
        rows: of all leaves that have rows.
        num_sequences: of packed rows; -1 if that is unknown, 0 without packed rows.
        widths: steps of each leaf with a time axis, one after the other.
    """

    rows: int
    num_sequences: int
    widths: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Offer:
    """What one process says of its next batch.

    Attributes:
        structure: as JSON; "" if it has no batch.
        sizes: of its batch.
        error: why it has none, if reading it failed.
    """

    structure: str = ""
    sizes: BatchSizes = BatchSizes(0, 0, ())
    error: str = ""

    @property
    def digest(self) -> int:
        """A number that differs where structures do; 0 without a batch."""
        return digest_of(self.structure)


def digest_of(structure: str) -> int:
    """A number that differs where structures do, and 0 for none."""
    data = structure.encode()
    return zlib.crc32(data) << 24 ^ zlib.adler32(data) if data else 0


def offer_of(batch: Any) -> Offer:
    """The offer of a local batch of NumPy arrays and `Masked` of them.

    Raises:
        TypeError: a leaf is not an array of numbers.
        ValueError: a leaf has no rows, or leaves disagree on rows or on sequences.
    """
    leaves = [_leaf(path, x) for path, x in jax.tree.leaves_with_path(batch, is_leaf=is_masked)]
    arrays = jax.tree.leaves(batch, is_leaf=is_masked)
    num_sequences = _num_sequences(leaves, arrays)
    rows = [x.shape[0] for leaf, x in zip(leaves, arrays, strict=True) if has_rows(leaf, leaves)]
    entries = [x.shape[0] for leaf, x in zip(leaves, arrays, strict=True) if not has_rows(leaf, leaves)]
    if len(set(rows)) > 1:
        raise ValueError(f"All parts of a batch have the same rows; received {sorted(set(rows))} of them.")
    if entries and set(entries) != {num_sequences}:
        raise ValueError(
            "Beside packed rows, what has no time axis has one entry for each sequence, and the rows say how many "
            f"there are: pass `num_sequences=` to `jm.pack`. Received {sorted(set(entries))} entries for "
            f"{'an unknown number of' if num_sequences < 0 else num_sequences} sequences."
        )
    widths = tuple(size for leaf, x in zip(leaves, arrays, strict=True) for size in x.shape[1 : 1 + leaf.num_widths])
    structure = json.dumps(_nest(batch, iter(leaves)), separators=(",", ":"))
    return Offer(structure, BatchSizes(max(rows, default=0), num_sequences, widths))


def leaves_of(structure: str) -> list[LeafSpec]:
    """The leaves, in JAX's order."""
    return list(_leaves(json.loads(structure)))


def empty_batch(structure: str) -> Any:
    """A batch of this structure without any row.

    Raises:
        LookupError: it has containers that only a process with a batch can build.
    """
    return _built(json.loads(structure))


def has_rows(leaf: LeafSpec, leaves: list[LeafSpec]) -> bool:
    """Whether the first axis of a leaf is rows, and not the sequences of packed rows."""
    return leaf.has_time or not any(other.is_packed for other in leaves)


def _leaf(path: Any, x: Any) -> LeafSpec:
    name = jax.tree_util.keystr(path) or "the batch"
    dtype = getattr(x, "dtype", None)
    if dtype is None or jax.dtypes.issubdtype(dtype, jax.dtypes.extended) or np.dtype(dtype).kind in "OUSTMm":
        raise TypeError(
            f"A global batch holds arrays of numbers and `Masked` of them; {name} is "
            f"{type(x).__name__ if dtype is None else f'of dtype {dtype}'}. Leave it out, or turn it into numbers."
        )
    rank = x.mask.ndim if isinstance(x, Masked) else 0
    if x.ndim == 0 or (isinstance(x, Masked) and rank == 0):
        raise ValueError(
            f"Each part of a global batch has rows, its first axis; {name} has shape {tuple(x.shape)}. What is the "
            "same for all rows is an argument of its own."
        )
    is_packed = isinstance(x, Masked) and x.segment_ids is not None
    return LeafSpec(str(dtype), rank, is_packed, tuple(x.shape[max(rank, 1) :]))


def _num_sequences(leaves: list[LeafSpec], arrays: list[Any]) -> int:
    found = {x.num_sequences for leaf, x in zip(leaves, arrays, strict=True) if leaf.is_packed}
    if len(found) > 1:
        raise ValueError(f"All packed rows of a batch hold the same sequences; received `num_sequences` {found}.")
    if not found:
        return 0
    (number,) = found
    for leaf, x in zip(leaves, arrays, strict=True):
        most = 0 if not leaf.is_packed else x.mask.size if number is None else number
        if leaf.is_packed and x.segment_ids.max(initial=0) > most:
            raise ValueError(
                f"Ids of packed rows count from 1 to {'the number of steps' if number is None else '`num_sequences`'}, "
                f"{most}, so that those of other processes can follow; received {x.segment_ids.max()}. "
                "`jm.pack(jm.unpack(x), ...)` numbers them anew."
            )
    return -1 if number is None else number


def _nest(x: Any, leaves: Any) -> Any:
    if is_masked(x) or hasattr(x, "dtype"):
        return ["leaf", dataclasses.astuple(next(leaves))]
    if x is None:
        return ["none"]
    if type(x) is dict and all(isinstance(key, (str, int)) for key in x):
        return ["dict", [[key, _nest(x[key], leaves)] for key in sorted(x)]]
    if type(x) in (list, tuple):
        return [type(x).__name__, [_nest(item, leaves) for item in x]]
    children = jax.tree.leaves(x, is_leaf=lambda y: y is not x)
    return ["other", str(jax.tree.structure(x, is_leaf=lambda y: y is not x)), [_nest(y, leaves) for y in children]]


def _leaves(nest: Any) -> Iterator[LeafSpec]:
    kind, *rest = nest
    if kind == "leaf":
        dtype, mask_rank, is_packed, features = rest[0]
        yield LeafSpec(dtype, mask_rank, is_packed, tuple(features))
    for inner in [] if kind in ("leaf", "none") else rest[-1]:
        yield from _leaves(inner[1] if kind == "dict" else inner)


def _built(nest: Any) -> Any:
    kind, *rest = nest
    if kind == "leaf":
        return _empty(next(_leaves(nest)))
    if kind == "none":
        return None
    if kind == "dict":
        return {key: _built(inner) for key, inner in rest[0]}
    if kind == "other":
        raise LookupError(rest[0])
    return _NESTS[kind](_built(inner) for inner in rest[0])


def _empty(leaf: LeafSpec) -> Any:
    shape = (0,) * max(leaf.mask_rank, 1)
    values = np.zeros((*shape, *leaf.features), np.dtype(leaf.dtype))
    if leaf.is_packed:
        return Masked(values, segment_ids=np.zeros(shape, np.int32))
    return Masked(values, np.zeros(shape, bool)) if leaf.mask_rank else values
