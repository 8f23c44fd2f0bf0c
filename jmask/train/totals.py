"""Sums of many steps, added up in double precision on the host, without waiting for the device at each step."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from ..losses.accumulator import Mean, Sums

_WAITING = 16  # steps whose sums stay on the device before they are fetched together
_IN_FLIGHT = 2  # the newest, which the device may not have finished: fetching them would wait for it


class Totals:
    """The sums of the steps since the last `reset`."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[Any, list[Any]]] = {}  # by name, how they are built and their leaves
        self._waiting: list[Mapping[str, Any]] = []
        self._carried: dict[str, Any] = {}  # of a checkpoint; the first sums tell what they are

    def add(self, sums: Mapping[str, Any]) -> bool:
        """Adds the sums of a step; True if the total has changed, which it does every few steps."""
        self._check(sums)
        self._waiting.append(sums)
        if len(self._waiting) < _WAITING:
            return False
        self._fetch(_IN_FLIGHT)
        return True

    def total(self) -> dict[str, Sums]:
        """The sums of all steps, as NumPy numbers of 64 bits; waits for the device."""
        self._fetch(0)
        return self._so_far()

    def values(self, *, wait: bool = True) -> dict[str, Any]:
        """The sums divided: floats, or arrays; NaN where nothing was counted."""
        sums = self.total() if wait else self._so_far()
        carried = {name: np.asarray(saved["value"])[()] for name, saved in self._carried.items()}
        return carried | {name: value_of_sums(value) for name, value in sums.items()}

    def reset(self) -> None:
        """Begins anew."""
        self._sums, self._waiting, self._carried = {}, [], {}

    def to_json(self) -> dict[str, Any]:
        """The sums so far, exactly, and their values, which stand for them until the next ones tell their kind."""
        self._fetch(0)
        values = self.values()
        own = {
            name: {"leaves": [leaf.tolist() for leaf in leaves], "value": np.asarray(values[name]).tolist()}
            for name, (_, leaves) in self._sums.items()
        }
        return self._carried | own

    def from_json(self, saved: dict[str, Any]) -> None:
        """Goes on with what `to_json` returned."""
        self.reset()
        self._carried = saved

    def _so_far(self) -> dict[str, Sums]:
        return {name: structure.unflatten(leaves) for name, (structure, leaves) in self._sums.items()}

    def _fetch(self, leave: int) -> None:
        ready, self._waiting = self._waiting[: len(self._waiting) - leave], self._waiting[len(self._waiting) - leave :]
        if not ready:
            return
        for sums in jax.device_get(ready):
            for name, value in sums.items():
                leaves, structure = jax.tree.flatten(value)
                leaves = [np.asarray(leaf, np.float64) for leaf in leaves]
                carried = self._carried.pop(name, {"leaves": None})
                known, before = self._sums.get(name, (structure, carried["leaves"]))
                if before is not None and known == structure and [*map(np.shape, before)] == [*map(np.shape, leaves)]:
                    leaves = [np.add(old, new) for old, new in zip(before, leaves, strict=True)]
                elif name in self._sums:
                    raise ValueError(f"`Run.log`: the sums {name!r} are of another kind than those of the step before.")
                self._sums[name] = structure, leaves

    def _check(self, sums: Any) -> None:
        if isinstance(sums, Mapping) and all(isinstance(value, Sums) for value in sums.values()):
            return
        shown = {k: type(v).__name__ for k, v in sums.items()} if isinstance(sums, Mapping) else type(sums).__name__
        raise TypeError(
            "`Run.log` takes the sums that a step returns, a dict of sums by name, so that steps add up exactly; "
            f"received {shown}. A number of your own: `run.log({{'name': jm.losses.Mean(number, 1)}})`."
        )


def value_of_sums(sums: Any) -> Any:
    """The value: a float if it is one number, else an array; NaN where nothing was counted."""
    if type(sums) is Mean and np.ndim(sums.total) == 0:  # in double precision
        return float(sums.total / sums.count) if sums.count else float("nan")
    value = np.asarray(sums.value_or(np.nan))
    return float(value) if value.ndim == 0 else value


def score_as_number(name: str, score: Any) -> float:
    """A score given to `Run.save`, as a number."""
    value = value_of_sums(score) if isinstance(score, Sums) else score
    if np.ndim(value) or not np.issubdtype(np.asarray(value).dtype, np.number):
        raise TypeError(
            f"`Run.save`: scores are numbers, or sums whose value is one; received {value!r:.80} for {name!r}."
        )
    return float(value)
