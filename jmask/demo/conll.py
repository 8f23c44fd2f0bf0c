"""Tagged sentences from files, as the demo takes them."""

from pathlib import Path

from ..data import read_conll
from .errors import DemoError
from .text import Sentence


def read_sentences(path: str | Path) -> list[Sentence]:
    """Reads a file of tagged sentences.

    Args:
        path: a file as `jm.data.read_conll` takes it. Of CoNLL-U the form of a word and its UPOS tag are taken, of
            others the first column and the last one.

    Returns:
        The sentences of the file, in order.

    Raises:
        DemoError: there is no such file, it is not text, it holds no sentence, or a line (named by its number) has not
            the columns that it should have.
    """
    try:
        corpus = read_conll(path)
    except FileNotFoundError as error:
        raise DemoError(f"{path}: there is no such file") from error
    except OSError as error:
        raise DemoError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DemoError(str(error)) from error
    words, *_, tags = corpus.columns
    if "upos" in corpus.columns:
        words, tags = "form", "upos"
    return [Sentence(tuple(row[words]), tuple(row[tags])) for row in corpus]
