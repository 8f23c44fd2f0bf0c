"""Attention, and positions that count real steps."""

import functools
from typing import Any

import jax
import numpy as np

import jmask as jm
from tests.support import oracles
from tests.support.batches import floats
from tests.support.small_blocks import small_blocks

from .case import Case, case, layer_case
from .ops import RANDOM

HEADS = (floats(4, 3), floats(4, 3), floats(4, 3))
CROSS = {"overlapping": True, "zero_padding": True}


def distance(queries: int, keys: int) -> np.ndarray:
    """How many steps after its query a key stands."""
    return np.arange(keys) - np.arange(queries)[:, None]


def weigh(scores: np.ndarray, value: np.ndarray, seen: Any = True) -> np.ndarray:
    """The mean of the values by the softmax of `(heads, queries, keys)` scores; 0 for a query that sees no key."""
    if not value.size:
        return np.zeros((scores.shape[1], scores.shape[0], value.shape[-1]))
    weights = np.where(seen, np.exp(scores - scores.max(axis=-1, keepdims=True)), 0)
    total = weights.sum(axis=-1, keepdims=True)
    weights = weights / np.where(total > 0, total, 1)
    value = value.repeat(len(scores) // value.shape[1], axis=1)
    return np.einsum("hqk,khf->qhf", weights, value)


def there(query: np.ndarray, value: np.ndarray, key: np.ndarray | None = None) -> tuple[np.ndarray, ...]:
    """Query, value and key, each at its steps; a step of the keys is one of both."""
    key = value if key is None else key
    common = oracles.is_there(value) & oracles.is_there(key)
    return query[oracles.is_there(query)], value[common], key[common]


def dot(query: np.ndarray, key: np.ndarray, scale: Any = None) -> np.ndarray:
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    return scale * np.einsum("qhf,khf->hqk", query, key.repeat(query.shape[1] // key.shape[1], axis=1))


def additive(query: np.ndarray, key: np.ndarray, weight: Any = 1.0, scale: Any = 1.0) -> np.ndarray:
    key = key.repeat(query.shape[1] // key.shape[1], axis=1)
    return np.einsum("qkhf->hqk", weight * np.tanh(scale * (query[:, None] + key)))


def attention(params: Any, *rows: np.ndarray, low: Any = -np.inf, high: Any = np.inf, scale: Any = None) -> np.ndarray:
    """Keys that are from `low` to `high` steps after their query."""
    query, value, key = there(*rows)
    offset = distance(len(query), len(key))
    return weigh(dot(query, key, scale), value, (low <= offset) & (offset <= high))


def additive_attention(params: Any, *rows: np.ndarray, high: Any = np.inf) -> np.ndarray:
    query, value, key = there(*rows)
    seen = distance(len(query), len(key)) <= high
    return weigh(additive(query, key, params.get("weight", 1.0), params.get("scale", 1.0)), value, seen)


def multi_head(params: Any, *rows: np.ndarray, low: Any = -np.inf, high: Any = np.inf) -> np.ndarray:
    """Projections, attention, perhaps a gate, and a projection back."""
    query, value, key = there(*rows)

    def project(x: np.ndarray, name: str, num_axes: int = 1) -> np.ndarray:
        return np.tensordot(x, params[name]["kernel"], num_axes) + params[name].get("bias", 0.0)

    heads = attention(params, project(query, "query"), project(value, "value"), project(key, "key"), low=low, high=high)
    if "gate" in params:
        heads = heads * oracles.sigmoid(project(query, "gate"))
    return project(heads, "attention_output", 2)


def one_head(function: Any) -> Any:
    """The layers with one head: an axis for it, and none afterwards."""
    return lambda params, *rows: function(params, *(row[:, None] for row in rows))[:, 0]


def luong(params: Any, *rows: np.ndarray) -> np.ndarray:
    return attention(params, *rows, scale=params["scale"])


def luong_concat(params: Any, *rows: np.ndarray) -> np.ndarray:
    return additive_attention({"weight": params["concat_score_weight"], "scale": params["scale"]}, *rows, high=0)


def bahdanau(params: Any, *rows: np.ndarray) -> np.ndarray:
    return additive_attention({"weight": params["scale"]}, *rows)


def sines(x: np.ndarray, wavelength: float = 10000.0) -> np.ndarray:
    """Position by position, feature by feature."""
    size = x.shape[-1]
    encoding = np.zeros(x.shape)
    for position in range(len(x)):
        for i in range(size):
            function = np.cos if i % 2 else np.sin
            encoding[position, ..., i] = function(position / wavelength ** (2 * (i // 2) / size))
    return encoding


def rotated(x: np.ndarray, *, interleaved: bool = False, wavelength: float = 10000.0) -> np.ndarray:
    """Each pair as a complex number, turned by its angle."""
    half = x.shape[-1] // 2
    first, second = (x[..., ::2], x[..., 1::2]) if interleaved else (x[..., :half], x[..., half:])
    angles = np.arange(len(x)).reshape(-1, *(1,) * (x.ndim - 1)) / wavelength ** (np.arange(half) / half)
    turned = (first + 1j * second) * np.exp(1j * angles)
    parts = (turned.real, turned.imag)
    return np.stack(parts, -1).reshape(x.shape) if interleaved else np.concatenate(parts, -1)


def by_name(query: Any, value: Any, key: Any = None) -> dict[str, Any]:
    """Keys and values by name; the inputs of the cases stand in the order of Keras' layers."""
    return {"key": value if key is None else key, "value": value}


def op(note: str, oracle: Any, *inputs: Any, **options: Any) -> Case:
    """A row for `jm.ops.attention`."""
    run = lambda params, *xs: jm.ops.attention(xs[0], **by_name(*xs), **options)  # noqa: E731
    return case(f"ops.attention({note})", run, oracle, *inputs, **CROSS)


def in_blocks(*inputs: Any, **options: Any) -> Any:
    """Attention in blocks of three steps, of which even the short sequences of the laws have several."""
    with small_blocks(3):
        return jm.ops.attention(*inputs, **options, implementation="blocks")


ATTENTION = [
    case(
        "ops.attention(blocks, to itself)",
        lambda params, x: in_blocks(x, causal=True),
        lambda params, x: attention(params, x, x, high=0),
        floats(2, 3),
        any_rank=True,
        zero_padding=True,
    ),
    case(
        "ops.attention(blocks, groups, window)",
        lambda params, *xs: in_blocks(xs[0], **by_name(*xs), window=(1, 2), scale=0.7),
        functools.partial(attention, low=-1, high=2, scale=0.7),
        floats(4, 3),
        floats(2, 5),
        floats(2, 3),
        **CROSS,
    ),
    op("query, value, key", attention, *HEADS),
    op("causal", functools.partial(attention, high=0), *HEADS[:2], causal=True),
    op("causal, offset", functools.partial(attention, high=2), *HEADS[:2], causal=True, query_offset=2),
    op(
        "groups, window, scale",
        functools.partial(attention, low=-1, high=2, scale=0.7),
        floats(4, 3),
        floats(2, 5),
        floats(2, 3),
        window=(1, 2),
        scale=0.7,
    ),
    case(
        "ops.attention(to itself)",
        lambda params, x: jm.ops.attention(x, causal=True),
        lambda params, x: attention(params, x, x, high=0),
        floats(2, 3),
        any_rank=True,
        zero_padding=True,
    ),
    case(
        "ops.attention(dropout)",
        lambda params, x, y: jm.ops.attention(x, key=y, dropout=0.5, dropout_key=jax.random.key(3)),
        None,
        floats(2, 3),
        floats(1, 3),
        zero_padding=True,
        skips=RANDOM,
    ),
    case(
        "ops.additive_attention",
        lambda params, *xs: jm.ops.additive_attention(
            xs[0], **by_name(*xs), weight=params["weight"], scale=params["scale"], causal=True
        ),
        functools.partial(additive_attention, high=0),
        floats(4, 3),
        floats(2, 5),
        floats(2, 3),
        params={"weight": (3,), "scale": ()},
        **CROSS,
    ),
    case(
        "ops.multi_head_attention",
        lambda params, x: jm.ops.multi_head_attention(
            {name: {"kernel": params[name]} for name in ("query", "key", "value", "attention_output")}, x
        ),
        lambda params, x: multi_head({name: {"kernel": kernel} for name, kernel in params.items()}, x, x),
        params={"query": (3, 4, 2), "key": (3, 2, 2), "value": (3, 2, 5), "attention_output": (4, 5, 7)},
        any_rank=True,
    ),
]

LAYERS = [
    layer_case(jm.layers.Attention(use_scale=True), "", one_head(luong), floats(3), floats(5), floats(3), **CROSS),
    layer_case(
        jm.layers.Attention(use_scale=True, score_mode="concat", use_causal_mask=True),
        "list, concat, causal",
        one_head(luong_concat),
        floats(3),
        floats(3),
        arrange=lambda *xs: (list(xs),),
        **CROSS,
    ),
    layer_case(jm.layers.AdditiveAttention(), "", one_head(bahdanau), floats(3), floats(3), **CROSS),
    layer_case(
        jm.layers.MultiHeadAttention(2, 3, value_dim=5, output_shape=7),
        "",
        multi_head,
        floats(3),
        floats(2),
        floats(5),
        overlapping=True,
    ),
    layer_case(
        jm.layers.MultiHeadAttention(2, 3, use_bias=False, use_causal_mask=True, sliding_window=2),
        "to itself, causal, window",
        lambda params, x: multi_head(params, x, x, low=-1, high=0),
        arrange=lambda x: (x, x),
        any_rank=True,
    ),
    layer_case(
        jm.layers.MultiHeadAttention(2, 3, dropout=0.5),
        "dropout in training",
        None,
        seed=3,
        arrange=lambda x: (x, x),
        skips=RANDOM,
    ),
    layer_case(
        jm.layers.MultiHeadAttention(2, 3, value_dim=5, use_gate=True),
        "gate",
        multi_head,
        floats(3),
        floats(5),
        overlapping=True,
    ),
    layer_case(jm.layers.GroupQueryAttention(3, 4, 2), "", multi_head, floats(3), floats(5), overlapping=True),
    layer_case(
        jm.layers.GroupQueryAttention(3, 4, 2, use_gate=True),
        "gate",
        lambda params, x: multi_head(params, x, x),
        arrange=lambda x: (x, x),
    ),
]

POSITIONS = [
    case("ops.positions", lambda params, x: jm.ops.positions(x), lambda params, x: np.arange(len(x)), any_rank=True),
    case(
        "ops.position_embedding",
        lambda params, x: jm.ops.position_embedding(x, params["table"]),
        lambda params, x: params["table"][: len(x)],
        params={"table": (11, 5)},
        any_rank=True,
    ),
    case(
        "ops.sine_position_encoding",
        lambda params, x: jm.ops.sine_position_encoding(x, max_wavelength=50.0),
        lambda params, x: sines(x, 50.0),
        floats(5),
        any_rank=True,
    ),
    case("ops.rotary", lambda params, x: jm.ops.rotary(x), lambda params, x: rotated(x), floats(3, 6), any_rank=True),
    case(
        "ops.rotary(interleaved)",
        lambda params, x: jm.ops.rotary(x, max_wavelength=50.0, interleaved=True),
        lambda params, x: rotated(x, interleaved=True, wavelength=50.0),
        floats(6),
        any_rank=True,
    ),
    case(
        "ops.rotary(offset)",
        lambda params, x: jm.ops.rotary(x, offset=3),
        lambda params, x: rotated(np.concatenate([np.zeros((3, 6)), x]))[3:],
        floats(6),
        any_rank=True,
    ),
    case(
        "ops.position_embedding(positions)",
        lambda params, x: jm.ops.position_embedding(x, params["table"], positions=jm.ops.positions(x, offset=2)),
        lambda params, x: params["table"][2 : 2 + len(x)],
        params={"table": (11, 5)},
        any_rank=True,
    ),
    layer_case(
        jm.layers.PositionEmbedding(11),
        "",
        lambda params, x: params["position_embeddings"][: len(x)],
        any_rank=True,
    ),
    layer_case(jm.layers.SinePositionEncoding(), "", lambda params, x: sines(x), floats(5), any_rank=True),
    layer_case(
        jm.layers.RotaryEmbedding(max_wavelength=50.0, interleaved=True),
        "interleaved",
        lambda params, x: rotated(x, interleaved=True, wavelength=50.0),
        floats(3, 6),
        any_rank=True,
        has_rows_alone=True,
    ),
]

CASES = [*ATTENTION, *LAYERS, *POSITIONS]
