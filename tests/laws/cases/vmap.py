"""Functions of one sequence, without a word of masks, under `jm.vmap`."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm
from tests.support import oracles
from tests.support.batches import floats

from .case import case

LSTM_SHAPES = {"kernel": (3, 8), "recurrent_kernel": (2, 8), "bias": (8,)}


def over_rows(fn: Any, **options: Any) -> Any:
    """`jm.vmap` of a function whose first argument are the parameters of all rows."""
    return lambda params, *xs: jm.vmap(functools.partial(fn, params), **options)(*xs)


def normalise(params: Any, x: Any) -> Any:
    return (x - x.mean(0)) / jnp.sqrt(x.var(0) + 0.1) * params["gamma"]


def normalise_oracle(params: Any, x: Any) -> Any:
    return (x - x.mean(0)) / np.sqrt(x.var(0) + 0.1) * params["gamma"] if len(x) else x


def attention(params: Any, queries: Any, keys: Any) -> Any:
    scores = queries @ params["kernel"] @ keys.T
    return jax.nn.softmax(scores, axis=-1) @ keys, jnp.log1p(jnp.exp(scores).sum())


def attention_oracle(params: Any, queries: Any, keys: Any) -> Any:
    queries, keys = queries[oracles.is_there(queries)], keys[oracles.is_there(keys)]
    if not len(queries) or not len(keys):
        return np.zeros_like(queries), 0.0
    scores = queries @ params["kernel"] @ keys.T
    weights = np.exp(scores)
    return weights / weights.sum(axis=-1, keepdims=True) @ keys, np.log1p(weights.sum())


def convolution(params: Any, x: Any) -> Any:
    """Over three steps, which halves their number, then the largest of each pair of neighbours."""
    y = jax.lax.conv_general_dilated(x[None], params["kernel"], (2,), "SAME", dimension_numbers=("NWC", "WIO", "NWC"))
    return jax.lax.reduce_window(y[0], -jnp.inf, jax.lax.max, (2, 1), (1, 1), "SAME")


def convolution_oracle(params: Any, x: Any) -> Any:
    size = -(-len(x) // 2)
    missing = max(2 * (size - 1) + 3 - len(x), 0)
    x = np.pad(x, ((missing // 2, missing - missing // 2), (0, 0)))
    y = [np.einsum("ki,kio->o", x[2 * i : 2 * i + 3], params["kernel"]) for i in range(size)]
    return np.array([np.max(y[i : i + 2], axis=0) for i in range(size)]).reshape(size, 2)


def lstm(params: Any, x: Any) -> Any:
    """As a user of JAX writes it."""

    def step(state: Any, inputs: Any) -> Any:
        hidden, cell = state
        i, f, g, o = jnp.split(inputs + hidden @ params["recurrent_kernel"], 4)
        cell = jax.nn.sigmoid(f) * cell + jax.nn.sigmoid(i) * jnp.tanh(g)
        hidden = jax.nn.sigmoid(o) * jnp.tanh(cell)
        return (hidden, cell), hidden

    projected = x @ params["kernel"] + params["bias"]
    zeros = jnp.zeros(2, projected.dtype)
    (hidden, cell), outputs = jax.lax.scan(step, (zeros, zeros), projected)
    return outputs, hidden, cell


def around_the_middle(params: Any, x: Any) -> Any:
    """Differences of neighbours in sorted order, from the last to the first, and their sums."""
    differences = jnp.flip(jnp.diff(jnp.sort(x, axis=0), axis=0), axis=0)
    return jnp.concatenate([differences, jnp.cumsum(differences, axis=0)])


def around_the_middle_oracle(params: Any, x: Any) -> Any:
    differences = np.diff(np.sort(x, axis=0), axis=0)[::-1]
    return np.concatenate([differences, np.cumsum(differences, axis=0)])


def nearest(params: Any, x: Any) -> Any:
    """The weighted step that is nearest to zero, and the gradient of the distances' sum."""

    def distances(x: Any) -> Any:
        return jnp.sqrt((x**2 * params["gamma"] ** 2).sum(-1))

    return x[jnp.argmin(distances(x))], jax.grad(lambda x: distances(x).sum())(x)


def nearest_oracle(params: Any, x: Any) -> Any:
    distances = np.sqrt((x**2 * params["gamma"] ** 2).sum(-1))
    return x[np.argmin(distances)] if len(x) else np.zeros(3), x * params["gamma"] ** 2 / distances[:, None]


CASES = [
    case("vmap(mean)", lambda p, x: jm.vmap(jnp.mean)(x), oracles.over_time_and_features(np.mean, 0), output="array"),
    case(
        "vmap(normalise)",
        over_rows(normalise),
        normalise_oracle,
        params={"gamma": (3,)},
        zero_padding=True,
    ),
    case(
        "vmap(attention)",
        over_rows(attention),
        attention_oracle,
        floats(3),
        floats(3),
        params={"kernel": (3, 3)},
        output=("sequence", "array"),
        overlapping=True,
        zero_padding=True,
    ),
    case(
        "vmap(convolution)",
        over_rows(convolution),
        convolution_oracle,
        params={"kernel": (3, 3, 2)},
        zero_padding=True,
    ),
    case(
        "vmap(lstm)",
        over_rows(lstm),
        oracles.lstm,
        params=LSTM_SHAPES,
        output=("sequence", "array", "array"),
        zero_padding=True,
    ),
    case("vmap(sort)", over_rows(around_the_middle), around_the_middle_oracle, zero_padding=True),
    case(
        "vmap(argmin, grad)",
        over_rows(nearest),
        nearest_oracle,
        params={"gamma": (3,)},
        output=("array", "sequence"),
        zero_padding=True,
        skips={"bfloat16": "which step is the nearest turns on digits that it lacks"},
    ),
]
