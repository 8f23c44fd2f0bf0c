"""A corpus: columns of ragged data on the host, as many rows in each."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, SupportsIndex, overload

import numpy as np

from .columns import Column, row_numbers
from .corpus_files import read_columns, write_columns
from .reading import as_column

Rows = slice | np.ndarray | Sequence[SupportsIndex]


class Ragged:
    """A corpus: columns of sequences of different lengths, and of one value a row, with as many rows in each.

    A column of sequences is held as one flat array and the offsets of its rows: without a copy where the source holds
    it like that, and memory-mapped where the source is. Sequences of two columns may agree in length (words and tags)
    or not (source and target).

    Args:
        **columns: by name. Names that are no identifiers go in by `data.Ragged(**{"source text": ...})`. Each is:

            - a list with a list, an array or a tensor for each row: sequences. A step is a number, a string, or a
              vector (all of one shape);
            - a list of numbers, or of strings: one value a row. A string is one value; the characters of each are
              sequences, `[list(name) for name in names]`;
            - an array of NumPy, JAX or torch: `(rows,)` is one value a row, `(rows, time, ...)` are sequences of one
              length. The other readings: `data.Column(array)` has one vector a row, `array[:, None]` one step;
            - a column of Arrow, polars, pandas or Hugging Face `datasets`, an awkward array, a nested tensor or
              `PackedSequence` of torch, a `RaggedTensor` of TensorFlow. Steps that are null are kept, and are not real;
            - a `Masked` or a masked array of NumPy, padded or packed: its real steps, sequence by sequence;
            - a `data.Column` of flat values and offsets.

    Raises:
        TypeError: a column is not of this kind or has no name, numbers and strings are mixed, or a name is no string.
        ValueError: there is no column, columns differ in the number of rows, a row is missing (None or null), or the
            steps of a column differ in shape, as those of nested documents do.

    An empty row is a sequence without steps. An iterable of rows: `for row in corpus`.

    >>> from jmask import data
    >>> corpus = data.Ragged(words=[[3, 4, 5], [6]], tags=[[0, 1, 0], [1]], label=[True, False])
    >>> corpus
    Ragged of 2 rows
      words: int32, 2 sequences of 1 to 3 steps
      tags: int32, 2 sequences of 1 to 3 steps
      label: bool, 2 values
    >>> corpus.lengths["words"].tolist(), corpus[0]["words"].tolist(), corpus[1:]["label"].values.tolist()
    ([3, 1], [3, 4, 5], [False])
    """

    __slots__ = ("_columns",)

    def __init__(self, /, *unnamed: Any, **columns: Any):
        if unnamed:
            raise TypeError(_without_names(unnamed))
        self._columns = {_checked_name(name): _column(name, column) for name, column in columns.items()}
        _check_rows(self._columns)

    @property
    def columns(self) -> Mapping[str, Column]:
        """The columns by name, in the order in which they were given."""
        return MappingProxyType(self._columns)

    @property
    def lengths(self) -> dict[str, np.ndarray]:
        """Number of steps of each row, int64 `(rows,)`, of every column of sequences."""
        return {name: column.lengths for name, column in self._columns.items() if column.lengths is not None}

    def __len__(self) -> int:
        """Number of rows."""
        return len(next(iter(self._columns.values())))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The rows, each as `corpus[i]`."""
        return (self[i] for i in range(len(self)))

    @overload
    def __getitem__(self, index: str) -> Column: ...
    @overload
    def __getitem__(self, index: Rows | list[str]) -> "Ragged": ...
    @overload
    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]: ...
    def __getitem__(self, index: Any) -> Any:
        """A column, a row, some rows, or some columns.

        Args:
            index: a name gives the `Column`; an integer one row, `{name: array or value}`; a slice, an array of row
                numbers or one of bool a `Ragged` of these rows; a list of names a `Ragged` of these columns. A slice
                is a view, an array copies its rows.
        """
        if isinstance(index, str):
            self._check_known([index])
            return self._columns[index]
        if isinstance(index, list) and index and all(isinstance(name, str) for name in index):
            self._check_known(index)
            return Ragged(**{name: self._columns[name] for name in index})
        if not isinstance(index, slice):
            index = row_numbers(index, len(self))
            if index.ndim == 0:
                return {name: column[index] for name, column in self._columns.items()}
        return Ragged(**{name: column[index] for name, column in self._columns.items()})

    def replace(self, /, **columns: Any) -> "Ragged":
        """The same corpus with other columns.

        Args:
            **columns: as for `data.Ragged`, each in the place of the one with its name, or after all if there is none.
                None removes a column.

        >>> from jmask import data
        >>> corpus = data.Ragged(words=[[3, 4], [5]], label=[0, 1])
        >>> list(corpus.replace(label=None, weight=[0.5, 1.0]).columns)
        ['words', 'weight']
        """
        self._check_known([name for name, column in columns.items() if column is None])
        kept = {name: column for name, column in {**self._columns, **columns}.items() if column is not None}
        return Ragged(**kept)

    def save(self, directory: str | Path) -> None:
        """Writes the corpus into a new folder, from which `data.Ragged.load` memory-maps it.

        Numbers are written in the dtype of batches, an array a file (`.npy`), and are not loaded as a whole for it.

        Args:
            directory: the folder, which must not be there yet. It is there as a whole, or not at all.

        Raises:
            FileExistsError: there is such a folder.
            TypeError: a column holds strings; `data.Vocabulary` makes numbers of them.
        """
        write_columns(self._columns, directory)

    @classmethod
    def load(cls, directory: str | Path) -> "Ragged":
        """The corpus in a folder that `save` has written; its values stay on the disk until they are used.

        Args:
            directory: the folder.

        Raises:
            FileNotFoundError: there is no corpus in it.

        >>> import pathlib, tempfile
        >>> from jmask import data
        >>> folder = pathlib.Path(tempfile.mkdtemp(), "corpus")
        >>> data.Ragged(ids=[[3, 4, 5], [6]], label=[0, 1]).save(folder)
        >>> data.Ragged.load(folder)[0]
        {'ids': array([3, 4, 5], dtype=int32), 'label': np.int32(0)}
        """
        return cls(**read_columns(directory))

    def __repr__(self) -> str:
        lines = [f"  {name}: {column.summary()}" for name, column in self._columns.items()]
        return "\n".join([f"Ragged of {len(self)} rows", *lines])

    def _check_known(self, names: list[str]) -> None:
        for name in names:
            if name not in self._columns:
                raise KeyError(f"There is no column {name!r}; there are {', '.join(map(repr, self._columns))}.")


def _without_names(columns: Sequence[Any]) -> str:
    kind = type(columns[0]).__name__
    return (
        f"The columns of a corpus have names; received a {kind} without one. Write `data.Ragged(words=words)`; for a "
        "dict or a table of columns, and for a list of rows that are dicts, `data.from_table(table)`."
    )


def _checked_name(name: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"The names of columns are strings; received {name!r}.")
    return name


def _column(name: str, x: Any) -> Column:
    try:
        return as_column(x)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"Column {name!r}: {error}") from error


def _check_rows(columns: Mapping[str, Column]) -> None:
    if not columns:
        raise ValueError('A corpus needs a column; received none. Write `data.Ragged(words=[["a", "b"], ["c"]])`.')
    counts = {name: len(column) for name, column in columns.items()}
    if len(set(counts.values())) > 1:
        shown = ", ".join(f"{name!r} has {count}" for name, count in counts.items())
        raise ValueError(f"All columns must have the same number of rows, one for each example; {shown}.")
