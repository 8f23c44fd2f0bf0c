"""`jm.from_keras`: what stands between layers, models inside models, files."""

import re
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.carried import check
from tests.support.beside_keras.random_models import draw_weights

pytestmark = pytest.mark.usefixtures("fresh")
BATCH, TIME, FEATURES = 3, 6, 4


@pytest.fixture
def x(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.normal(size=(BATCH, TIME, FEATURES)), "float32")


@pytest.fixture
def ids(rng: np.random.Generator) -> jax.Array:
    return jnp.asarray(rng.integers(1, 9, size=(BATCH, TIME)), "int32")


def test_an_initial_state(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    a, b = keras.Input((None, FEATURES)), keras.Input((None, FEATURES))
    _, *state = layers.LSTM(3, return_state=True)(a)
    decoded = layers.LSTM(3, return_sequences=True)(b, initial_state=state)
    check(keras.Model([a, b], layers.Dense(2)(decoded)), x, x[:, :4], rng=rng)


def test_masks_that_keras_fills_in_are_found_by_jmask(
    keras: Any, layers: Any, ids: Any, rng: Any, tmp_path: Any
) -> None:
    inputs = keras.Input((None,))  # floats, as is the default
    h = layers.Embedding(9, 4, mask_zero=True)(inputs)
    model = keras.Model(inputs, layers.LSTM(3)(layers.Dense(4)(h)))
    model.save(tmp_path / "model.keras")
    for source in (model, keras.saving.load_model(tmp_path / "model.keras")):
        ours = check(source, ids.at[:, 4:].set(0), rng=rng)
        assert [call.mask_flow for call in ours.calls] == [("made",), ("passed",), ("used", "pooled")]
        assert "mask" not in ours.calls[-1].named


def test_a_mask_that_the_user_gives_is_given(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    a, mask = keras.Input((TIME, FEATURES)), keras.Input((TIME,), dtype="bool")
    model = keras.Model([a, mask], layers.GRU(3)(a, mask=mask))
    check(model, x, jnp.arange(TIME) < jnp.array([[6], [2], [4]]), rng=rng)


def test_operators_and_functions_between_layers(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    a = keras.Input((TIME, FEATURES))
    h = layers.Dense(FEATURES)(a)
    y = keras.ops.tanh(1.0 - h / 2.0) * a + (-h) ** 2 - keras.ops.relu(h)
    check(keras.Model(a, {"cut": y[:, 1:-1], "last": abs(y)[:, -1], "large": y > 0.5}), x, rng=rng)


def test_constants_between_layers(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    a, constant = keras.Input((TIME, FEATURES)), np.arange(FEATURES, dtype="float32")
    model = keras.Model(a, [a * constant, keras.ops.subtract(x2=a, x1=constant), keras.ops.matmul(a, np.ones((4, 2)))])
    check(model, x, rng=rng)


def test_an_output_alone_in_a_list_is_given_without_it(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    a = keras.Input((TIME, FEATURES))
    model = keras.Model([a], [layers.Dense(2)(a)])
    ours, params, _ = jm.from_keras(model)
    assert_close(ours.apply(params, [x]), model([x]))


def test_options_of_calls_that_are_off(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    a, attention = keras.Input((TIME, FEATURES)), layers.MultiHeadAttention(2, 2)
    check(keras.Model(a, attention(attention(a, a), a, use_causal_mask=False)), x, rng=rng)


def test_shared_layers_share_their_parameters(keras: Any, layers: Any, x: Any, rng: Any) -> None:
    a, shared = keras.Input((None, FEATURES)), layers.Dense(FEATURES)
    ours = check(keras.Model(a, shared(shared(a))), x, rng=rng)
    assert list(ours.init(jax.random.key(0))) == ["dense"]
    twice = layers.Dense(FEATURES)
    ours = check(keras.Sequential([keras.Input((None, FEATURES)), twice, layers.ReLU(), twice]), x, rng=rng)
    assert len(ours.layers) == 4
    assert len(ours.named_layers) == 2


def test_models_inside_models(keras: Any, layers: Any, ids: Any, rng: Any) -> None:
    inner = keras.Input((None, 4))
    block = keras.Model(inner, layers.Add()([inner, layers.BatchNormalization()(layers.Dense(4)(inner))]), name="block")
    encoder = keras.Sequential([layers.Embedding(9, 4, mask_zero=True), block, block, layers.LSTM(3)], name="encoder")
    left, right = keras.Input((None,), name="left"), keras.Input((None,), name="right")
    model = keras.Model({"left": left, "right": right}, [encoder(left), encoder(right)])
    draw_weights(model, rng)
    ours, params, state = jm.from_keras(model)
    given = {"left": ids, "right": ids[:, ::-1][:, :4]}
    outputs, _ = ours.apply_with_state(params, state, given)
    jax.tree.map(assert_close, [y.values for y in outputs], model(given))
    assert sorted(params["encoder"]) == ["block", "embedding", "lstm"]
    assert sorted(state["encoder"]["block"]) == ["batch_normalization"]


def test_time_distributed_over_a_model(keras: Any, layers: Any, rng: Any) -> None:
    words = keras.Sequential([keras.Input((5,)), layers.Embedding(9, 4, mask_zero=True), layers.LSTM(3)])
    documents = keras.Input((None, 5))
    model = keras.Model(documents, layers.GRU(2)(layers.TimeDistributed(words)(documents)))
    check(model, jnp.asarray(rng.integers(1, 9, (2, 3, 5)), "int32"), rng=rng)


def test_a_sequential_that_was_built_by_a_call(keras: Any, layers: Any, ids: Any, rng: Any, tmp_path: Any) -> None:
    model = keras.Sequential([layers.Embedding(9, 4, mask_zero=True), layers.LSTM(3), layers.Dense(2)])
    model(ids)
    ours = check(model, ids, rng=rng)
    assert [node.dtype for node in ours.layers[:1]] == [jnp.int32]
    model.save(tmp_path / "model.keras")
    again, params, state = jm.from_keras(str(tmp_path / "model.keras"))
    assert_close(again.apply(params, ids), model(ids))
    assert state == {}


def test_the_example_of_the_readme(keras: Any) -> None:
    readme = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^```py\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    names = {"jm": jm}
    exec(example, names)
    assert sorted(names["params"]) == ["embedding", "lstm"]
