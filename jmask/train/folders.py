"""The folder that a user names."""

import os
import re
from pathlib import Path
from typing import Any

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]+:/")  # of a path, one slash is left


def folder_of(directory: Any, name: str) -> Path:
    """The absolute path of a folder on a file system.

    Args:
        directory: what the user gave.
        name: who asks, for the error.

    Raises:
        ValueError: it is an address, such as that of a bucket.
    """
    text = os.fspath(directory)
    if _ADDRESS.match(text):
        raise ValueError(
            f"`{name}`: the folder is on a file system, and {text!r} is an address. Mount the bucket (gcsfuse, "
            "s3fs, ...), and name a folder in it, such as '/mnt/bucket/runs/tagger'."
        )
    return Path(text).absolute()
