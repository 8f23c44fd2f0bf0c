"""Collectives within `jm.vmap`: right for what has no steps, refused where padding would meet real steps."""

import jax
import numpy as np
import pytest
from jax import lax
from jax.sharding import PartitionSpec

import jmask as jm
from jmask.testing import assert_close

VALUES = np.arange(1.0, 17.0, dtype=np.float32).reshape(4, 4)
LENGTHS = [4, 2, 0, 1]
MASK = np.arange(4) < np.array(LENGTHS)[:, None]
SUMS = [VALUES[i, :n].sum() for i, n in enumerate(LENGTHS)]  # 0 for the empty row
REAL = np.array(LENGTHS) > 0
SHIFT = [(i, (i + 1) % 4) for i in range(4)]

EXACT = {
    "psum": (lambda x: lax.psum(x.sum(), "d"), sum(SUMS)),
    "pmean": (lambda x: lax.pmean(x.sum(), "d"), sum(SUMS) / 4),
    "pmax": (lambda x: lax.pmax(-x.sum(), "d"), max(-s for s, n in zip(SUMS, LENGTHS, strict=True) if n)),
    "pmin": (lambda x: lax.pmin(x.sum(), "d"), min(s for s, n in zip(SUMS, LENGTHS, strict=True) if n)),
    "all_gather": (lambda x: lax.all_gather(x.sum(), "d"), SUMS),
    "ppermute": (lambda x: lax.ppermute(x.sum(), "d", SHIFT), SUMS[-1:] + SUMS[:-1]),
    "axis_index": (lambda x: lax.axis_index("d"), [0, 1, 2, 3]),
    "centred": (lambda x: (x - lax.pmean(x.mean(), "d")).sum(), None),
}


def under_vmap(fn):
    return jax.vmap(lambda v, m: jm.vmap(fn)(jm.Masked(v[None], m[None])), axis_name="d")(VALUES, MASK)


def under_shard_map(fn, **options):
    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = PartitionSpec("d")
    run = jax.shard_map(lambda v, m: jm.vmap(fn)(jm.Masked(v, m)), mesh=mesh, in_specs=spec, out_specs=spec, **options)
    return jax.jit(run)(VALUES, MASK)


@pytest.mark.parametrize("name", [name for name in EXACT if name != "centred"])
@pytest.mark.parametrize("run", [under_vmap, under_shard_map])
def test_what_has_no_steps_is_exchanged(run, name):
    fn, expected = EXACT[name]
    found = np.asarray(run(fn)).reshape(4, -1)
    each = np.broadcast_to(np.reshape(expected, (1, -1) if name == "all_gather" else (-1, 1)), found.shape)
    assert_close(found, np.where(REAL[:, None], each, 0))


def test_sequences_that_all_devices_share_beside_those_of_each_device():
    shared = np.array([[5.0, 7.0]], np.float32)

    def run(v, m):
        return jm.vmap(lambda x, y: x.sum() * y.sum())(jm.Masked(v, m), jm.masked(shared, np.array([[True, False]])))

    mesh = jax.make_mesh((4,), ("d",), axis_types=(jax.sharding.AxisType.Auto,))
    spec = PartitionSpec("d")
    assert_close(
        jax.jit(jax.shard_map(run, mesh=mesh, in_specs=spec, out_specs=spec))(VALUES, MASK), 5 * np.array(SUMS)
    )


def test_a_mean_over_devices_within_a_function_of_steps():
    mean = np.mean([VALUES[i, :n].mean() if n else 0 for i, n in enumerate(LENGTHS)])
    expected = np.where(REAL, np.array(SUMS) - np.array(LENGTHS) * mean, 0)
    for options in ({}, {"check_vma": False}):
        fn = EXACT["centred"][0]
        assert_close(under_shard_map(lambda x, fn=fn: fn(x), **options), expected)
    slope = jax.grad(
        lambda v: jax.vmap(lambda v, m: jm.vmap(EXACT["psum"][0])(jm.Masked(v[None], m[None])), axis_name="d")(
            v, MASK
        ).sum()
    )(VALUES)
    assert_close(slope, np.where(MASK, 3.0, 0))


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: lax.psum(x, "d"),
        lambda x: lax.pmean(x, "d"),
        lambda x: lax.pmax(x, "d").sum(),
        lambda x: lax.all_gather(x, "d").sum(),
        lambda x: lax.ppermute(x, "d", SHIFT),
        lambda x: x - jax.jit(lambda x: lax.psum(x * 2, "d"))(x),
    ],
    ids=["psum", "pmean", "pmax", "all_gather", "ppermute", "in jit"],
)
def test_steps_of_other_members_are_refused(fn):
    match = r"over the axis 'd' meets arrays of unknown lengths, of shape \(t,\).*`jax\.lax\.psum\(x\.sum\(0\), 'd'\)`"
    with pytest.raises(NotImplementedError, match=match):
        under_vmap(fn)
    with pytest.raises(NotImplementedError, match=match):
        under_shard_map(fn)
    with pytest.raises(NotImplementedError, match=match):
        under_shard_map(fn, check_vma=False)


def test_steps_are_summed_where_all_members_have_the_same_lengths():
    """Each device has some of the features, as in tensor-parallel models."""
    mesh = jax.make_mesh((2, 2), ("rows", "features"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    x = np.random.default_rng(0).normal(size=(4, 4, 6)).astype("float32")
    w = np.random.default_rng(1).normal(size=(6, 3)).astype("float32")

    def local(v, m, w):
        return jm.vmap(lambda row: jax.nn.softmax(lax.psum(row @ w, "features"), axis=0))(jm.Masked(v, m)).fill(0)

    specs = PartitionSpec("rows", None, "features"), PartitionSpec("rows"), PartitionSpec("features")
    run = jax.shard_map(local, mesh=mesh, in_specs=specs, out_specs=PartitionSpec("rows"))
    expected = jm.vmap(lambda row: jax.nn.softmax(row @ w, axis=0))(jm.Masked(x, MASK)).fill(0)
    assert_close(jax.jit(run)(x, MASK, w), expected)
