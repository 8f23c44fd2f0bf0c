"""JSON lines: an object in each line of a file."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .corpus import Ragged
from .text_files import beginning, lines_of

_ONE_ARRAY = "A file that is one JSON array goes in by `data.from_table(json.load(file))`."


def read_json_lines(path: str | Path, *, columns: Sequence[str] | None = None) -> Ragged:
    r"""A corpus from a file with a JSON object in each line: `{"words": ["a", "b"], "label": 1}`.

    Args:
        path: a UTF-8 text file, or one compressed by gzip (`.gz`). Blank lines are left out.
        columns: the names of the columns to take, in this order; None: those of the first line.

    Returns:
        A `data.Ragged`. Lists are sequences, of numbers, strings or vectors; numbers and strings are one value a row.

    Raises:
        OSError: there is no such file.
        ValueError: a line (named by its number) is no JSON object, has no such column, or has a null in its place; or
            the file holds no object.
        TypeError: a column holds objects, or lists and numbers are mixed.

    >>> import pathlib, tempfile
    >>> from jmask import data
    >>> path = pathlib.Path(tempfile.mkdtemp(), "train.jsonl")
    >>> _ = path.write_text('{"ids": [3, 4], "label": "a"}\n{"ids": [], "label": "b"}\n')
    >>> data.read_json_lines(path)
    Ragged of 2 rows
      ids: int32, 2 sequences of 0 to 2 steps
      label: objects, 2 values
    """
    found: dict[str, list[Any]] = {} if columns is None else {name: [] for name in columns}
    names = columns
    for number, line in enumerate(lines_of(path), start=1):
        if not line.strip():
            continue
        row = _object(path, number, line)
        if names is None:
            names = list(row)
            found = {name: [] for name in names}
        for name, values in found.items():
            if row.get(name) is None:
                state = "null" if name in row else f"not there, only {', '.join(map(repr, row)) or 'nothing'}"
                raise ValueError(
                    f"{path}:{number}: column {name!r} is {state}. Each line needs all columns; fill it, e.g. with an "
                    "empty list, leave the line out, or leave the column out by `columns=`."
                )
            values.append(row[name])
    if not any(found.values()):
        raise ValueError(f'{path}: holds no object; each line is one, such as {{"words": ["a", "b"], "label": 1}}.')
    return Ragged(**found)


def _object(path: str | Path, number: int, line: str) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise ValueError(
            f"{path}:{number}: a line must be a JSON object; {error.msg} at character {error.pos}: {beginning(line)}. "
            f"{_ONE_ARRAY}"
        ) from None
    if not isinstance(row, dict):
        raise ValueError(
            f"{path}:{number}: a line must be a JSON object, with a name for each column; received {beginning(line)}. "
            f"{_ONE_ARRAY}"
        )
    return row
