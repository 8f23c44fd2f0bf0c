"""The scan over cells of one's own, and the LSTM."""

from typing import Any

import jax
import jax.numpy as jnp
import oracles
from batches import Vector, floats

import jmask as jm

from .case import Kind, case

LEAKY_SHAPES = {"kernel": (3, 2)}
LSTM_SHAPES = {"kernel": (3, 8), "recurrent_kernel": (2, 8), "bias": (8,)}
OUTPUT: tuple[Kind, ...] = ("sequence", "pooled", "pooled")


class Leaky(jm.Layer):
    """A cell whose state is a dict that does not begin with zeros, and is not its output."""

    units: int

    def init(self, key: Any, inputs: Any) -> Any:
        return {"kernel": jax.random.normal(key, (*inputs.shape, self.units))}

    def initial_state(self, inputs: Any) -> Any:
        return {"count": jnp.zeros((), inputs.dtype), "level": jnp.full(self.units, 0.25, inputs.dtype)}

    def step(self, params: Any, state: Any, inputs: Any) -> Any:
        level = 0.5 * state["level"] + jnp.tanh(inputs @ params["kernel"])
        count = state["count"] + 1
        return {"count": count, "level": level}, level * count


def scan(params: Any, x: Any, *state: Any, **options: Any) -> Any:
    given = dict(zip(("count", "level"), state, strict=True)) if state else None
    return jm.rnn.scan(Leaky(2), params, x, initial_state=given, **options)


def lstm(params: Any, x: Any, *state: Any, **options: Any) -> Any:
    weights = jm.rnn.LSTMParams(params["kernel"], params["recurrent_kernel"], params.get("bias"))
    given = jm.rnn.LSTMState(*state) if state else None
    return jm.rnn.lstm(weights, x, initial_state=given, **options)


CASES = [
    case("rnn.scan", scan, oracles.leaky, params=LEAKY_SHAPES, output=OUTPUT, zero_padding=True),
    case(
        "rnn.scan(reverse)",
        lambda p, x: scan(p, x, reverse=True),
        oracles.backward(oracles.leaky),
        params=LEAKY_SHAPES,
        output=OUTPUT,
        zero_padding=True,
    ),
    case(
        "rnn.scan(initial state)",
        scan,
        oracles.leaky,
        floats(3),
        Vector(),
        Vector((2,)),
        params=LEAKY_SHAPES,
        output=OUTPUT,
        zero_padding=True,
    ),
    case("rnn.lstm", lstm, oracles.lstm, params=LSTM_SHAPES, output=OUTPUT, zero_padding=True),
    case(
        "rnn.lstm(reverse)",
        lambda p, x: lstm(p, x, reverse=True),
        oracles.backward(oracles.lstm),
        params=LSTM_SHAPES,
        output=OUTPUT,
        zero_padding=True,
    ),
    case(
        "rnn.lstm(initial state, no bias)",
        lstm,
        oracles.lstm,
        floats(3),
        Vector((2,)),
        Vector((2,)),
        params={"kernel": (3, 8), "recurrent_kernel": (2, 8)},
        output=OUTPUT,
        zero_padding=True,
    ),
]
