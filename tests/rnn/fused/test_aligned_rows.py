"""The layout of accelerators, run on a CPU: every row a lane, its steps gathered before the loop."""

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import AxisType

import jmask as jm
from jmask.rnn.fused import layout, plan
from jmask.transform.equation import body_of, programs_in
from tests.rnn.fused import test_real_nan, test_sharding
from tests.rnn.fused.test_packed import draw_sequences
from tests.support.fused_runs import (
    LAYOUTS,
    NAMES,
    QUICKLY,
    assert_is_the_oracle,
    assert_same,
    differentiate,
    draw_cotangents,
    draw_params,
    draw_state,
    draw_values,
)

PLACED_BY_INDEX = {"gather", "scatter", "scatter-add"}
ROWS, TIME = 7, 83  # two blocks, the last one not full


@pytest.fixture(autouse=True)
def accelerator(monkeypatch):
    """What decides by the platform decides as on a TPU; the programs run here all the same."""
    jax.clear_caches()  # programs are kept by their arguments, not by the platform
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    assert plan.widths(ROWS) == ()
    assert 1 < -(-TIME // layout.block_steps(ROWS, TIME)) < TIME
    yield
    jax.clear_caches()


def run(name: str, reverse: bool, *args: Any) -> Any:
    def differentiated(*args: Any) -> Any:
        return differentiate(name, *args, reverse=reverse, remat=not reverse)

    return jax.jit(differentiated, compiler_options=QUICKLY)(*args)


@pytest.mark.parametrize("padding", [pytest.param(p, marks=[pytest.mark.slow] if p == "left" else []) for p in LAYOUTS])
@pytest.mark.parametrize("name", [*NAMES[:2], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[2:])])
def test_each_sequence_is_alone(name, padding, rng, x64):
    mask = LAYOUTS[padding]([TIME, 0, 1, 64, 17, 80, 63], TIME)
    mask[3] = False
    params, initial = draw_params(rng, name), draw_state(rng, name, ROWS)
    x = jm.masked(jnp.asarray(draw_values(rng, mask)), jnp.asarray(mask))
    cotangents = draw_cotangents(rng, name, ROWS, TIME)
    reverse = padding != "right"
    actual = run(name, reverse, params, x, initial, cotangents)
    assert_is_the_oracle(actual, name, params, x, initial, cotangents, reverse=reverse)


@pytest.mark.parametrize("name", [NAMES[-1], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[:-1])])
def test_each_sequence_of_a_pack_is_alone(name, rng, x64):
    params, sequences = draw_params(rng, name), draw_sequences(rng)
    x = jax.tree.map(jnp.asarray, jm.pack(sequences, row_length=17, num_rows=11))
    cotangents = draw_cotangents(rng, name, *x.mask.shape)
    actual = run(name, False, params, x, None, cotangents)
    assert_is_the_oracle(actual, name, params, x, None, cotangents)


def test_a_batch_of_batches(rng, x64):
    args = test_sharding.draw(rng, "lstm")
    expected = test_sharding.expected_of("lstm", args)
    params, *rows = args
    parts = jax.tree.map(lambda array: array.reshape(3, -1, *array.shape[1:]), rows)
    actual = jax.jit(jax.vmap(test_sharding.program("lstm"), (None, 0, 0, 0)), compiler_options=QUICKLY)(params, *parts)
    joined = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), actual._replace(by_params=None))
    assert_same(joined, expected._replace(by_params=None))
    assert_same(jax.tree.map(lambda array: array.sum(0), actual.by_params), expected.by_params)


def test_on_eight_devices(rng, x64):
    test_sharding.test_sharded_jit("lstm", AxisType.Auto, rng, x64)


def test_nan_at_a_real_step_stays_in_its_sequence(rng):
    test_real_nan.test_nan_at_a_real_step_stays_in_its_sequence("lstm", False, rng)


def primitives(jaxpr: Any, in_loop: bool = False) -> Iterator[tuple[str, bool]]:
    """The name of each operation of a program, and whether it is in a loop."""
    for eqn in body_of(jaxpr).eqns:
        yield eqn.primitive.name, in_loop
        for inner in programs_in(eqn.params):
            yield from primitives(inner, in_loop or eqn.primitive.name in ("while", "scan"))


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_nothing_in_a_loop_is_placed_by_index(name, packed, rng):
    mask = LAYOUTS["right"]([TIME, 0, 1, 64, 17, 80, 63], TIME)
    x = jm.masked(jnp.asarray(draw_values(rng, mask)), jnp.asarray(mask))
    x = x.with_segment_ids(jnp.asarray(mask, jnp.int32)) if packed else x
    initial = None if packed else draw_state(rng, name, ROWS)
    args = draw_params(rng, name), x, initial, draw_cotangents(rng, name, ROWS, TIME)
    found = set(primitives(jax.make_jaxpr(lambda *args: differentiate(name, *args))(*args).jaxpr))
    assert {("gather", False), ("dot_general", True)} <= found
    assert {operation for operation, in_loop in found if in_loop and operation in PLACED_BY_INDEX} == set()
