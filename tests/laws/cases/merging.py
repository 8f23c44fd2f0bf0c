"""What makes one of several inputs, gives entries another shape, adds or takes away steps, or works at every step."""

from collections.abc import Callable
from typing import Any

import numpy as np

import jmask as jm
from jmask.layers import (
    LSTM,
    Average,
    Cropping1D,
    Dense,
    Dot,
    Flatten,
    Maximum,
    Minimum,
    Multiply,
    Permute,
    RepeatVector,
    Reshape,
    Subtract,
    TimeDistributed,
    UpSampling1D,
    ZeroPadding1D,
)
from tests.support import oracles
from tests.support.batches import Vector, floats

from .case import Case, case, layer_case

TWO, THREE = (floats(3),) * 2, (floats(3),) * 3
WITH_VECTOR = (floats(3), Vector((3,)))


def as_list(*xs: Any) -> tuple[list[Any]]:
    return (list(xs),)


def union(function: Callable[[list[np.ndarray]], np.ndarray]) -> Callable[..., np.ndarray]:
    """The function, at every step that any input has, of those that have it."""

    def at_all_steps(params: Any, *rows: np.ndarray) -> np.ndarray:
        found = [[x[i] for x in rows if oracles.is_there(x)[i]] for i in range(len(rows[0]))]
        return np.array([function(steps) for steps in found if steps]).reshape(-1, *rows[0].shape[1:])

    return at_all_steps


