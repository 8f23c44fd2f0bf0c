"""The scan over cells of one's own, and the recurrent networks of the field."""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import jmask as jm
from tests.support import oracles
from tests.support.batches import Vector, floats

from .case import ONE_A_ROW, Case, Kind, case

LEAKY_SHAPES = {"kernel": (3, 2)}
SIMPLE_SHAPES = {"kernel": (3, 2), "recurrent_kernel": (2, 2), "bias": (2,)}
GRU_SHAPES = {"kernel": (3, 6), "recurrent_kernel": (2, 6), "bias": (2, 6)}
LSTM_SHAPES = {"kernel": (3, 8), "recurrent_kernel": (2, 8), "bias": (8,)}
ONE_STATE: tuple[Kind, ...] = ("sequence", "array")
OUTPUT: tuple[Kind, ...] = ("sequence", "array", "array")


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


def without_bias(shapes: dict[str, Any]) -> dict[str, Any]:
    return {name: shape for name, shape in shapes.items() if name != "bias"}


def specs(shapes: dict[str, Any]) -> dict[str, Any]:
    return {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in shapes.items()}


def in_one_dtype(outputs: Any, state: Any) -> tuple[Any, Any]:
    """States are float32 at least; the law of dtypes wants to see what the outputs are in."""
    return outputs, jax.tree.map(lambda leaf: leaf.astype(outputs.dtype), state)


def lstm(params: Any, x: Any, *state: Any, **options: Any) -> Any:
    weights = jm.rnn.LSTMParams(params["kernel"], params["recurrent_kernel"], params.get("bias"))
    given = jm.rnn.LSTMState(*state) if state else None
    return in_one_dtype(*jm.rnn.lstm(weights, x, initial_state=given, **options))


def gru(params: Any, x: Any, *state: Any, **options: Any) -> Any:
    weights = jm.rnn.GRUParams(params["kernel"], params["recurrent_kernel"], params.get("bias"))
    return in_one_dtype(*jm.rnn.gru(weights, x, initial_state=state[0] if state else None, **options))


def simple_rnn(params: Any, x: Any, *state: Any, **options: Any) -> Any:
    weights = jm.rnn.SimpleRNNParams(params["kernel"], params["recurrent_kernel"], params.get("bias"))
    return in_one_dtype(*jm.rnn.simple_rnn(weights, x, initial_state=state[0] if state else None, **options))


class Stepping:
    """A cell made of one of the steps."""

    def __init__(self, step: Callable) -> None:
        self.advance = step

    def initial_state(self, inputs: Any) -> Any:
        return jnp.zeros(2, inputs.dtype)

    def step(self, params: Any, state: Any, inputs: Any) -> Any:
        projected = inputs @ params["kernel"] + params["bias"]
        state = self.advance(params["recurrent_kernel"], state, projected)
        return state, state


def both_directions(params: Any, x: Any) -> Any:
    pair = tuple(jm.rnn.LSTMParams(**params[name]) for name in ("forward", "backward"))
    return in_one_dtype(*jm.rnn.bidirectional(jm.rnn.lstm, pair, x))


def both_scans(params: Any, x: Any) -> Any:
    run = functools.partial(jm.rnn.scan, Leaky(2))
    return jm.rnn.bidirectional(run, (params, params), x, merge_mode=None, return_state=False)


def fused_cases() -> list[Case]:
    """The fused engine, whatever `implementation="auto"` may choose: both directions, with and without a state."""
    recurrences: dict[str, tuple[Callable, dict[str, Any], tuple[Kind, ...]]] = {
        "lstm": (lstm, LSTM_SHAPES, OUTPUT),
        "gru": (gru, GRU_SHAPES, ONE_STATE),
        "simple_rnn": (simple_rnn, SIMPLE_SHAPES, ONE_STATE),
    }
    cases = []
    for name, (run, shapes, output) in recurrences.items():
        oracle, fused = getattr(oracles, name), functools.partial(run, implementation="xla")
        options: dict[str, Any] = {"params": shapes, "output": output, "zero_padding": True}
        state = [Vector((2,))] * (len(output) - 1)
        cases += [
            case(
                f"rnn.{name}(fused, initial state)",
                fused,
                oracle,
                floats(3),
                *state,
                refuses_packed=ONE_A_ROW,
                **options,
            ),
            case(
                f"rnn.{name}(fused, reverse)",
                functools.partial(fused, reverse=True, remat=True),
                oracles.backward(oracle),
                **options,
            ),
        ]
    return cases


CASES = [
    *fused_cases(),
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
        refuses_packed=ONE_A_ROW,
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
        refuses_packed=ONE_A_ROW,
        zero_padding=True,
    ),
    case("rnn.simple_rnn", simple_rnn, oracles.simple_rnn, params=SIMPLE_SHAPES, output=ONE_STATE, zero_padding=True),
    case(
        "rnn.SimpleRNNParams(no bias, initial state, reverse)",
        functools.partial(simple_rnn, reverse=True),
        oracles.backward(oracles.simple_rnn),
        floats(3),
        Vector((2,)),
        params=without_bias(SIMPLE_SHAPES),
        output=ONE_STATE,
        refuses_packed=ONE_A_ROW,
        zero_padding=True,
    ),
    case("rnn.gru", gru, oracles.gru, params=GRU_SHAPES, output=ONE_STATE, zero_padding=True),
    case(
        "rnn.gru(reset before, initial state, reverse)",
        functools.partial(gru, reset_after=False, reverse=True),
        oracles.backward(oracles.gru_reset_before),
        floats(3),
        Vector((2,)),
        params={**GRU_SHAPES, "bias": (6,)},
        output=ONE_STATE,
        refuses_packed=ONE_A_ROW,
        zero_padding=True,
    ),
    case("rnn.GRUParams(no bias)", gru, oracles.gru, params=without_bias(GRU_SHAPES), output=ONE_STATE),
    case(
        "rnn.simple_rnn_step",
        functools.partial(jm.rnn.scan, Stepping(jm.rnn.simple_rnn_step)),
        oracles.simple_rnn,
        params=SIMPLE_SHAPES,
        output=ONE_STATE,
    ),
    case(
        "rnn.gru_step",
        functools.partial(jm.rnn.scan, Stepping(functools.partial(jm.rnn.gru_step, reset_after=False))),
        oracles.gru_reset_before,
        params={**GRU_SHAPES, "bias": (6,)},
        output=ONE_STATE,
    ),
    Case(
        "rnn.bidirectional",
        both_directions,
        oracles.bidirectional(oracles.lstm, oracles.concatenate_features, with_state=True),
        params=lambda: {name: specs(LSTM_SHAPES) for name in ("forward", "backward")},
        output=("sequence", *["array"] * 4),
        zero_padding=True,
    ),
    case(
        "rnn.bidirectional(scan)",
        both_scans,
        lambda p, x: (oracles.leaky(p, x)[0], oracles.backward(oracles.leaky)(p, x)[0]),
        params=LEAKY_SHAPES,
        output=("sequence", "sequence"),
    ),
]
