"""Functions that treat every step alone, weigh steps, or put inputs together."""

import jax
import numpy as np

import jmask as jm
from tests.support import oracles
from tests.support.batches import floats, ids

from .case import case

RANDOM = {"exact": "NumPy cannot redraw what was dropped; the other laws compare the draws with one another"}

CASES = [
    case(
        "ops.softmax(features)",
        lambda p, x: jm.ops.softmax(x),
        oracles.softmax(-1),
        any_rank=True,
        zero_padding=True,
    ),
    case("ops.softmax(time)", lambda p, x: jm.ops.softmax(x, 1), oracles.softmax(0), zero_padding=True),
    case(
        "ops.softmax(time, far below 0)",
        lambda p, x: jm.ops.softmax(x - 1000, 1),
        lambda p, x: oracles.softmax(0)(p, x - 1000),
        skips=dict.fromkeys(("float32", "bfloat16"), "x - 1000 has lost the digits that make the weights"),
    ),
    case(
        "ops.layer_norm",
        lambda p, x: jm.ops.layer_norm(x, p["gamma"], p["beta"]),
        oracles.layer_norm,
        params={"gamma": (3,), "beta": (3,)},
        any_rank=True,
    ),
    case("ops.layer_norm(no parameters)", lambda p, x: jm.ops.layer_norm(x), oracles.layer_norm),
    case(
        "ops.dense",
        lambda p, x: jm.ops.dense(x, p["kernel"], p["bias"]),
        oracles.dense,
        params={"kernel": (3, 5), "bias": (5,)},
        any_rank=True,
    ),
    case("ops.dense(no bias)", lambda p, x: jm.ops.dense(x, p["kernel"]), oracles.dense, params={"kernel": (3, 5)}),
    case(
        "ops.embed",
        lambda p, x: jm.ops.embed(x, p["embeddings"]),
        oracles.embed,
        ids(11),
        params={"embeddings": (11, 5)},
        any_rank=True,
    ),
    case("ops.add", lambda p, *xs: jm.ops.add(xs), oracles.stepwise(np.add), floats(3), floats(3), any_rank=True),
    case(
        "ops.add(intersection)",
        lambda p, *xs: jm.ops.add(xs),
        oracles.intersection(np.add),
        floats(3),
        floats(3),
        overlapping=True,
        any_rank=True,
    ),
    case(
        "ops.add(union)",
        lambda p, *xs: jm.ops.add(xs, merge="union"),
        oracles.union_sum,
        floats(3),
        floats(3),
        overlapping=True,
        any_rank=True,
    ),
    case(
        "ops.concatenate(features)",
        lambda p, *xs: jm.ops.concatenate(xs),
        oracles.intersection(oracles.concatenate_features),
        floats(3),
        floats(2),
        overlapping=True,
        any_rank=True,
    ),
    case(
        "ops.concatenate(time)",
        lambda p, *xs: jm.ops.concatenate(xs, axis=1),
        oracles.concatenate_time,
        floats(3),
        floats(3),
        overlapping=True,
    ),
    case("ops.flip", lambda p, x: jm.ops.flip(x), oracles.reverse, any_rank=True),
    case("ops.dropout", lambda p, x: jm.ops.dropout(x, 0.5, jax.random.key(3)), None, skips=RANDOM),
    case("ops.dropout(all)", lambda p, x: jm.ops.dropout(x, 1.0, jax.random.key(3)), oracles.stepwise(np.zeros_like)),
]
