"""ConvLSTM1D and its cell: options, dtypes, packed rows, errors; `test_laws.py` holds what they compute to the laws."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmask as jm
from jmask.testing import assert_close
from tests.support.window_oracles import conv_lstm

L = jm.layers
PIXELS, CHANNELS, FILTERS, WIDTH = 7, 3, 2, 4
MASK = np.array([[0, 1, 0, 1, 1, 0], [0] * 6, [1] * 6], bool)


@pytest.fixture
def x(rng):
    values = rng.normal(size=(*MASK.shape, PIXELS, CHANNELS)).astype("float32")
    return jm.masked(jnp.asarray(np.where(MASK[..., None, None], values, np.nan)), jnp.asarray(MASK))


@pytest.fixture
def params(x, rng):
    return randomise(layer().init(jax.random.key(0), x), rng)


def layer(**options):
    return L.ConvLSTM1D(FILTERS, WIDTH, **options)


def cell(**options):
    return L.ConvLSTM1DCell(FILTERS, WIDTH, **options)


def randomise(params, rng):
    return jax.tree.map(lambda p: jnp.asarray(rng.normal(size=p.shape), p.dtype), params)


def wide(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), tree)


def by_convolutions(params, lines, activation, recurrent_activation, **options):
    """One sequence, by XLA's convolution."""

    def convolve(line, kernel, strides=1, padding="valid", dilation_rate=1):
        numbers = ("NWC", "WIO", "NWC")
        y = lax.conv_general_dilated(
            line[None], kernel, (strides,), padding.upper(), rhs_dilation=(dilation_rate,), dimension_numbers=numbers
        )
        return y[0]

    hidden, outputs = None, []
    for line in lines:
        z = convolve(line, params["kernel"], **options) + params["bias"]
        if hidden is None:
            hidden = memory = jnp.zeros((z.shape[0], FILTERS))
        i, f, g, o = jnp.split(z + convolve(hidden, params["recurrent_kernel"], padding="same"), 4, axis=-1)
        memory = recurrent_activation(f) * memory + recurrent_activation(i) * activation(g)
        hidden = recurrent_activation(o) * activation(memory)
        outputs.append(hidden)
    return jnp.stack(outputs)


# Parameters


def test_parameters(x, getkey):
    params = layer().init(getkey(), x)
    shapes = {"kernel": (WIDTH, CHANNELS, 8), "recurrent_kernel": (WIDTH, FILTERS, 8), "bias": (8,)}
    assert jax.tree.map(jnp.shape, params) == shapes
    assert params["bias"].tolist() == [0, 0, 1, 1, 0, 0, 0, 0]  # input, forget, candidate, output
    recurrent = params["recurrent_kernel"].reshape(WIDTH * FILTERS, 8)
    assert_close(recurrent @ recurrent.T, np.eye(8))  # orthogonal
    assert set(layer(use_bias=False).init(getkey(), x)) == {"kernel", "recurrent_kernel"}
    options = {"unit_forget_bias": False, "bias_initializer": "ones", "kernel_initializer": "zeros"}
    params = layer(**options, recurrent_initializer="ones", param_dtype="float16").init(getkey(), x)
    assert {str(p.dtype) for p in params.values()} == {"float16"}
    assert [np.unique(p).tolist() for p in params.values()] == [[0], [1], [1]]


# Results


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{"padding": "same", "dilation_rate": 2}, {"strides": 3}, {"strides": 2, "padding": "same", "dilation_rate": 2}],
    ids=str,
)
def test_beside_the_convolution_of_xla(options, x, params):
    functions = {"activation": jax.nn.relu, "recurrent_activation": jax.nn.hard_sigmoid}
    outputs = layer(return_sequences=True, **functions, **options).apply(params, x)
    assert_close(outputs.values[2], by_convolutions(params, x.values[2], *functions.values(), **options))
    by_name = {"activation": "relu", "recurrent_activation": "hard_sigmoid"}
    again = layer(return_sequences=True, **by_name, **options).apply(params, x)
    np.testing.assert_array_equal(outputs.values, again.values)


