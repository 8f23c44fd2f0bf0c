"""Operators, indexing and methods of `Masked`, and what moves its steps."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import jmask as jm
from tests.support import oracles
from tests.support.batches import floats

from .case import case


def back_and_forth(x: Any) -> jm.Masked:
    aligned, restore = jm.left_align(x)
    return restore(aligned * 2)


def away_from_zero(x: Any) -> Any:
    """A function that is not defined at 0, with which padding is often filled."""
    return x + x / jnp.abs(x)


CASES = [
    case(
        "Masked(x * 2 + y)",
        lambda p, x, y: x * 2 + y,
        oracles.intersection(lambda x, y: x * 2 + y),
        floats(3),
        floats(3),
        overlapping=True,
        any_rank=True,
    ),
    case(
        "Masked(x / y)",
        lambda p, x, y: x / y,
        oracles.intersection(np.divide),
        floats(3),
        floats(3),
        overlapping=True,
        any_rank=True,
    ),
    case("Masked(x @ w)", lambda p, x: x @ p["kernel"], oracles.dense, params={"kernel": (3, 5)}, any_rank=True),
    case("Masked(x ** 2)", lambda p, x: x**2, oracles.stepwise(np.square), any_rank=True),
    case("Masked(2 ** x)", lambda p, x: 2**x, oracles.stepwise(np.exp2), any_rank=True),
    case("Masked(-abs(x))", lambda p, x: -abs(x), oracles.stepwise(lambda x: -np.abs(x)), any_rank=True),
    case("Masked(x > 0)", lambda p, x: x > 0, oracles.stepwise(lambda x: x > 0), any_rank=True),
    case("Masked(x[..., 0])", lambda p, x: x[..., 0], oracles.stepwise(lambda x: x[..., 0]), any_rank=True),
    case("Masked(x[:, ::-1])", lambda p, x: x[:, ::-1], oracles.reverse),
    case("Masked(x[:, :, None])", lambda p, x: x[:, :, None], oracles.stepwise(lambda x: x[:, None])),
    case("Masked(x.mean(-1))", lambda p, x: x.mean(-1), oracles.stepwise(lambda x: x.mean(-1)), any_rank=True),
    case(
        "Masked(x.map)",
        lambda p, x: x.map(away_from_zero),
        oracles.away_from_zero,
        any_rank=True,
        skips={"arrays": "they have no such method"},
    ),
    case(
        "Masked(x.positions)",
        lambda p, x: x.map(jnp.sin).with_values(x.positions),
        oracles.stepwise(lambda x: np.arange(len(x))),
        any_rank=True,
        skips={"arrays": "they have no such property"},
    ),
    case("left_align", lambda p, x: jm.left_align(x)[0], oracles.stepwise(np.copy), any_rank=True),
    case("left_align(and back)", lambda p, x: back_and_forth(x), oracles.stepwise(lambda x: x * 2), any_rank=True),
]
