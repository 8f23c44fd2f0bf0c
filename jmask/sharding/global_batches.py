"""One global batch from the local batches of all processes, whatever rows, widths and lengths each of them has."""

from collections.abc import Iterable, Iterator
from typing import Any, SupportsIndex

import jax
import numpy as np
from jax.sharding import NamedSharding

from ..core.checks import checked_option
from ..core.masked import Masked, is_masked
from .agreement import Limits, Widths, agreed_sizes
from .assembly import assembled, place_of
from .exchange import Exchange
from .offers import Offer, empty_batch, leaves_of, offer_of


def global_batch(
    local: Any, sharding: NamedSharding, *, rows: SupportsIndex | None = None, widths: Widths = None
) -> Any:
    """One batch of all processes from what each of them has: other rows, widths and lengths, or nothing at all.

    The processes agree on rows, widths and structure by a small all-gather, so all of them must call this, equally
    often. Each pads its part: steps of padding on the right, and rows without a real step at the end. Where structures
    differ, or a part is too large, every process raises the same error.

    Args:
        local: the batch of this process, a pytree of `Masked` and arrays, in which the first axis is rows; None if it
            has none. Beside packed rows, what has no time axis has one entry for each sequence.
        sharding: how the global batch is divided; its first axis over the processes, in their order.
        rows: of each process; None: as many as the process with the most has.
        widths: steps of a row, or several numbers of which the smallest that is enough is taken, so that few programs
            are compiled; None: those of the longest row of all.

    Returns:
        The pytree with global arrays, `(processes * rows, width, ...)`; None if no process has a batch. An array
        becomes a `Masked` with a mask `(rows,)`, since rows of padding may have been added. Ids of packed rows count
        through all processes, and `num_sequences` is that of all.

    Raises:
        TypeError: a leaf is not an array of numbers, or `sharding` does not say how rows are divided.
        ValueError: processes cannot make one batch of what they have; the message says who holds what.

    >>> import jax, jmask as jm
    >>> from jax.sharding import NamedSharding, PartitionSpec
    >>> sharding = NamedSharding(jax.make_mesh((jax.device_count(),), ("data",)), PartitionSpec("data"))
    >>> x = jm.sharding.global_batch(jm.pad_sequences([[3, 4], [5]]), sharding, rows=8, widths=(4, 16))
    >>> x.shape, jm.unpad(x)[:2]
    ((8, 4), [array([3, 4], dtype=int32), array([5], dtype=int32)])
    """
    limits = _limits(sharding, rows, widths)
    return _Pending(local, sharding, limits, Exchange()).result()


def batches(
    local: Iterable[Any], sharding: NamedSharding, *, rows: SupportsIndex | None = None, widths: Widths = None
) -> Iterator[Any]:
    """Global batches from the local ones of each process, until the last process has run out of them.

    A process that runs out earlier takes part with rows of padding. What the processes agree on for the next batch is
    sent before the step on this one is, so it costs next to nothing beside the step.

    Args:
        local: the batches of this process, as for `jm.sharding.global_batch`; it may be empty.
        sharding: as there, like the other arguments.
        rows: of each process.
        widths: steps of a row.

    Returns:
        An iterator over global batches.

    Raises:
        ValueError: as in `jm.sharding.global_batch`; also, in all processes, if one cannot read its next batch.

    >>> import jax, jmask as jm
    >>> from jax.sharding import NamedSharding, PartitionSpec
    >>> sharding = NamedSharding(jax.make_mesh((jax.device_count(),), ("data",)), PartitionSpec("data"))
    >>> local = [jm.pad_sequences([[3, 4], [5]]), jm.pad_sequences([[6]])]
    >>> [x.lengths.sum().item() for x in jm.sharding.batches(local, sharding)]
    [3, 1]
    """
    return _batches(iter(local), sharding, _limits(sharding, rows, widths))


def _batches(local: Iterator[Any], sharding: NamedSharding, limits: Limits) -> Iterator[Any]:
    exchange, reader = Exchange(), _Reader(local)
    pending = _Pending(reader.next(), sharding, limits, exchange, reader.error)
    while (batch := pending.result()) is not None:
        pending = _Pending(reader.next(), sharding, limits, exchange, reader.error)
        yield batch


class _Reader:
    """An iterator that has ended stays so, and one that fails says why to all processes."""

    def __init__(self, local: Iterator[Any]) -> None:
        self.local: Iterator[Any] | None = local
        self.error: Exception | None = None

    def next(self) -> Any:
        if self.local is None:
            return None
        try:
            return next(self.local)
        except StopIteration:
            self.local = None
        except Exception as error:
            self.local, self.error = None, error
        return None


class _Pending:
    """A global batch that the processes are still agreeing on."""

    def __init__(
        self, local: Any, sharding: NamedSharding, limits: Limits, exchange: Exchange, error: Exception | None = None
    ) -> None:
        self.sharding, self.limits, self.exchange = sharding, limits, exchange
        self.local, self.error, offer = local, error, Offer()
        if local is not None:
            try:
                self.local = jax.tree.map(_on_host, local, is_leaf=is_masked)
                offer = offer_of(self.local)
            except Exception as found:  # the others wait for this process, so it tells them
                self.error = found
        if self.error is not None:
            offer = Offer(error=f"{type(self.error).__name__}: {self.error}")
        self.offers = exchange.start(offer)

    def result(self) -> Any:
        """The global batch, or None if no process has one."""
        offers = self.offers()
        if self.error is not None:
            raise self.error
        sizes = agreed_sizes(offers, self.limits)
        if sizes is None:
            return None
        structure = next(offer.structure for offer in offers if offer.structure)
        local = self._or_empty(structure, [i for i, offer in enumerate(offers) if not offer.structure])
        return assembled(local, leaves_of(structure), sizes, self.sharding)

    def _or_empty(self, structure: str, without: list[int]) -> Any:
        """The local batch; an empty one if there is none. What one process cannot build, all of them refuse."""
        try:
            built = empty_batch(structure) if without else None
        except LookupError:
            raise ValueError(
                f"Processes {without} have no batch, and know how to build an empty one of dicts, lists and tuples "
                "alone. Pass batches of these, or in every process one without rows."
            ) from None
        return built if self.local is None else self.local


def _on_host(x: Any) -> Any:
    if isinstance(x, Masked):
        return jax.tree.map(np.asarray, x)
    return np.asarray(x)


def _limits(sharding: NamedSharding, rows: SupportsIndex | None, widths: Widths) -> Limits:
    place, size = place_of(sharding), checked_option("rows", rows, minimum=1)
    if size is not None and size % place.shards:
        raise ValueError(
            f"`rows={size}` of each process cannot be divided among its {place.shards} devices. Pass a multiple of "
            f"{place.shards}."
        )
    return Limits(size, widths, place.shards)
