"""A model of Keras, carried: it gives what it gave."""

import re
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
    ours, params, state = converted = jm.from_keras(model, custom=custom)
    given = inputs[0] if len(inputs) == 1 else list(inputs)
    if custom is None:
        check_file(model, converted, given)
    outputs, _ = ours.apply_with_state(params, state, given)
    expected, found = jax.tree.leaves(model(given)), jax.tree.leaves(outputs, is_leaf=_is_masked)
    assert len(found) == len(expected)
    for y, keras_y in zip(found, expected, strict=True):
        assert_close(y.values if _is_masked(y) else y, keras_y)
    return ours


def check_file(model: Any, converted: Any, given: Any) -> None:
    """Asserts that the file of a model has what the model has; a function, which the file has as code, is refused."""
    with tempfile.TemporaryDirectory() as folder:
        model.save(path := Path(folder, "model.keras"))
        if any(type(layer).__name__ == "Lambda" for layer in model.layers):
            with pytest.raises(ValueError, match="is a `Lambda`"):
                jm.from_keras(path)
            return
        found = jm.from_keras(path)
    assert program(found, given) == program(converted, given)
    jax.tree.map(np.testing.assert_array_equal, (found.params, found.state), (converted.params, converted.state))


def program(converted: Any, given: Any) -> str:
    """What a model computes, without addresses."""
    model, params, state = converted
    jaxpr = jax.make_jaxpr(lambda params, state, given: model.apply_with_state(params, state, given)[0])
    return re.sub("0x[0-9a-f]+", "", str(jaxpr(params, state, given)))


def _is_masked(leaf: Any) -> bool:
    return isinstance(leaf, jm.Masked)
