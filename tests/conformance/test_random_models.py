"""Random models of Keras, carried by `jm.from_keras`: a padded batch in jmask, each row alone in Keras.

Two rows of the batch are empty, as in a last batch that is filled up.
"""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.beside_keras.random_models import VOCABULARY, Builder, draw_weights

pytestmark = pytest.mark.usefixtures("fresh")
NUM_MODELS = 12  # of which some hundred more were tried
TIME, LENGTHS = 9, (4, 7, 4)
BATCH, PLACES = 5, (0, 2, 3)  # where the rows are; the others are empty
LAYOUTS = ("right", "left", "holes")


@pytest.mark.parametrize("number", range(NUM_MODELS))
def test_a_padded_batch_equals_each_row_alone_in_keras(keras: Any, number: int) -> None:
    rng = np.random.default_rng(number)
    theirs = Builder(keras, rng).model()
    draw_weights(theirs, rng)
    model, params, state = jm.from_keras(theirs)
    rows = [_row(theirs, length, rng) for length in LENGTHS]
    x = _padded(rows, LAYOUTS[number % 3])
    outputs, gradient = _ours(model, params, state, x, number)
    found, expected = _theirs(keras, theirs, rows, number)
    for ours in outputs:
        assert np.flatnonzero(np.reshape(ours.mask, (BATCH, -1)).any(1)).tolist() == list(PLACES)
    for row, place in enumerate(PLACES):
        for ours, alone in zip(outputs, found[row], strict=True):
            assert_close(_row_of(ours, place), alone)
    jax.tree.map(assert_close, gradient, expected)


def _ours(model: Any, params: Any, state: Any, x: jm.Masked, seed: int) -> tuple[list[Any], Any]:
    """Outputs of the padded batch, and the gradient of a weighted sum of them with respect to the parameters."""

    def loss(params: Any, x: jm.Masked) -> Any:
        outputs, _ = model.apply_with_state(params, state, x)
        leaves = jax.tree.leaves(outputs, is_leaf=lambda leaf: isinstance(leaf, jm.Masked))
        return sum(_weighted(leaf, seed) for leaf in leaves), leaves

    (_, outputs), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(params, x)
    return outputs, gradient


def _weighted(y: Any, seed: int) -> Any:
    """A sum of all entries, each with a weight of its own that depends on its step and not on the padding."""
    if y.ndim == 2:
        return jnp.sum((y.fill(0) if isinstance(y, jm.Masked) else y) * _weights(1, y.shape[-1], seed)[0])
    position = jnp.maximum(jnp.cumsum(y.mask, axis=1) - 1, 0)
    weights = _weights(y.shape[1], y.shape[-1], seed)[position]
    return jnp.sum(y.fill(0) * weights * y.mask[..., None])


def _weights(steps: int, features: int, seed: int) -> Any:
    return jax.random.normal(jax.random.key(seed), (64, 64))[:steps, :features]


def _theirs(keras: Any, model: Any, rows: list[Any], seed: int) -> tuple[list[Any], Any]:
    """Outputs of each row, and the sum of the gradients, in the structure of jmask's parameters."""
    variables = model.trainable_variables

    def loss(values: Any, row: Any) -> Any:
        fixed = [variable.value for variable in model.non_trainable_variables]
        outputs, _ = model.stateless_call(values, fixed, row, training=False)
        leaves = keras.tree.flatten(outputs)
        return sum(_weighted(jm.as_masked(y) if y.ndim > 2 else y, seed) for y in leaves), leaves

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    results = [run([v.value for v in variables], row[None]) for row in rows]
    for i, variable in enumerate(variables):  # the structure of gradients is that of weights
        variable.assign(sum(gradient[i] for _, gradient in results))
    return [[y[0] for y in outputs] for (_, outputs), _ in results], jm.from_keras(model).params


def _row(model: Any, length: int, rng: np.random.Generator) -> Any:
    if "int" in model.inputs[0].dtype:
        return jnp.asarray(rng.integers(1, VOCABULARY, length), "int32")  # 0 is padding in some models
    return jnp.asarray(rng.normal(size=(length, 3)), "float32")


def _padded(rows: list[Any], layout: str) -> jm.Masked:
    """The rows in one batch among empty ones, with NaN, or an id that is none, where there is no step."""
    nothing = jnp.nan if jnp.issubdtype(rows[0].dtype, jnp.floating) else -1
    values = jnp.full((BATCH, TIME, *rows[0].shape[1:]), nothing, rows[0].dtype)
    mask = np.zeros((BATCH, TIME), bool)
    places = {"right": np.arange(TIME), "left": np.arange(TIME)[::-1], "holes": np.array([1, 8, 3, 6, 0, 4, 7, 2, 5])}
    for i, row in zip(PLACES, rows, strict=True):
        at = np.sort(places[layout][: len(row)])
        values, mask[i, at] = values.at[i, at].set(row), True
    return jm.masked(values, jnp.asarray(mask))


def _row_of(y: Any, row: int) -> Any:
    """One row of a result without its padding."""
    return y.values[row] if y.mask.ndim == 1 else y.values[row][np.asarray(y.mask[row])]
