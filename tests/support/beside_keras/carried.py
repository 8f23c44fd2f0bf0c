"""A model of Keras, carried: it gives what it gave."""

from typing import Any

import jax
import numpy as np

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.random_models import draw_weights


def check(model: Any, *inputs: Any, rng: np.random.Generator, custom: Any = None) -> jm.Sequential | jm.Model:
    """Asserts that a carried model gives what Keras gives on inputs without padding; returns it."""
    draw_weights(model, rng)
    ours, params, state = jm.from_keras(model, custom=custom)
    given = inputs[0] if len(inputs) == 1 else list(inputs)
    outputs, _ = ours.apply_with_state(params, state, given)
    expected, found = jax.tree.leaves(model(given)), jax.tree.leaves(outputs, is_leaf=_is_masked)
    assert len(found) == len(expected)
    for y, keras_y in zip(found, expected, strict=True):
        assert_close(y.values if _is_masked(y) else y, keras_y)
    return ours


def _is_masked(leaf: Any) -> bool:
    return isinstance(leaf, jm.Masked)
