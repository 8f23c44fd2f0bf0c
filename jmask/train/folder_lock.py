"""One run at a time writes into a folder."""

import contextlib
import os
import socket
import weakref
from pathlib import Path
from typing import Any

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
        self._close: Any = None

    def take(self) -> None:
        """Takes the lock.

        Raises:
            RuntimeError: another process has it.
        """
        if self._close is not None or os.name != "posix" or jax.process_index() != 0:
            return
        try:
            file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # of a folder that cannot be written, saving tells
            return
        close = weakref.finalize(self, os.close, file)  # a run that nobody closes lets go as well
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:
            holder = os.read(file, 200).decode().strip() or "another process"
            close()
            raise RuntimeError(
                f"`Run`: {holder} is writing into {str(self._path.parent)!r}, and two runs in one folder would spoil "
                "each other's checkpoints. Name another folder, `train.Run('runs/other')`, or wait until it has ended."
            ) from error
        except OSError:  # no locks here
            close()
            return
        self._close = close
        with contextlib.suppress(OSError):  # such as a full disk; the lock holds without a name
            os.ftruncate(file, 0)
            os.write(file, f"process {os.getpid()} on {socket.gethostname()}".encode())

    def release(self) -> None:
        """Lets go."""
        if self._close is not None:
            self._close()
            self._close = None
