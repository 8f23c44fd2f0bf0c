"""Packed rows: several sequences in a row give what each gives alone, in both directions."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support import oracles

L = jm.layers
FEATURES, UNITS = 3, 2
EACH = pytest.mark.parametrize("name", ["simple_rnn", "gru", "lstm"])

# Ids need not rise; padding stands before, among and behind the steps, also inside a sequence; 5 returns as another.
SEGMENTS = np.array(
    [
        [0, 5, 5, 0, 5, 2, 2, 0, 0, 9, 0],
        [0] * 11,
        [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1],
        [5, 4, 5, 5, 0, 5, 4, 4, 3, 2, 1],
    ],
    np.int32,
)


@pytest.fixture
def x(rng):
    values = rng.normal(size=(*SEGMENTS.shape, FEATURES)).astype("float32")
    return jm.from_segment_ids(jnp.asarray(np.where(SEGMENTS[..., None] > 0, values, np.nan)), jnp.asarray(SEGMENTS))


@pytest.fixture
def params(name, rng):
    width = {"simple_rnn": 1, "gru": 3, "lstm": 4}[name] * UNITS
    shapes = {"kernel": (FEATURES, width), "recurrent_kernel": (UNITS, width)}
    shapes["bias"] = (2, width) if name == "gru" else (width,)
    return {key: jnp.asarray(rng.normal(size=shape).astype("float32")) for key, shape in shapes.items()}


def run(name, params, x, **options):
    container = {"simple_rnn": jm.rnn.SimpleRNNParams, "gru": jm.rnn.GRUParams, "lstm": jm.rnn.LSTMParams}[name]
    return getattr(jm.rnn, name)(container(**params), x, **options)


def runs(row):
    """The steps of each sequence of a row of ids, in order."""
    steps = np.flatnonzero(row)
    breaks = np.flatnonzero(np.diff(row[steps])) + 1
    return [part for part in np.split(steps, breaks) if len(part)]


@pytest.mark.slow
@EACH
@pytest.mark.parametrize("reverse", [False, True])
def test_each_sequence_is_alone(name, reverse, params, x):
    outputs, state = run(name, params, x, reverse=reverse)
    np.testing.assert_array_equal(outputs.segment_ids, SEGMENTS)
    assert not outputs.values[~x.mask].any()
    oracle = getattr(oracles, name)
    oracle = oracles.backward(oracle) if reverse else oracle
    weights = jax.tree.map(np.asarray, params)
    for row, ids in enumerate(SEGMENTS):
        last = [np.zeros(UNITS)] * len(jax.tree.leaves(state))
        for steps in runs(ids)[:: -1 if reverse else 1]:
            expected, *last = oracle(weights, np.asarray(x.values[row, steps]))
            assert_close(outputs.values[row, steps], expected)
        for leaf, part in zip(jax.tree.leaves(state), last, strict=True):
            assert_close(leaf[row], part)  # that of the sequence that comes last


@pytest.mark.parametrize("reverse", [False, True])
def test_a_cell_of_ones_own_begins_anew(reverse, x):
    class Count:
        def initial_state(self, inputs):
            return {"count": jnp.full((), 10, jnp.int32)}

        def step(self, params, state, inputs):
            return {"count": state["count"] + 1}, state["count"]

    counts = np.asarray(jm.rnn.scan(Count(), {}, x, reverse=reverse, return_state=False).fill(0))
    expected = np.zeros_like(SEGMENTS)
    for row, ids in enumerate(SEGMENTS):
        for steps in runs(ids):
            expected[row, steps[:: -1 if reverse else 1]] = 10 + np.arange(len(steps))
    np.testing.assert_array_equal(counts, expected)


@pytest.mark.slow
@EACH
def test_gradients_do_not_cross(name, params, x):
    def of_first(values):
        outputs = run(name, params, x.with_values(values), return_state=False)
        return outputs.values[0, 5:7].sum()  # the sequence 2

    gradient = np.asarray(jax.grad(of_first)(x.values))
    assert np.isfinite(gradient).all()
    assert {tuple(place) for place in np.argwhere(gradient.any(-1))} == {(0, 5), (0, 6)}


@pytest.mark.slow
@EACH
def test_packed_and_padded_batches_agree_in_values_and_gradients(name, params, rng):
    sequences = [rng.normal(size=(n, FEATURES)).astype("float32") for n in (3, 7, 1, 5, 2, 4)]
    padded, packed = jm.pad_sequences(sequences), jm.pack(sequences, row_length=9)
    assert packed.shape[0] < len(sequences)

    def loss(params, x):
        outputs = run(name, params, x, return_state=False)
        return (outputs.fill(0) ** 2).sum()

    actual, expected = (jax.jit(jax.value_and_grad(loss))(params, x) for x in (packed, padded))
    jax.tree.map(assert_close, actual, expected)
    outputs = jm.unpack(run(name, params, packed, return_state=False))
    for one, row in zip(outputs, jm.unpad(run(name, params, padded, return_state=False)), strict=True):
        assert_close(one, row)


# Layers


class Deep(jm.Layer):
    """Recurrent layers with one between them that treats every step alone."""

    raw_inputs = True
    supports_packing = True

    first: jm.Layer = L.LSTM(UNITS, return_sequences=True)
    between: jm.Layer = L.Dense(5)
    last: jm.Layer = L.GRU(UNITS, return_sequences=True)

    def call(self, params, inputs):
        h = self.between.apply(params["between"], self.first.apply(params["first"], inputs))
        return self.last.apply(params["last"], h)


LAYERS: dict[str, Any] = {
    "lstm": L.LSTM(UNITS, return_sequences=True),
    "gru, unrolled": L.GRU(UNITS, return_sequences=True, unroll=True),
    "stack": L.RNN([L.LSTMCell(2), L.SimpleRNNCell(3)], return_sequences=True),
    "bidirectional": L.Bidirectional(L.GRU(UNITS, return_sequences=True)),
    "deep": Deep(),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", LAYERS)
def test_layers_keep_sequences_apart(kind, rng, getkey):
    sequences = [rng.normal(size=(n, FEATURES)).astype("float32") for n in (3, 7, 1, 5, 2, 4)]
    padded, packed = jm.pad_sequences(sequences), jm.pack(sequences, row_length=8)
    layer = LAYERS[kind]
    params = layer.init(getkey(), padded)
    outputs = layer.apply(params, packed)
    for one, row in zip(jm.unpack(outputs), jm.unpad(layer.apply(params, padded)), strict=True):
        assert_close(one, row)


@pytest.mark.slow
def test_held_outputs_of_packed_rows(x, getkey):
    zero, hold = (L.LSTM(UNITS, return_sequences=True, zero_output_for_mask=zero) for zero in (True, False))
    params = zero.init(getkey(), x)
    outputs, held = zero.apply(params, x), hold.apply(params, x)
    np.testing.assert_array_equal(held.fill(0), outputs.fill(0))
    np.testing.assert_array_equal(held.values[0, 7:9], np.repeat(outputs.values[0, 6:7], 2, 0))
    assert not held.values[0, 0].any()


@pytest.mark.slow
def test_going_backwards_flips_rows_and_ids(x, getkey):
    layer = L.LSTM(UNITS, return_sequences=True, go_backwards=True)
    params = layer.init(getkey(), x)
    outputs = layer.apply(params, x)
    weights = jm.rnn.LSTMParams(**params)
    expected = jm.rnn.lstm(weights, x, reverse=True, return_state=False)
    jax.tree.map(np.testing.assert_array_equal, outputs, jm.ops.flip(expected))


@pytest.mark.slow
def test_the_sequences_of_a_row_share_its_dropout(x, getkey):
    layer = L.LSTM(UNITS, return_sequences=True, dropout=0.5, recurrent_dropout=0.5)
    params, key = layer.init(getkey(), x), getkey()
    outputs = layer.apply(params, x, training=True, key=key)
    first = x.with_segment_ids(jnp.where(x.segment_ids == 2, x.segment_ids, 0))
    alone = layer.apply(params, jm.masked(first.values, first.mask), training=True, key=key)
    assert_close(outputs.values[0, 5:7], alone.values[0, 5:7])


@pytest.mark.slow
def test_under_vmap_and_over_an_explicit_mesh(rng, x):
    params = jm.rnn.GRUParams(*(jnp.asarray(rng.normal(size=s), "float32") for s in ((3, 6), (2, 6), (2, 6))))
    expected = jm.rnn.gru(params, x, return_state=False).values
    several = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf[::-1]]), x)
    mapped = jax.vmap(lambda x: jm.rnn.gru(params, x, return_state=False).values)(several)
    assert_close(mapped[1], expected[::-1])
    eight = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf]), x)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        sharded = jax.device_put(eight, jax.sharding.PartitionSpec("batch"))
        outputs = jax.jit(functools.partial(jm.rnn.gru, return_state=False))(params, sharded)
        assert_close(outputs.values, jnp.concatenate([expected, expected]))


# Refusals


def test_one_result_a_sequence_needs_their_number(x, getkey):
    params = L.LSTM(UNITS).init(getkey(), x)
    both = {"forward": params, "backward": params}
    x = x.with_segment_ids(x.segment_ids)
    for layer, given, option in [
        (L.LSTM(UNITS), params, "return_sequences=False"),
        (L.LSTM(UNITS, return_sequences=True, return_state=True), params, "return_state=True"),
        (L.Bidirectional(L.LSTM(UNITS)), both, "return_sequences=False"),
    ]:
        with pytest.raises(ValueError, match="it is not known how many there are") as error:
            layer.apply(given, x)
        assert str(error.value).startswith(f"{layer.default_name}: `{option}` gives one result for each sequence")


@EACH
def test_an_initial_state_is_refused(name, params, x):
    state = jnp.zeros((4, UNITS))
    given = jm.rnn.LSTMState(state, state) if name == "lstm" else state
    with pytest.raises(ValueError, match="`initial_state` is one state a row") as error:
        run(name, params, x, initial_state=given)
    assert str(error.value) == (
        "`initial_state` is one state a row, but these rows are packed: each holds several sequences, and every "
        "sequence begins with the cell's own initial state. Leave `initial_state` out, or give each sequence a row of "
        "its own with `jm.unpack_batch`."
    )
    layer = {"simple_rnn": L.SimpleRNN, "gru": L.GRU, "lstm": L.LSTM}[name](UNITS, return_sequences=True)
    for kind in (layer, L.RNN(layer.cell, return_sequences=True)):
        with pytest.raises(ValueError, match="`initial_state` is one state a row"):
            kind.apply(params, x, jax.tree.leaves(given))
