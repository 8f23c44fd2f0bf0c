"""The local batch of each process becomes its part of one global batch."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.sharding import NamedSharding

from ..core.masked import Masked, is_masked
from .offers import BatchSizes, LeafSpec, has_rows, leaves_of, offer_of


@dataclasses.dataclass(frozen=True)
class Place:
    """Where the rows of this process stand among those of all.

    Attributes:
        index: the place of this process among those that have rows.
        count: how many processes have rows.
        shards: into how many parts the rows of a process are divided.
    """

    index: int
    count: int
    shards: int


def planned_batch(local: Any, sharding: NamedSharding) -> Any:
    """The global batch of processes whose batches are planned alike, in rows, widths and structure.

    Nothing is sent, as there is nothing to agree on.

    Args:
        local: the batch of this process: NumPy arrays and `Masked` of them.
        sharding: how rows are divided.

    Raises:
        TypeError: a leaf is not an array of numbers.
        ValueError: leaves disagree on rows or on sequences, or rows cannot be divided.
    """
    offer = offer_of(local)
    sizes, shards = offer.sizes, place_of(sharding).shards
    if sizes.rows % shards:
        raise ValueError(
            f"The rows of a batch are divided into {shards} equal parts; received {sizes.rows} rows. A function of "
            "`map` keeps the rows that it gets. To pack them, plan it: `data.batches(corpus, data.packed(...), ...)`."
        )
    if sizes.num_sequences > 0:
        sizes = dataclasses.replace(sizes, num_sequences=-(-sizes.num_sequences // shards) * shards)
    return assembled(local, leaves_of(offer.structure), sizes, sharding)


def assembled(local: Any, leaves: list[LeafSpec], sizes: BatchSizes, sharding: NamedSharding) -> Any:
    """The global batch, of which the local one is padded to the sizes that all processes have.

    Args:
        local: the batch of this process: NumPy arrays and `Masked` of them.
        leaves: what is known of them.
        sizes: of the batch of every process.
        sharding: how rows are divided.
    """
    place, widths = place_of(sharding), iter(sizes.widths)

    def part(leaf: LeafSpec, x: Any) -> Any:
        rows = sizes.rows if has_rows(leaf, leaves) else sizes.num_sequences
        shape = (rows, *(next(widths) for _ in range(leaf.num_widths)))
        make = _maker(sharding, place.count)
        if not leaf.is_packed:
            values, mask = (x.values, x.mask) if isinstance(x, Masked) else (x, np.ones(len(x), bool))
            return Masked(make(_padded(values, shape)), make(_padded(mask, shape)))
        number = None if sizes.num_sequences < 0 else sizes.num_sequences
        ids = np.where(x.segment_ids > 0, x.segment_ids + place.index * _most_ids(number, shape), 0)
        total = None if number is None else number * place.count
        ids = make(_padded(ids.astype(np.int32), shape))
        return Masked(make(_padded(x.values, shape)), segment_ids=ids, num_sequences=total)

    arrays, structure = jax.tree.flatten(local, is_leaf=is_masked)
    return structure.unflatten(part(leaf, x) for leaf, x in zip(leaves, arrays, strict=True))


def _most_ids(num_sequences: int | None, shape: tuple[int, ...]) -> int:
    """By how much the ids of the next process are larger: no two processes share one."""
    return math.prod(shape) if num_sequences is None else num_sequences


def _padded(array: Any, shape: tuple[int, ...]) -> np.ndarray:
    """Zeros behind, up to these leading sizes."""
    padding = [(0, new - old) for new, old in zip(shape, array.shape, strict=False)]
    return np.pad(array, padding + [(0, 0)] * (array.ndim - len(shape)))


def _maker(sharding: NamedSharding, count: int) -> Callable[[np.ndarray], jax.Array]:
    def make(local: np.ndarray) -> jax.Array:
        return jax.make_array_from_process_local_data(sharding, local, (count * len(local), *local.shape[1:]))

    return make


@functools.lru_cache(maxsize=16)
def place_of(sharding: NamedSharding) -> Place:
    """Where the rows of this process are.

    Raises:
        TypeError: `sharding` does not say how rows are divided.
        ValueError: it divides other axes too, or processes share rows.
    """
    if not isinstance(sharding, NamedSharding) or not sharding.spec or sharding.spec[0] is None:
        raise TypeError(
            "`sharding` says over which axis of a mesh rows are divided, `NamedSharding(mesh, PartitionSpec('data'))`; "
            f"received {sharding!r}."
        )
    if any(axis is not None for axis in sharding.spec[1:]):
        raise ValueError(f"`sharding` of a global batch divides rows, its first axis, alone; received {sharding.spec}.")
    names = sharding.spec[0] if isinstance(sharding.spec[0], tuple) else (sharding.spec[0],)
    shards = math.prod(sharding.mesh.shape[name] for name in names)
    held: dict[int, set[int]] = {}
    for device, index in sharding.devices_indices_map((shards,)).items():
        held.setdefault(device.process_index, set()).add(index[0].start or 0)
    own, count = held.get(jax.process_index(), set()), len(held)
    runs = [min(shard) for shard in held.values()]
    disjoint = sum(map(len, held.values())) == shards and all(max(s) - min(s) + 1 == len(s) for s in held.values())
    if not disjoint or len({len(shard) for shard in held.values()}) > 1:
        raise ValueError(
            f"`sharding` gives processes rows that are shared or scattered: {held} by process, of {shards} shards. "
            "Build the mesh so that each process has the rows of neighbouring shards to itself, "
            "`jax.make_mesh((jax.device_count(),), ('data',))`, with other axes inside a process."
        )
    return Place(sorted(runs).index(min(own)), count, len(own))
