"""The bar of a run, with loss, tokens a second and padding; where there is no terminal, a line an epoch."""

import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ..core.lazy import LazyModule
from ..core.masked import is_masked
from .compilation import Traces

rich_console: Any = LazyModule("rich.console")
rich_progress: Any = LazyModule("rich.progress")

_PAUSE = 0.2  # seconds between two updates of the bar


class Meter:
    """Counts real and padded steps of sequences, and the time that was not spent on compiling."""

    def __init__(self) -> None:
        self.real = self.steps = 0
        self._timed_real, self._seconds = 0, 0.0
        self._last: float | None = None
        self._traces, self._new = Traces.number, 0
        self.is_compiling = True

    def see(self, batch: Any) -> None:
        """Counts a batch: its largest `Masked` stands for all."""
        masks = [leaf.mask for leaf in jax.tree.leaves(batch, is_leaf=is_masked) if is_masked(leaf)]
        masks = [mask for mask in masks if getattr(mask, "is_fully_addressable", True)]  # or in other processes too
        if not masks:
            return
        mask = max(masks, key=lambda mask: mask.size)
        self._new = int(np.count_nonzero(np.asarray(mask)))
        self.real, self.steps = self.real + self._new, self.steps + mask.size

    def tick(self, now: float) -> None:
        """A step is over."""
        if self._last is not None and self._traces == Traces.number:
            self._timed_real, self._seconds = self._timed_real + self._new, self._seconds + now - self._last
        self._last, self._traces, self.is_compiling = now, Traces.number, False

    def pause(self) -> None:
        """What follows, such as an evaluation, is not training."""
        self._last = None

    def reset(self) -> None:
        """Begins to count anew."""
        self.real = self.steps = self._timed_real = 0
        self._seconds = 0.0

    @property
    def tokens_per_second(self) -> float:
        """Real steps a second; NaN if nothing was measured."""
        return self._timed_real / self._seconds if self._seconds and self._timed_real else float("nan")

    @property
    def padding(self) -> float:
        """The share of padding; NaN without sequences."""
        return 1 - self.real / self.steps if self.steps else float("nan")

    @property
    def state(self) -> str:
        """The word "compiling" while that is what takes the time."""
        return "compiling" if self.is_compiling or self._traces != Traces.number else ""


class Display:
    """Shows where a run is.

    Args:
        meter: what to show.
        wanted: whether to show anything.
        console: of rich, where to show it; None: standard output.
    """

    def __init__(self, meter: Meter, wanted: bool, console: Any) -> None:
        self._meter, self._wanted = meter, wanted
        self._console = (console or rich_console.Console()) if wanted else None
        self._progress, self._task, self._shown = None, None, 0.0

    def begin(self, number: int, num_epochs: int | None, num_steps: int | None, first_step: int) -> None:
        """An epoch begins."""
        if self._console is None or not self._console.is_terminal:
            return
        if self._progress is None:
            self._progress = self._made()
            self._progress.start()
        if self._task is not None:
            self._progress.remove_task(self._task)
        of = "" if num_epochs is None else f"/{num_epochs}"
        self._task = self._progress.add_task(f"epoch {number + 1}{of}", total=num_steps, completed=first_step, text="")

    def step(self, completed: int, values: Callable[[], dict[str, Any]], now: float) -> None:
        """A step is over; the bar moves now and then."""
        if self._progress is not None and now - self._shown >= _PAUSE:
            self._shown = now
            self._progress.update(self._task, completed=completed, text=f"{in_words(values())}  {self._speed()}")

    def line(self, text: str) -> None:
        """A line that stays."""
        if self._console is not None:
            self._console.print(text, highlight=False, markup=False, soft_wrap=True)

    def epoch(self, number: int, step: int, values: dict[str, Any], seconds: float) -> None:
        """The line of an epoch."""
        self.line(f"epoch {number:3}  step {step:6}  {in_words(values)}  {self._speed()}  {seconds:.1f} s")

    def close(self) -> None:
        """Takes the bar away."""
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    def _made(self) -> Any:
        meter = self._meter

        class State(rich_progress.ProgressColumn):
            """Asked for by the thread that draws, so it changes while the main thread compiles."""

            max_refresh = None

            def render(self, task: Any) -> Any:
                """The text behind the bar."""
                return rich_progress.Text(meter.state or task.fields["text"])

        columns = (
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(),
            rich_progress.MofNCompleteColumn(),
            State(),
            rich_progress.TimeElapsedColumn(),
        )
        return rich_progress.Progress(*columns, console=self._console, transient=True)

    def _speed(self) -> str:
        speed, padding = self._meter.tokens_per_second, self._meter.padding
        parts = [] if np.isnan(speed) else [f"{speed:,.0f} tokens/s"]
        return "  ".join(parts + ([] if np.isnan(padding) else [f"padding {padding:.1%}"]))


def in_words(values: dict[str, Any]) -> str:
    """Numbers by name, in short."""
    return "  ".join(f"{name} {value:.4g}" for name, value in values.items() if np.ndim(value) == 0)


def now() -> float:
    """Seconds, for differences."""
    return time.monotonic()
