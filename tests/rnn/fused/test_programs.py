"""What the fused engine compiles: one program for all masks and every platform, in three precisions, for long runs."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.rnn.fused import plan as plans
from jmask.testing import assert_close
from tests.support import fused_oracle
from tests.support.fused_runs import (
    FEATURES,
    NAMES,
    QUICKLY,
    UNITS,
    assert_same,
    compiled,
    differentiate,
    draw_cotangents,
    draw_params,
    draw_state,
    draw_values,
    run,
)

EACH = pytest.mark.parametrize("name", NAMES)


def draw(rng, name, mask, dtype="float32", units=UNITS):
    """Arguments of `differentiate`."""
    rows, time = mask.shape
    x = jm.masked(jnp.asarray(draw_values(rng, mask), dtype), jnp.asarray(mask))
    cotangents = draw_cotangents(rng, name, rows, time, units)
    wide = "float64" if dtype == "float64" else "float32"
    initial = tuple(jnp.asarray(part, wide) for part in draw_state(rng, name, rows, units))
    dstate = tuple(jnp.asarray(part, wide) for part in cotangents[1])
    return draw_params(rng, name, units=units, dtype=dtype), x, initial, (jnp.asarray(cotangents[0], dtype), dstate)


def draw_mask(rng, rows, time, fill=0.5):
    """Holes, an empty row, a row without padding."""
    mask = rng.random((rows, time)) < fill
    mask[0], mask[-1] = False, True
    return mask


def expected_of(name, params, x, initial, cotangents, **options):
    """What the oracle gives for what these hold, rounded as they are."""
    params, values, initial, cotangents = jax.tree.map(
        lambda leaf: np.asarray(leaf, np.float64), (params, x.values, initial, cotangents)
    )
    return fused_oracle.run_batch(name, params, values, np.asarray(x.mask), initial, cotangents, **options)


# One program


@pytest.mark.slow
def test_fifty_random_lengths_compile_once(rng):
    """Fills from nothing to everything, for which the engine chooses each of its numbers of lanes."""
    rows, time, num_traces = 32, 19, 0
    params, cotangents = draw_params(rng, "lstm", dtype="float32"), draw_cotangents(rng, "lstm", rows, time)
    choose = jax.jit(lambda mask: plans.make_plan(mask, None, reverse=False, choices=plans.widths(rows)).choice)

    def count_and_differentiate(params, x, cotangents):
        nonlocal num_traces
        num_traces += 1
        return differentiate("lstm", params, x, None, cotangents)

    step: Any = jax.jit(count_and_differentiate, compiler_options=QUICKLY)
    cotangents, choices = jax.tree.map(lambda c: jnp.asarray(c, "float32"), cotangents), set()
    for fill in np.linspace(0, 1, 50):
        lengths = np.minimum(rng.exponential(time * fill, rows).astype(int), time) if fill < 1 else np.full(rows, time)
        x = jm.from_lengths(jnp.ones((rows, time, FEATURES)), lengths)
        step(params, x, cotangents)
        choices.add(int(choose(x.mask)))
    assert num_traces == 1
    assert choices == {0, 1, 2}


def test_an_eager_call_compiles_once(rng, caplog):
    params, x, *_ = draw(rng, "gru", draw_mask(rng, 9, 5))
    run("gru", params, x)
    other = jm.masked(x.values * 2, ~x.mask)
    with jax.log_compiles(), caplog.at_level("WARNING"):
        run("gru", params, other)
    assert not caplog.records


# Other platforms


@pytest.mark.slow
@pytest.mark.parametrize("platform", ["tpu", "cuda"])
@EACH
def test_it_lowers_for_other_platforms(name, platform, rng):
    """With and without a mask, whose loops differ; forwards, and with the gradient, with gates saved and computed."""
    params, x, initial, cotangents = draw(rng, name, draw_mask(rng, 17, 7))
    for given in (x, x.fill(0)):
        for program in (
            lambda params, x, initial, _: run(name, params, x, initial)[1],
            functools.partial(differentiate, name, remat=True),
            functools.partial(differentiate, name, remat=False, reverse=True),
        ):
            traced = jax.jit(program).trace(params, given, initial, cotangents)
            text = traced.lower(lowering_platforms=(platform,)).as_text()
            assert "stablehlo.while" in text
            assert "callback" not in text


# Precisions


@pytest.mark.slow
@EACH
def test_float32(name, rng):
    args = draw(rng, name, draw_mask(rng, 13, 11))
    actual = compiled(name, quickly=False, reverse=True)(*args)  # as a user compiles it
    assert {leaf.dtype for leaf in jax.tree.leaves(actual)} == {jnp.dtype("float32")}
    assert_same(actual, expected_of(name, *args, reverse=True))


@pytest.mark.slow
@EACH
def test_bfloat16_in_products_alone(name, rng):
    """The state is float32, so what is lost is lost in the products, whose operands are rounded to 8 bits: an error of
    0.4% of a term at most, which does not add up over the steps; gradients meet it twice. The table allows 4%."""
    # 5 units: such small products in bfloat16 have aborted XLA of jaxlib 0.7.2.
    args = draw(rng, name, draw_mask(rng, 3, 7), dtype="bfloat16", units=5)
    actual = compiled(name, remat=True)(*args)
    half = (actual.outputs, actual.by_params, actual.by_inputs)
    assert {leaf.dtype for leaf in jax.tree.leaves(half)} == {jnp.dtype("bfloat16")}
    assert {leaf.dtype for leaf in (*actual.state, *actual.by_initial)} == {jnp.dtype("float32")}
    assert_same(actual, expected_of(name, *args), precision="bfloat16")


@pytest.mark.slow
def test_a_state_in_float32_keeps_what_bfloat16_would_lose(rng):
    """A cell that adds 1/512 a step: in bfloat16, 1 + 1/512 is 1, and the cell would stay there."""
    gates = jnp.array([[100.0], [100.0], [np.arctanh(1 / 512)], [100.0]], "bfloat16").T  # i = f = o = 1
    params = {"kernel": gates, "recurrent_kernel": jnp.zeros((1, 4), "bfloat16")}
    x = jm.from_lengths(jnp.ones((9, 1024, 1), "bfloat16"), [1024, 512, 0, 0, 0, 0, 0, 0, 0])
    _, (_, cell) = run("lstm", params, x)
    step = float(jnp.tanh(gates[0, 2].astype("float32")))
    assert_close(cell[:3, 0], [1024 * step, 512 * step, 0.0], precision="float32")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@EACH
def test_where_there_is_float64(name, dtype, rng, x64):
    """Nothing becomes wider or narrower than it was given; `test_properties.py` has the values."""
    args = draw(rng, name, draw_mask(rng, 9, 7), dtype)
    results = jax.eval_shape(functools.partial(differentiate, name), *args)
    assert {leaf.dtype for leaf in jax.tree.leaves(results)} == {jnp.dtype(dtype)}


# Sizes


@pytest.mark.slow
@EACH
def test_ten_thousand_steps_stay_finite(name, rng):
    """And a short row, which the lanes put behind or beside the long ones, gives what it gives alone."""
    time = 10_000
    lengths = np.array([time, 17, 0, 9_000, 1, 900, 3, 2])
    mask = np.arange(time) < lengths[:, None]
    params, x, initial, cotangents = draw(rng, name, mask)
    actual = compiled(name, remat=True)(params, x, initial, cotangents)
    assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(actual))
    alone = run(name, params, x[1:2, :17], jax.tree.map(lambda part: part[1:2], initial))
    assert_close(actual.outputs[1:2, :17], alone[0].values)
    assert_same(jax.tree.map(lambda part: part[1:2], actual.state), alone[1])


@pytest.mark.slow
@pytest.mark.parametrize(("rows", "time"), [(0, 5), (3, 0), (0, 0), (1, 1), (2, 1)])
@EACH
def test_next_to_nothing(name, rows, time, rng):
    mask = np.ones((rows, time), bool)
    params, x, initial, cotangents = args = draw(rng, name, mask)
    for given in (x, x.fill(0)):
        actual = differentiate(name, params, given, initial, cotangents)
        assert_same(actual, expected_of(name, *args))
    assert actual.outputs.shape == (rows, time, UNITS)
