"""What chooses, orders and counts: `where`, extremes, sorting, classes, weighted moments, and stacks of batches."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np

import jmask as jm
from tests.support import oracles
from tests.support.batches import floats, ids

from .case import case


def weighted_mean(params: Any, x: np.ndarray, w: np.ndarray) -> np.ndarray:
    return np.average(x, axis=0, weights=w**2 + 0.1) if len(x) else np.zeros(x.shape[1:])


def log_sum(axis: int | None) -> Callable:
    return lambda params, x: np.log(np.exp(x).sum(axis))


def ordered(x: np.ndarray) -> np.ndarray:
    return np.flip(np.sort(x, axis=0), axis=0)


def best(k: int) -> Callable:
    def two(params: Any, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(-x, axis=0, kind="stable")[:k]
        return np.take_along_axis(x, order, axis=0), order

    return two


def two_widths(params: Any, x: jm.Masked) -> Any:
    """Two parts of a batch, one of them wider, put together again."""
    last = x[1:] if isinstance(x, jm.Masked) else jm.as_masked(x[1:])
    wider = jm.ops.concatenate([last, jm.Masked(last.values, jnp.zeros(last.mask.shape, bool))], axis=1)
    return jm.ops.concatenate([x[:1], wider], axis=0)


CASES = [
    case(
        "ops.where",
        lambda p, x, y: jm.ops.where(x > 0, 2 * x, y),
        oracles.intersection(lambda x, y: np.where(x > 0, 2 * x, y)),
        floats(3),
        floats(3),
        overlapping=True,
        any_rank=True,
    ),
    case(
        "ops.logsumexp",
        lambda p, x: jm.ops.logsumexp(x, 1),
        oracles.over_time(lambda x, axis: np.log(np.exp(x).sum(axis)), -np.inf),
        output="pooled",
        skips={"gradients": "an empty row is -inf, of which a sum has no difference"},
    ),
    case("ops.logsumexp(features)", lambda p, x: jm.ops.logsumexp(x, -1), log_sum(-1), any_rank=True),
    case("ops.argmax", lambda p, x: jm.ops.argmax(x, 1), oracles.over_time(np.argmax, 0), output="pooled"),
    case("ops.argmax(features)", lambda p, x: jm.ops.argmax(x, -1), oracles.over_features(np.argmax, 0), any_rank=True),
    case("ops.argmin", lambda p, x: jm.ops.argmin(x, 1), oracles.over_time(np.argmin, 0), output="pooled"),
    case("ops.sort", lambda p, x: jm.ops.sort(x, 1), oracles.stepwise(lambda x: np.sort(x, axis=0))),
    case("ops.sort(descending)", lambda p, x: jm.ops.sort(x, 1, descending=True), oracles.stepwise(ordered)),
    case("ops.argsort", lambda p, x: jm.ops.argsort(x, 1), oracles.stepwise(lambda x: np.argsort(x, axis=0))),
    case("ops.top_k", lambda p, x: jm.ops.top_k(x, 2, axis=1), best(2), output=("sequence", "sequence")),
    case(
        "ops.top_k(features)",
        lambda p, x: jm.ops.top_k(x, 2)[0],
        oracles.stepwise(lambda x: np.flip(np.sort(x, axis=-1), axis=-1)[..., :2]),
        any_rank=True,
    ),
    case(
        "ops.one_hot",
        lambda p, x: jm.ops.one_hot(x, 5),
        oracles.stepwise(lambda x: np.eye(5)[x]),
        ids(5),
        any_rank=True,
        zero_padding=True,
    ),
    case(
        "ops.stack(features)",
        lambda p, *xs: jm.ops.stack(xs, 2),
        oracles.intersection(lambda *xs: np.stack(xs, 1)),
        floats(3),
        floats(3),
        overlapping=True,
    ),
    case(
        "ops.concatenate(batches)",
        two_widths,
        oracles.stepwise(np.copy),
        refuses_packed="the steps that make it wider belong to no sequence",
    ),
    case(
        "ops.mean(weights)",
        lambda p, x, w: jm.ops.mean(x, 1, weights=w**2 + 0.1),
        weighted_mean,
        floats(3),
        floats(),
        output="pooled",
    ),
    case(
        "ops.std(ddof)",
        lambda p, x: jm.ops.std(x, 1, ddof=1),
        lambda p, x: np.std(x, axis=0, ddof=1) if len(x) > 1 else np.zeros(x.shape[1:]),
        output="pooled",
    ),
]
