"""What convolutions, poolings and a convolutional LSTM should give, in NumPy, for one sequence without padding."""

from collections.abc import Callable
from typing import Any

import numpy as np

from tests.support.oracles import lstm_gates, scan

Row = np.ndarray


def windows(x: Row, width: int, strides: int = 1, padding: str = "valid", dilation_rate: int = 1) -> tuple[Row, Row]:
    """What each window reads, `(places, width, features)`, and whether it is a step of the sequence."""
    span = (width - 1) * dilation_rate + 1
    before = 0
    if padding == "valid":
        places = max((len(x) - span) // strides + 1, 0)
    else:
        places = -(-len(x) // strides)
        beyond = max((places - 1) * strides + span - len(x), 0)
        before = span - 1 if padding == "causal" else beyond // 2
    index = np.arange(places)[:, None] * strides - before + np.arange(width) * dilation_rate
    is_step = (index >= 0) & (index < len(x))
    return x[np.where(is_step, index, 0)], is_step[..., None]


def conv(strides: int = 1, padding: str = "valid", dilation_rate: int = 1, groups: int = 1) -> Callable[..., Row]:
    def convolve(params: Any, x: Row) -> Row:
        width, channels, filters = params["kernel"].shape
        read, is_step = windows(x, width, strides, padding, dilation_rate)
        read = (read * is_step).reshape(*read.shape[:2], groups, channels)
        kernel = params["kernel"].reshape(width, channels, groups, filters // groups)
        y = np.einsum("pwgc,wcgf->pgf", read, kernel).reshape(-1, filters)
        return y + params.get("bias", 0.0)

    return convolve


def depthwise_conv(**options: Any) -> Callable[..., Row]:
    def convolve(params: Any, x: Row) -> Row:
        width, channels, multiplier = params["kernel"].shape
        read, is_step = windows(x, width, **options)
        y = np.einsum("pwc,wcm->pcm", read * is_step, params["kernel"])
        return y.reshape(-1, channels * multiplier) + params.get("bias", 0.0)

    return convolve


def separable_conv(**options: Any) -> Callable[..., Row]:
    def convolve(params: Any, x: Row) -> Row:
        y = depthwise_conv(**options)({"kernel": params["depthwise_kernel"]}, x)
        return y @ params["pointwise_kernel"][0] + params.get("bias", 0.0)

    return convolve


def transposed_length(
    steps: int, span: int, strides: int = 1, padding: str = "valid", output_padding: int | None = None
) -> int:
    """Keras' number of output steps (`compute_conv_transpose_output_shape`)."""
    if padding == "valid":
        added = max(span, strides) - span if output_padding is None else output_padding
        return (steps - 1) * strides + span + added
    return steps * strides if output_padding is None else (steps - 1) * strides + span % 2 + output_padding


def conv_transpose(
    strides: int = 1, padding: str = "valid", dilation_rate: int = 1, output_padding: int | None = None
) -> Callable[..., Row]:
    def convolve(params: Any, x: Row) -> Row:
        width, filters, _ = params["kernel"].shape
        if not len(x):
            return np.zeros((0, filters))
        span = (width - 1) * dilation_rate + 1
        length = transposed_length(len(x), span, strides, padding, output_padding)
        covered = (len(x) - 1) * strides + span
        y = np.zeros((max(covered, length), filters))
        for i, step in enumerate(x):
            for j, weights in enumerate(params["kernel"]):
                y[i * strides + j * dilation_rate] += weights @ step
        cut = max(covered - length, 0) // 2
        return y[cut : cut + length] + params.get("bias", 0.0)

    return convolve


def max_pool(pool_size: int, strides: int, padding: str = "valid") -> Callable[..., Row]:
    def pool(params: Any, x: Row) -> Row:
        read, is_step = windows(x, pool_size, strides, padding)
        return np.where(is_step, read, -np.inf).max(axis=1)

    return pool


def average_pool(pool_size: int, strides: int, padding: str = "valid") -> Callable[..., Row]:
    def pool(params: Any, x: Row) -> Row:
        read, is_step = windows(x, pool_size, strides, padding)
        return (read * is_step).sum(axis=1) / is_step.sum(axis=1)

    return pool


def conv_lstm(factor: Any = 1.0, **options: Any) -> Callable[..., tuple[Row, Row, Row]]:
    """All hidden states, and the last hidden and cell state; steps are lines `(pixels, channels)`.

    The hidden state is multiplied by a factor before its convolution; the options are those of the inputs' one.
    """

    def recur(params: Any, x: Row, *state: Row) -> tuple[Row, Row, Row]:
        recurrent = {"kernel": params["recurrent_kernel"]}
        like = conv(**options)(params, np.zeros(x.shape[1:]))[:, : params["recurrent_kernel"].shape[1]]
        state = state or (np.zeros_like(like), np.zeros_like(like))

        def step(state: tuple[Row, Row], line: Row) -> tuple[tuple[Row, Row], Row]:
            hidden, cell = state
            z = conv(**options)(params, line) + conv(padding="same")(recurrent, hidden * factor)
            hidden, cell = lstm_gates(z, cell)
            return (hidden, cell), hidden

        outputs, (hidden, cell) = scan(step, state, x, like)
        return outputs, hidden, cell

    return recur