@pytest.mark.slow
@pytest.mark.parametrize("backwards", [False, True])
def test_a_cell_and_its_layer_agree(backwards, x, getkey):
    rates, key = {"dropout": 0.5, "recurrent_dropout": 0.25, "strides": 2}, getkey()
    options = {"return_sequences": True, "return_state": True, "go_backwards": backwards}
    built_in, over_cell = layer(**rates, **options), L.RNN(cell(**rates), **options)
    params = built_in.init(key, x)
    jax.tree.map(np.testing.assert_array_equal, over_cell.init(key, x), params)
    for training in (False, True):
        outputs = [one.apply(params, x, training=training, key=key) for one in (built_in, over_cell)]
        for actual, expected in zip(*map(jax.tree.leaves, outputs), strict=True):
            assert_close(actual, expected)


@pytest.mark.slow
def test_unrolling_changes_nothing(x, params):
    def loss(params, unroll):
        return (layer(return_sequences=True, unroll=unroll).apply(params, x).fill(0) ** 2).sum()

    actual, expected = (jax.value_and_grad(loss)(params, unroll) for unroll in (True, False))
    jax.tree.map(assert_close, actual, expected)


@pytest.mark.slow
def test_no_steps_at_all(params):
    for x in (jm.from_lengths(jnp.ones((5, 0, PIXELS, CHANNELS)), [0] * 5), jnp.ones((5, 0, PIXELS, CHANNELS))):
        last, *state = layer(return_state=True, unroll=True).apply(params, x)
        for part in (last, *state):
            assert isinstance(part, jm.Masked) == isinstance(x, jm.Masked)
            assert_close(part, np.zeros((5, 4, FILTERS)))
        assert layer(return_sequences=True, strides=2).apply(params, x).shape == (5, 0, 2, FILTERS)


@pytest.mark.slow
def test_an_initial_state_goes_through_an_empty_row(x, params, rng):
    given = [jnp.asarray(rng.normal(size=(3, 4, FILTERS)), "float32") for _ in range(2)]
    last, *state = layer(return_state=True).apply(params, x, given)
    assert not last.values[1].any()
    for part, first in zip(state, given, strict=True):
        np.testing.assert_array_equal(part.values[1], first[1])
        assert part.mask.tolist() == [True, False, True]
    gradient = jax.grad(lambda s: layer(return_state=True).apply(params, x, s)[2].values.sum())(given)
    assert_close(gradient[1][1], np.ones((4, FILTERS)))


# Dropout


@pytest.mark.slow
def test_what_is_dropped(x, params, getkey):
    key, model = getkey(), layer(dropout=0.5, recurrent_dropout=0.25, return_sequences=True)
    draws = model.sample_dropout(key, x)
    assert draws.inputs.shape == (3, PIXELS, CHANNELS)
    assert draws.hidden.shape == (3, 4, FILTERS)
    assert set(np.unique(draws.inputs)) == {0, 2}
    outputs = model.apply(params, x, training=True, key=key)
    for row, mask in enumerate(MASK):
        lines = wide(x.values[row][mask] * draws.inputs[row])
        expected, *_ = conv_lstm(wide(draws.hidden[row]))(wide(params), lines)
        assert_close(outputs.values[row][mask], expected)
    np.testing.assert_array_equal(model.apply(params, x).values, layer(return_sequences=True).apply(params, x).values)


# Dtypes


@pytest.mark.slow
def test_dtypes(x, params):
    options: dict[str, Any] = {"return_sequences": True, "return_state": True}
    expected = layer(**options).apply(params, x)[0].fill(0)
    half = jax.tree.map(lambda p: p.astype("bfloat16"), params)
    for model, weights, given in (
        (layer(dtype="bfloat16", **options), params, x),
        (layer(**options), half, x.astype("bfloat16")),
        (L.RNN(cell(dtype="bfloat16"), **options), params, x),
    ):
        outputs, *state = model.apply(weights, given)
        assert [str(leaf.dtype) for leaf in (outputs, *state)] == ["bfloat16", "float32", "float32"]
        assert_close(outputs.fill(0).astype("float32"), expected, precision="bfloat16")
    gradient = jax.grad(lambda p: layer(dtype="bfloat16").apply(p, x).values.astype("float32").sum())(params)
    assert {str(g.dtype) for g in gradient.values()} == {"float32"}


@pytest.mark.slow
def test_integers_are_promoted(params, rng):
    lines = jm.from_lengths(jnp.asarray(rng.integers(0, 5, (3, 6, PIXELS, CHANNELS))), [3, 0, 6])
    actual, expected = (layer().apply(params, given) for given in (lines, lines.astype("float32")))
    np.testing.assert_array_equal(actual.values, expected.values)
    np.testing.assert_array_equal(actual.mask, expected.mask)


