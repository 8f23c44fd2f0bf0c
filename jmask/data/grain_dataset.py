"""Batches as a dataset of grain: its iterator knows where it is by epoch and step alone.

Importing grain takes seconds, so this file is only imported where batches are made.
"""

import copy
import hashlib
import operator
import threading
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, SupportsIndex

import jax
import numpy as np
from jax.sharding import NamedSharding

from ..core.checks import checked_size
from ..core.lazy import from_extra
from ..sharding.assembly import place_of, planned_batch
from .copying import Copier
from .epochs import EpochPlan
from .plan_kinds import Plan

with from_extra("train"):
    import grain

_KEPT = 2  # epochs whose plans are kept: the one that is read, and the one that is prefetched


class Batches(grain.IterDataset):
    """The batches of a corpus, epoch after epoch; `data.batches` makes one.

    Iterating runs over `epochs` epochs from the start; the state of the iterator is `{"epoch": ..., "step": ...}`, the
    batch that comes next. `map` and `random_map` return another `Batches`; other methods of grain return its own
    datasets, which know nothing of epochs.

    Attributes:
        corpus: the `data.Ragged`.
        plan: the plan.
        seed: seed of the order.
        epochs: number of epochs; None: without end.
        shard: which rows of each batch are made, `(index, count)`.
        sharding: how the rows of all processes are divided over devices; None: batches stay on the host.
        num_prefetched: how many batches are made ahead, in a thread.
    """

    def __init__(
        self,
        corpus: Any,
        plan: Plan,
        *,
        seed: int,
        epochs: int | None,
        shard: tuple[int, int],
        prefetch: int,
        sharding: NamedSharding | None = None,
    ) -> None:
        super().__init__()
        self.corpus, self.plan, self.epochs, self.shard, self.num_prefetched = corpus, plan, epochs, shard, prefetch
        self.sharding = sharding
        self.seed: int = seed  # pyright: ignore[reportIncompatibleMethodOverride] grain's sets the seed of what follows
        self.has_child = True  # so that grain does not wrap the iterator's class once more for each dataset
        self._prepared = plan.prepare(corpus)
        num_shards = shard[1] if sharding is None else shard[1] * place_of(sharding).shards
        self._copier = Copier(corpus.columns, self._prepared, shard, num_shards)
        self._functions: tuple[Callable[[Any, tuple[int, int]], Any], ...] = ()
        self._plans: dict[int, EpochPlan] = {}
        self._lock = threading.Lock()

    def num_steps(self, epoch: SupportsIndex) -> int:
        """The number of batches of an epoch, counted from 0; the same in all processes."""
        return len(self._plan_of(operator.index(epoch)))

    @property
    def note(self) -> str:
        """What became of sequences that were too long; "" if there were none."""
        return self._prepared.pieces.note

    @property
    def mistake(self) -> str:
        """Columns that agree in length in most rows, but not in all; "" if there are none."""
        return self._prepared.pieces.columns.differing(at_most=0.5)

    @property
    def shapes(self) -> tuple[Any, ...]:
        """An abstract batch of each shape, of `jax.ShapeDtypeStruct`: to initialize a model, or to compile ahead.

        With `sharding`, that of all processes, and each leaf says how it is divided.

        `map` is applied to a batch of padding alone. Columns of strings stay arrays of NumPy.
        """
        with jax.ensure_compile_time_eval():  # a jitted function that initializes a state may ask
            filler = [self._mapped(self._copier.filler(shape), (0, 0)) for shape in range(len(self._prepared.shapes))]
            return tuple(jax.tree.map(_abstract, self._divided(batch)) for batch in filler)

    def epoch(self, epoch: SupportsIndex, start: SupportsIndex = 0) -> "EpochOfBatches":
        """The batches of one epoch, as an iterable with a length.

        Args:
            epoch: number of the epoch, from 0; any, whatever `epochs` says.
            start: the first step.

        >>> from jmask import data
        >>> batches = data.batches(data.Ragged(x=[[1], [2], [3]]), data.padded(rows=2), seed=0)
        >>> [len(batches.epoch(0)), len(list(batches.epoch(7, start=1)))]
        [2, 1]
        """
        return EpochOfBatches(self, checked_size("epoch", epoch, 0), checked_size("start", start, 0))

    def fingerprint(self) -> str:
        """A short text that differs if the columns, the lengths, the plan or the seed do: of what a position means.

        Of integers and strings a sample enters as well, up to 2,048 of a column, since words may have got other
        numbers. Floats, the number of epochs, the shard and the functions of `map` do not enter.
        """
        columns = self._prepared.pieces.columns
        digest = hashlib.sha256(repr((self.plan, self.seed, len(self.corpus), sorted(self.corpus.columns))).encode())
        for name, group in sorted(columns.group_of.items()):
            digest.update(f"{name} {group}".encode())
        for lengths in columns.lengths:
            digest.update(lengths.astype("<i8").tobytes())
        for name in sorted(self.corpus.columns):
            digest.update(_sample(self.corpus[name].values))
        return digest.hexdigest()[:16]

    def map(self, transform: Any) -> "Batches":
        """The same batches, each put through a function of the batch; it runs in the thread that prefetches.

        Args:
            transform: the function, or a `grain.transforms.Map`.
        """
        function = getattr(transform, "map", transform)
        return self._with(lambda batch, _: function(batch))

    def random_map(self, transform: Any, *, seed: int | None = None) -> "Batches":
        """The same batches, each put through a function of the batch and of a generator of random numbers.

        The generator is seeded by `seed`, the epoch and the step, so a resumed run draws the same numbers.

        Args:
            transform: the function `(batch, np.random.Generator)`, or a `grain.transforms.RandomMap`.
            seed: an integer from 0 on; None: that of the batches.
        """
        function = getattr(transform, "random_map", transform)
        seed = self.seed if seed is None else checked_size("seed", seed, 0)
        place = len(self._functions) + 1
        return self._with(lambda batch, at: function(batch, np.random.default_rng((seed, place, *at))))

    def __iter__(self) -> grain.DatasetIterator:
        return self._iterator(0, 0, self.epochs)

    def __len__(self) -> NoReturn:
        """Raises: epochs of a plan differ in their number of batches, and may have no end."""
        raise TypeError(
            "Batches have no length, since epochs differ. `len(batches.epoch(0))` is the number of batches of the "
            "first epoch, `sum(batches.num_steps(epoch) for epoch in range(10))` that of ten."
        )

    def __bool__(self) -> bool:  # which would ask for the length
        return True

    def __repr__(self) -> str:
        note = f", {self.note}" if self.note else ""
        return f"Batches of {len(self.corpus):,} rows by {self.plan}{note}"

    def _iterator(self, epoch: int, step: int, end: int | None) -> grain.DatasetIterator:
        iterator = _Iterator(self, epoch, step, end)
        if not self.num_prefetched:
            return iterator
        return grain.experimental.ThreadPrefetchDatasetIterator(iterator, self.num_prefetched)

    def _with(self, function: Callable[[Any, Any], Any]) -> "Batches":
        other = copy.copy(self)  # which shares the plans
        other._functions = (*self._functions, function)
        return other

    def _plan_of(self, epoch: int) -> EpochPlan:
        """The plan of an epoch; the thread that prefetches asks too."""
        with self._lock:
            if epoch not in self._plans:
                self._plans[epoch] = self._prepared.epoch(self.seed, epoch)
                while len(self._plans) > _KEPT:
                    del self._plans[next(iter(self._plans))]
            return self._plans[epoch]

    def _block(self, epoch: int, step: int) -> list[Any]:
        """The batches from a step on that are made at once, before the functions of `map`."""
        return self._copier.block(self._plan_of(epoch), step)

    def _mapped(self, batch: Any, at: tuple[int, int]) -> Any:
        for function in self._functions:
            batch = function(batch, at)
        return batch

    def _divided(self, batch: Any) -> Any:
        """The batch as a part of that of all processes, on their devices."""
        return batch if self.sharding is None else planned_batch(batch, self.sharding)


