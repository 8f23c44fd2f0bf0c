"""Attention in blocks beside attention of all pairs, of which JAX knows every derivative."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jmask as jm
from jmask.ops import block_attention, blockwise
from jmask.ops.blockwise.blocks import Blocks, find_pairs
from jmask.ops.blockwise.engine import attend_densely
from jmask.ops.blockwise.rows import sides_of
from jmask.testing import assert_close
from jmask.testing.counting import Counted
from tests.support.collectives import collectives

attention: Any = jm.ops.attention
QUERIES, KEYS = 11, 7  # neither of which blocks of 3 or 5 divide
CASES = {
    "padded": ((4, 2), blockwise.AttentionOptions(0.3, block=3)),
    "padded, causal": ((2, 2), blockwise.AttentionOptions(0.3, right=0, block=5)),
    "holes, window": ((6, 2), blockwise.AttentionOptions(0.3, 3, 1, block=3)),
    "packed": ((2, 1), blockwise.AttentionOptions(0.3, block=3)),
    "packed, causal, window": ((2, 2), blockwise.AttentionOptions(0.3, 2, 0, block=3)),
    "places in any order": ((2, 2), blockwise.AttentionOptions(0.3, 4, None, block=3)),
}


def draw_ids(rng, rows, time, kind):
    """Ids that rise along a row, 0 at padding; the first row is empty."""
    if kind.startswith("packed"):
        ids = np.sort(rng.integers(0, 4, (rows, time)))
        ids = np.where(rng.random((rows, time)) < 0.2, 0, ids)
    else:
        ids = rng.random((rows, time)) < 0.6
        ids = ids if kind.startswith(("holes", "places")) else -np.sort(-ids.astype(int))
    ids = np.array(ids, np.int32)
    ids[0] = 0
    return ids


def draw(rng, kind, heads, rows=5, dtype="float64"):
    """A batch with NaN in the padding, and cotangents that are NaN there as well."""
    is_packed = kind.startswith("packed")
    queries, keys = QUERIES, QUERIES if is_packed else KEYS
    ids = draw_ids(rng, rows, queries, kind)
    key_ids = ids if is_packed else draw_ids(rng, rows, keys, kind)[::-1].copy()

    def values(ids, heads, features):
        array = rng.normal(size=(*ids.shape, heads, features))
        return jnp.asarray(np.where(ids[..., None, None] > 0, array, np.nan), dtype)

    by_step = [ids, key_ids]
    if kind.startswith("places"):
        by_step += [rng.integers(0, 9, (rows, time)).astype(np.int32) for time in (queries, keys)]
    batch = blockwise.AttentionRows(
        values(ids, heads[0], 3), values(key_ids, heads[1], 3), values(key_ids, heads[1], 5), *by_step
    )
    return jax.tree.map(jnp.asarray, batch), values(ids, heads[0], 5)


def differentiate(function, options, rows, dout):
    """The outputs, and the gradients of query, key and value."""
    out, pull_back = jax.vjp(lambda *values: function(options, blockwise.AttentionRows(*values, *rows[3:])), *rows[:3])
    return out, pull_back(dout)


def blank(rows, dout):
    """The cotangents of the dense path: 0 in the padding, which it does not hide from NaN."""
    return jnp.where(rows.query_ids[..., None, None] > 0, dout, 0)


@pytest.mark.parametrize("kind", CASES)
def test_blocks_give_what_all_pairs_give(kind, rng, x64):
    """Ten batches by one program."""
    heads, options = CASES[kind]
    counted = Counted(functools.partial(differentiate, blockwise.attend, options))
    program, dense = jax.jit(counted), jax.jit(functools.partial(differentiate, attend_densely, options))
    for _ in range(10):
        rows, dout = draw(rng, kind, heads)
        jax.tree.map(assert_close, program(rows, dout), dense(rows, blank(rows, dout)))
    assert counted.num_traces == 1


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(dtype, rng, x64):
    heads, options = CASES["holes, window"]
    rows, dout = draw(rng, "holes, window", heads, dtype=dtype)
    out, gradients = differentiate(blockwise.attend, options, rows, dout.astype("float32"))
    wide = rows._replace(**{name: getattr(rows, name).astype("float64") for name in rows._fields[:3]})
    exact, exact_gradients = differentiate(attend_densely, options, wide, blank(rows, dout).astype("float64"))
    assert out.dtype == "float32"
    assert_close(out, exact, precision="float32")
    for found, expected in zip(gradients, exact_gradients, strict=True):
        assert found.dtype == dtype
        assert_close(found, expected, precision=dtype)


@pytest.mark.slow
def test_only_pairs_that_see_each_other_are_visited():
    def num_pairs(options, ids, key_ids=None):
        ids, key_ids = jnp.asarray(ids), jnp.asarray(ids if key_ids is None else key_ids)
        query, key = (jnp.zeros((*x.shape, 1, 1)) for x in (ids, key_ids))
        rows = blockwise.AttentionRows(query, key, key, ids, key_ids)
        sides = Blocks(ids.shape[1], options.block), Blocks(key_ids.shape[1], options.block)
        pairs = jax.jit(find_pairs, static_argnums=(0, 1))(options, sides, *sides_of(options, rows))
        visits = (pairs.end - pairs.begin)[pairs.queries[: pairs.count]]
        assert visits.sum() == pairs.end[-1]
        return int(pairs.count), int(visits.sum())

    padded, options = [[1] * 4 + [0] * 8, [0] * 12, [1] * 12], blockwise.AttentionOptions(1.0, block=2)
    assert num_pairs(options, padded) == (2 + 6, 2 * 2 + 6 * 6)
    assert num_pairs(options._replace(right=0), padded) == (2 + 6, 3 + 21)
    assert num_pairs(options._replace(left=2, right=0), padded) == (2 + 6, 3 + 11)
    assert num_pairs(options, padded, [[0, 1, 0, 0, 0, 1]] * 3) == (2 + 6, (2 + 6) * 2)
    assert num_pairs(options, [[1, 1, 1, 1, 2, 2, 3, 3, 3, 3, 0, 0]]) == (5, 2 * 2 + 1 + 2 * 2)


def gradient_of(transform, function, options):
    """`(rows, dout) -> gradients` of the transformed function."""

    def gradients(rows, dout):
        def loss(*values):
            return (
                transform(functools.partial(function, options))(blockwise.AttentionRows(*values, *rows[3:])) * dout
            ).sum()

        return jax.grad(loss, (0, 1, 2))(*rows[:3])

    return gradients


def second_derivative(function, options):
    def norm(rows, dout, *values):
        found = differentiate(function, options, blockwise.AttentionRows(*values, *rows[3:]), dout)
        return sum((leaf**2).sum() for leaf in jax.tree.leaves(found))

    return lambda rows, dout: jax.grad(functools.partial(norm, rows, dout), (0, 1, 2))(*rows[:3])


TRANSFORMS = {
    "vmap of the gradient": lambda *f: jax.vmap(functools.partial(differentiate, *f)),
    "gradient of vmap": functools.partial(gradient_of, jax.vmap),
    "checkpoint": functools.partial(gradient_of, jax.checkpoint),
    "second derivative": second_derivative,
}


@pytest.mark.slow
@pytest.mark.parametrize("name", TRANSFORMS)
def test_a_transform_gives_what_it_gives_of_all_pairs(name, rng, x64):
    heads, options = CASES["holes, window"]
    args = [draw(rng, "holes, window", heads, rows=3) for _ in range(2)]
    args = [(rows, blank(rows, dout)) for rows, dout in args]
    rows, dout = jax.tree.map(lambda *x: jnp.stack(x), *args) if "vmap" in name else args[0]
    actual, expected = (jax.jit(TRANSFORMS[name](f, options))(rows, dout) for f in (blockwise.attend, attend_densely))
    jax.tree.map(assert_close, actual, expected)


def test_every_device_runs_its_own_rows(rng, x64):
    heads, options = CASES["packed"]
    rows, dout = draw(rng, "packed", heads, rows=16)
    expected = differentiate(attend_densely, options, rows, blank(rows, dout))
    x = jm.from_segment_ids(rows.query, rows.query_ids)

    def results(x, key, value, dout):
        def loss(query, key, value):
            inputs = {"key": x.with_values(key), "value": x.with_values(value)}
            y = attention(x.with_values(query), **inputs, scale=0.3, implementation="blocks")
            return (y.fill(0) * dout).sum(), y.fill(0)

        gradients, out = jax.grad(loss, (0, 1, 2), has_aux=True)(x.values, key, value)
        return out, gradients

    args = (x, *rows[1:3], blank(rows, dout))
    by_row, found = P("batch"), []
    for kind in (AxisType.Explicit, AxisType.Auto):
        mesh = jax.make_mesh((8,), ("batch",), axis_types=(kind,))
        with jax.set_mesh(mesh):
            divided = jax.device_put(args, NamedSharding(mesh, by_row))
            compiled = jax.jit(results).lower(*divided).compile()
            found.append(compiled(*divided))
        assert collectives(compiled) == []
        for leaf in jax.tree.leaves(found[-1]):
            assert leaf.sharding.is_equivalent_to(NamedSharding(mesh, by_row), leaf.ndim)
    found.append(jax.jit(jax.shard_map(results, mesh=mesh, in_specs=(by_row,) * 4, out_specs=by_row))(*args))
    for actual in found:
        jax.tree.map(lambda a, b: assert_close(np.asarray(a), b), actual, expected)


@pytest.fixture
def runs(monkeypatch):
    """How often the engine has been traced."""
    counted = Counted(blockwise.attend)
    monkeypatch.setattr(blockwise, "attend", counted)
    return lambda: counted.num_traces


@pytest.mark.slow
def test_auto_takes_blocks_where_they_are_faster(runs, monkeypatch):
    monkeypatch.setattr(block_attention, "_MIN_STEPS", 4)
    monkeypatch.setattr(block_attention, "_MIN_SCORES", 3 * 2 * 5 * 5)
    x = jm.from_lengths(jnp.ones((3, 5, 2, 3)), [5, 0, 2])
    allowed = jnp.ones((5, 5), bool)
    for query, options in (
        (x[:2], {}),  # few scores
        (x[:, :3], {"key": x}),  # few queries
        (x.values, {}),  # nothing hides a key
        (x, {"attention_mask": allowed}),
        (x, {"bias": jnp.zeros((5, 5))}),
        (x, {"return_attention_scores": True}),
        (x, {"implementation": "xla"}),
    ):
        attention(query, **options)
    assert runs() == 0
    attention(x)
    attention(x.values, causal=True)
    assert runs() == 2


@pytest.mark.slow
def test_a_scale_that_is_an_array_has_a_gradient(rng):
    x = jm.masked(jnp.asarray(rng.normal(size=(2, 5, 2, 3)), "float32"), rng.random((2, 5)) < 0.7)
    blocks, dense = (
        jax.grad(lambda s, i=i: attention(x * s, scale=s, implementation=i).fill(0).sum())(jnp.float32(0.7))
        for i in ("blocks", "xla")
    )
    assert_close(blocks, dense, precision="float32")


def test_what_blocks_cannot_do_is_refused(rng):
    x = jm.from_lengths(jnp.ones((1, 3, 1, 2)), [2])
    with pytest.raises(
        ValueError, match="`implementation='blocks'` is for attention without dropout, `attention_mask`"
    ):
        attention(x, bias=jnp.zeros((3, 3)), implementation="blocks")
    with pytest.raises(TypeError, match=r"forward-mode .*custom_vjp"):
        jax.jvp(lambda v: attention(x.with_values(v), implementation="blocks").values, (x.values,), (x.values,))


@pytest.mark.slow
def test_a_long_row_takes_memory_linear_in_its_steps():
    """32,768 steps at 5% fill: the scores of all pairs would take 4 GiB a head."""
    time = 32768
    x = jm.from_lengths(jnp.ones((1, time, 2, 8)), [time // 20])
    step = jax.jit(jax.grad(lambda v: (attention(x.with_values(v), implementation="blocks").fill(0) ** 2).sum()))
    program: Any = step.lower(x.values).compile()
    gradient = program(x.values)
    assert jnp.isfinite(gradient).all()
    assert not gradient[:, time // 20 :].any()
    assert program.memory_analysis().temp_size_in_bytes < 20 * x.values.nbytes
