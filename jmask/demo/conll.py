"""Tagged sentences from files: a token a line, a blank line between sentences.

Columns that stand apart by tabs or spaces, the token first and its tag last, as in the shared tasks of CoNLL; or
CoNLL-U, the format of Universal Dependencies, with its ten columns.

References:
    Tjong Kim Sang, De Meulder: Introduction to the CoNLL-2003 shared task, W03-0419; universaldependencies.org/format.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from .errors import DemoError
from .text import Sentence

_DOCUMENT_START = "-DOCSTART-"
_FORM, _UPOS, _NUM_COLUMNS = 1, 3, 10  # of CoNLL-U
_NUMBER = re.compile(r"\d+([-.]\d+)?")  # of a word; of several words that are written as one, 1-2; of one left out, 8.1


def read_conll(path: str | Path) -> list[Sentence]:
    """Reads a file of tagged sentences.

    Args:
        path: a UTF-8 text file. Each line has at least two columns, the token in the first and its tag in the last,
            and each as many as the first; or the file is CoNLL-U, which gives the words and their UPOS tags. Lines that
            begin a document in CoNLL-2003, `-DOCSTART-`, are left out.

    Returns:
        The sentences of the file, in order.

    Raises:
        DemoError: there is no such file, it is not text, it holds no sentence, or a line (named by its number) has not
            the columns that it should have.
    """
    lines = _read_lines(path)
    first = next((line for line in lines if line.strip() and not line.startswith("#")), "")
    rows = _rows_of_conllu(path, lines) if _is_conllu(first) else _rows_of_columns(path, lines)
    sentences: list[Sentence] = []
    words: list[str] = []
    tags: list[str] = []
    for row in (*rows, None):
        if row is not None:
            words.append(row[0])
            tags.append(row[1])
        elif words:
            sentences.append(Sentence(tuple(words), tuple(tags)))
            words, tags = [], []
    if not sentences:
        raise DemoError(f"{path}: holds no sentence; write one token and its tag on each line")
    return sentences


def _read_lines(path: str | Path) -> list[str]:
    try:
        return Path(path).read_text(encoding="utf-8-sig").split("\n")
    except FileNotFoundError as error:
        raise DemoError(f"{path}: there is no such file") from error
    except OSError as error:
        raise DemoError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise DemoError(f"{path}: is not UTF-8 text (byte {error.start})") from error


def _rows_of_columns(path: str | Path, lines: list[str]) -> Iterator[tuple[str, str] | None]:
    """Token and tag of each line; None between sentences."""
    count = None
    for number, line in enumerate(lines, start=1):
        columns = [part.strip() for part in line.split("\t")] if "\t" in line.strip() else line.split()
        if not line.strip() or columns[0] == _DOCUMENT_START:
            yield None
            continue
        count = count or len(columns)
        if len(columns) < 2 or len(columns) != count or not all(columns):
            rule = "at least two columns" if count < 2 else f"{count} columns like the first"
            raise DemoError(
                f"{path}:{number}: a line must have {rule}, a token first and its tag last; received "
                f"{len(columns)}: {line.strip()[:60]!r}"
            )
        yield columns[0], columns[-1]


def _rows_of_conllu(path: str | Path, lines: list[str]) -> Iterator[tuple[str, str] | None]:
    """Form and UPOS of each word; None between sentences."""
    for number, line in enumerate(lines, start=1):
        columns = line.rstrip("\r").split("\t")
        if not line.strip():
            yield None
        elif not line.startswith("#"):
            if not _is_conllu(line):
                raise DemoError(
                    f"{path}:{number}: a line of CoNLL-U must have {_NUM_COLUMNS} columns, parted by tabs, and a "
                    f"number first; received {len(columns)}: {line.strip()[:60]!r}"
                )
            if columns[0].isdecimal():
                yield columns[_FORM], columns[_UPOS]


def _is_conllu(line: str) -> bool:
    columns = line.split("\t")
    return len(columns) == _NUM_COLUMNS and _NUMBER.fullmatch(columns[0]) is not None
