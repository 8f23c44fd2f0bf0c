"""The fused engine is, for every mask, the loop over each sequence alone: outputs, states and all gradients."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import jmask as jm
from jmask.rnn.fused import plan
from jmask.testing import assert_close
from tests.support import fused_oracle
from tests.support.fused_runs import (
    LAYOUTS,
    NAMES,
    assert_is_the_oracle,
    compiled,
    draw_cotangents,
    draw_params,
    draw_state,
    draw_values,
)

STEP = 1e-6  # of a central difference


@pytest.fixture(autouse=True, scope="module")
def many_widths():
    """All widths of lanes for few units too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plan, "_LARGE", 1)
        yield


# name, rows, time, reverse, initial state, bias, remat: with one, two and three numbers of lanes to choose from.
PROGRAMS = [
    ("lstm", 1, 13, False, False, True, False),
    ("lstm", 13, 11, True, True, True, True),
    ("lstm", 37, 23, False, True, False, True),
    ("lstm", 70, 40, True, False, True, False),
    ("gru", 5, 7, True, True, True, False),
    ("gru", 13, 11, False, False, False, True),
    ("gru", 41, 17, True, True, True, True),
    ("gru_reset_before", 7, 5, False, True, True, True),
    ("gru_reset_before", 11, 13, True, False, False, False),
    ("gru_reset_before", 31, 19, False, True, True, False),
    ("simple_rnn", 3, 29, True, True, False, True),
    ("simple_rnn", 8, 1, False, True, True, False),
    ("simple_rnn", 67, 31, True, False, True, True),
]


@pytest.fixture(scope="module", autouse=True)
def float64():
    """For all of this file, and not function by function, which hypothesis would not have."""
    jax.config.update("jax_enable_x64", True)
    yield
    jax.config.update("jax_enable_x64", False)


@st.composite
def batches(draw, rows, time):
    """Rows of any lengths or of mostly short ones, some full, some empty, and where their padding is."""
    most = draw(st.integers(0, time))
    lengths = draw(st.lists(st.integers(0, most), min_size=rows, max_size=rows))
    for row in draw(st.sets(st.integers(0, rows - 1), max_size=3)):
        lengths[row] = time
    return draw(st.sampled_from(sorted(LAYOUTS))), lengths


@pytest.mark.slow
@pytest.mark.parametrize(("name", "rows", "time", "reverse", "has_state", "has_bias", "remat"), PROGRAMS)
def test_it_is_the_loop_over_each_sequence_alone(name, rows, time, reverse, has_state, has_bias, remat):
    program: Any = compiled(name, reverse=reverse, remat=remat)
    num_programs = program._cache_size()

    @settings(max_examples=10)
    @example(("right", [0] * rows))
    @example(("right", [time] * rows))
    @given(batches(rows, time))
    def check(batch):
        layout, lengths = batch
        mask = LAYOUTS[layout](lengths, time)
        rng = np.random.default_rng(int(mask.sum()))
        x = jm.masked(jnp.asarray(draw_values(rng, mask)), jnp.asarray(mask))
        params = draw_params(rng, name, bias=has_bias)
        initial = draw_state(rng, name, rows) if has_state else None
        cotangents = draw_cotangents(rng, name, rows, time)
        actual = program(params, x, initial, cotangents)
        assert_is_the_oracle(actual, name, params, x, initial, cotangents, reverse=reverse)

    check()
    assert program._cache_size() <= num_programs + 1


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_no_mask_at_all(name, rng):
    """Nothing is planned then; 11 steps are no whole number of blocks."""
    rows, time, reverse = 13, 11, name in ("gru", "lstm")
    params, initial = draw_params(rng, name), draw_state(rng, name, rows)
    values, cotangents = rng.normal(size=(rows, time, 3)), draw_cotangents(rng, name, rows, time)
    actual = compiled(name, reverse=reverse, remat=not reverse)(params, values, initial, cotangents)
    x = jm.masked(values, np.ones((rows, time), bool))
    assert_is_the_oracle(actual, name, params, x, initial, cotangents, reverse=reverse)


def total(name, structure, leaves, cotangents):
    """The sum whose gradients the oracle gives, of the leaves of a point."""
    params, x, initial = structure.unflatten(leaves)
    outputs, state, *_ = fused_oracle.run_sequence(name, params, x, initial, *cotangents)
    return np.sum(outputs * cotangents[0]) + sum(np.sum(s * d) for s, d in zip(state, cotangents[1], strict=True))


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_the_oracle_has_the_gradients_of_its_values(name, has_bias, rng):
    """By a central difference in a random direction of everything at once, and of each thing alone."""
    params, x = draw_params(rng, name, bias=has_bias), rng.normal(size=(7, 3))
    douts, dlast = draw_cotangents(rng, name, 1, 7)
    initial = tuple(part[0] for part in draw_state(rng, name, 1))
    cotangents = douts[0], tuple(part[0] for part in dlast)
    point = params, x, initial
    _, _, *gradients = fused_oracle.run_sequence(name, params, x, initial, *cotangents)
    leaves, structure = jax.tree.flatten(point)
    gradients = structure.flatten_up_to(tuple(gradients))
    directions = [rng.normal(size=leaf.shape) for leaf in leaves]
    for moved in (*([i] for i in range(len(leaves))), range(len(leaves))):
        ends = [total(name, structure, shifted(leaves, directions, moved, s), cotangents) for s in (STEP, -STEP)]
        expected = sum(np.sum(gradients[i] * directions[i]) for i in moved)
        assert_close((ends[0] - ends[1]) / (2 * STEP), expected, precision="difference")


def shifted(leaves, directions, moved, step):
    return [leaf + step * d if i in moved else leaf for i, (leaf, d) in enumerate(zip(leaves, directions, strict=True))]
