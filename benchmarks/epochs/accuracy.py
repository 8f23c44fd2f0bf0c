"""What the classifier gets right on names that it has not seen, in jmask and in Keras, whose Conv1D drops the mask."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import keras
import numpy as np

import jmask as jm

from . import with_jmask, with_keras
from .task import Task, make_task, padded, test_names

WIDTHS = (None, 20, 32, 64)  # None: each name alone, as long as it is


def accuracies(rate: float, epochs: int) -> Iterator[tuple[str, list[float]]]:
    """For each model, the share of right answers at each of `WIDTHS`; epoch 0, of rate 0, comes first."""
    train, test = make_task("classifier"), test_names()
    jmask = with_jmask.make_rival(train, "", with_jmask.plans_of(train)["jmask packed"], rate)
    of_keras = [with_keras.make_rival(train, "", padded(train, 1), rate, by_hand=by_hand) for by_hand in (False, True)]
    for rival in (jmask, *of_keras):
        for epoch in range(1 + epochs):
            rival.run(epoch)
    yield "jmask, trained on packed rows", _at_widths(test, _classify_in_jmask(*jmask.model()))
    names = ("Keras `fit`, padded to the longest, as written", "Keras `fit`, padded to the longest, masks by hand")
    for name, rival in zip(names, of_keras, strict=True):
        yield name, _at_widths(test, _classify_in_keras(rival.model()))


def _at_widths(test: Task, classify: Callable[[np.ndarray, np.ndarray], Any]) -> list[float]:
    answers = []
    for width in WIDTHS:
        right = 0
        groups = np.unique(test.lengths) if width is None else [None]
        for length in groups:
            rows = np.flatnonzero(test.lengths == length) if width is None else np.arange(len(test.inputs))
            mask = np.arange(width or length) < test.lengths[rows, None]
            ids = np.zeros(mask.shape, np.int32)
            ids[mask] = np.concatenate([test.inputs[row] for row in rows])
            right += int((np.asarray(classify(ids, mask)) == test.targets[rows]).sum())
        answers.append(right / len(test.inputs))
    return answers


def _classify_in_jmask(model: Any, state: Any) -> Callable[[np.ndarray, np.ndarray], Any]:
    @jax.jit
    def classify(ids: Any, mask: Any) -> Any:
        logits = model.apply_with_state(state.params, state.statistics, jm.masked(ids, mask))[0]
        return logits.values.argmax(axis=-1)

    return classify


def _classify_in_keras(model: keras.Model) -> Callable[[np.ndarray, np.ndarray], Any]:
    def classify(ids: np.ndarray, mask: np.ndarray) -> Any:
        return jnp.argmax(model.predict_on_batch(ids), axis=-1)

    return classify
