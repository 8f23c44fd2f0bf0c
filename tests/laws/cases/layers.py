"""Layers, and small models of them."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import jmask as jm
from jmask.layers import GRU, LSTM, RNN, Bidirectional, GRUCell, LSTMCell, SimpleRNN, SimpleRNNCell, StackedRNNCells
from tests.support import oracles
from tests.support.batches import Vector, floats, ids

from .case import ONE_A_ROW, Case, case, layer_case
from .masked import away_from_zero
from .ops import RANDOM
from .rnn import Leaky

LSTM_STATE = (Vector((2,)), Vector((2,)))
WIDE_STATES = {"bfloat16": "states are float32 at least; `test_recurrences.py` looks at dtypes"}
SEQUENCE_AND_STATE = ("sequence", "pooled", "pooled")
STACK = StackedRNNCells([LSTMCell(2), LSTMCell(5)])
concat, last, lstm = oracles.concatenate_features, oracles.last, oracles.lstm


def with_state(x: Any, *state: Any) -> tuple[Any, list[Any]]:
    return x, list(state)


def as_list(*xs: Any) -> tuple[list[Any]]:
    return (list(xs),)


def share_of_time(inputs: Any, mask: Any = None) -> Any:
    """The guide's own softmax over time: a function that asks for the mask."""
    return jax.nn.softmax(inputs, axis=1, where=None if mask is None else mask[..., None])


STEPWISE = [
    layer_case(jm.layers.Embedding(11, 5), "", oracles.embed, ids(11), any_rank=True),
    layer_case(
        jm.layers.Embedding(11, 5, mask_zero=True), "mask_zero", oracles.embed_without_zeros, ids(11), any_rank=True
    ),
    layer_case(
        jm.layers.Masking(),
        "",
        oracles.without_steps_of(0),
        floats(3, with_zeros=True),
        any_rank=True,
        zero_padding=True,
    ),
    layer_case(jm.layers.Dense(5), "", oracles.dense, any_rank=True),
    layer_case(
        jm.layers.Dense(5, activation=away_from_zero, use_bias=False),
        "activation",
        lambda p, x: oracles.away_from_zero(p, oracles.dense(p, x)),
    ),
    layer_case(jm.layers.Activation("sigmoid"), "", oracles.stepwise(oracles.sigmoid), any_rank=True),
    layer_case(jm.layers.Softmax(), "features", oracles.softmax(-1), any_rank=True),
    layer_case(jm.layers.Softmax(axis=1), "time", oracles.softmax(0), zero_padding=True),
    layer_case(jm.layers.Dropout(0.5), "at inference", oracles.stepwise(np.copy), any_rank=True),
    layer_case(jm.layers.Dropout(0.5), "in training", None, seed=3, skips=RANDOM),
    layer_case(jm.layers.LayerNormalization(), "", oracles.layer_norm, any_rank=True),
    layer_case(
        jm.layers.LayerNormalization(epsilon=0.5, center=False), "epsilon", lambda p, x: oracles.layer_norm(p, x, 0.5)
    ),
    layer_case(
        jm.layers.Lambda(jnp.square, supports_masking=True), "stepwise", oracles.stepwise(np.square), any_rank=True
    ),
    layer_case(
        jm.layers.Lambda(lambda x: jnp.flip(x, 1), mask=lambda x, mask: None if mask is None else jnp.flip(mask, 1)),
        "own mask",
        oracles.reverse,
    ),
    layer_case(jm.layers.Lambda(share_of_time, supports_masking=True), "uses mask", oracles.softmax(0)),
    layer_case(jm.layers.PerSequence(lambda x: jax.nn.softmax(x, axis=0)), "softmax", oracles.softmax(0)),
    layer_case(jm.layers.PerSequence(lambda x: jnp.flip(x, 0)), "flip", oracles.reverse),
]

