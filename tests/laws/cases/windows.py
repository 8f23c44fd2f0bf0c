"""Convolutions and poolings over time."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import jmask as jm
from jmask.layers import (
    AveragePooling1D,
    Conv1D,
    Conv1DTranspose,
    DepthwiseConv1D,
    GlobalMaxPooling1D,
    MaxPooling1D,
    SeparableConv1D,
)
from tests.support import oracles, window_oracles
from tests.support.batches import floats

from .case import Case, case, layer_case

EVERY = {"any_rank": True, "zero_padding": True}
KERNEL = {"kernel": (5, 3, 2), "bias": (2,)}
DEPTHWISE = {"kernel": (3, 3, 2), "bias": (6,)}


def row(name: str, note: str, shapes: dict[str, Any], *inputs: Any, **options: Any) -> Case:
    """A row for a function of parameters, which it has by their names."""
    function: Callable[..., Any] = functools.partial(getattr(jm.ops, name), **options)
    oracle = getattr(window_oracles, name)(**options)
    return case(f"ops.{name}({note})", lambda p, x: function(x, **p), oracle, *inputs, params=shapes, **EVERY)


def pool(name: str, note: str, **options: Any) -> Case:
    function: Callable[..., Any] = functools.partial(getattr(jm.ops, name), **options)
    oracle = getattr(window_oracles, name)(**{"strides": options["pool_size"], **options})
    return case(f"ops.{name}({note})", lambda p, x: function(x), oracle, **EVERY)


OPS = [
    row("conv", "valid", {"kernel": (3, 3, 2)}),
    row(
        "conv",
        "same, strides, groups",
        {"kernel": (5, 2, 6), "bias": (6,)},
        floats(6),
        padding="same",
        strides=3,
        groups=3,
    ),
    row("conv", "causal, strides, dilation", KERNEL, padding="causal", strides=2, dilation_rate=2),
    row("depthwise_conv", "same, strides", DEPTHWISE, padding="same", strides=3),
    row("depthwise_conv", "valid, dilation", DEPTHWISE, dilation_rate=2),
    row("separable_conv", "", {"depthwise_kernel": (3, 3, 2), "pointwise_kernel": (1, 6, 5), "bias": (5,)}),
    row("conv_transpose", "valid", {"kernel": (2, 5, 3), "bias": (5,)}, strides=3),
    row("conv_transpose", "same, output_padding", {"kernel": (4, 2, 3)}, padding="same", strides=3, output_padding=1),
    row("conv_transpose", "same, dilation", {"kernel": (2, 5, 3)}, padding="same", dilation_rate=3),
    pool("max_pool", "valid", pool_size=2),
    pool("max_pool", "same", pool_size=5, strides=2, padding="same"),
    pool("average_pool", "valid", pool_size=3, strides=2),
    pool("average_pool", "same", pool_size=3, padding="same"),
    pool("average_pool", "same, every step", pool_size=4, strides=1, padding="same"),
    case(
        "ops.global_max_pool",
        lambda p, x: jm.ops.global_max_pool(x),
        oracles.over_time(np.max, 0.0),
        output="pooled",
        any_rank=True,
    ),
]

LAYERS = [
    layer_case(Conv1D(2, 3, padding="same"), "", window_oracles.conv(padding="same"), **EVERY),
    layer_case(
        Conv1D(2, 2, padding="causal", dilation_rate=2, use_bias=False, activation="sigmoid"),
        "causal, activation",
        lambda p, x: oracles.sigmoid(window_oracles.conv(padding="causal", dilation_rate=2)(p, x)),
        zero_padding=True,
    ),
    layer_case(
        DepthwiseConv1D(3, padding="same", depth_multiplier=2),
        "",
        window_oracles.depthwise_conv(padding="same"),
        **EVERY,
    ),
    layer_case(
        SeparableConv1D(5, 3, padding="same", strides=2),
        "",
        window_oracles.separable_conv(padding="same", strides=2),
        **EVERY,
    ),
    layer_case(
        Conv1DTranspose(2, 3, strides=2, padding="same"),
        "",
        window_oracles.conv_transpose(strides=2, padding="same"),
        **EVERY,
    ),
    layer_case(MaxPooling1D(3, strides=1, padding="same"), "", window_oracles.max_pool(3, 1, "same"), **EVERY),
    layer_case(AveragePooling1D(), "", window_oracles.average_pool(2, 2), **EVERY),
    layer_case(GlobalMaxPooling1D(), "", oracles.over_time(np.max, 0.0), output="pooled", any_rank=True),
]

CASES = [*OPS, *LAYERS]
