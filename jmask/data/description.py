"""What a plan makes of a corpus, in numbers: padding, shapes, steps, and how uniform the order is."""

import dataclasses

import numpy as np

from .epochs import EpochPlan, Prepared


@dataclasses.dataclass(frozen=True)
class Description:
    """What `plan.describe(corpus)` measures; `str` puts it into lines.

    Attributes:
        num_sequences: sequences of an epoch.
        shortest: steps of the shortest sequence, all columns together (those of equal lengths count once).
        longest: steps of the longest one.
        num_steps: real steps of an epoch.
        padding: share of the steps of all batches that is padding.
        shapes: the shapes of batches, rows x steps.
        steps: batches of the first epoch.
        real_steps: real steps of a batch, on average.
        spread: standard deviation of the real steps of a batch, over their mean.
        excess_icc: share of the variance of length that lies between batches, beyond that of a uniform shuffle: 0 for a
            uniform shuffle, 1 if each batch has sequences of one length.
        partner_repeat: how much more often than in a uniform shuffle two sequences that met in a batch of the first
            epoch meet again in the second; 1 for a uniform shuffle.
        max_sequences: room for sequences in a packed batch; None for one sequence a row.
        is_shuffled: whether epochs differ.
        note: what became of sequences that were too long; "" if there were none.
        num_empty: sequences without a step, which count in no loss and no metric.
        differing: which columns differ in length, and in how many rows; "" if all agree.
    """

    num_sequences: int
    shortest: int
    longest: int
    num_steps: int
    padding: float
    shapes: tuple[str, ...]
    steps: int
    real_steps: float
    spread: float
    excess_icc: float
    partner_repeat: float
    max_sequences: int | None
    is_shuffled: bool
    note: str
    num_empty: int = 0
    differing: str = ""

    def __str__(self) -> str:
        order = (
            f"excess ICC of length {self.excess_icc:.2f}, partner repeat {self.partner_repeat:.2f} "
            "(uniform shuffle: 0 and 1)"
        )
        lines = [
            f"{self.num_sequences:,} sequences of {self.shortest:,} to {self.longest:,} steps, {self.num_steps:,} "
            "steps in all",
            f"padding          {self.padding:.1%}",
            f"shapes           {len(self.shapes)}: {', '.join(self.shapes)}",
            f"steps an epoch   {self.steps:,}",
            f"real steps       {self.real_steps:,.0f} a batch, spread {self.spread:.2f} (CV)",
        ]
        if self.max_sequences is not None:
            lines.append(f"sequences        at most {self.max_sequences:,} a batch")
        lines.append(f"order            {order if self.is_shuffled else 'that of the corpus, in all epochs'}")
        if self.num_empty:
            lines.append(f"empty            {self.num_empty:,} sequences, which count in no loss and no metric")
        if self.differing:
            lines.append(f"lengths          {self.differing}")
        if self.note:
            lines.append(f"too long         {self.note}")
        return "\n".join(lines)


def describe_plan(prepared: Prepared, seed: int, *, shuffle: bool) -> Description:
    """Measures two epochs of a plan."""
    first = prepared.epoch(seed, 0)
    totals = total_lengths(prepared)
    real = real_steps(first, totals)
    padded = sum(prepared.shapes[i].num_steps for i in first.shapes.tolist())
    batches = first.batch_of_item
    repeat = partner_repeat(batches, prepared.epoch(seed, 1).batch_of_item) if shuffle else np.nan
    return Description(
        num_sequences=len(prepared.pieces),
        shortest=int(totals.min()) if len(totals) else 0,
        longest=int(totals.max(initial=0)),
        num_steps=int(totals.sum()),
        padding=1 - float(totals.sum()) / padded if padded else 0.0,
        shapes=tuple(map(str, prepared.shapes)),
        steps=len(first),
        real_steps=float(real.mean()) if len(real) else 0.0,
        spread=float(real.std() / real.mean()) if real.sum() else 0.0,
        excess_icc=excess_icc(batches, totals),
        partner_repeat=repeat,
        max_sequences=prepared.num_sequences(),
        is_shuffled=shuffle,
        note=prepared.pieces.note,
        num_empty=int((totals == 0).sum()),
        differing=prepared.pieces.columns.differing(),
    )


def total_lengths(prepared: Prepared) -> np.ndarray:
    """The steps of each piece, all groups of columns together."""
    return sum(prepared.pieces.lengths, np.zeros(len(prepared.pieces), np.int64))


def real_steps(epoch: EpochPlan, totals: np.ndarray) -> np.ndarray:
    """The real steps of each batch."""
    ends = np.append(0, np.cumsum(totals[epoch.items]))
    return ends[epoch.ends] - ends[epoch.begins]


def excess_icc(batches: np.ndarray, lengths: np.ndarray) -> float:
    """The share of the variance of length between batches, beyond chance (an intraclass correlation).

    0 if there is nothing to compare: one batch, batches of one sequence, or equal lengths.

    Args:
        batches: the batch of each sequence.
        lengths: of each sequence.
    """
    total = float(((lengths - lengths.mean()) ** 2).sum()) if len(lengths) else 0.0
    counts = np.bincount(batches)
    chance = (np.count_nonzero(counts) - 1) / max(len(lengths) - 1, 1)
    if total == 0 or chance >= 1:
        return 0.0
    means = np.bincount(batches, lengths) / np.maximum(counts, 1)
    between = float((counts * (means - lengths.mean()) ** 2).sum()) / total
    return (between - chance) / (1 - chance)


def partner_repeat(before: np.ndarray, now: np.ndarray) -> float:
    """How often partners of one epoch are partners in the next, against two sequences drawn uniformly.

    1 if no batch has two sequences.

    Args:
        before: the batch of each sequence in one epoch.
        now: the same in the next.
    """
    both = np.unique(before * (now.max(initial=0) + 1) + now, return_counts=True)[1]
    pairs_before, pairs_now = _pairs(np.bincount(before)), _pairs(np.bincount(now))
    if not pairs_before or not pairs_now:
        return 1.0
    chance = pairs_now / (len(now) * (len(now) - 1.0))
    return _pairs(both) / pairs_before / chance


def _pairs(counts: np.ndarray) -> float:
    return float((counts * (counts - 1.0)).sum())
