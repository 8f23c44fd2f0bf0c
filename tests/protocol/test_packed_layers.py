"""Packed rows through functions of one sequence, and through layers that do not keep sequences apart."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.packed import IDS, NUMBER, assert_like_alone, packed_rows, some_slow


def centred(s):
    return s - s.mean(0) + jnp.cumsum(s, 0)


class TemporalSoftmax(jm.Layer):
    supports_masking = True

    def call(self, params, inputs, mask=None):
        return jax.nn.softmax(inputs, axis=1, where=mask[..., None])


class Pooled(jm.Layer):
    def call(self, params, inputs, mask):
        return inputs.sum(1)

    def compute_mask(self, inputs, mask):
        return mask.any(1)


class WithoutFirst(jm.Layer):
    def call(self, params, inputs, mask):
        return inputs * 2

    def compute_mask(self, inputs, mask):
        return mask & (jnp.arange(mask.shape[1]) > 0)


class Reversed(jm.Layer):  # of padded rows, with the padding on the other side
    def call(self, params, inputs, mask):
        return jnp.flip(inputs, 1)

    def compute_mask(self, inputs, mask):
        return jnp.flip(mask, 1)


class Longer(jm.Layer):
    def call(self, params, inputs, mask):
        return inputs

    def compute_mask(self, inputs, mask):
        return jnp.ones_like(mask)


class Differences(jm.Layer):
    raw_inputs = True

    def call(self, params, inputs):
        return jm.ops.crop(inputs, (1, 0)) - jm.ops.crop(inputs, (0, 1))


class Scaled(jm.Layer):
    supports_masking = True

    def call(self, params, inputs, scale, offset):
        return inputs * scale[:, None] + offset


ALONE = {
    "vmap": (lambda x: jm.vmap(centred)(x), centred),
    "vmap of an entry": (lambda x: jm.vmap(lambda s: s.max(0))(x), lambda s: s.max(0)),
    "vmap of other lengths": (lambda x: jm.vmap(lambda s: jnp.diff(s, axis=0))(x), lambda s: jnp.diff(s, axis=0)),
    "PerSequence": (lambda x: jm.layers.PerSequence(centred).apply({}, x), centred),
    "layer over time": (lambda x: TemporalSoftmax()(x), lambda s: jax.nn.softmax(s, 0)),
    "layer of an entry": (lambda x: Pooled()(x), lambda s: s.sum(0)),
    "layer that takes steps away": (lambda x: WithoutFirst()(x), lambda s: s[1:] * 2),
    "layer that moves steps": (lambda x: Reversed()(x), lambda s: s[::-1]),
    "raw layer": (lambda x: Differences()(x), lambda s: s[1:] - s[:-1]),
    "Lambda": (
        lambda x: jm.layers.Lambda(lambda v, mask: v * mask.sum(1)[:, None, None], mask=lambda _, mask: mask)(x),
        lambda s: s * s.shape[0],
    ),
    "model": (
        lambda x: jm.Sequential([TemporalSoftmax(), jm.layers.Cropping1D((1, 0))]).apply({}, x),
        lambda s: jax.nn.softmax(s, 0)[1:],
    ),
}


@pytest.mark.parametrize("name", some_slow(ALONE, ("vmap", "vmap of an entry", "layer over time", "raw layer")))
def test_each_sequence_alone(rng, name):
    run, alone = ALONE[name]
    assert_like_alone(run, alone, packed_rows(rng, 2))


def test_sequences_that_become_longer_have_no_room(rng):
    x = packed_rows(rng, 2)
    with pytest.raises(
        ValueError, match=r"longer: .*at most as many steps as they have.*sequence 1 has 1, and 8 in its new mask"
    ):
        Longer()(x)
    y = jax.jit(Longer())(x)
    assert np.isnan(y.values[np.asarray(x.mask)]).all()


def test_several_arguments_of_vmap(rng):
    x, y = packed_rows(rng, 2), packed_rows(rng, 2)
    result = jm.vmap(lambda s, t: s @ t.T, lengths="t")(x, y)
    assert result.shape == (NUMBER, 8, 8)
    sequences = zip(*(jm.unpack(z, num_sequences=NUMBER) for z in (x, y)), strict=True)
    for found, mask, (s, t) in zip(np.asarray(result.values), np.asarray(result.mask), sequences, strict=True):
        assert mask.sum() == len(s) ** 2
        assert_close(found[: len(s), : len(s)], s @ t.T)
    shared = jm.vmap(lambda s, v: s + v, in_axes=(0, None))(x, jnp.arange(2.0))
    assert_close(shared.fill(0), (x + jnp.arange(2.0)).fill(0))
    assert shared.segment_ids.tolist() == IDS.tolist()


def test_an_input_of_steps_and_one_of_sequences(rng):
    x, scale = packed_rows(rng, 2), jnp.asarray(rng.normal(size=(NUMBER, 2)).astype(np.float32))
    offset = jnp.asarray(rng.normal(size=(*IDS.shape, 2)).astype(np.float32))
    found = Scaled().apply({}, x, scale, offset)
    expected = jm.ops.add([jm.ops.multiply([x, scale]), offset])
    assert_close(found.fill(0), expected.fill(0))
    masked = Scaled().apply({}, x, scale, jm.masked(offset, jnp.arange(8) % 2 == jnp.zeros((4, 1))))
    assert masked.segment_ids.tolist() == np.where(np.arange(8) % 2 == 0, IDS, 0).tolist()
    with pytest.raises(ValueError, match=r"a step for each of theirs, \(4, 8\), or an entry for each sequence, \(9, "):
        Scaled().apply({}, x, scale[:3], offset)


def test_random_numbers_of_each_sequence(rng):
    x = packed_rows(rng, 2)
    layer = jm.layers.PerSequence(lambda s, *, key=None: s * 0 + jax.random.normal(key, ()))
    found = jm.ops.max(layer.apply({}, x, training=True, key=jax.random.key(0)).with_segment_ids(None), 1)
    rows = layer.apply({}, jm.unpack_batch(x, NUMBER, 8), training=True, key=jax.random.key(0))
    expected = np.asarray(rows.values[:, 0, 0])
    for row, ids in zip(np.asarray(found.values), IDS, strict=True):
        assert not ids.any() or np.isclose(row[0], max(expected[k - 1] for k in ids if k))


def test_a_function_of_single_steps_needs_no_number(rng):
    x = packed_rows(rng, 2, num_sequences=None)
    y = jm.layers.Lambda(jnp.square, supports_masking=True)(x)
    assert y.segment_ids is x.segment_ids
    assert_close(y.fill(0), np.square(x.fill(0)))


def test_what_cannot_be(rng):
    x = packed_rows(rng, 2, num_sequences=None)
    with pytest.raises(ValueError, match=r"`jm.vmap` gives one result for each sequence of packed rows, and it is not"):
        jm.vmap(centred)(x)
    with pytest.raises(ValueError, match=r"`jm.vmap` takes packed rows with `in_axes=0`.* received 1"):
        jm.vmap(centred, in_axes=1)(packed_rows(rng, 2))
    message = (
        r"^temporal_softmax: `TemporalSoftmax` does not keep .* so that it gets a row for each, `x.with_segment_ids"
    )
    with pytest.raises(ValueError, match=message):
        TemporalSoftmax()(x)
    with pytest.raises(ValueError, match=r"The batch axes of `jm.vmap` must have one size"):
        jm.vmap(jnp.add)(packed_rows(rng), jnp.ones(3))