MERGING = [
    layer_case(
        jm.layers.Add(),
        "intersection",
        oracles.intersection(np.add),
        floats(3),
        floats(3),
        arrange=as_list,
        overlapping=True,
        any_rank=True,
    ),
    layer_case(
        jm.layers.Add(merge="union"),
        "union",
        oracles.union_sum,
        floats(3),
        floats(3),
        floats(3),
        arrange=as_list,
        overlapping=True,
    ),
    layer_case(
        jm.layers.Concatenate(),
        "features",
        oracles.intersection(concat),
        floats(3),
        floats(2),
        arrange=as_list,
        overlapping=True,
        any_rank=True,
    ),
    layer_case(
        jm.layers.Concatenate(axis=1),
        "time",
        oracles.concatenate_time,
        floats(3),
        floats(3),
        arrange=as_list,
        overlapping=True,
    ),
    layer_case(jm.layers.GlobalAveragePooling1D(), "", oracles.mean_pool, output="pooled", any_rank=True),
]

RECURRENT = [
    layer_case(LSTM(2), "", lambda p, x: last(lstm(p, x)[0]), output="pooled"),
    layer_case(
        LSTM(2, return_sequences=True, use_bias=False),
        "return_sequences",
        lambda p, x: lstm(p, x)[0],
        zero_padding=True,
    ),
    layer_case(
        LSTM(2, return_sequences=True, return_state=True),
        "return_state",
        lstm,
        output=SEQUENCE_AND_STATE,
        skips=WIDE_STATES,
    ),
    layer_case(LSTM(2, go_backwards=True), "go_backwards", lambda p, x: last(lstm(p, x[::-1])[0]), output="pooled"),
    layer_case(
        LSTM(2, go_backwards=True, return_sequences=True, return_state=True),
        "go_backwards, return_sequences",
        lambda p, x: lstm(p, x[::-1]),
        output=SEQUENCE_AND_STATE,
        zero_padding=True,
        skips=WIDE_STATES,
    ),
    layer_case(
        LSTM(2),
        "initial_state",
        lambda p, x, *state: last(lstm(p, x, *state)[0]),
        floats(3),
        *LSTM_STATE,
        arrange=with_state,
        refuses_packed=ONE_A_ROW,
        output="pooled",
    ),
    layer_case(RNN(Leaky(2)), "", lambda p, x: last(oracles.leaky(p, x)[0]), output="pooled"),
    layer_case(
        RNN(Leaky(2), return_sequences=True, return_state=True, go_backwards=True),
        "initial_state, go_backwards",
        lambda p, x, *state: oracles.leaky(p, x[::-1], *state),
        floats(3),
        Vector(),
        Vector((2,)),
        arrange=with_state,
        refuses_packed=ONE_A_ROW,
        output=SEQUENCE_AND_STATE,
        zero_padding=True,
    ),
    layer_case(LSTM(2, return_sequences=True, unroll=True), "unroll", lambda p, x: lstm(p, x)[0], zero_padding=True),
    layer_case(LSTM(2, return_sequences=True, zero_output_for_mask=False), "held outputs", lambda p, x: lstm(p, x)[0]),
    layer_case(SimpleRNN(2), "", lambda p, x: last(oracles.simple_rnn(p, x)[0]), output="pooled"),
    layer_case(GRU(2, return_sequences=True), "", lambda p, x: oracles.gru(p, x)[0], zero_padding=True),
    layer_case(
        GRU(2, return_sequences=True, reset_after=False, go_backwards=True),
        "reset before, go_backwards",
        lambda p, x: oracles.gru_reset_before(p, x[::-1])[0],
    ),
    layer_case(GRU(2, dropout=0.5), "dropout in training", None, seed=3, output="pooled", skips=RANDOM),
    layer_case(
        LSTM(2, return_sequences=True, dropout=0.5, recurrent_dropout=0.25),
        "recurrent dropout in training",
        None,
        seed=3,
        skips=RANDOM,
    ),
    layer_case(
        RNN([GRUCell(2), SimpleRNNCell(5)], return_sequences=True, return_state=True),
        "list of cells",
        oracles.stacked(gru_cell=oracles.gru, simple_rnn_cell=oracles.simple_rnn),
        output=SEQUENCE_AND_STATE,
        skips=WIDE_STATES,
    ),
    *(
        case(
            f"layers.{type(cell).__name__}",
            functools.partial(jm.rnn.scan, cell, return_state=False),
            lambda p, x, oracle=oracle: oracle(p, x)[0],
            params={name: p.shape for name, p in cell.init(jax.random.key(0), jnp.ones(3)).items()},
            zero_padding=True,
        )
        for cell, oracle in (
            (SimpleRNNCell(2), oracles.simple_rnn),
            (GRUCell(2, reset_after=False), oracles.gru_reset_before),
            (LSTMCell(2), lstm),
        )
    ),
    Case(
        "layers.StackedRNNCells",
        lambda p, x: jm.rnn.scan(STACK, p, x, reverse=True, return_state=False),
        lambda p, x: oracles.stacked(lstm_cell=lstm, lstm_cell_1=lstm)(p, x[::-1])[0][::-1],
        params=lambda: jax.eval_shape(STACK.init, jax.random.key(0), jnp.ones(3)),
        zero_padding=True,
    ),
]

