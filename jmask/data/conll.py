"""Files of tagged sentences: a token a line, a blank line between sentences."""

import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from .columns import Column
from .corpus import Ragged
from .text_files import beginning, lines_of

_DOCUMENT_START = "-DOCSTART-"
_CONLLU = ("id", "form", "lemma", "upos", "xpos", "feats", "head", "deprel", "deps", "misc")
_NUMBER = re.compile(r"\d+([-.]\d+)?")  # of a word; of several words that are written as one, 1-2; of one left out, 8.1


def read_conll(path: str | Path, *, columns: Sequence[str] | None = None) -> Ragged:
    r"""A corpus from a file in a format of the CoNLL shared tasks, or from CoNLL-U, of Universal Dependencies.

    Args:
        path: a UTF-8 text file, or one compressed by gzip (`.gz`). A blank line ends a sentence, every other line is a
            token: columns that stand apart by tabs or spaces, the token first, as many in each line as in the first.
            Lines that begin a document, `-DOCSTART-`, are left out. In CoNLL-U, which is recognized by ten columns
            with a number first, comments, the lines of several words in one (1-2) and of words left out (8.1) are
            left out too.
        columns: a name for each column. None: of CoNLL-U `id`, `form`, `lemma`, `upos`, `xpos`, `feats`, `head`,
            `deprel`, `deps`, `misc`; of four columns, as in CoNLL-2003, `words`, `pos`, `chunks`, `tags`; of any other
            number `words`, `column_2`, ..., and `tags` for the last one.

    Returns:
        A `data.Ragged` of strings, a row for each sentence with at least one token. A `data.Vocabulary` makes numbers
        of them.

    Raises:
        OSError: there is no such file.
        ValueError: the file is not text or holds no sentence, a line (named by its number) has another number of
            columns than the first one, or `columns` has.

    References:
        Tjong Kim Sang, De Meulder: Introduction to the CoNLL-2003 shared task, W03-0419;
        universaldependencies.org/format.

    >>> import pathlib, tempfile
    >>> from jmask import data
    >>> path = pathlib.Path(tempfile.mkdtemp(), "train.txt")
    >>> _ = path.write_text("EU B-ORG\nrejects O\n\nPeter B-PER\n")
    >>> data.read_conll(path)[0]
    {'words': array(['EU', 'rejects'], dtype=object), 'tags': array(['B-ORG', 'O'], dtype=object)}
    """
    lines = lines_of(path)
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    is_conllu = _is_conllu(first)
    tokens: list[Sequence[str]] = []
    offsets = [0]
    for row in (*(_rows_of_conllu if is_conllu else _rows_of_columns)(path, lines), None):
        if row is not None:
            tokens.append(row)
        elif len(tokens) > offsets[-1]:
            offsets.append(len(tokens))
    if not tokens:
        raise ValueError(f"{path}: holds no sentence; write one token and its tag on each line.")
    names = _names(path, len(tokens[0]), is_conllu, columns)
    ends = np.array(offsets)
    return Ragged(**{name: _strings(part, ends) for name, part in zip(names, zip(*tokens, strict=True), strict=True)})


def _names(path: str | Path, count: int, is_conllu: bool, columns: Sequence[str] | None) -> Sequence[str]:
    if columns is not None:
        if len(columns) != count or len(set(columns)) != count:
            raise ValueError(
                f"`columns` must have a name for each of the {count} columns of {path}, e.g. "
                f"{_names(path, count, is_conllu, None)}; received {tuple(columns)}."
            )
        return columns
    if is_conllu:
        return _CONLLU
    if count == 4:
        return "words", "pos", "chunks", "tags"
    return "words", *(f"column_{i}" for i in range(2, count)), "tags"


def _strings(strings: Sequence[str], offsets: np.ndarray) -> Column:
    values = np.empty(len(strings), object)
    values[:] = [*map(sys.intern, strings)]  # of equal ones only one is kept
    return Column(values, offsets)


def _rows_of_columns(path: str | Path, lines: list[str]) -> Iterator[list[str] | None]:
    """The columns of each line; None between sentences."""
    count = None
    for number, line in enumerate(lines, start=1):
        columns = [part.strip() for part in line.split("\t")] if "\t" in line.strip() else line.split()
        if not line.strip() or columns[0] == _DOCUMENT_START:
            yield None
            continue
        count = count or len(columns)
        if len(columns) < 2 or len(columns) != count or not all(columns):
            rule = "at least two columns" if count < 2 else f"{count} columns like the first"
            raise ValueError(
                f"{path}:{number}: a line must have {rule}, a token first and its tag last; received {len(columns)}: "
                f"{beginning(line)}."
            )
        yield columns


def _rows_of_conllu(path: str | Path, lines: list[str]) -> Iterator[list[str] | None]:
    """The columns of each word; None between sentences."""
    for number, line in enumerate(lines, start=1):
        columns = line.split("\t")
        if not line.strip():
            yield None
        elif not line.startswith("#"):
            if not _is_conllu(line):
                raise ValueError(
                    f"{path}:{number}: a line of CoNLL-U must have {len(_CONLLU)} columns, separated by tabs, and a "
                    f"number first; received {len(columns)}: {beginning(line)}."
                )
            if columns[0].isdecimal():
                yield columns


def _is_conllu(line: str) -> bool:
    columns = line.split("\t")
    return len(columns) == len(_CONLLU) and _NUMBER.fullmatch(columns[0]) is not None