def union_difference(params: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    known = oracles.is_there(x) | oracles.is_there(y)
    return np.nan_to_num(x[known]) - np.nan_to_num(y[known])


def product_over_time(params: Any, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    common = oracles.is_there(x) & oracles.is_there(y)
    return x[common].T @ y[common]


def cosine(params: Any, x: np.ndarray, vector: np.ndarray) -> np.ndarray:
    return x @ vector / np.linalg.norm(x, axis=-1) / np.linalg.norm(vector)


def pairs(params: Any, x: np.ndarray) -> np.ndarray:
    """Two steps in a row as one; a last one without a partner is left out."""
    return x[: len(x) // 2 * 2].reshape(-1, 6)


def cropped(left: int, right: int) -> Callable[[Any, np.ndarray], np.ndarray]:
    return lambda params, x: x[left : max(len(x) - right, 0)]


def padded(left: int, right: int) -> Callable[[Any, np.ndarray], np.ndarray]:
    return lambda params, x: np.pad(x, ((left, right), (0, 0))) if len(x) else x


def last_state_of_each(params: Any, x: np.ndarray) -> np.ndarray:
    return np.array([oracles.last(oracles.lstm(params, step)[0]) for step in x]).reshape(-1, 2)


def pooled(function: Callable[[Any], Any]) -> Callable[[Any, Any], Any]:
    """A function of one result for each sequence."""
    return lambda params, x: function(jm.ops.sum(x, axis=1))


MERGING: list[Case] = [
    case("ops.subtract", lambda p, *xs: jm.ops.subtract(xs), oracles.intersection(np.subtract), *TWO, overlapping=True),
    case(
        "ops.multiply",
        lambda p, *xs: jm.ops.multiply(xs),
        oracles.intersection(lambda x, y, z: x * y * z),
        *THREE,
        overlapping=True,
        any_rank=True,
    ),
    case("ops.add(vector)", lambda p, *xs: jm.ops.add(xs), oracles.stepwise(np.add), *WITH_VECTOR, any_rank=True),
    case(
        "ops.multiply(vector first, union)",
        lambda p, x, vector: jm.ops.multiply([vector, x], merge="union"),
        oracles.stepwise(np.multiply),
        *WITH_VECTOR,
        any_rank=True,
    ),
    case(
        "ops.average",
        lambda p, *xs: jm.ops.average(xs),
        oracles.intersection(lambda *rows: np.mean(rows, axis=0)),
        *TWO,
        overlapping=True,
    ),
    case("ops.maximum", lambda p, *xs: jm.ops.maximum(xs), oracles.intersection(np.maximum), *TWO, overlapping=True),
    case("ops.minimum", lambda p, *xs: jm.ops.minimum(xs), oracles.intersection(np.minimum), *TWO, overlapping=True),
    *(
        layer_case(layer(merge="union"), "union", oracle, *inputs, arrange=as_list, overlapping=True)
        for layer, oracle, inputs in (
            (Subtract, union_difference, TWO),
            (Multiply, union(lambda steps: np.prod(steps, axis=0)), THREE),
            (Average, union(lambda steps: np.mean(steps, axis=0)), THREE),
            (Maximum, union(lambda steps: np.max(steps, axis=0)), THREE),
            (Minimum, union(lambda steps: np.min(steps, axis=0)), THREE),
        )
    ),
    case(
        "ops.dot(time)",
        lambda p, *xs: jm.ops.dot(xs, 1),
        product_over_time,
        floats(3),
        floats(2),
        output="pooled",
        overlapping=True,
    ),
    layer_case(Dot((2, 1), normalize=True), "features, normalize", cosine, *WITH_VECTOR, arrange=as_list),
]

RESHAPING: list[Case] = [
    case(
        "ops.flatten",
        pooled(jm.ops.flatten),
        lambda p, x: x.sum(axis=0).ravel(),
        floats(3, 2),
        output="pooled",
    ),
    case("layers.Flatten", pooled(Flatten()), lambda p, x: x.sum(axis=0).ravel(), floats(3, 2), output="pooled"),
    case(
        "ops.reshape(parts of steps)", lambda p, x: jm.ops.reshape(x, (-1, 2)), lambda p, x: x.reshape(-1, 2), floats(6)
    ),
    layer_case(Reshape((-1, 2, 3)), "features", lambda p, x: x.reshape(-1, 2, 3), floats(6)),
    layer_case(
        Reshape((-1, 6)), "pairs of steps", pairs, skips={"arrays": "seven steps make no pairs, which is an error"}
    ),
    case("ops.permute", lambda p, x: jm.ops.permute(x, (1, 3, 2)), lambda p, x: x.swapaxes(1, 2), floats(3, 2)),
    layer_case(Permute((1, 3, 2)), "", lambda p, x: x.swapaxes(1, 2), floats(3, 2)),
    case(
        "ops.repeat_vector",
        pooled(lambda x: jm.ops.repeat_vector(x, 2)),
        lambda p, x: np.stack([x.sum(axis=0)] * 2),
        output="pooled",
    ),
    layer_case(RepeatVector(2), "", lambda p, x: np.stack([x, x]), Vector((3,)), output="array"),
    case("ops.crop", lambda p, x: jm.ops.crop(x, (2, 0)), cropped(2, 0), any_rank=True),
    layer_case(Cropping1D(), "", cropped(1, 1)),
    case("ops.zero_pad", lambda p, x: jm.ops.zero_pad(x, (0, 2)), padded(0, 2), any_rank=True, zero_padding=True),
    layer_case(ZeroPadding1D(), "", padded(1, 1), zero_padding=True),
    case(
        "ops.broadcast_to_steps",
        lambda p, x: jm.ops.broadcast_to_steps(jm.ops.sum(x, 1), like=x),
        lambda p, x: np.repeat(x.sum(axis=0, keepdims=True), len(x), axis=0),
    ),
    case("ops.up_sample", lambda p, x: jm.ops.up_sample(x, 3), lambda p, x: np.repeat(x, 3, axis=0), any_rank=True),
    layer_case(UpSampling1D(), "", lambda p, x: np.repeat(x, 2, axis=0)),
]

AT_EVERY_STEP: list[Case] = [
    layer_case(TimeDistributed(Dense(5)), "Dense", oracles.dense),
    layer_case(TimeDistributed(LSTM(2)), "LSTM", last_state_of_each, floats(5, 3)),
]

CASES = [*MERGING, *RESHAPING, *AT_EVERY_STEP]
