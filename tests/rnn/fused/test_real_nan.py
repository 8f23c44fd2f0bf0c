"""A NaN at a real step is that sequence's own: neither outputs nor gradients of the others see it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from tests.support.fused_runs import (
    NAMES,
    QUICKLY,
    differentiate,
    draw_cotangents,
    draw_params,
    draw_state,
    draw_values,
)

LENGTHS = [60, 10, 20, 60, 5, 0, 33, 60, 47]  # more rows than lanes: some lanes run several, all but the longest idle
ROWS, TIME = len(LENGTHS), max(LENGTHS)
PLACES = [(8, 46), (0, 0), (6, 3)]  # the last real step of all, the first of all, and one among others


@pytest.mark.parametrize("remat", [False, pytest.param(True, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[2:])])
def test_nan_at_a_real_step_stays_in_its_sequence(name, remat, rng):
    values = draw_values(rng, np.arange(TIME) < np.array(LENGTHS)[:, None])
    params, initial, cotangents = (
        draw_params(rng, name),
        draw_state(rng, name, ROWS),
        draw_cotangents(rng, name, ROWS, TIME),
    )
    program = jax.jit(lambda *args: differentiate(name, *args, remat=remat), compiler_options=QUICKLY)
    for place in PLACES:
        bad = values.copy()
        bad[place] = np.nan
        found = program(params, jm.from_lengths(jnp.asarray(bad), LENGTHS), initial, cotangents)
        for leaf in (found.outputs, *found.state, found.by_inputs, *found.by_initial):
            assert np.unique(np.nonzero(np.isnan(leaf))[0]).tolist() == [place[0]]