class EpochOfBatches:
    """The batches of one epoch, or those from a step on: an iterable with a length."""

    def __init__(self, batches: Batches, epoch: int, start: int) -> None:
        self.batches, self.number, self.start = batches, epoch, start
        if start > batches.num_steps(epoch):
            raise ValueError(f"`start`: epoch {epoch} has {batches.num_steps(epoch)} steps; received {start}.")

    def __len__(self) -> int:
        return self.batches.num_steps(self.number) - self.start

    def __iter__(self) -> Iterator[Any]:
        if not len(self):
            return iter(())
        return self.batches._iterator(self.number, self.start, self.number + 1)


class _Iterator(grain.DatasetIterator):
    """Counts epochs and steps; the plan says the rest.

    Batches are made by the block; those that were not yet asked for wait here, the next one last.
    """

    def __init__(self, batches: Batches, epoch: int, step: int, end: int | None) -> None:
        super().__init__()
        self._batches, self._end = batches, end
        self._epoch, self._step = epoch, step
        self._waiting: list[Any] = []

    def __next__(self) -> Any:
        if self._end is not None and self._epoch >= self._end:
            raise StopIteration
        num_steps = self._batches.num_steps(self._epoch)
        if num_steps == 0:  # and so has every other epoch
            raise StopIteration
        waiting, self._waiting = self._waiting or self._batches._block(self._epoch, self._step)[::-1], []
        batch = self._batches._mapped(waiting.pop(), (self._epoch, self._step))
        batch = self._batches._divided(batch)
        self._waiting = waiting  # not if a function of the user raised: it may have changed the batch in place
        self._step += 1
        if self._step == num_steps:
            self._epoch, self._step = self._epoch + 1, 0
        return batch

    def get_state(self) -> dict[str, int]:
        """The epoch and the step of the batch that comes next."""
        return {"epoch": self._epoch, "step": self._step}

    def set_state(self, state: dict[str, Any]) -> None:
        """Continues at an epoch and a step."""
        epoch, step = (checked_size(f"state[{name!r}]", state.get(name), 0) for name in ("epoch", "step"))
        if step and step >= self._batches.num_steps(epoch):
            raise ValueError(
                f"The state is {state}, and epoch {epoch} has {self._batches.num_steps(epoch)} steps: it is of other "
                "data, another plan or another seed."
            )
        self._epoch, self._step, self._waiting = epoch, step, []


def _abstract(leaf: Any) -> Any:
    if not hasattr(leaf, "dtype"):  # a number that a function of `map` added
        return leaf
    if leaf.dtype.kind in "OUST":
        return leaf
    sharding = leaf.sharding if isinstance(leaf, jax.Array) else None
    return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding)


def _sample(values: Any) -> bytes:
    """Some of the integers or strings of a column, evenly spread."""
    some = values[:: max(len(values) // 1024, 1)]
    if some.dtype == object:
        return repr([str(value) for value in some]).encode()
    return np.asarray(some).astype("<i8").tobytes() if some.dtype.kind in "biu" else b""
