"""Ctrl-C, and the signal by which schedulers ask a process to end: the first is noted, the second ends at once."""

import signal
import threading
from types import FrameType
from typing import Any

_ENDS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interrupts:
    """Notes the first interrupt; a second one does what it does without this, or ends if it was ignored before.

    A shell that starts a program in the background has it ignore Ctrl-C.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, Any] = {}

    def watch(self) -> None:
        """Begins to note them; elsewhere than in the main thread Python has no way to."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                before = signal.signal(number, self._note)
                if before is None:  # set by something else than Python, which could not be put back
                    before = signal.SIG_DFL
                self._before[number] = before

    def release(self) -> None:
        """Puts back what was there before."""
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = {signal.SIGINT: "Ctrl-C"}.get(signal.Signals(number), signal.Signals(number).name)
        for each, before in self._before.items():
            signal.signal(each, _ENDS[signal.Signals(each)] if before is signal.SIG_IGN else before)
