"""Batch normalisation: statistics over the real steps of all rows."""

from typing import Any

import jax.numpy as jnp
import numpy as np

import jmask as jm
from tests.support.batches import floats

from .case import case

STATE = {"moving_mean": np.array([0.5, -1.0, 2.0]), "moving_variance": np.array([0.5, 1.0, 4.0])}
VECTORS = {"gamma": (3,), "beta": (3,)}


def running() -> Any:
    return {name: jnp.asarray(vector, float) for name, vector in STATE.items()}


def moments(params: Any, x: Any) -> Any:
    return jnp.stack(jm.ops.batch_moments(x)[:2])


def moments_oracle(params: Any, rows: Any) -> Any:
    steps = np.concatenate(rows)
    return np.stack([steps.mean(0), steps.var(0)]) if len(steps) else np.stack([np.zeros(3), np.ones(3)])


def in_training(params: Any, x: Any) -> Any:
    y, _ = jm.layers.BatchNormalization(epsilon=0.1).apply_with_state(params, running(), x, training=True)
    return jm.ops.sum(jm.layers.Activation("tanh")(y), axis=(0, 1))


def training_oracle(params: Any, rows: Any) -> Any:
    mean, variance = moments_oracle(params, rows)
    y = (np.concatenate(rows) - mean) / np.sqrt(variance + 0.1) * params["gamma"] + params["beta"]
    return np.tanh(y).sum(0)


def normal(params: Any, x: Any, epsilon: float = 1e-3) -> Any:
    mean, variance = STATE.values()
    return (x - mean) / np.sqrt(variance + epsilon) * params.get("gamma", 1.0) + params.get("beta", 0.0)


CASES = [
    case(
        "ops.batch_moments",
        moments,
        moments_oracle,
        output="batch",
        skips={"bfloat16": "moments are float32 at least"},
    ),
    case(
        "ops.batch_norm",
        lambda p, x: jm.ops.batch_norm(x, *STATE.values(), p["gamma"], p["beta"]),
        normal,
        params=VECTORS,
        any_rank=True,
    ),
    case("layers.BatchNormalization(in training)", in_training, training_oracle, params=VECTORS, output="batch"),
    case(
        "layers.BatchNormalization(at inference)",
        lambda p, x: jm.layers.BatchNormalization().apply_with_state(p, running(), x)[0],
        normal,
        floats(3),
        params=VECTORS,
        any_rank=True,
    ),
]
