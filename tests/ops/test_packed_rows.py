"""Packed rows through what moves and combines steps: each sequence as if it were alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.packed import IDS, NUMBER, assert_like_alone, packed_rows, reordered, some_slow

WEIGHTS = np.linspace(-1, 1, 4).reshape(2, 2).astype(np.float32)


def unit(x, axis):
    return x / jnp.sqrt(jnp.maximum(jnp.square(x).sum(axis, keepdims=True), 1e-12))


STEPS = {
    "crop": (lambda x: jm.ops.crop(x, (1, 2)), lambda s: s[1 : max(len(s) - 2, 1)]),
    "Cropping1D": (lambda x: jm.layers.Cropping1D((0, 1))(x), lambda s: s[:-1]),
    "zero_pad": (lambda x: jm.ops.zero_pad(x, (1, 2)), lambda s: jnp.pad(s, [(1, 2), (0, 0)])),
    "ZeroPadding1D": (
        lambda x: jm.layers.ZeroPadding1D((2, 0), max_segments=3)(x),
        lambda s: jnp.pad(s, [(2, 0), (0, 0)]),
    ),
    "grouped": (lambda x: jm.ops.reshape(x, (-1, 4)), lambda s: s[: len(s) // 2 * 2].reshape(-1, 4)),
    "split": (lambda x: jm.layers.Reshape((-1, 1))(x), lambda s: s.reshape(-1, 1)),
    "up_sample": (lambda x: jm.layers.UpSampling1D(3)(x), lambda s: jnp.repeat(s, 3, 0)),
    "top_k": (lambda x: jm.ops.top_k(x, 3, axis=1)[0], lambda s: jnp.sort(s, 0)[::-1][:3]),
    "reverse": (lambda x: jm.ops.reverse(x), lambda s: s[::-1]),
    "cumsum": (lambda x: jm.ops.cumsum(x, reverse=True), lambda s: jnp.cumsum(s[::-1], 0)[::-1]),
}


@pytest.mark.parametrize("name", some_slow(STEPS, ("crop", "zero_pad", "grouped")))
def test_steps_of_each_sequence(rng, name):
    run, alone = STEPS[name]
    assert_like_alone(run, alone, packed_rows(rng, 2))


@pytest.mark.slow
def test_lengths_are_static_and_enough():
    full = jm.from_segment_ids(jnp.ones((1, 3, 1)), [[1, 2, 3]], num_sequences=5)
    assert jm.ops.zero_pad(full, 1).segment_ids.tolist() == [[1] * 3 + [2] * 3 + [3] * 3]

    def width(x, run=lambda x: jm.ops.zero_pad(x, 1)):
        return jax.eval_shape(run, x).shape[1]

    long = jm.from_segment_ids(jnp.ones((1, 9, 1)), [[1, 1, 1, 1, 1, 1, 2, 2, 0]], num_sequences=2)
    assert width(long) == 9 + 2 * 2
    assert width(long.with_segment_ids(long.segment_ids)) == 9 + 2 * 9
    assert width(full, lambda x: jm.ops.crop(x, 2)) == 0
    assert width(full[:0]) == 9
    assert width(full[:, :0]) == 0


@pytest.mark.slow
def test_too_many_sequences_for_max_segments(rng):
    x = packed_rows(rng, 2)
    with pytest.raises(ValueError, match="a row has 3 sequences, more than `max_segments=2`; pass `max_segments=3`"):
        jm.ops.zero_pad(x, 1, max_segments=2)
    y = jax.jit(lambda x: jm.ops.zero_pad(x, 1, max_segments=2))(x)
    assert np.isnan(y.values[1]).all()
    assert not np.isnan(y.fill(0)[::2]).any()
    ints = jax.jit(lambda x: jm.ops.zero_pad(x, 1, max_segments=2))(packed_rows(rng, dtype=np.int32))
    assert (np.asarray(ints.values[1]) == np.iinfo(np.int32).min).all()


JOINED = {
    "concatenate": (lambda x, y: jm.ops.concatenate([x, y, x], axis=1), lambda s, t: jnp.concatenate([s, t, s])),
    "pairs": (lambda x, y: jm.ops.dot([x, y]), lambda s, t: (s @ t.T).ravel()),
    "cosines": (
        lambda x, y: jm.layers.Dot(2, normalize=True)([x, y]),
        lambda s, t: (unit(s, 1) @ unit(t, 1).T).ravel(),
    ),
    "over time": (lambda x, y: jm.layers.Dot(1)([x, y]), lambda s, t: s.T @ t),
    "pairs with steps": (
        lambda x, y: jm.ops.dot([jm.ops.dot([x, y]), x], axes=(2, 1)),
        lambda s, t: s @ t.T[:, : len(s)] @ s,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", some_slow(JOINED, ("concatenate", "pairs with steps")))
def test_two_inputs_meet_within_each_sequence(rng, name):
    run, alone = JOINED[name]
    x, y = packed_rows(rng, 2), packed_rows(rng, 2)
    y = y if name == "pairs with steps" else reordered(y)
    if name in ("pairs", "cosines"):  # which have no `num_sequences`: a sequence has a row for each of its steps
        numbered = lambda x, y: jm.Masked(run(x, y).values, segment_ids=run(x, y).segment_ids)  # noqa: E731
        found = jax.jit(numbered)(x, y)
        first, second = (jm.unpack(z, num_sequences=NUMBER) for z in (x, y))
        for k, pair in enumerate(zip(first, second, strict=True)):
            assert_close(np.asarray(found.values)[np.asarray(found.segment_ids) == k + 1], alone(*pair))
        return
    assert_like_alone(run, alone, x, y)


@pytest.mark.slow
def test_weighted_sums_normalized(rng):
    x, y, z = (packed_rows(rng, 2) for _ in range(3))
    run = lambda x, y, z: jm.ops.dot([jm.ops.dot([x, y]), z], axes=(2, 1), normalize=True)  # noqa: E731
    assert_like_alone(run, lambda s, t, u: unit(s @ t.T, 1) @ unit(u, 0), x, y, z)


ENTRIES = {
    "add": (lambda x, v: jm.ops.add([x, v]), lambda s, v: s + v),
    "Multiply": (lambda x, v: jm.layers.Multiply()([v, x]), lambda s, v: s * v),
    "union": (lambda x, v: jm.layers.Average(merge="union")([x, v]), lambda s, v: (s + v) / 2),
    "Concatenate": (
        lambda x, v: jm.layers.Concatenate()([v, x]),
        lambda s, v: jnp.concatenate([jnp.broadcast_to(v, s.shape), s], -1),
    ),
    "broadcast": (
        lambda x, v: jm.ops.broadcast_to_steps(v, like=x) * x,
        lambda s, v: s * v,
    ),
    "dot": (lambda x, v: jm.ops.dot([x, v]), lambda s, v: s @ v),
    "vmap": (lambda x, v: jm.vmap(lambda s, v: (s - s.mean(0)) * v)(x, v), lambda s, v: (s - s.mean(0)) * v),
}  # fmt: skip


@pytest.mark.parametrize("name", some_slow(ENTRIES, ("add", "broadcast")))
def test_an_entry_for_each_sequence(rng, name):
    run, alone = ENTRIES[name]
    entries = jnp.asarray(rng.normal(size=(NUMBER, 2)).astype(np.float32))
    assert_like_alone(run, alone, packed_rows(rng, 2), entries)


@pytest.mark.slow
def test_masked_entries_are_padding(rng):
    x, entries = packed_rows(rng, 2), rng.normal(size=(NUMBER, 2)).astype(np.float32)
    real = np.arange(NUMBER) < 4
    entries[~real] = np.nan
    y = jm.ops.add([x, jm.masked(entries, real)])
    assert np.array_equal(y.segment_ids, np.where((IDS > 0) & (IDS <= 4), IDS, 0))
    total = lambda e: jm.ops.sum(jm.ops.multiply([x, jm.masked(e, jnp.asarray(real))]))  # noqa: E731
    gradient = jax.grad(total)(jnp.asarray(entries))
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[~real].any()
    batch = jm.ops.broadcast_to_steps(jm.masked(entries[:2], real[:2]), like=jnp.zeros((2, 3, 5)))
    assert batch.shape == (2, 3, 2)
    assert batch.mask.all()


@pytest.mark.slow
def test_errors(rng):
    x = packed_rows(rng, 2)
    unknown = x.with_segment_ids(x.segment_ids)
    vectors = jnp.ones((NUMBER, 2))
    needed = r"gives one result for each sequence of packed rows, and it is not known how many there are"
    for call in (
        lambda: jm.ops.add([unknown, vectors]),
        lambda: jm.ops.top_k(unknown, 2, axis=1),
        lambda: jm.ops.dot([unknown, unknown], axes=1),
        lambda: jm.ops.broadcast_to_steps(vectors, like=unknown),
    ):
        with pytest.raises(ValueError, match=needed):
            call()
    with pytest.raises(ValueError, match=r"one entry for each sequence, \(9, features\); received \(4, 2\)"):
        jm.ops.add([x, vectors[:4]])
    with pytest.raises(ValueError, match=r"one entry for each sequence, \(9, ...\).* received values \(4, 2\)"):
        jm.ops.broadcast_to_steps(vectors[:4], like=x)
    with pytest.raises(ValueError, match=r"so all inputs are packed, or none is; received \(4, 8, 2\)"):
        jm.ops.concatenate([x, x.values], axis=1)
    again = jm.from_segment_ids(jnp.ones((1, 3, 2)), [[1, 2, 1]])
    with pytest.raises(ValueError, match="id 1 stands for several sequences of a row"):
        jm.ops.concatenate([again, again], axis=1)
    with pytest.raises(ValueError, match=r"`dot`: next to packed rows, an input has an entry for each sequence, \(9"):
        jm.ops.dot([x, vectors[:4]])
    with pytest.raises(ValueError, match=r"or their product with one another over time, `axes=\(2, 1\)`"):
        jm.ops.dot([x, jm.ops.dot([x, x])], axes=(1, 2))
    documents = jm.ops.stack([x, x])
    with pytest.raises(ValueError, match="`permute` of masked axes, which would lay sequences across rows"):
        jm.ops.permute(documents, (2, 1, 3))
