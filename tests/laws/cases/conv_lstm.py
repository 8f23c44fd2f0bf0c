"""The convolutional LSTM, whose steps are lines of pixels."""

import functools
from typing import Any

import jax

import jmask as jm
from jmask.layers import Bidirectional, ConvLSTM1D, ConvLSTM1DCell
from tests.support import oracles
from tests.support.batches import Vector, floats
from tests.support.window_oracles import conv_lstm

from .case import ONE_A_ROW, Case, case, layer_case
from .layers import SEQUENCE_AND_STATE, WIDE_STATES, with_state

LINES = floats(7, 3)  # pixels and channels
SAME: dict[str, Any] = {"strides": 2, "padding": "same"}
DILATED = ConvLSTM1DCell(2, 3, padding="same", dilation_rate=2, use_bias=False)
last = oracles.last


CASES: list[Case] = [
    layer_case(ConvLSTM1D(2, 3), "", lambda p, x: last(conv_lstm()(p, x)[0]), LINES, output="pooled"),
    layer_case(
        ConvLSTM1D(2, 4, **SAME, go_backwards=True, return_sequences=True, return_state=True),
        "initial_state, go_backwards",
        lambda p, x, *state: conv_lstm(**SAME)(p, x[::-1], *state),
        LINES,
        Vector((4, 2)),
        Vector((4, 2)),
        arrange=with_state,
        refuses_packed=ONE_A_ROW,
        output=SEQUENCE_AND_STATE,
        zero_padding=True,
        skips=WIDE_STATES,
    ),
    case(
        "layers.ConvLSTM1DCell",
        functools.partial(jm.rnn.scan, DILATED, return_state=False),
        lambda p, x: conv_lstm(padding="same", dilation_rate=2)(p, x)[0],
        LINES,
        params={name: p.shape for name, p in DILATED.init(jax.random.key(0), jax.numpy.ones((7, 3))).items()},
        zero_padding=True,
    ),
    layer_case(
        Bidirectional(ConvLSTM1D(2, 3, return_sequences=True, zero_output_for_mask=False)),
        "ConvLSTM1D, held outputs",
        oracles.bidirectional(conv_lstm(), oracles.concatenate_features),
        LINES,
    ),
]
