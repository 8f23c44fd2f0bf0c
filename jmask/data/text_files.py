"""Lines of text files, and errors that name the line."""

import gzip
from pathlib import Path


def lines_of(path: str | Path) -> list[str]:
    """The lines of a UTF-8 text file, without their ends; one whose name ends with `.gz` is decompressed.

    Raises:
        OSError: there is no such file, or it cannot be read.
        ValueError: it is not UTF-8 text.
    """
    content = Path(path).read_bytes()
    if str(path).endswith(".gz"):
        content = gzip.decompress(content)
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: is not UTF-8 text (byte {error.start}).") from error
    return [line.removesuffix("\r") for line in text.split("\n")]


def beginning(line: str) -> str:
    """The beginning of a line, for an error."""
    return repr(line.strip()[:60])
