"""What the demo prints: tables, tagged sentences, and the progress of training."""

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column, Table

from .marks import LEGEND, mark
from .proof import TOLERANCE, Comparison, Proof
from .score import macro_f1, micro_score, scores
from .text import Sentence
from .training import Epoch
from .vocabulary import Split, Vocabulary


def heading(console: Console, text: str) -> None:
    """A line that begins a part."""
    console.print()
    console.rule(f"[bold]{text}", align="left")


def data(console: Console, source: str, found: Sequence[Sentence], split: Split, vocabulary: Vocabulary) -> None:
    """Counts of the sentences; nothing here is known in advance.

    Args:
        console: where to print.
        source: where the sentences are from.
        found: all sentences, repetitions included.
        split: the distinct ones.
        vocabulary: the numbers of words and tags.
    """
    sentences = [*split.train, *split.test]
    lengths = [len(sentence.words) for sentence in sentences]
    num_words = sum(lengths)
    tags = Counter(tag for sentence in sentences for tag in sentence.tags)
    shares = ", ".join(f"{tag} {tags[tag] / num_words:.1%}" for tag in vocabulary.tags[:12])
    padding = 1 - num_words / (max(lengths) * len(lengths))
    table = Table("", Column("", overflow="fold"), show_header=False, box=None)
    for name, value in {
        "source": source,
        "sentences": f"{len(found):,}, {len(found) - len(sentences):,} of them repetitions (removed)",
        "split": f"{len(split.train):,} to train on, {len(split.test):,} held out",
        "words": f"{num_words:,}; {min(lengths)} to {max(lengths)} a sentence, median {statistics.median(lengths):.0f}",
        "tags": shares + (", ..." if len(vocabulary.tags) > 12 else ""),
        "word numbers": f"{len(vocabulary):,} (a word that training saw once is known by its shape only)",
        "padding": f"{padding:.0%} of an array that holds all sentences",
        "device": f"{jax.devices()[0].platform} ({jax.devices()[0].device_kind}), jax {jax.__version__}",
    }.items():
        table.add_row(f"[bold]{name}", escape(value))
    console.print(table)


class Bar:
    """A progress bar with loss and F1; where there is no terminal, one line for each epoch.

    Args:
        console: where to print.
        num_steps: number of steps of the whole training.
    """

    def __init__(self, console: Console, num_steps: int):
        columns = (
            TextColumn("epoch {task.fields[epoch]}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[state]}"),
            TimeElapsedColumn(),
        )
        self._console = console
        self._progress = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._progress.add_task("", total=num_steps, epoch=1, state="compiling")

    def __enter__(self) -> "Bar":
        self._progress.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._progress.stop()

    def step(self, epoch: int, loss: float, f1: float) -> None:
        """Moves the bar by one step."""
        self._progress.update(self._task, advance=1, epoch=epoch, state=f"loss {loss:.4f}  F1 {f1:5.1f}")

    def epoch(self, epoch: Epoch) -> None:
        """Prints a line that stays."""
        self._console.print(
            f"epoch {epoch.number:2}   loss {np.mean(epoch.losses):.4f}   F1 while training {epoch.train_f1:5.1f}   "
            f"[bold]F1 held out {epoch.test_f1:5.1f}[/]   {epoch.seconds:4.1f} s"
        )


def results(console: Console, confusions: dict[str, Int[np.ndarray, "tags tags"]], vocabulary: Vocabulary) -> None:
    """The scores of the rivals on the held-out sentences, side by side.

    Args:
        console: where to print.
        confusions: true tags in rows, predicted tags in columns, by rival.
        vocabulary: names of the tags.
    """
    several = len(vocabulary.tags) > 2
    columns = ["micro F1", "macro F1"] if several else [f"F1 of {escape(vocabulary.tags[1])}"]
    table = _number_table("", "precision", "recall", *columns)
    for rival, counts in confusions.items():
        micro = micro_score(counts)
        extra = [f"{macro_f1(counts):.1f}"] if several else []
        table.add_row(escape(rival), *(f"{value:.1f}" for value in micro), *extra)
    console.print(table)
    if several:
        _tags_table(console, list(confusions.values())[-1], vocabulary)


def _tags_table(console: Console, confusions: Int[np.ndarray, "tags tags"], vocabulary: Vocabulary) -> None:
    """The scores of the last rival, tag by tag."""
    table = _number_table("tag", "words", "precision", "recall", "F1")
    rows = zip(vocabulary.tags, confusions.sum(axis=1), scores(confusions), strict=True)
    for tag, number, score in list(rows)[1:]:
        table.add_row(escape(tag), f"{number:,}", *(f"{value:.1f}" for value in score))
    console.print(table)


def _number_table(first: str, *columns: str) -> Table:
    """A table with numbers in all columns but the first."""
    table = Table(first, box=SIMPLE_HEAD, pad_edge=False)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def examples(
    console: Console, sentences: Sequence[Sentence], predictions: Sequence[Sequence[int]], vocabulary: Vocabulary
) -> None:
    """Tagged sentences.

    Args:
        console: where to print.
        sentences: the sentences, with their true tags.
        predictions: their predicted tags.
        vocabulary: names of the tags.
    """
    console.print(LEGEND)
    for sentence, numbers in zip(sentences, predictions, strict=True):
        tags = vocabulary.decode_tags(numbers)
        options: dict[str, Any] = {"truth": sentence.tags, "show_tags": len(vocabulary.tags) > 2}
        console.print()
        console.print(mark(sentence.words, tags, vocabulary.tags[0], **options))


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
