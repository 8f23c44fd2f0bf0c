"""What all processes conclude from their offers: a pure function, so that each of them concludes the same."""

import dataclasses
from collections.abc import Sequence

from .offers import BatchSizes, Offer, leaves_of

Widths = int | Sequence[int] | None


@dataclasses.dataclass(frozen=True)
class Limits:
    """What the caller fixed.

    Attributes:
        rows: of each process; None: as many as the process with the most.
        widths: the steps of a row, or several numbers, of which the smallest that is enough is taken; None: those of
            the longest row of any process.
        multiple: the rows of a process are a multiple of this, the number of its shards.
    """

    rows: int | None = None
    widths: Widths = None
    multiple: int = 1


def agreed_sizes(offers: Sequence[Offer], limits: Limits) -> BatchSizes | None:
    """The sizes that each process pads its batch to; None if no process has a batch.

    Args:
        offers: one for each process, in their order. The structure of those that have a batch is known.
        limits: the same in every process.

    Raises:
        ValueError: structures differ, a process failed, or a batch is larger than the limits. Every process raises the
            same.
    """
    failed = [f"process {i}: {offer.error}" for i, offer in enumerate(offers) if offer.error]
    if failed:
        raise ValueError(f"A local batch could not be read; all processes stop. {'; '.join(failed)}")
    present = {i: offer for i, offer in enumerate(offers) if offer.structure}
    if not present:
        return None
    if len({offer.structure for offer in present.values()}) > 1:
        raise ValueError(_differences(present))
    sizes = {i: offer.sizes for i, offer in present.items()}
    rows = _rows(sizes, limits)
    numbers = [size.num_sequences for size in sizes.values()]
    if min(numbers) < 0 < max(numbers):
        held = {i: None if size.num_sequences < 0 else size.num_sequences for i, size in sizes.items()}
        raise ValueError(
            "Some processes know how many sequences their packed rows hold, and others do not: `num_sequences` by "
            f"process is {held}. Pass `num_sequences=` to `jm.pack` in all of them."
        )
    num_sequences = _up(max(numbers), limits.multiple) if max(numbers) > 0 else max(numbers)
    return BatchSizes(rows, num_sequences, _widths(sizes, limits, next(iter(present.values())).structure))


def _rows(sizes: dict[int, BatchSizes], limits: Limits) -> int:
    most = max(size.rows for size in sizes.values())
    if limits.rows is None:
        return _up(max(most, 1), limits.multiple)
    if most > limits.rows:
        held = {i: size.rows for i, size in sizes.items() if size.rows > limits.rows}
        raise ValueError(
            f"`rows={limits.rows}` of each process are fewer than there are, by process: {held}. Pass `rows={most}`."
        )
    return limits.rows


def _widths(sizes: dict[int, BatchSizes], limits: Limits, structure: str) -> tuple[int, ...]:
    widest = [max(column) for column in zip(*(size.widths for size in sizes.values()), strict=True)]
    if limits.widths is None:
        return tuple(widest)
    if any(leaf.num_widths > 1 for leaf in leaves_of(structure)):
        raise ValueError("`widths` are steps of a row; documents of sentences have two sizes. Leave it out.")
    choices = sorted([limits.widths] if isinstance(limits.widths, int) else limits.widths)
    if max(widest, default=0) > choices[-1]:
        i, size = next((i, size) for i, size in sizes.items() if max(size.widths) > choices[-1])
        raise ValueError(
            f"Process {i} has rows of {max(size.widths)} steps, more than `widths={limits.widths}`. Pass a larger one, "
            "or cut the sequences."
        )
    return tuple(next(width for width in choices if width >= needed) for needed in widest)


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple


def _differences(present: dict[int, Offer]) -> str:
    """Who holds what: the processes by their structure."""
    holders: dict[str, list[int]] = {}
    for i, offer in present.items():
        holders.setdefault(offer.structure, []).append(i)
    told = "; ".join(f"{'process' if len(ids) == 1 else 'processes'} {_listed(ids)}: {s}" for s, ids in holders.items())
    return (
        "The batches of the processes differ in structure, dtypes, features or kind of rows, so they cannot be one "
        f"global batch. Each leaf is shown as [dtype, rank of the mask, packed, features]. {told}"
    )


def _listed(ids: list[int]) -> str:
    return ", ".join(map(str, ids[:8])) + (f" and {len(ids) - 8} more" if len(ids) > 8 else "")
