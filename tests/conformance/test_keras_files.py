"""`jm.from_keras` of a `.keras` file: what it gives of the model in memory, and Keras' outputs on padded batches."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.carried import check
from tests.support.beside_keras.random_models import Builder, draw_weights

pytestmark = pytest.mark.usefixtures("fresh")
VOCABULARY, LENGTHS, TIME = 9, (4, 6, 1), 6
NUM_MODELS = 4  # of which forty were tried


def _tagger(keras: Any) -> Any:
    k = keras.layers
    return keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            k.Embedding(VOCABULARY, 4, mask_zero=True),
            k.Bidirectional(k.LSTM(3, return_sequences=True)),
            k.Dense(2, activation="softmax"),
        ]
    )


def _classifier(keras: Any) -> Any:
    k = keras.layers
    ids = keras.Input((None,), dtype="int32")
    h = k.GRU(3)(k.Embedding(VOCABULARY, 4, mask_zero=True)(ids))
    return keras.Model(ids, k.Dense(2)(k.BatchNormalization()(h)))


def _attention(keras: Any) -> Any:
    k = keras.layers
    ids = keras.Input((None,), dtype="int32")
    h = k.Embedding(VOCABULARY, 4, mask_zero=True)(ids)
    h = k.LayerNormalization()(k.Add()([h, k.MultiHeadAttention(2, 3)(h, h)]))
    return keras.Model(ids, k.TimeDistributed(k.Dense(2))(h))


def _functional(keras: Any) -> Any:
    """Two inputs, both with a mask, a model in the model, a layer that is used twice, an operator, two outputs."""
    k = keras.layers
    ids, extra = keras.Input((None,), dtype="int32", name="ids"), keras.Input((None, 2), name="extra")
    encoder = keras.Sequential([k.Dense(4, activation="relu"), k.BatchNormalization()], name="encoder")
    tokens, twice = k.Embedding(VOCABULARY, 4, mask_zero=True)(ids), k.Dense(4)
    h = k.Add()([twice(tokens), twice(encoder(k.Masking()(extra)))])
    h, *state = k.LSTM(3, return_sequences=True, return_state=True)(h)
    return keras.Model({"ids": ids, "extra": extra}, {"tags": k.Dense(2)(h) * 2.0, "state": k.Concatenate()(state)})


@pytest.mark.parametrize("make", [_tagger, _classifier, _attention, _functional])
def test_outputs_are_those_of_keras_on_padded_batches(make: Callable, keras: Any, rng: Any, tmp_path: Path) -> None:
    theirs = make(keras)
    draw_weights(theirs, rng)
    theirs.save(tmp_path / "model.keras")
    mask = np.arange(TIME) < np.array(LENGTHS)[:, None]
    ids = np.where(mask, rng.integers(1, VOCABULARY, mask.shape), 0)
    extra = np.where(mask[..., None], rng.normal(size=(*mask.shape, 2)), 0).astype("float32")
    given = {"ids": ids, "extra": extra} if make is _functional else ids
    model, params, state = jm.from_keras(tmp_path / "model.keras")
    found = jax.tree.leaves(model.apply_with_state(params, state, given)[0], is_leaf=lambda y: isinstance(y, jm.Masked))
    expected = jax.tree.leaves(theirs(given))
    for y, keras_y in zip(found, expected, strict=True):
        real = mask[..., None] if y.ndim == 3 else True
        assert_close(y.fill(0), jnp.where(real, keras_y, 0))


@pytest.mark.parametrize("number", range(NUM_MODELS))
def test_a_file_has_what_the_model_has(keras: Any, number: int) -> None:
    rng = np.random.default_rng(number)
    theirs = Builder(keras, rng).model()
    check(theirs, *(jnp.ones((2, TIME, *x.shape[2:]), x.dtype) for x in theirs.inputs), rng=rng)


def test_a_layer_of_ones_own_takes_keras(keras: Any, tmp_path: Path) -> None:
    class Twice(keras.layers.Layer):
        def call(self, inputs: Any) -> Any:
            return 2 * inputs

    model = keras.Sequential([keras.Input((3,)), Twice(name="twice")])
    model.save(tmp_path / "model.keras")
    with pytest.raises(ValueError, match=r"twice: is a `.*Twice`, a class whose code is not in the file"):
        jm.from_keras(tmp_path / "model.keras")
    ours = jm.from_keras(tmp_path / "model.keras", custom={Twice: lambda _: (jm.layers.Lambda(jnp.negative), {})})
    assert_close(ours.model.apply({}, jnp.ones((2, 3))), -jnp.ones((2, 3)))
