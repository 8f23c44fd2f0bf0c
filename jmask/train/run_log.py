"""What a run tells: sums and speed, in a CSV file, on TensorBoard, and on the screen."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from ..losses.accumulator import Sums
from .progress import Display, Meter
from .records import Board, Table
from .totals import Totals


class RunLog:
    """Takes note of steps and epochs; of several processes, the first one writes and shows.

    Args:
        directory: the folder of the run.
        tensorboard: whether to write files for TensorBoard; None: if tensorboardX is installed.
        progress: whether to show the progress.
        console: of rich, where to show it; None: standard output.
    """

    def __init__(self, directory: Path, tensorboard: bool | None, progress: bool, console: Any) -> None:
        is_first = jax.process_index() == 0
        self.totals, self.meter = Totals(), Meter()
        self.bar = Display(self.meter, progress and is_first, console)
        self._table = Table(directory / "log.csv") if is_first else None
        self._board = Board(directory / "tensorboard", tensorboard if is_first else False)

    def start(self, step: int) -> None:
        """Goes on behind a step: what a killed run wrote after it is dropped."""
        if self._table is not None:
            self._table.rewind(step)
            self._board.start(step)

    def step(self, sums: Mapping[str, Sums], step: int, completed: int, time: float) -> None:
        """A step is over; `completed` is its number in the epoch."""
        self.meter.tick(time)
        if self.totals.add(sums) and self._board.is_on:
            self._board.add({f"train/{name}": value for name, value in self._values().items()}, step)
        self.bar.step(completed, self._values, time)

    def line(self, text: str) -> None:
        """Shows a line that stays."""
        self.bar.line(text)

    def epoch(self, number: int, step: int, seconds: float, trained: dict[str, Any], scores: dict[str, Any]) -> None:
        """A row and a line of an epoch, and new sums.

        Args:
            number: how many epochs are over.
            step: how many steps.
            seconds: since the run began.
            trained: the values of the sums, by "train_" and name.
            scores: other numbers by name.
        """
        if self._table is not None:
            speed = {"tokens_per_second": self.meter.tokens_per_second, "padding": self.meter.padding}
            speed = {name: round(value, 4) for name, value in speed.items() if not math.isnan(value)}
            head = {"epoch": number, "step": step, "seconds": round(seconds, 3)}
            self._table.add({**head, **trained, **scores, **speed})
            self._board.add({name.replace("train_", "train/", 1): value for name, value in trained.items()}, step)
            self._board.add({f"score/{name}": value for name, value in scores.items()}, step)
            self._board.add({f"speed/{name}": value for name, value in speed.items()}, step)
            self.bar.epoch(number, step, _shown(trained, scores), seconds)
        self.totals.reset()
        self.meter.reset()

    def close(self) -> None:
        """Takes the bar away and writes what is left."""
        self.bar.close()
        self._board.close()

    def _values(self) -> dict[str, Any]:
        return self.totals.values(wait=False)


def _shown(trained: dict[str, Any], scores: dict[str, Any]) -> dict[str, Any]:
    """The numbers of an epoch; a sum of the training drops its "train_" where no score has its name."""
    short = {name: name.removeprefix("train_") for name in trained}
    return {name if short[name] in scores else short[name]: value for name, value in trained.items()} | scores
