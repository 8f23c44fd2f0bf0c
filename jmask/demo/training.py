"""Training on packed rows, in a folder that a killed run goes on from."""

import csv
import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np
import optax
from rich.console import Console

import jmask as jm

from .. import data, train
from .errors import DemoError
from .score import averaged
from .tagger import make_loss

ROWS = 2
ROW_LENGTH = 400  # and more if a sentence is longer
LEARNING_RATE = 5e-3
SAVE_EVERY: Any = datetime.timedelta(minutes=1)  # and after each epoch


class PackedSides(NamedTuple):
    """Packed batches of the two sides, `words` and `tags`; those to test on know the `row` of each sentence as well."""

    train: Any
    test: Any

    @property
    def words(self) -> jm.Masked:
        """The words of a batch to train on: their shape and dtype alone."""
        return self.train.shapes[0]["words"]


def make_batches(train_side: data.Ragged, test_side: data.Ragged, seed: int) -> PackedSides:
    """Packs the sentences of both sides into rows of one length.

    Args:
        train_side: sentences in numbers, shuffled in each epoch.
        test_side: the same, in their order.
        seed: of the order.

    Returns:
        The batches.
    """
    longest = max(int(side.lengths["words"].max(initial=0)) for side in (train_side, test_side))
    shuffled, in_order = (
        data.packed(row_length=max(ROW_LENGTH, longest), rows=ROWS, shuffle=shuffle) for shuffle in (True, False)
    )
    test_side = test_side.replace(row=np.arange(len(test_side), dtype=np.int32))
    return PackedSides(
        data.batches(train_side, shuffled, seed=seed),
        data.batches(test_side, in_order, seed=seed, epochs=1),
    )


def train_tagger(
    model: jm.Sequential,
    batches: PackedSides,
    evaluate: Callable[[Any, Any], tuple[Any, Any]],
    directory: Path,
    *,
    num_tags: int,
    epochs: int,
    seed: int,
    console: Console,
) -> Any:
    """Trains a model with Adam, from where a run in the folder has stopped.

    Args:
        model: the model.
        batches: what to train on, and what to score on after every epoch.
        evaluate: what `make_evaluate` returned for the model.
        directory: of the run, with its checkpoints and its log.
        num_tags: how many tags there are.
        epochs: how many epochs there are in all, with those before the restart.
        seed: of the initial parameters and of dropout.
        console: shows the progress.

    Returns:
        The parameters.

    Raises:
        DemoError: the folder holds a run on other data, or cannot be written.
        KeyboardInterrupt: Ctrl-C has come; the run is saved.
    """
    step = train.step(make_loss(model, num_tags), optax.adam(LEARNING_RATE))
    init_key, key = jax.random.split(jax.random.key(seed))
    state = step.init(model.init(init_key, batches.words), key)
    try:
        with train.Run(directory, every=SAVE_EVERY, console=console) as run:
            state, epochs_left = _restored(run, state, batches.train, epochs)
            for epoch in epochs_left:
                for batch in epoch:
                    state, sums = step(state, batch)
                    run.log(sums, state)
                if run.save(state, held_out_f1=averaged(evaluate(state.params, batches.test)[1])):
                    break
    except OSError as error:
        raise DemoError(f"{directory}: {error}") from error
    if run.interrupted:
        raise KeyboardInterrupt
    return state.params


def _restored(run: train.Run, state: Any, batches: Any, epochs: int) -> Any:
    try:
        return run.restore(state, batches, epochs=epochs)
    except ValueError as error:
        raise DemoError(f"{run.directory.parent}: cannot go on with this run, name a new folder ({error})") from error


def read_log(directory: Path) -> list[dict[str, float]]:
    """The log of a run: for each epoch numbers such as `train_loss` and `held_out_f1`."""
    with (directory / "log.csv").open(newline="", encoding="utf-8") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]