# In other layers


@pytest.mark.slow
def test_at_every_step_of_longer_sequences(params, rng):
    mask = np.arange(5) < np.array([[3, 0, 5], [1, 2, 4]])[..., None]
    films = jm.masked(jnp.asarray(rng.normal(size=(*mask.shape, PIXELS, CHANNELS)), "float32"), jnp.asarray(mask))
    model = L.TimeDistributed(layer())
    assert jax.tree.map(jnp.shape, model.init(jax.random.key(0), films)) == jax.tree.map(jnp.shape, params)
    outputs = model.apply(params, films)
    np.testing.assert_array_equal(outputs.mask, mask.any(-1))
    for film, row in zip(films, outputs.values, strict=True):
        assert_close(row, layer().apply(params, film))


@pytest.mark.slow
def test_in_a_stack_of_cells_and_in_a_graph(x, getkey):
    inputs = jm.Input((None, PIXELS, CHANNELS), masked=True)
    cells = [cell(padding="same"), L.ConvLSTM1DCell(5, 3, strides=2)]
    h = L.RNN(cells, return_sequences=True)(L.Bidirectional(layer(padding="same", return_sequences=True))(inputs))
    model = jm.Model(inputs, h)
    outputs = model.apply(model.init(getkey(), x), x)
    assert outputs.shape == (3, 6, 3, 5)
    assert outputs.mask is x.mask


@pytest.mark.slow
def test_packed_rows(rng, params):
    sequences = [rng.normal(size=(n, PIXELS, CHANNELS)).astype("float32") for n in (3, 6, 1, 5, 2, 4)]
    padded, packed = jm.pad_sequences(sequences), jm.pack(sequences, row_length=8)
    both = {"forward": params, "backward": params}
    for model, weights in (
        (layer(return_sequences=True), params),
        (L.RNN(cell(), return_sequences=True), params),
        (L.Bidirectional(layer(return_sequences=True)), both),
    ):
        outputs = model.apply(weights, packed)
        for one, row in zip(jm.unpack(outputs), jm.unpad(model.apply(weights, padded)), strict=True):
            assert_close(one, row)
    for one, other in zip(
        *(layer(return_state=True).apply(params, x) for x in (packed, padded)), strict=True
    ):  # the last output and the states of each sequence
        assert_close(one.fill(0), other.fill(0))
    with pytest.raises(ValueError, match=r"`initial_state` is one state a row, but these rows are packed"):
        layer(return_sequences=True).apply(params, packed, [jnp.zeros((3, 4, FILTERS))] * 2)


@pytest.mark.slow
def test_over_an_explicit_mesh(x, params):
    run = layer(strides=2, padding="same").apply
    eight = jax.tree.map(lambda leaf: jnp.concatenate([leaf, leaf, leaf])[:8], x)
    expected = run(params, eight)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(jax.sharding.AxisType.Explicit,))
    with jax.set_mesh(mesh):
        sharded = jax.device_put(eight, jax.sharding.PartitionSpec("batch"))
        assert_close(jax.jit(run)(params, sharded), expected)


# Refusals


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"filters": 0}, r"`filters` of `ConvLSTM1D\w*` is a positive integer; received 0\."),
        ({"kernel_size": 0}, r"`kernel_size` of `ConvLSTM1D\w*` is a positive integer; received 0\."),
        ({"strides": 0}, r"`strides` of `ConvLSTM1D\w*` is a positive integer; received 0\."),
        ({"dilation_rate": 0}, r"`dilation_rate` of `ConvLSTM1D\w*` is a positive integer; received 0\."),
        ({"padding": "causal"}, r"`padding` of `ConvLSTM1D\w*` is 'valid' or 'same'; received 'causal'\."),
        ({"dropout": 1.5}, r"`dropout` of `ConvLSTM1D\w*` is a probability in \[0, 1\]; received 1\.5"),
    ],
    ids=str,
)
def test_options_are_checked(options, text):
    for kind in (L.ConvLSTM1D, L.ConvLSTM1DCell):
        with pytest.raises(ValueError, match=text):
            kind(**{"filters": FILTERS, "kernel_size": WIDTH, **options})


