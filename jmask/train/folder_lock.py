"""One run at a time writes into a folder."""

import os
import socket
from pathlib import Path
from typing import IO, Any

import jax

from ..core.lazy import LazyModule

fcntl: Any = LazyModule("fcntl")  # Windows has none, and no lock

NAME = ".lock"


class FolderLock:
    """A lock on a folder, which the operating system lets go when the process ends, however it ends.

    It is one of the process, not of an object: a notebook may make a run anew. Of several processes of one run, the
    first one holds it. Where the file system has no locks, there is none.

    Args:
        directory: the folder.
    """

    def __init__(self, directory: Path) -> None:
        self._path = directory / NAME
        self._file: IO[str] | None = None

    def take(self) -> None:
        """Takes the lock.

        Raises:
            RuntimeError: another process has it.
        """
        if self._file is not None or os.name != "posix" or jax.process_index() != 0:
            return
        try:
            file = self._path.open("a+", encoding="utf-8")
        except OSError:  # of a folder that cannot be written, saving tells
            return
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            file.seek(0)
            holder = file.read().strip() or "another process"
            file.close()
            raise RuntimeError(
                f"`Run`: {holder} is writing into {str(self._path.parent)!r}, and two runs in one folder would spoil "
                "each other's checkpoints. Name another folder, `train.Run('runs/other')`, or wait until it has ended."
            ) from error
        except OSError:  # no locks here
            file.close()
            return
        file.truncate(0)
        file.write(f"process {os.getpid()} on {socket.gethostname()}")
        file.flush()
        self._file = file

    def release(self) -> None:
        """Lets go."""
        if self._file is not None:
            self._file.close()
            self._file = None
