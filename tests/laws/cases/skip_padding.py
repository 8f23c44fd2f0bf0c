"""Functions of padded batches under `jm.skip_padding`; of five rows, those of the laws fill three."""

from typing import Any

import jax
import numpy as np

import jmask as jm

from .case import case


def sums_so_far(params: Any, x: Any) -> Any:
    """Steps that see one another, in their places; windows, which are elsewhere; and a result a sequence."""
    y = jm.ops.cumsum(x * params["gamma"][None, None])
    return y, jm.layers.MaxPooling1D(2)(y), jm.ops.mean(y, 1)


def sums_so_far_oracle(params: Any, x: Any) -> Any:
    y = np.cumsum(x * params["gamma"], axis=0)
    pairs = y[: len(y) // 2 * 2].reshape(-1, 2, y.shape[1])
    return y, pairs.max(axis=1), y.mean(axis=0) if len(y) else np.zeros(y.shape[1])


def loss_and_gradient(params: Any, x: Any) -> Any:
    """A mean of squares, and the sum of its gradient, which is taken inside."""
    loss, gradient = jax.value_and_grad(lambda gamma: jm.ops.mean((x * gamma[None, None]) ** 2))(params["gamma"])
    return loss + gradient.sum()


def loss_and_gradient_oracle(params: Any, rows: Any) -> Any:
    x = np.concatenate(rows)
    return ((x * params["gamma"]) ** 2 + 2 * x**2 * params["gamma"]).sum() / max(x.size, 1)


PACKED_ALREADY = "there is nothing left to pack"

CASES = [
    case(
        "skip_padding(steps)",
        jm.skip_padding(sums_so_far, fractions=[0.6]),
        sums_so_far_oracle,
        params={"gamma": (3,)},
        output=("sequence", "sequence", "pooled"),
        zero_padding=True,
        refuses_packed=PACKED_ALREADY,
    ),
    case(
        "skip_padding(gradient)",
        jm.skip_padding(loss_and_gradient, fractions=[0.6]),
        loss_and_gradient_oracle,
        params={"gamma": (3,)},
        output="batch",
        refuses_packed=PACKED_ALREADY,
    ),
]
