"""What the demo prints: tables, tagged sentences, and the proof."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from ..data import Ragged, Vocabulary
from .corpus import Split, Vocabularies
from .marks import LEGEND, mark
from .proof import TOLERANCE, Comparison, Proof
from .score import averaged


def heading(console: Console, text: str) -> None:
    """A line that begins a part."""
    console.print()
    console.rule(f"[bold]{text}", align="left")


def data(
    console: Console, source: str, found: Ragged, split: Split, vocabularies: Vocabularies, cache: str | None
) -> None:
    """Counts of the sentences; nothing here is known in advance.

    Args:
        console: where to print.
        source: where the sentences are from.
        found: all sentences, repetitions included.
        split: the distinct ones.
        vocabularies: the numbers of words and tags.
        cache: the folder of compiled programs, if there is one.
    """
    lengths = [length for side in split for length in side.lengths["words"].tolist()]
    tags = Counter(tag for side in split for tag in side["tags"].values)
    names = vocabularies.tags.tokens
    shares = ", ".join(f"{tag} {tags[tag] / sum(lengths):.1%}" for tag in names[:12])
    _pairs(
        console,
        {
            "source": source,
            "sentences": f"{len(found):,}, {len(found) - len(lengths):,} of them repetitions (removed)",
            "split": f"{len(split.train):,} to train on, {len(split.test):,} held out",
            "words": f"{sum(lengths):,}; {min(lengths)} to {max(lengths)} a sentence, median "
            f"{statistics.median(lengths):.0f}",
            "tags": shares + (", ..." if len(names) > 12 else ""),
            "word numbers": f"{len(vocabularies.words):,} (a word that training saw once is known by its shape only)",
            "padding": f"{1 - sum(lengths) / (max(lengths) * len(lengths)):.0%} of an array that holds all sentences",
            "device": f"{jax.devices()[0].platform} ({jax.devices()[0].device_kind}), jax {jax.__version__}",
            "programs": f"kept in {cache}"
            if cache
            else "compiled anew each time; see JAX_COMPILATION_CACHE_DIR, --help",
        },
    )


def packing(console: Console, batches: Any) -> None:
    """What the plan makes of the sentences.

    Args:
        console: where to print.
        batches: of `jm.data`.
    """
    plan = batches.plan.describe(batches.corpus, seed=batches.seed)
    console.print(
        f"{plan.steps} steps an epoch, each of {plan.shapes[0]} words; {plan.padding:.1%} padding, one program for all"
    )


def _pairs(console: Console, values: dict[str, str]) -> None:
    table = Table("", Column("", overflow="fold"), show_header=False, box=None)
    for name, value in values.items():
        table.add_row(f"[bold]{name}", escape(value))
    console.print(table)


def results(console: Console, scores: dict[str, Any], tags: Vocabulary) -> None:
    """The scores of the rivals on the held-out sentences, side by side.

    Args:
        console: where to print.
        scores: what `score_tags` returns, by rival.
        tags: names of the tags.
    """
    several = len(tags) > 2
    columns = ["micro F1", "macro F1"] if several else [f"F1 of {escape(tags.tokens[1])}"]
    table = _number_table("", "precision", "recall", *columns)
    for rival, sums in scores.items():
        micro = averaged(sums)
        macro = [averaged(sums, "macro").value_or(0.0)] if several else []
        values = [micro.precision, micro.recall, micro.value_or(0.0), *macro]
        table.add_row(escape(rival), *(f"{value:.3f}" for value in values))
    console.print(table)
    if several:
        _tags_table(console, list(scores.values())[-1], tags)


def _tags_table(console: Console, sums: Any, tags: Vocabulary) -> None:
    """The scores of the last rival, tag by tag."""
    table = _number_table("tag", "words", "precision", "recall", "F1")
    for tag, number, *values in zip(
        tags.tokens[1:], sums.actual, sums.precision, sums.recall, sums.value_or(0.0), strict=True
    ):
        table.add_row(escape(tag), f"{number:,.0f}", *(f"{value:.3f}" for value in values))
    console.print(table)


def _number_table(first: str, *columns: str) -> Table:
    """A table with numbers in all columns but the first."""
    table = Table(first, box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def examples(console: Console, sentences: Ragged, predictions: Sequence[Any], tags: Vocabulary) -> None:
    """Tagged sentences.

    Args:
        console: where to print.
        sentences: the sentences, with their true tags.
        predictions: the numbers of their predicted tags.
        tags: names of the tags.
    """
    console.print(LEGEND)
    for sentence, numbers in zip(sentences, predictions, strict=True):
        options: dict[str, Any] = {"truth": sentence["tags"].tolist(), "show_tags": len(tags) > 2}
        console.print()
        console.print(mark(sentence["words"].tolist(), tags.decode(numbers).tolist(), tags.tokens[0], **options))


def proof(console: Console, proof: Proof) -> None:
    """The comparisons, and the verdict.

    Args:
        console: where to print.
        proof: the proof.
    """
    console.print(
        f"{proof.num_sentences} held-out sentences ({proof.num_words} words), each run alone, without padding and "
        f"without a mask: the truth. Below, the largest differences from it; float tolerance {TOLERANCE:.0e}."
    )
    table = _number_table("", "masks", "tags changed", "logits", "gradients")
    table.add_column()
    for comparison in proof.comparisons:
        table.add_row(*_proof_row(comparison))
    console.print(table)
    if proof.holds:
        console.print("[bold green]Padding is invisible to the model with masks, and only to that one.")
    else:
        console.print("[bold red]The proof fails: see the rows marked !")


def _proof_row(comparison: Comparison) -> tuple[str, ...]:
    verdict = "same" if comparison.same else "differs"
    if comparison.same == comparison.with_masks:
        verdict = f"[{'green' if comparison.with_masks else 'yellow'}]{verdict}"
    else:
        verdict = f"[bold red]! {verdict}"
    return (
        comparison.case,
        "yes" if comparison.with_masks else "no",
        f"{comparison.tags_changed}",
        f"{comparison.logits:.1e}",
        f"{comparison.gradients:.1e}",
        verdict,
    )