MERGES = {"sum": np.add, "mul": np.multiply, "ave": lambda a, b: (a + b) / 2}
DIRECTIONS = [
    layer_case(Bidirectional(LSTM(2)), "", oracles.bidirectional(lstm, concat, sequences=False), output="pooled"),
    layer_case(
        Bidirectional(LSTM(2, return_sequences=True, return_state=True)),
        "initial_state",
        oracles.bidirectional(lstm, concat, with_state=True),
        floats(3),
        *LSTM_STATE,
        *LSTM_STATE,
        arrange=with_state,
        refuses_packed=ONE_A_ROW,
        output=("sequence", *["pooled"] * 4),
        skips=WIDE_STATES,
    ),
    *(
        layer_case(
            Bidirectional(LSTM(2, return_sequences=True), merge_mode=mode), mode, oracles.bidirectional(lstm, merge)
        )
        for mode, merge in MERGES.items()
    ),
    layer_case(
        Bidirectional(RNN([LSTMCell(2), GRUCell(5)])),
        "stacked",
        oracles.bidirectional(oracles.stacked(lstm_cell=lstm, gru_cell=oracles.gru), concat, sequences=False),
        output="pooled",
    ),
    layer_case(
        Bidirectional(RNN(Leaky(2)), backward_layer=RNN(Leaky(5)), merge_mode=None),
        "None, backward_layer",
        oracles.bidirectional(oracles.leaky, lambda a, b: (a, b), sequences=False),
        output=("pooled", "pooled"),
    ),
]

sequential = jm.Sequential(
    [
        jm.layers.Masking(),
        LSTM(2, return_sequences=True),
        jm.layers.Dropout(0.5),
        jm.layers.Dense(5, activation="tanh"),
        jm.layers.GlobalAveragePooling1D(),
    ]
)


def sequential_oracle(params: Any, x: np.ndarray) -> np.ndarray:
    hidden = lstm(params["lstm"], oracles.without_steps_of(0)(params, x))[0]
    return oracles.mean_pool(params, np.tanh(oracles.dense(params["dense"], hidden)))


def tagger() -> jm.Model:
    tokens, features = jm.Input((None,), "int32", name="tokens"), jm.Input((None, 3), name="features")
    h = jm.layers.Concatenate()([jm.layers.Embedding(11, 2, mask_zero=True)(tokens), features])
    h = Bidirectional(LSTM(2, return_sequences=True))(h)
    topic = jm.layers.Dense(3, name="topic")(jm.layers.GlobalAveragePooling1D()(h))
    return jm.Model([tokens, features], {"tags": jm.layers.Dense(5, name="tags")(h), "topic": topic})


def tagger_oracle(params: Any, tokens: np.ndarray, features: np.ndarray) -> dict[str, np.ndarray]:
    x = concat(oracles.embed(params["embedding"], tokens), features)[tokens != 0]
    h = oracles.bidirectional(lstm, concat)(params["bidirectional"], x)
    return {
        "tags": oracles.dense(params["tags"], h),
        "topic": oracles.dense(params["topic"], oracles.mean_pool(params, h)),
    }


MODELS = [
    layer_case(
        sequential,
        "",
        sequential_oracle,
        floats(3, with_zeros=True),
        output="pooled",
        skips={"real rows": "a row of which all steps are zero is none behind `Masking`"},
    ),
    layer_case(tagger(), "", tagger_oracle, ids(11), floats(3), arrange=as_list, output=("sequence", "pooled")),
]

CASES = [*STEPWISE, *MERGING, *RECURRENT, *DIRECTIONS, *MODELS]
