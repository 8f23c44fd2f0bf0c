"""Conditional random fields: the loss, the most probable tags, and the probability of each."""

from typing import Any

import numpy as np

import jmask as jm
from tests.support import crf_oracle as oracle
from tests.support.batches import Vector, floats, ids

from .case import case, layer_case

PARAMS = {"transitions": (3, 3), "start_transitions": (3,), "end_transitions": (3,)}


def loss_of_batch(params: Any, logits: Any, tags: Any, *weights: Any) -> float:
    """The mean over the sequences that have a step."""
    losses = [
        oracle.negative_log_likelihood(params, x, y) * (weights[0][i] ** 2 if weights else 1)
        for i, (x, y) in enumerate(zip(logits, tags, strict=True))
        if len(x)
    ]
    return float(np.mean(losses)) if losses else 0.0


CASES = [
    case(
        "losses.crf_negative_log_likelihood",
        jm.losses.crf_negative_log_likelihood,
        loss_of_batch,
        floats(3),
        ids(3),
        params=PARAMS,
        output="batch",
    ),
    case(
        "losses.crf_negative_log_likelihood(weights)",
        lambda p, x, y, w: jm.losses.crf_negative_log_likelihood(p, x, y, sample_weight=w * w),
        loss_of_batch,
        floats(3),
        ids(3),
        Vector(),
        params=PARAMS,
        output="batch",
    ),
    case(
        "losses.crf_negative_log_likelihood(of each sequence)",
        lambda p, x, y: jm.losses.crf_negative_log_likelihood(p, x, y, reduction=None),
        oracle.negative_log_likelihood,
        floats(3),
        ids(3),
        params=PARAMS,
        output="pooled",
    ),
    case(
        "ops.crf_decode",
        lambda p, x: jm.ops.crf_decode(x, **p),
        oracle.best_path,
        params=PARAMS,
        any_rank=True,
        zero_padding=True,
    ),
    case(
        "ops.crf_marginals",
        lambda p, x: jm.ops.crf_marginals(x, **p),
        oracle.marginals,
        params=PARAMS,
        any_rank=True,
        zero_padding=True,
    ),
    layer_case(jm.layers.CRF(), "", oracle.best_path, any_rank=True, zero_padding=True),
]
