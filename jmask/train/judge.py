"""Which score is the best, and when to stop waiting for a better one."""

import math
from typing import Any


class Judge:
    """Compares scores.

    Args:
        name: of the score that decides, or None.
        mode: whether the best is the largest, "max", or the smallest, "min".
        patience: how many scores in a row may be no better; None: any number.
    """

    def __init__(self, name: str | None, mode: str, patience: int | None) -> None:
        self.name, self.sign, self.patience = name, 1 if mode == "max" else -1, patience
        self.best: dict[str, Any] | None = None
        self.worse = 0

    def judge(self, values: dict[str, Any], place: dict[str, int], *, is_scored: bool) -> None:
        """Compares a score with the best so far.

        Args:
            values: all values by name.
            place: number and step of the checkpoint that they belong to.
            is_scored: whether the user gave any score; a save without one is not judged.
        """
        if self.name is None or (self.name not in values and not is_scored and not self.name.startswith("train_")):
            return
        if self.name not in values:
            raise ValueError(
                f"`Run.save`: the run decides by {self.name!r}, so pass it: `run.save(state, {self.name}=...)`; "
                f"received {sorted(values)}."
            )
        score = values[self.name]
        if not math.isnan(score) and (self.best is None or self.sign * (score - self.best["score"]) > 0):
            self.best, self.worse = {"score": score, **place}, 0
        else:
            self.worse += 1

    @property
    def number(self) -> int | None:
        """The number of the best checkpoint."""
        return None if self.best is None else self.best["number"]

    @property
    def is_over(self) -> bool:
        """Whether patience is over."""
        return self.patience is not None and self.worse >= self.patience

    def to_json(self) -> dict[str, Any]:
        """What has to be saved."""
        return {"best": self.best, "worse": self.worse, "by": [self.name, self.sign]}

    def from_json(self, saved: dict[str, Any]) -> bool:
        """Goes on with what `to_json` returned; False if those scores are of another kind, so none compares."""
        is_alike = saved["by"] == [self.name, self.sign]
        if is_alike:
            self.best, self.worse = saved["best"], saved["worse"]
        return is_alike


def why_none_is_best(saved: dict[str, Any]) -> str | None:
    """Why `to_json` knows of no best, although a score decides; None if it knows one, or if none decides."""
    name, _ = saved["by"]
    if saved["best"] is not None or name is None:
        return None
    given = f"all {saved['worse']} that were given are NaN" if saved["worse"] else "none was given yet"
    return f"no checkpoint is the best by {name!r}, since of its scores {given}"
