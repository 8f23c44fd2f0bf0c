"""Batches of a corpus, by a plan."""

import logging
from typing import TYPE_CHECKING, Any, SupportsIndex

from jax.sharding import NamedSharding

from ..core.checks import checked_option, checked_size
from ..sharding.assembly import place_of
from .plan_kinds import Plan

if TYPE_CHECKING:
    from .grain_dataset import Batches
else:
    Batches = Any  # grain is only loaded where batches are made

logger = logging.getLogger(__name__)


def batches(
    corpus: Any,
    plan: Plan,
    *,
    seed: SupportsIndex,
    epochs: SupportsIndex | None = None,
    shard: tuple[SupportsIndex, SupportsIndex] | None = None,
    sharding: NamedSharding | None = None,
    prefetch: SupportsIndex = 2,
) -> Batches:
    """The batches of a corpus, epoch after epoch: a `grain.IterDataset` of dicts of `Masked`, one for each column.

    A batch has for each column

    - of sequences, a `Masked` `(rows, width, ...)`, padded on the right; by a packed plan with segment ids, which
      count the sequences of the batch from 1;
    - of one value a row, a `Masked` `(rows, ...)`, its mask `(rows,)` False in rows that fill up the last batch; by a
      packed plan, a `Masked` `(num_sequences, ...)` with the value of the sequence with id `k` at `k - 1`, its mask
      False where there is no such sequence.

    `num_sequences`, which the `Masked` know too, is one number for all batches: `rows * max_segments` of the plan, or
    without `max_segments` as many as the shortest sequences of the corpus could need. Missing steps of a column are
    holes in its mask.

    An iterator has `get_state()`, `{"epoch": ..., "step": ...}` of the batch that comes next, and `set_state(state)`.
    Orbax saves and restores it (`grain.checkpoint.CheckpointSave`, `CheckpointRestore`). Nothing is replayed.

    Args:
        corpus: a `data.Ragged`.
        plan: `data.padded`, `data.buckets` or `data.packed`.
        seed: an integer from 0 on, from which the order of all epochs follows.
        epochs: how many epochs an iterator has; None: without end. `batches.epoch(k)` has the batches of one.
        shard: `(index, count)`: only the rows of this process, an equal share of each batch, of which the ids count
            from 1 on too. All processes have the same plan, so they agree in shapes and steps. None: all rows.
        sharding: how rows are divided over devices, `NamedSharding(mesh, PartitionSpec("data"))`: batches are global
            arrays there, of which each process makes its rows and the thread that prefetches moves them. `map` sees the
            rows of the process, on the host; an array that it returns becomes a `Masked` with a mask of rows, True in
            filler rows too: where they must not count, return `x.with_values(array)` of a column of one value a row.
            None: batches are NumPy arrays.
        prefetch: how many batches are made ahead, in a thread; 0: each when it is asked for.

    Returns:
        A dataset with `num_steps(epoch)`, `epoch(k)`, `shapes`, `fingerprint()`, `map`, and the rest of grain's
        `IterDataset`. An empty corpus has no batches.

    Raises:
        TypeError: the corpus is not a `data.Ragged`, the plan no plan, or an option not of its type.
        ValueError: a sequence is longer than a row, an option is out of range, the rows of a batch cannot be divided
            by the number of shards, or both `shard` and `sharding` are given.

    >>> from jmask import data
    >>> corpus = data.Ragged(words=[[3, 4, 5], [6], [7, 8]], label=[0, 1, 0])
    >>> batches = data.batches(corpus, data.packed(row_length=4, rows=2, max_segments=2, shuffle=False), seed=0)
    >>> batch = next(iter(batches))
    >>> batch["words"]
    Masked(int32[2, 4], segments=3 of 4)
    [[3 4 5|6]
     [7 8 · ·]]
    >>> batch["label"]
    Masked(int32[4], real=3)
    [0 1 0 ·]

    On all devices:

    >>> import jax
    >>> from jax.sharding import NamedSharding, PartitionSpec
    >>> rows = NamedSharding(jax.make_mesh((jax.device_count(),), ("data",)), PartitionSpec("data"))
    >>> plan = data.padded(rows=4 * jax.device_count())
    >>> next(iter(data.batches(corpus, plan, seed=0, sharding=rows)))["words"].values.sharding == rows
    True
    """
    from .grain_dataset import Batches

    if not (hasattr(corpus, "columns") and hasattr(corpus, "lengths")):
        raise TypeError(f"`batches` takes a corpus, `data.Ragged(words=..., tags=...)`; received {type(corpus)}.")
    if not isinstance(plan, Plan):
        raise TypeError(f"`batches` takes a plan, for example `data.padded(rows=32)`; received {plan!r}.")
    made = Batches(
        corpus,
        plan,
        seed=checked_size("seed", seed, 0),
        epochs=checked_option("epochs", epochs, 0),
        shard=_checked_shard(shard) if sharding is None else _shard_of(sharding, shard),
        sharding=sharding,
        prefetch=checked_size("prefetch", prefetch, 0),
    )
    if made.note:
        logger.warning("data.batches: %s", made.note)
    if made.mistake:
        logger.warning("data.batches: lengths differ, %s: a mistake? Labels without a step count nowhere", made.mistake)
    return made


def _shard_of(sharding: NamedSharding, shard: Any) -> tuple[int, int]:
    if shard is not None:
        raise ValueError(
            f"`sharding` says which rows a process makes, so `shard` must be None; received {shard!r}. Pass `shard` "
            "alone for batches on the host."
        )
    place = place_of(sharding)
    return place.index, place.count


def _checked_shard(shard: Any) -> tuple[int, int]:
    if shard is None:
        return 0, 1
    if not isinstance(shard, tuple) or len(shard) != 2:
        raise TypeError(f"`shard` must be a pair (index, count), or None; received {shard!r}.")
    index, count = checked_size("shard[0]", shard[0], 0), checked_size("shard[1]", shard[1], 1)
    if index >= count:
        raise ValueError(f"`shard` is (index, count), index from 0 to {count - 1}; received {shard}.")
    return index, count
