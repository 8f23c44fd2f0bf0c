"""What the commands do, step by step."""

import random
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from typing import Any, NamedTuple

from rich.console import Console

import jmask as jm

from . import plot as picture
from . import saving, show
from .batches import Data, Example, encode, pad
from .conll import read_sentences
from .errors import DemoError
from .lookup import confusions_of_baselines, majority_tag_of_words
from .marks import mark
from .proof import prove
from .saving import Tagger
from .score import count_confusions, micro_score
from .tagger import NUM_ROWS, build_model, make_predict, predict
from .text import sentences_of_topics, split_gaps
from .training import Epoch, train
from .vocabulary import Split, make_vocabulary, split

NUM_EXAMPLES = 5
EXAMPLE_LENGTHS = range(4, 41)


class Trained(NamedTuple):
    """A trained tagger, how it came about, and its predictor."""

    tagger: Tagger
    history: list[Epoch]
    predictor: Callable[..., Any]


def demonstrate(*, data: str | None, save: str | None, plot: str | None, epochs: int, seed: int) -> int:
    """Trains a tagger, shows what it does, and proves that padding is invisible to it.

    Args:
        data: a file as `read_sentences` takes it, or None for the documentation of the running Python.
        save: a folder for the trained tagger.
        plot: a file for a picture.
        epochs: passes over the training sentences.
        seed: of everything random.

    Returns:
        The exit code: 0, or 1 if the proof fails.

    Raises:
        DemoError: a file or folder cannot be used; all but a full disk is found out before training.
    """
    start, console = time.perf_counter(), Console(highlight=False, emoji=False)
    sentences = sentences_of_topics() if data is None else read_sentences(data)
    sides = split(sentences, seed)
    if save is not None:
        saving.prepare(save)
    if plot is not None:
        picture.prepare(plot)
    vocabulary = make_vocabulary(sides.train, [tag for sentence in sentences for tag in sentence.tags])
    numbers = Data(encode(sides.train, vocabulary), encode(sides.test, vocabulary), vocabulary)

    show.heading(console, "The data")
    show.data(console, data or "pydoc_data.topics of this Python", sentences, sides, vocabulary)
    trained = _train(console, numbers, epochs, seed)
    baseline = _show_results(console, trained, sides, numbers, seed)
    show.heading(console, "The proof")
    proof = prove(trained.tagger.model, trained.tagger.params, numbers.test, num_words=len(vocabulary))
    show.proof(console, proof)
    console.print()
    if save is not None:
        saving.save(save, trained.tagger)
        text = "the assert statement" if data is None else "a text of yours"
        console.print(f'saved; now try: python -m jmask tag {save} "{text}"', markup=False, soft_wrap=True)
    if plot is not None:
        _plot(plot, trained, numbers.test, baseline)
        console.print(f"drawn into {plot}", markup=False, soft_wrap=True)
    console.print(f"{time.perf_counter() - start:.0f} seconds in all")
    return 0 if proof.holds else 1


def _train(console: Console, data: Data, epochs: int, seed: int) -> Trained:
    """Shows the model, then trains it under a progress bar."""
    vocabulary = data.vocabulary
    model = build_model(len(vocabulary), len(vocabulary.tags))
    show.heading(console, "The model, and the mask's way through it")
    console.print(jm.summarize(model, pad(data.train[:NUM_ROWS], NUM_ROWS).words).table())
    show.heading(console, "Training")
    predictor = make_predict(model)
    with show.Bar(console, epochs * -(-len(data.train) // NUM_ROWS)) as bar:
        params, history = train(model, data, predictor, epochs=epochs, seed=seed, watcher=bar)
    return Trained(Tagger(model, params, vocabulary), history, predictor)


def _show_results(console: Console, trained: Trained, sides: Split, data: Data, seed: int) -> float:
    """Prints scores and examples; returns the F1 of the lookup."""
    tags, vocabulary = predict(trained.predictor, trained.tagger.params, data.test), data.vocabulary
    truths = [example.tags for example in data.test]
    confusions = confusions_of_baselines(majority_tag_of_words(sides.train), sides.test, vocabulary)
    baseline = micro_score(confusions["lookup of each word"]).f1
    confusions["masked BiLSTM"] = count_confusions(truths, tags, len(vocabulary.tags))
    show.heading(console, "Held-out sentences")
    show.results(console, confusions, vocabulary)
    show.heading(console, "Examples")
    telling = [row for row, truth in enumerate(truths) if len(truth) in EXAMPLE_LENGTHS and any(truth)]
    telling = telling or list(range(len(truths)))
    rows = sorted(random.Random(seed).sample(telling, min(NUM_EXAMPLES, len(telling))))
    show.examples(console, [sides.test[row] for row in rows], [tags[row] for row in rows], vocabulary)
    return baseline


def _plot(path: str, trained: Trained, examples: Sequence[Example], baseline: float) -> None:
    """Draws training, and a batch of the held-out sentences from the shortest to the longest."""
    by_length = sorted(examples, key=lambda example: len(example.words))
    chosen = by_length[:: -(-len(by_length) // NUM_ROWS)]
    predictions = predict(trained.predictor, trained.tagger.params, chosen)
    picture.draw(path, trained.history, baseline, predictions, trained.tagger.vocabulary)


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
    tagger, console = saving.load(directory), Console(highlight=False, emoji=False, soft_wrap=True)
    predictor = make_predict(tagger.model)
    for chunk in _chunks(texts):
        tokens = [split_gaps(text) for text in chunk]
        examples = [Example(tagger.vocabulary.encode(words), []) for words, _ in tokens]
        for (words, gaps), numbers in zip(tokens, predict(predictor, tagger.params, examples), strict=True):
            _print_tagged(console, words, gaps, tagger.vocabulary.decode_tags(numbers), tagger.vocabulary.tags, conll)
    return 0


def _chunks(texts: Sequence[str]) -> Iterator[list[str]]:
    """The texts, or the lines of the standard input; one by one where somebody types them."""
    if not texts and sys.stdin.isatty():
        print("one text a line; end with Ctrl-D", file=sys.stderr)
    lines = iter(texts) if texts else (line.rstrip("\n") for line in sys.stdin)
    size = 1 if not texts and sys.stdin.isatty() else NUM_ROWS
    try:
        while chunk := list(islice(lines, size)):
            yield chunk
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
