"""Checks of the options of a run."""

import datetime
from collections.abc import Callable
from typing import Any

import jax


def check_run_options(best: Any, mode: Any, patience: Any, keep: Any) -> None:
    """Raises for options out of range."""
    if mode not in ("max", "min"):
        raise ValueError(f"`Run`: `mode` is 'max' or 'min'; received {mode!r}.")
    for name, number in (("keep", keep), ("patience", 1 if patience is None else patience)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ValueError(f"`Run`: `{name}` is a whole number from 1 on; received {number!r}.")
    if patience is not None and best is None:
        raise ValueError(
            "`Run`: patience waits for a better score, so say which: `train.Run(directory, best='f1', patience=3)`, "
            "and `run.save(state, f1=...)`."
        )


def checked_every(every: Any) -> Callable[[int, float], bool] | None:
    """Whether so many steps and seconds after the last save the next one is due."""
    if every is None:
        return None
    if isinstance(every, datetime.timedelta) and every > datetime.timedelta(0):
        if jax.process_count() > 1:
            raise ValueError(
                "`Run`: all processes save together, and their clocks differ, so `every` must be a number of steps; "
                f"received {every!r}. Pass for example `every=1000`."
            )
        return lambda steps, seconds: seconds >= every.total_seconds()
    if isinstance(every, int) and not isinstance(every, bool) and every > 0:
        return lambda steps, seconds: steps >= every
    raise ValueError(
        "`Run`: `every` is a number of steps from 1 on, or a time, `datetime.timedelta(minutes=10)`; received "
        f"{every!r}."
    )
