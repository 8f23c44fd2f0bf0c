"""Activations, einsum, noise, normalisation, and tools for the steps of a sequence."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm
from jmask import layers
from tests.support import oracles
from tests.support.batches import floats

from .case import case, layer_case
from .ops import RANDOM

KEY = jax.random.key(3)


def relu(x: np.ndarray) -> np.ndarray:
    """With a ceiling of 1, a slope of 0.5 and a threshold of 0.25."""
    return np.where(x > 0.25, np.minimum(x, 1), 0.5 * (x - 0.25))


def elu(alpha: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.where(x > 0, x, alpha * np.expm1(x))


def prelu(params: Any, x: np.ndarray) -> np.ndarray:
    return np.where(x > 0, x, params["alpha"] * x)


def heads(params: Any, x: np.ndarray) -> np.ndarray:
    return np.einsum("tf,fhd->thd", x, params["kernel"]) + params["bias"]


def rms_norm(params: Any, x: np.ndarray) -> np.ndarray:
    return x / np.sqrt(np.square(x).mean(axis=-1, keepdims=True) + 1e-6) * params["scale"]


def unit_norm(axis: int) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: x / np.sqrt(np.square(x).sum(axis=axis, keepdims=True))


def group_norm(params: Any, x: np.ndarray, groups: int = 2, epsilon: float = 1e-3) -> np.ndarray:
    normal = np.zeros_like(x)
    for features in np.split(np.arange(x.shape[-1]), groups) if len(x) else ():
        part = x[..., features]
        normal[..., features] = (part - part.mean()) / np.sqrt(part.var() + epsilon)
    return normal * params.get("gamma", 1.0) + params.get("beta", 0.0)


def shifted(n: int, value: float) -> Callable[[np.ndarray], np.ndarray]:
    def move(x: np.ndarray) -> np.ndarray:
        padding = np.full_like(x[: abs(n)], value)
        return np.concatenate([padding, x[:-n]] if n > 0 else [x[-n:], padding])

    return move


def taken(n: int, value: float = 0.0) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: x[n] if -len(x) <= n < len(x) else np.full(x.shape[1:], value)


def backwards(accumulate: Callable) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: accumulate(x[::-1], axis=0)[::-1]


def empty_like(x: Any) -> jm.Masked:
    """As many steps, all of them padding."""
    values = getattr(x, "values", x)
    return jm.Masked(values, np.zeros(values.shape[:2], bool))


ELEMENTWISE = [
    case(
        "ops.relu",
        lambda p, x: jm.ops.relu(x, max_value=1.0, negative_slope=0.5, threshold=0.25),
        oracles.stepwise(relu),
        any_rank=True,
    ),
    case("ops.elu", lambda p, x: jm.ops.elu(x, alpha=2.0), oracles.stepwise(elu(2.0)), any_rank=True),
    case("ops.prelu", lambda p, x: jm.ops.prelu(x, p["alpha"]), prelu, params={"alpha": (3,)}, any_rank=True),
    layer_case(layers.ReLU(1.0, negative_slope=0.5, threshold=0.25), "", oracles.stepwise(relu), any_rank=True),
    layer_case(layers.LeakyReLU(), "", oracles.stepwise(lambda x: np.where(x > 0, x, 0.3 * x)), any_rank=True),
    layer_case(layers.ELU(), "", oracles.stepwise(elu(1.0)), any_rank=True),
    layer_case(layers.PReLU(shared_axes=[1]), "", prelu),
    layer_case(layers.Identity(), "", oracles.stepwise(np.copy), any_rank=True),
    case(
        "ops.einsum_dense",
        lambda p, x: jm.ops.einsum_dense(x, p["kernel"], p["bias"], equation="...f,fhd->...hd"),
        heads,
        params={"kernel": (3, 2, 5), "bias": (2, 5)},
        any_rank=True,
    ),
    layer_case(
        layers.EinsumDense("btf,fhd->bthd", (None, 2, 5), bias_axes="d", activation="tanh"),
        "",
        lambda p, x: np.tanh(heads(p, x)),
    ),
]

NOISE = [
    case("ops.spatial_dropout", lambda p, x: jm.ops.spatial_dropout(x, 0.5, KEY), None, skips=RANDOM),
    case("ops.gaussian_dropout", lambda p, x: jm.ops.gaussian_dropout(x, 0.5, KEY), None, skips=RANDOM),
    case("ops.gaussian_noise", lambda p, x: jm.ops.gaussian_noise(x, 0.5, KEY), None, skips=RANDOM),
    case("ops.alpha_dropout", lambda p, x: jm.ops.alpha_dropout(x, 0.5, KEY), None, skips=RANDOM),
    *(
        layer_case(layer(0.5), "in training", None, seed=3, skips=RANDOM)
        for layer in (layers.SpatialDropout1D, layers.GaussianDropout, layers.GaussianNoise, layers.AlphaDropout)
    ),
    case(
        "ops.activity_penalty",
        lambda p, x: jm.ops.activity_penalty(x, l1=0.5, l2=0.25),
        lambda p, rows: sum(0.5 * np.abs(row).sum() + 0.25 * np.square(row).sum() for row in rows),
        output="batch",
    ),
]

NORMALISATION = [
    case("ops.rms_norm", lambda p, x: jm.ops.rms_norm(x, p["scale"]), rms_norm, params={"scale": (3,)}, any_rank=True),
    layer_case(layers.RMSNormalization(), "", rms_norm, any_rank=True),
    case("ops.unit_norm", lambda p, x: jm.ops.unit_norm(x, 1), oracles.stepwise(unit_norm(0)), zero_padding=True),
    layer_case(layers.UnitNormalization(), "", oracles.stepwise(unit_norm(-1)), any_rank=True, zero_padding=True),
    case(
        "ops.group_norm(instances)",
        lambda p, x: jm.ops.group_norm(x, groups=-1),
        lambda p, x: group_norm(p, x, groups=3),
        any_rank=True,
    ),
    layer_case(layers.GroupNormalization(2), "", group_norm, floats(4), any_rank=True, has_rows_alone=True),
    case(
        "ops.group_norm(axes between)",
        lambda p, x: jm.ops.group_norm(x, p["gamma"], p["beta"], groups=2, epsilon=0.5),
        lambda p, x: group_norm(p, x, epsilon=0.5),
        floats(2, 4),
        params={"gamma": (4,), "beta": (4,)},
    ),
]

MOVING = [
    case("ops.reverse", lambda p, x: jm.ops.reverse(x), oracles.reverse, any_rank=True),
    case("ops.roll", lambda p, x: jm.ops.roll(x, 2), oracles.stepwise(lambda x: np.roll(x, 2, axis=0)), any_rank=True),
    case("ops.shift", lambda p, x: jm.ops.shift(x), oracles.stepwise(lambda x: x[:-1]), any_rank=True),
    case("ops.shift(back)", lambda p, x: jm.ops.shift(x, -2), oracles.stepwise(lambda x: x[2:]), any_rank=True),
    case(
        "ops.shift(fill)",
        lambda p, x: jm.ops.shift(x, -2, fill_value=0.5),
        oracles.stepwise(shifted(-2, 0.5)),
        any_rank=True,
    ),
    case(
        "ops.append",
        lambda p, x, y: jm.ops.append(jm.ops.concatenate([x, empty_like(y)], axis=1), y),
        oracles.concatenate_time,
        floats(3),
        floats(3),
        refuses_packed="the room behind the steps belongs to no sequence",
    ),
    case("ops.first", lambda p, x: jm.ops.first(x), oracles.stepwise(taken(0)), output="pooled", any_rank=True),
    case("ops.last", lambda p, x: jm.ops.last(x), oracles.stepwise(taken(-1)), output="pooled", any_rank=True),
    case(
        "ops.take",
        lambda p, x: jm.ops.take(x, -2, fill_value=0.5),
        oracles.stepwise(taken(-2, 0.5)),
        output="pooled",
        any_rank=True,
    ),
]

ACCUMULATION = [
    case(f"ops.{name}", lambda p, x, function=function: function(x), oracles.stepwise(oracle), any_rank=True)
    for name, function, oracle in (
        ("cumsum", jm.ops.cumsum, lambda x: np.cumsum(x, axis=0)),
        ("cumsum(reverse)", lambda x: jm.ops.cumsum(x, reverse=True), backwards(np.cumsum)),
        ("cumprod(reverse)", lambda x: jm.ops.cumprod(x, reverse=True), backwards(np.cumprod)),
        ("cummax", jm.ops.cummax, np.maximum.accumulate),
        ("cummin(reverse)", lambda x: jm.ops.cummin(x, reverse=True), backwards(np.minimum.accumulate)),
        ("cumlogsumexp", jm.ops.cumlogsumexp, np.logaddexp.accumulate),
    )
]


def recurrence_oracle(params, x):
    state, states = params.get("initial", np.zeros(x.shape[1:])), []
    for step in x:
        state = np.tanh(step + params.get("bias", 0)) * state + step
        states.append(state)
    return np.reshape(states, x.shape)


RECURRENCE = [
    case(
        "ops.associative_scan",
        lambda p, x: jm.ops.associative_scan(lambda a, b: (a[0] * b[0], b[0] * a[1] + b[1]), (tanh(x), x), axis=1)[1],
        recurrence_oracle,
    ),
    case(
        "ops.associative_scan(reverse)",
        lambda p, x: jm.ops.associative_scan(jnp.maximum, x, reverse=True, axis=1),
        lambda p, x: np.maximum.accumulate(x[::-1], axis=0)[::-1],
    ),
    case(
        "ops.linear_recurrence",
        lambda p, x: jm.ops.linear_recurrence(tanh(x + p["bias"][None, None]), x, initial_state=p["initial"], axis=1),
        recurrence_oracle,
        params={"bias": (3,), "initial": (3,)},
    ),
    case(
        "ops.linear_recurrence(reverse)",
        lambda p, x: jm.ops.linear_recurrence(tanh(x), x, reverse=True, axis=1),
        lambda p, x: recurrence_oracle(p, x[::-1])[::-1],
    ),
]


def tanh(x):
    return x.map(jnp.tanh) if isinstance(x, jm.Masked) else jnp.tanh(x)


CASES = [*RECURRENCE, *ELEMENTWISE, *NOISE, *NORMALISATION, *MOVING, *ACCUMULATION]
