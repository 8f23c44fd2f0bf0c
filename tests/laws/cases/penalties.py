"""The penalty of activities inside a model, which leaves it by the state."""

from typing import Any

import numpy as np

import jmask as jm
from tests.support import oracles

from .case import case, layer_case

SHARED = jm.layers.ActivityRegularization(l1=0.5, l2=0.25)
MODEL = jm.trace(lambda x: SHARED(0.7 * SHARED(jm.layers.Dense(2, name="dense")(x))), jm.Input((None, 3)))


def penalties(params: Any, x: Any) -> Any:
    """Of a model in which one layer is called twice."""
    _, state = MODEL.apply_with_state({"dense": params}, MODEL.init_state(), x, training=True)
    return jm.losses.penalties(state)


def penalties_oracle(params: Any, rows: Any) -> Any:
    """The mean of what each sequence adds alone; sequences without steps are none."""
    added = []
    for row in filter(len, rows):
        first = oracles.dense(params, row)
        both = (first, 0.7 * first)
        added.append(sum(0.5 * np.abs(y).sum() + 0.25 * np.square(y).sum() for y in both))
    return np.mean(added) if added else 0.0


CASES = [
    case(
        "losses.penalties",
        penalties,
        penalties_oracle,
        params={"kernel": (3, 2), "bias": (2,)},
        output="batch",
        skips={"bfloat16": "a penalty is float32 at least"},
    ),
    layer_case(SHARED, "at inference", oracles.stepwise(np.copy), any_rank=True),
]
