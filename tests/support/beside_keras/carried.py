"""A model of Keras, carried, in memory and as a file: it gives what it gave."""

import tempfile
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.random_models import draw_weights


def check(model: Any, *inputs: Any, rng: np.random.Generator, custom: Any = None) -> jm.Sequential | jm.Model:
    """Asserts that a carried model gives what Keras gives on inputs without padding; returns it."""
    draw_weights(model, rng)
    converted = jm.from_keras(model, custom=custom)
    given = inputs[0] if len(inputs) == 1 else list(inputs)
    expected = jax.tree.leaves(model(given))
    for ours, params, state in (converted, *_of_file(model, converted, custom)):
        outputs, _ = ours.apply_with_state(params, state, given)
        found = jax.tree.leaves(outputs, is_leaf=_is_masked)
        assert len(found) == len(expected)
        for y, keras_y in zip(found, expected, strict=True):
            assert_close(y.values if _is_masked(y) else y, keras_y)
    return converted.model


def _of_file(model: Any, converted: Any, custom: Any) -> list[Any]:
    """What `from_keras` gives of the model's file; nothing if it has functions, or classes for which it needs Keras.

    Keras saves a Sequential without the repeats of a layer.
    """
    if custom is not None or len(set(map(id, model.layers))) < len(model.layers):
        return []
    with tempfile.TemporaryDirectory() as folder:
        model.save(path := Path(folder, "model.keras"))
        if any(type(layer).__name__ == "Lambda" for layer in model.layers):
            with pytest.raises(ValueError, match="is a `Lambda`"):
                jm.from_keras(path)
            return []
        found = jm.from_keras(path)
    jax.tree.map(np.testing.assert_array_equal, (found.params, found.state), (converted.params, converted.state))
    return [found]


def _is_masked(leaf: Any) -> bool:
    return isinstance(leaf, jm.Masked)
