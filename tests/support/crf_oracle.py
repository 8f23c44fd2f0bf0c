"""A conditional random field in NumPy: the scores of all sequences of tags, one after the other."""

import itertools
from typing import Any

import numpy as np


def scores(params: Any, logits: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Every path through the tags, and its score."""
    time, tags = logits.shape
    paths = np.array(list(itertools.product(range(tags), repeat=time)))
    found = logits[np.arange(time), paths].sum(-1) + params["transitions"][paths[:, :-1], paths[:, 1:]].sum(-1)
    return paths, found + params["start_transitions"][paths[:, 0]] + params["end_transitions"][paths[:, -1]]


def log_sum_exp(x: np.ndarray) -> float:
    return x.max() + np.log(np.exp(x - x.max()).sum())


def negative_log_likelihood(params: Any, logits: np.ndarray, tags: np.ndarray) -> float:
    if not len(logits):
        return 0.0
    paths, found = scores(params, logits)
    return log_sum_exp(found) - found[(paths == tags).all(-1)][0]


def best_path(params: Any, logits: np.ndarray) -> np.ndarray:
    if not len(logits):
        return np.zeros(0, int)
    paths, found = scores(params, logits)
    return paths[found.argmax()]


def marginals(params: Any, logits: np.ndarray) -> np.ndarray:
    if not len(logits):
        return logits
    paths, found = scores(params, logits)
    probabilities = np.exp(found - log_sum_exp(found))
    one_hot = np.eye(logits.shape[1])[paths]
    return np.tensordot(probabilities, one_hot, 1)
