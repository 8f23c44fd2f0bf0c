"""What the commands do, step by step."""

import contextlib
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import jax
import numpy as np
from rich.console import Console

import jmask as jm

from . import plot as picture
from . import saving, show
from .corpus import Split, Vocabularies, make_vocabularies, read_sentences, shape, train_test_split
from .errors import DemoError
from .marks import mark
from .proof import prove
from .score import averaged, score_baselines
from .tagger import build_model, make_evaluate, make_predict, tag_texts
from .text import split_gaps
from .training import make_batches, read_log, train_tagger

NUM_EXAMPLES = 5
EXAMPLE_LENGTHS = (4, 40)
NUM_TEXTS = 16  # that `tag` puts into a batch


def demonstrate(
    *, data: str | None, save: str | None, resume: bool = False, plot: str | None, epochs: int, seed: int
) -> int:
    """Trains a tagger, shows what it does, and proves that padding is invisible to it.

    Args:
        data: a file as `read_sentences` takes it, or None for the documentation of the running Python.
        save: a folder for the run and the trained tagger.
        resume: whether to go on with the run in this folder, if there is one.
        plot: a file for a picture.
        epochs: passes over the training sentences.
        seed: of everything random.

    Returns:
        The exit code: 0, or 1 if the proof fails.

    Raises:
        DemoError: a file or folder cannot be used; all but a full disk is found out before training.
        KeyboardInterrupt: Ctrl-C has come.
    """
    start, console = time.perf_counter(), Console(highlight=False, emoji=False)
    if resume and save is None:
        raise DemoError("--resume goes on with the run in the folder of --save DIR; name it")
    corpus = read_sentences(data)
    sides = train_test_split(corpus, seed)
    vocabularies = make_vocabularies(sides.train, corpus)
    if plot is not None:
        picture.check_plot_path(plot)
    cache = _cache_folder()
    with contextlib.ExitStack() as stack:
        if save is None:
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(ignore_cleanup_errors=True)))
        else:
            directory = saving.make_folder(save, vocabularies, resume=resume)
        show.heading(console, "The data")
        show.data(console, data or "pydoc_data.topics of this Python", corpus, sides, vocabularies, cache)
        is_proven = _train_and_show(console, sides, vocabularies, directory, save, plot, epochs, seed)
    if save is not None:
        text = "the assert statement" if data is None else "a text of yours"
        console.print(f'saved; now try: python -m jmask tag {save} "{text}"', markup=False, soft_wrap=True)
    console.print(f"{time.perf_counter() - start:.0f} seconds in all")
    return 0 if is_proven else 1


def _cache_folder() -> str | None:
    """The folder of JAX's compile cache, if it has one; it then keeps programs that compile within a second as well."""
    folder = getattr(jax.config, "jax_compilation_cache_dir", None)  # an attribute that JAX makes at run time
    variable = "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS"
    if folder and variable not in os.environ:
        jax.config.update(variable.lower(), 0.0)
    return folder


def _train_and_show(
    console: Console,
    sides: Split,
    vocabularies: Vocabularies,
    directory: Path,
    save: str | None,
    plot: str | None,
    epochs: int,
    seed: int,
) -> bool:
    """Trains, saves, scores, proves and draws; returns whether the proof holds."""
    numbers, num_tags = Split(*map(vocabularies.encode, sides)), len(vocabularies.tags)
    model, batches = build_model(len(vocabularies.words), num_tags), make_batches(*numbers, seed)
    show.heading(console, "The model, and the mask's way through it")
    console.print(jm.summarize(model, batches.words).table())
    show.heading(console, "Training on packed rows")
    show.packing(console, batches.train)
    evaluate = make_evaluate(model, num_tags)
    params = train_tagger(
        model, batches, evaluate, directory, num_tags=num_tags, epochs=epochs, seed=seed, console=console
    )
    if save is not None:
        saving.save_tagger(save, model, params)
    predictions, sums = evaluate(params, batches.test)
    baselines = score_baselines(*sides, vocabularies)
    show.heading(console, "Held-out sentences")
    show.results(console, baselines | {"masked BiLSTM": sums}, vocabularies.tags)
    _show_examples(console, sides, predictions, vocabularies, seed)
    show.heading(console, "The proof")
    proof = prove(model, params, numbers.test, num_words=len(vocabularies.words))
    show.proof(console, proof)
    console.print()
    if plot is not None:
        baseline = float(averaged(baselines["lookup of each word"]).value)
        picture.draw_training(plot, read_log(directory), baseline, batches.test, predictions, vocabularies.tags)
        console.print(f"drawn into {plot}", markup=False, soft_wrap=True)
    return proof.holds


def _show_examples(
    console: Console, sides: Split, predictions: list[np.ndarray], vocabularies: Vocabularies, seed: int
) -> None:
    """Prints a few held-out sentences of a length to be read, with something in them to be found."""
    show.heading(console, "Examples")
    test, outside, (least, most) = sides.test, vocabularies.tags.tokens[0], EXAMPLE_LENGTHS
    telling = [n for n, row in enumerate(test) if least <= len(row["tags"]) <= most and set(row["tags"]) - {outside}]
    telling = telling or list(range(len(test)))
    rows = sorted(random.Random(seed).sample(telling, min(NUM_EXAMPLES, len(telling))))
    show.examples(console, test[rows], [predictions[row] for row in rows], vocabularies.tags)


def tag(directory: str, texts: Sequence[str], *, conll: bool = False) -> int:
    """Tags texts with a saved tagger, and prints them.

    Args:
        directory: where it was saved.
        texts: the texts; if there are none, the lines of the standard input.
        conll: whether to print a word and its tag on each line instead of marks.

    Returns:
        The exit code 0.

    Raises:
        DemoError: there is no tagger in the directory, or the input is not text.
    """
    model, params, (words, tags) = saving.load_tagger(directory)
    predict, console = make_predict(model), Console(highlight=False, emoji=False, soft_wrap=True)
    for chunk, rows in _chunks(texts):
        tokens = [split_gaps(text) for text in chunk]
        numbers = [words.encode(line, fallback=shape) for line, _ in tokens]
        found = tag_texts(predict, params, numbers, rows)
        for (line, gaps), tags_of_line in zip(tokens, found, strict=True):
            _print_tagged(console, line, gaps, tags.decode(tags_of_line).tolist(), tags.tokens, conll)
    return 0


def _chunks(texts: Sequence[str]) -> Iterator[tuple[list[str], int]]:
    """The texts, or the lines of the standard input, and how many there are at most; one where somebody types them."""
    is_typed = not texts and sys.stdin.isatty()
    if is_typed:
        print("one text a line; end with Ctrl-D", file=sys.stderr)
    lines = iter(texts) if texts else (line.rstrip("\n") for line in sys.stdin)
    rows = 1 if is_typed else min(NUM_TEXTS, len(texts) or NUM_TEXTS)
    try:
        while chunk := list(islice(lines, rows)):
            yield chunk, rows
    except UnicodeDecodeError as error:
        raise DemoError(f"the standard input is not {error.encoding} text") from error


def _print_tagged(
    console: Console, words: list[str], gaps: list[str], tags: list[str], all_tags: Sequence[str], conll: bool
) -> None:
    """One text, with marks or in two columns."""
    if conll:
        print("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)))
    else:
        console.print(mark(words, tags, all_tags[0], show_tags=len(all_tags) > 2, gaps=gaps))
