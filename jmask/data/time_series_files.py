"""Time series with labels in the `.ts` format of sktime, aeon and the archive at timeseriesclassification.com."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from .columns import Column, offsets_of
from .corpus import Ragged
from .text_files import beginning, lines_of

_MISSING = "?"


class _Header(NamedTuple):
    """What the lines that begin with @ say.

    Attributes:
        first: the number of the first line of data, from 0.
        target: the name of the column for what follows the series, or None if there is nothing.
        labels: the class labels; empty if the target is a number.
    """

    first: int
    target: str | None
    labels: tuple[str, ...]


def read_ts(path: str | Path, *, missing: float | None = None) -> Ragged:
    r"""A corpus from a `.ts` file of time series, of equal or different lengths, with one or several dimensions.

    Args:
        path: a UTF-8 text file, or one compressed by gzip (`.gz`): comments (#), a header (@), and after `@data` a line
            for each series, its dimensions apart by `:` and the numbers of one by commas, its label last.
        missing: a number to write in the place of each missing one, `?`, such as 0 or NaN. None: a step that is missing
            in all dimensions keeps its place and is not real, and one that is missing in some of them is an error.

    Returns:
        A `data.Ragged` with `series`: float64 steps `(dimensions,)`; and `label`: the class labels, strings; or
        `target`: numbers, if the header says `@targetLabel true`. A line with an empty dimension is a row without
        steps.

    Raises:
        OSError: there is no such file.
        ValueError: the file is not text, has no `@data`, or has time stamps; or a line (named by its number) has
            another number of dimensions than the first, dimensions of different lengths, something that is no number,
            or a label that the header does not have.

    References:
        The format: aeon-toolkit.org, "The .ts file format".

    >>> import pathlib, tempfile
    >>> from jmask import data
    >>> path = pathlib.Path(tempfile.mkdtemp(), "toy.ts")
    >>> _ = path.write_text("@timeStamps false\n@classLabel true a b\n@data\n1,2,3:4,5,6:a\n7,8:9,0:b\n")
    >>> data.read_ts(path)
    Ragged of 2 rows
      series: float64, 2 sequences of 2 to 3 steps of shape (2,)
      label: objects, 2 values
    """
    lines = lines_of(path)
    header = _header(path, lines)
    series: list[np.ndarray] = []
    reals: list[np.ndarray] = []
    targets: list[str | float] = []
    for number, line in enumerate(lines[header.first :], start=header.first + 1):
        if line.strip() and not line.startswith("#"):
            place, parts = f"{path}:{number}", line.strip().split(":")
            if header.target is not None:
                targets.append(_target(place, parts.pop().strip(), header))
            if series and len(parts) != series[0].shape[1]:
                raise ValueError(f"{place}: {len(parts)} dimensions, where the first line has {series[0].shape[1]}.")
            steps, real = _steps(place, parts, missing)
            series.append(steps)
            reals.append(real)
    if not series:
        raise ValueError(f"{path}: there is no line after `@data`.")
    lengths = np.array([*map(len, series)])
    columns = {"series": Column(np.concatenate(series), offsets_of(lengths), np.concatenate(reals))}
    return Ragged(**columns, **({} if header.target is None else {header.target: targets}))


def _header(path: str | Path, lines: list[str]) -> _Header:
    target, labels = None, ()
    for number, line in enumerate(lines):
        key, *words = line.split() or [""]
        key, value = key.lower(), words[0].lower() if words else ""
        if key == "@data":
            return _Header(number + 1, target, labels)
        if key == "@timestamps" and value == "true":
            raise ValueError(
                f"{path}:{number + 1}: series with time stamps are not read. Write their values alone, in the order of "
                "time, and the times, if they matter, as one more dimension."
            )
        if key == "@classlabel" and value == "true":
            target, labels = "label", tuple(words[1:])
        elif key == "@targetlabel" and value == "true":
            target = "target"
        elif line.strip() and not line.startswith(("#", "@")):
            raise ValueError(
                f"{path}:{number + 1}: before `@data`, lines begin with # or @; received {beginning(line)}."
            )
    raise ValueError(f"{path}: there is no line `@data`, after which a `.ts` file has its series.")


def _target(place: str, word: str, header: _Header) -> str | float:
    if header.target == "target":
        return float(_numbers(place, [word], None)[0])
    if header.labels and word not in header.labels:
        raise ValueError(f"{place}: the label {word[:60]!r} is not one of the header's, {', '.join(header.labels)}.")
    return word


def _steps(place: str, parts: list[str], missing: float | None) -> tuple[np.ndarray, np.ndarray]:
    """The steps of one series, `(steps, dimensions)`, and which of them are real."""
    dimensions = [part.split(",") if part.strip() else [] for part in parts]
    lengths = sorted({*map(len, dimensions)})
    if len(lengths) > 1:
        raise ValueError(
            f"{place}: the dimensions of a series must have one length, for a step has a number in each; received "
            f"{lengths[0]} and {lengths[-1]}."
        )
    steps = np.stack([_numbers(place, words, missing) for words in dimensions], axis=1)
    if missing is not None:
        return steps, np.ones(len(steps), bool)
    lost = np.array([[word.strip() == _MISSING for word in words] for words in dimensions], bool).T
    real = np.asarray(~lost.all(1))
    if (lost.any(1) & real).any():
        raise ValueError(
            f"{place}: step {int((lost.any(1) & real).argmax())} is missing in some dimensions and not in others, and "
            "a mask says which steps are real. Pass a number to write there, `missing=0.0`."
        )
    return steps, real


def _numbers(place: str, words: list[str], missing: float | None) -> np.ndarray:
    fill = repr(0.0 if missing is None else float(missing))
    try:
        return np.array([float(fill if word.strip() == _MISSING else word) for word in words])
    except ValueError as error:
        wrong = str(error).rpartition(": ")[2]
        raise ValueError(f"{place}: {wrong[:60]} is not a number; missing ones are `?`.") from None
