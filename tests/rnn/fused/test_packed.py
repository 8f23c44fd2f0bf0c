"""Packed rows through the fused engine: each sequence is alone, in values and all gradients, one layer or more."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.fused_runs import (
    FEATURES,
    NAMES,
    QUICKLY,
    assert_is_the_oracle,
    compiled,
    draw_cotangents,
    draw_params,
    draw_values,
)

L = jm.layers
EACH = pytest.mark.parametrize("name", NAMES)


def draw_sequences(rng, count=41, longest=13):
    """Mostly short, some empty, in no order."""
    lengths = np.minimum(rng.lognormal(1, 0.8, count).astype(int), longest)
    lengths[:2] = 0, longest
    return [rng.normal(size=(n, FEATURES)) for n in rng.permutation(lengths)]


@pytest.mark.parametrize(("reverse", "num_rows"), [(False, None), pytest.param(True, 17, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", [NAMES[0], *(pytest.param(name, marks=pytest.mark.slow) for name in NAMES[1:])])
def test_each_sequence_of_a_pack_is_alone(name, reverse, num_rows, rng, x64):
    """With rows that are nearly full, and with many empty rows besides, which makes fewer lanes of them."""
    params, sequences = draw_params(rng, name), draw_sequences(rng)
    x = jax.tree.map(jnp.asarray, jm.pack(sequences, row_length=17, num_rows=num_rows))
    x = x.with_values(jnp.where(x.mask[..., None], x.values, jnp.nan))
    cotangents = draw_cotangents(rng, name, *x.mask.shape)
    actual = compiled(name, reverse=reverse, remat=reverse)(params, x, None, cotangents)
    assert_is_the_oracle(actual, name, params, x, None, cotangents, reverse=reverse)


@pytest.mark.slow
@EACH
def test_holes_and_ids_that_return(name, rng, x64):
    """Padding before, among and behind the steps of a sequence, and an id that comes again as another sequence."""
    rows, time, reverse = 7, 19, name in ("lstm", "gru_reset_before")
    ids = np.cumsum(rng.random((rows, time)) < 0.3, axis=1) % 3 + 1
    ids[rng.random((rows, time)) < 0.4] = 0
    ids[3], ids[4] = 0, 7
    x = jm.from_segment_ids(jnp.asarray(draw_values(rng, ids > 0)), jnp.asarray(ids, jnp.int32))
    params, cotangents = draw_params(rng, name), draw_cotangents(rng, name, rows, time)
    actual = compiled(name, reverse=reverse, remat=not reverse)(params, x, None, cotangents)
    assert_is_the_oracle(actual, name, params, x, None, cotangents, reverse=reverse)


class Deep(jm.Layer):
    """A recurrent layer on a bidirectional one on a third."""

    raw_inputs = True
    supports_packing = True

    first: jm.Layer = L.LSTM(5, return_sequences=True, implementation="xla")
    second: jm.Layer = L.Bidirectional(L.GRU(3, return_sequences=True, implementation="xla"))
    third: jm.Layer = L.SimpleRNN(2, return_sequences=True, go_backwards=True, implementation="xla")

    def call(self, params, inputs):
        for name in ("first", "second"):
            inputs = getattr(self, name).apply(params[name], inputs)
        return jm.ops.flip(self.third.apply(params["third"], inputs))


STACKS = {"three layers": Deep(), "cells": L.RNN([L.LSTMCell(5), L.GRUCell(3)], return_sequences=True)}


@pytest.mark.slow
@pytest.mark.parametrize("kind", STACKS)
def test_layers_on_layers(kind, rng, getkey, x64):
    """Packed as padded: outputs, and gradients by parameters and inputs."""
    model, sequences = STACKS[kind], draw_sequences(rng, count=11)
    weights = [rng.normal(size=(len(s), 2 if kind == "three layers" else 3)) for s in sequences]
    results = []
    for arrange in (jm.pad_sequences, lambda s: jm.pack(s, row_length=13)):
        x, cotangent = arrange(sequences), arrange(weights)
        params = model.init(jax.random.key(0), x)

        def loss(params, values, x=x, cotangent=cotangent):
            outputs = model.apply(params, x.with_values(values))
            return (outputs.fill(0) * cotangent.fill(0)).sum(), outputs

        differentiate = jax.value_and_grad(loss, (0, 1), has_aux=True)
        (_, outputs), (by_params, by_values) = jax.jit(differentiate, compiler_options=QUICKLY)(params, x.values)
        take_apart = jm.unpad if x.segment_ids is None else lambda x: jm.unpack(x, num_sequences=len(sequences))
        results.append((take_apart(outputs), take_apart(x.with_values(by_values)), by_params))
    jax.tree.map(assert_close, *results)