@pytest.mark.parametrize(
    ("shape", "mask_ndim", "text"),
    [
        ((2, 3, 7), None, r"`ConvLSTM1DCell` takes values \(batch, time, pixels, channels\), .* of shape \(7,\)"),
        ((2, 3, 5, 7, 3), 2, r"`ConvLSTM1DCell` takes values \(batch, time, pixels, channels\), .* \(5, 7, 3\)"),
        (
            (2, 3, 7, 3),
            3,
            r"with mask \(2, 3, 7\)\. A step is real or padding as a whole: where steps are sequences, use "
            r"`jm\.layers\.TimeDistributed`; where a part of a step is padding, `jm\.masked\(x\.fill\(0\), ",
        ),
    ],
    ids=str,
)
def test_inputs_of_another_rank_are_refused(shape, mask_ndim, text, params):
    x: Any = jnp.ones(shape) if mask_ndim is None else jm.masked(jnp.ones(shape), jnp.ones(shape[:mask_ndim], bool))
    with pytest.raises(ValueError, match=text) as error:
        layer(name="radar").apply(params, x)
    assert error.value.__notes__ == ["In layer `radar`."]
    if len(shape) != 4:
        with pytest.raises(ValueError, match=r"`ConvLSTM1D` takes values \(batch, time, pixels, channels\); received"):
            layer().init(jax.random.key(0), x)


@pytest.mark.slow
def test_under_a_mask_of_rows_each_row_is_a_sequence_or_none(x, params):
    rows = jm.masked(x.values.at[0].set(jnp.nan), jnp.array([False, False, True]))
    for options in ({}, {"return_sequences": True}):
        outputs = layer(**options).apply(params, rows)
        assert outputs.mask.tolist() == [False, False, True]
        assert_close(outputs.values[2], layer(**options).apply(params, x.values[2:])[0])
        gradient = jax.grad(lambda p, o=options: layer(**o).apply(p, rows).fill(0).sum())(params)
        expected = jax.grad(lambda p, o=options: layer(**o).apply(p, x.values[2:]).sum())(params)
        jax.tree.map(assert_close, gradient, expected)


def test_a_step_of_another_rank_is_refused(params):
    text = r"`ConvLSTM1DCell` takes values \(batch, time, pixels, channels\), one step \(pixels, channels\) at a time; "
    for run in (L.RNN(cell()).init, L.RNN(cell()).apply):
        with pytest.raises(ValueError, match=text + r"received a step of shape \(7,\)\."):
            run(params if run.__name__ == "apply" else jax.random.key(0), jnp.ones((2, 3, 7)))


def test_a_line_that_is_shorter_than_a_window_is_refused(params):
    text = r"`padding='valid'` takes lines of at least 7 pixels, which a window spans; received 6\. Use `padding='same'"
    for model in (layer(dilation_rate=2), L.RNN(cell(dilation_rate=2))):
        with pytest.raises(ValueError, match=text):
            model.init(jax.random.key(0), jnp.ones((2, 3, 6, CHANNELS)))
        with pytest.raises(ValueError, match=text):
            model.apply(params, jnp.ones((2, 3, 6, CHANNELS)))


def test_weights_that_do_not_fit_are_refused(x, params):
    for name, shape in (("kernel", (4, 5, 8)), ("recurrent_kernel", (3, 2, 8)), ("bias", (2, 4))):
        text = rf"over 3 channels takes for 2 filters a {name.replace('_', ' ')} of shape .*; received \({shape[0]}, "
        with pytest.raises(ValueError, match=text):
            layer().apply(params | {name: jnp.ones(shape)}, x)


def test_a_state_that_does_not_fit_is_refused(x, params):
    text = r"with shapes \[\(3, 4, 2\), \(3, 4, 2\)\]; received \[\(3, 7, 2\), \(3, 7, 2\)\]"
    with pytest.raises(ValueError, match=text):
        layer().apply(params, x, [jnp.ones((3, PIXELS, FILTERS))] * 2)


def test_what_cells_share_is_no_cell(x, getkey):
    for run in (
        lambda shared: shared.init(getkey(), x),
        lambda shared: shared.step({}, None, jnp.ones(3)),
    ):
        with pytest.raises(TypeError, match=r"`BaseCell` is what cells share; use one of them, such as `LSTMCell`"):
            run(L.cells.BaseCell())
