"""Reductions over time, over features, over both, and over everything."""

from collections.abc import Callable
from typing import Any

import numpy as np

import jmask as jm
from tests.support import oracles
from tests.support.batches import Steps, floats

from .case import Case, Kind, case

# What each does to some numbers, and to none.
REDUCTIONS = {
    "sum": (np.sum, 0.0),
    "mean": (np.mean, 0.0),
    "max": (np.max, 0.0),
    "min": (np.min, 0.0),
    "prod": (np.prod, 1.0),
    "var": (np.var, 0.0),
    "std": (np.std, 0.0),
    "any": (np.any, False),
    "all": (np.all, True),
}
AXES: dict[str, tuple[Any, Callable, Kind]] = {
    "time": (1, oracles.over_time, "pooled"),
    "features": (-1, oracles.over_features, "sequence"),
    "time and features": ((1, 2), oracles.over_time_and_features, "pooled"),
    "all": (None, oracles.over_everything, "batch"),
}


def reduction_case(name: str, axis: str, spec: Steps, note: str) -> Case:
    function, (axes, over, output) = getattr(jm.ops, name), AXES[axis]
    return case(f"ops.{name}({note})", lambda p, x: function(x, axes), over(*REDUCTIONS[name]), spec, output=output)


CASES = [
    *(reduction_case(name, axis, floats(3), axis) for name in [*REDUCTIONS][:-2] for axis in AXES),
    *(reduction_case(name, axis, Steps((3,), maximum=2), axis) for name in ("any", "all") for axis in AXES),
    *(reduction_case(name, "time", Steps((3,), maximum=11), "integers") for name in ("sum", "max", "min", "prod")),
    case("ops.mean_pool", lambda p, x: jm.ops.mean_pool(x), oracles.mean_pool, output="pooled", any_rank=True),
    case(
        "ops.mean_pool(keepdims)",
        lambda p, x: jm.ops.mean_pool(x, keepdims=True),
        lambda p, x: oracles.mean_pool(p, x)[None],
        output="pooled",
    ),
]
