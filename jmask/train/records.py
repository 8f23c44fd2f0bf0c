"""What a run writes for people: a CSV file of one row an epoch, and TensorBoard."""

import csv
import importlib.util
import os
from pathlib import Path
from typing import Any

import numpy as np

from ..core.lazy import LazyModule

tensorboardX: Any = LazyModule("tensorboardX")  # noqa: N816 - its name

_REMEDY = "`pip install tensorboardX`, or `train.Run(..., tensorboard=False)`"


class Table:
    """A CSV file whose rows have a step; it may get columns, and lose the rows of steps that are run again.

    Args:
        path: the file.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.rows = path, []
        if path.is_file():
            with path.open(newline="", encoding="utf-8") as file:
                self.rows: list[dict[str, Any]] = list(csv.DictReader(file))

    def rewind(self, step: int) -> None:
        """Drops the rows after a step, which a killed run wrote and the resumed one writes again."""
        kept = [row for row in self.rows if str(row.get("step", "")).isdigit() and int(row["step"]) <= step]
        if len(kept) < len(self.rows):
            self.rows = kept
            self._write()

    def add(self, row: dict[str, Any]) -> None:
        """Adds a row, in place of one of the same step."""
        self.rows = [each for each in self.rows if str(each.get("step")) != str(row["step"])]
        self.rows.append({name: value for name, value in row.items() if np.ndim(value) == 0})
        self._write()

    def _write(self) -> None:
        """As a whole, and by a renaming: a reader never sees half of it."""
        columns = list(dict.fromkeys(name for row in self.rows for name in row))
        unfinished = self.path.with_suffix(".csv.unfinished")
        try:
            with unfinished.open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, columns)
                writer.writeheader()
                writer.writerows(self.rows)
            os.replace(unfinished, self.path)
        except OSError as error:
            raise type(error)(
                error.errno, f"`Run`: cannot write {str(self.path)!r} ({error.strerror}); what it held before stays"
            ) from error


class Board:
    """TensorBoard's files, by tensorboardX.

    Args:
        directory: where to write them.
        wanted: True: needed; None: if tensorboardX is installed; False: never.
    """

    def __init__(self, directory: Path, wanted: bool | None) -> None:
        self.directory, self._writer = directory, None
        is_there = importlib.util.find_spec("tensorboardX") is not None
        if wanted and not is_there:
            raise ImportError(f"`Run`: TensorBoard's files are written by tensorboardX, which is missing: {_REMEDY}.")
        self.is_on = is_there if wanted is None else wanted

    def start(self, step: int) -> None:
        """Begins at a step: what a killed run wrote after it is not shown."""
        if self.is_on and self._writer is None:
            self._writer = tensorboardX.SummaryWriter(str(self.directory), purge_step=step or None)

    def add(self, values: dict[str, Any], step: int) -> None:
        """Writes numbers by name."""
        self.start(0)
        for name, value in values.items():
            if self._writer is not None and np.ndim(value) == 0:
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Writes what is left."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
