"""Ctrl-C, and the signal by which schedulers ask a process to end: the first is noted, the second ends at once."""

import contextlib
import signal
import threading
from types import FrameType
from typing import Any

import jax
from jax.experimental import multihost_utils

_ENDS = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}


class Interrupts:
    """Notes the first interrupt; a second one does what it does without this, or ends if it was ignored before.

    A shell that starts a program in the background has it ignore Ctrl-C.

    Several processes have to stop after the same step, or those that go on wait for the others for ever. JAX settles
    which one, for SIGTERM alone, and has its own handler for it. Ctrl-C does what it does without this.
    """

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, Any] = {}
        self._asked = 0

    def ask(self) -> str | None:
        """What was received; of several processes, all of them ask, and learn it after the same question."""
        if jax.process_count() > 1 and self.received is None:
            self._asked += 1
            with contextlib.suppress(RuntimeError):  # the service is turned off
                if multihost_utils.reached_preemption_sync_point(self._asked):
                    self.received = signal.SIGTERM.name
        return self.received

    def watch(self) -> None:
        """Begins to note them; elsewhere than in the main thread Python has no way to."""
        if jax.process_count() == 1 and threading.current_thread() is threading.main_thread():
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
