"""Training: epochs of jitted steps, watched by whoever shows them."""

import random
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import jax
import numpy as np
import optax
from jaxtyping import Int

import jmask as jm

from .batches import Data, Example, batches, pad
from .score import count_confusions, micro_score
from .tagger import NUM_ROWS, make_step, predict

LEARNING_RATE = 5e-3


class Epoch(NamedTuple):
    """What one pass over the training sentences came to.

    Attributes:
        number: 1, 2, ...
        losses: the loss of every step.
        train_f1: F1 of the predictions made while training, in percent.
        test_f1: F1 on the held-out sentences after it, in percent.
        seconds: how long it took, compilation included.
    """

    number: int
    losses: list[float]
    train_f1: float
    test_f1: float
    seconds: float


@runtime_checkable
class Watcher(Protocol):
    """Someone who looks on."""

    def step(self, epoch: int, loss: float, f1: float) -> None:
        """Called after every step, with the loss and F1 of the epoch so far."""

    def epoch(self, epoch: Epoch) -> None:
        """Called after every epoch."""


def train(
    model: jm.Sequential, data: Data, predictor: Callable[..., Any], *, epochs: int, seed: int, watcher: Watcher
) -> tuple[Any, list[Epoch]]:
    """Trains a model with Adam.

    Args:
        model: the model.
        data: sentences to learn from, and sentences to score it on after every epoch.
        predictor: what `make_predict` returned for the model.
        epochs: how many times it sees the former.
        seed: of the initial parameters, of dropout, and of the order of the batches.
        watcher: is told about every step and epoch.

    Returns:
        The parameters, and the epochs.
    """
    init_key, key = jax.random.split(jax.random.key(seed))
    params = model.init(init_key, pad(data.train[:1]).words)
    optimizer = optax.adam(LEARNING_RATE)
    state, step = optimizer.init(params), make_step(model, optimizer)
    order, num_tags = random.Random(seed), len(data.vocabulary.tags)
    history: list[Epoch] = []
    for number in range(1, epochs + 1):
        start, losses, confusions = time.perf_counter(), [], np.zeros((num_tags, num_tags), int)
        for batch in batches(data.train, NUM_ROWS, order):
            key, step_key = jax.random.split(key)
            params, state, loss, predicted = step(params, state, batch, step_key)
            real = np.asarray(batch.tags.mask)
            confusions += count_confusions(
                [np.asarray(batch.tags.values)[real]], [np.asarray(predicted)[real]], num_tags
            )
            losses.append(float(loss))
            watcher.step(number, float(np.mean(losses)), micro_score(confusions).f1)
        test_f1 = micro_score(evaluate(predictor, params, data.test, num_tags)).f1
        history.append(Epoch(number, losses, micro_score(confusions).f1, test_f1, time.perf_counter() - start))
        watcher.epoch(history[-1])
    return params, history


def evaluate(
    predictor: Callable[..., Any], params: Any, examples: Sequence[Example], num_tags: int
) -> Int[np.ndarray, "tags tags"]:
    """Tags examples and compares.

    Args:
        predictor: what `make_predict` returned.
        params: the parameters.
        examples: the examples, with their true tags.
        num_tags: how many tags there are.

    Returns:
        How often each true tag (row) got each predicted tag (column), `(num_tags, num_tags)`.
    """
    return count_confusions([tags for _, tags in examples], predict(predictor, params, examples), num_tags)
