"""Each layer of one input sees rows without padding under a mask of rows, `(batch,)`, which pooling leaves."""

import runpy
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

PAGE = Path(__file__).parents[2] / "docs" / "make_layers.py"
REAL = np.array([True, False, True])


def layers_over_time():
    """Those of the table of layers with one input `(batch, time, ...)` of floats."""
    for layer, *inputs in [row for rows in runpy.run_path(str(PAGE))["TABLE"].values() for row in rows]:
        node = inputs[0]
        if len(inputs) == 1 and not isinstance(node, list) and len(node.shape) > 2 and node.dtype == jnp.float32:
            yield pytest.param(layer, node.shape[2:], id=type(layer).__name__)


@pytest.mark.parametrize(("layer", "step"), list(layers_over_time()))
def test_a_row_is_a_sequence_of_its_own(layer, step, rng):
    values = jnp.asarray(rng.normal(size=(len(REAL), 5, *step)), "float32")
    params, state = layer.init(jax.random.key(0), values), layer.init_state(values)

    def run(x):
        outputs = layer.apply_with_state(params, state, x)[0] if state else layer.apply(params, x)
        return np.asarray(getattr(outputs, "values", outputs))

    expected = run(values)
    values = np.where(REAL.reshape(-1, *(1,) * (values.ndim - 1)), values, np.nan)
    found = run(jm.masked(values, REAL))
    assert_close(found[REAL], expected[REAL])  # if steps of several rows meet: `jmask.protocol.row_masks.over_time`
