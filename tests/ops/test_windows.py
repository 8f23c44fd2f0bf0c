"""Convolutions and poolings beside `jm.vmap` of JAX's own, their lengths, edges, and errors."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmask as jm
from jmask.ops.windows import TransposedWindows, Windows
from jmask.testing import assert_close, random_masked
from tests.support import window_oracles
from tests.support.batches import holes, right

L = jm.layers
LENGTHS = (6, 0, 11, 1, 2, 9)
TIME = 11
LAYOUT = ("NWC", "WIO", "NWC")
WORDS = {"valid": "VALID", "same": "SAME"}
FOUR_STEPS = jnp.arange(1.0, 9).reshape(1, 4, 2)


def batch(rng, layout, features=3):
    values = np.where(layout[..., None], rng.normal(size=(*layout.shape, features)), np.nan).astype("float32")
    return jm.masked(jnp.asarray(values), layout)


def values_and_gradients(function, kernel, x):
    """Of a weighted sum over all that comes out."""

    @jax.jit
    @functools.partial(jax.value_and_grad, argnums=(0, 1), has_aux=True)
    def loss(kernel, values):
        y = function(kernel, jm.masked(values, x.mask))
        return jnp.sum(jnp.cos(y.values) * y.mask[..., None]), y

    (_, y), gradients = loss(kernel, x.values)
    return y, gradients


def assert_each_is_the_others_oracle(by_hand, of_one_row, kernel, rng):
    for layout in (right(LENGTHS, TIME), holes(LENGTHS, TIME)):
        x = batch(rng, layout)
        y, gradients = values_and_gradients(by_hand, kernel, x)
        expected, expected_gradients = values_and_gradients(
            lambda kernel, x: jm.vmap(functools.partial(of_one_row, kernel))(x), kernel, x
        )
        assert_close(y.fill(0), expected.fill(0))
        np.testing.assert_array_equal(y.mask, expected.mask)
        jax.tree.map(assert_close, gradients, expected_gradients)


# beside `jm.vmap` of JAX's own functions, which knows nothing of the forms that are written by hand


@pytest.mark.slow
@pytest.mark.parametrize(
    ("width", "strides", "padding", "dilation_rate"),
    [
        (5, 1, "same", 1),
        (9, 4, "same", 1),
        (3, 7, "same", 2),
        (3, 2, "causal", 2),
        (3, 1, "valid", 2),
        (5, 2, "valid", 1),
    ],
)
def test_conv_beside_vmap(width, strides, padding, dilation_rate, rng):
    before = [((width - 1) * dilation_rate, 0)]
    kernel = jnp.asarray(rng.normal(size=(width, 3, 2)), "float32")

    def of_one_row(kernel, x):
        options = {"rhs_dilation": (dilation_rate,), "dimension_numbers": LAYOUT}
        return lax.conv_general_dilated(x[None], kernel, (strides,), WORDS.get(padding, before), **options)[0]

    def by_hand(kernel, x):
        return jm.ops.conv(x, kernel, strides=strides, padding=padding, dilation_rate=dilation_rate)

    assert_each_is_the_others_oracle(by_hand, of_one_row, kernel, rng)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "strides", "padding"), [(5, 3, "same"), (5, 2, "valid")])
def test_depthwise_conv_beside_vmap(width, strides, padding, rng):
    kernel = jnp.asarray(rng.normal(size=(width, 3, 2)), "float32")

    def of_one_row(kernel, x):
        options = {"feature_group_count": 3, "dimension_numbers": LAYOUT}
        kernel = kernel.reshape(width, 1, 6)
        return lax.conv_general_dilated(x[None], kernel, (strides,), WORDS[padding], **options)[0]

    def by_hand(kernel, x):
        return jm.ops.depthwise_conv(x, kernel, strides=strides, padding=padding)

    assert_each_is_the_others_oracle(by_hand, of_one_row, kernel, rng)


@pytest.mark.slow
@pytest.mark.parametrize(("width", "strides", "padding"), [(4, 3, "same"), (2, 3, "valid")])
def test_conv_transpose_beside_vmap(width, strides, padding, rng):
    kernel = jnp.asarray(rng.normal(size=(width, 2, 3)), "float32")

    def of_one_row(kernel, x):
        options = {"dimension_numbers": LAYOUT, "transpose_kernel": True}
        return lax.conv_transpose(x[None], kernel, (strides,), WORDS[padding], **options)[0]

    def by_hand(kernel, x):
        return jm.ops.conv_transpose(x, kernel, strides=strides, padding=padding)

    assert_each_is_the_others_oracle(by_hand, of_one_row, kernel, rng)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["max_pool", "average_pool"])
@pytest.mark.parametrize(("pool_size", "strides", "padding"), [(6, 4, "same"), (3, 1, "same"), (3, 2, "valid")])
def test_pooling_beside_vmap(name, pool_size, strides, padding, rng):
    def slide(x, init, function):
        return lax.reduce_window(x, init, function, (pool_size, 1), (strides, 1), WORDS[padding])

    def of_one_row(scale, x):
        if name == "max_pool":
            return scale * slide(x, -jnp.inf, lax.max)
        return scale * slide(x, 0.0, lax.add) / slide(jnp.ones((x.shape[0], 1)), 0.0, lax.add)

    def by_hand(scale, x):
        return getattr(jm.ops, name)(x, pool_size, strides=strides, padding=padding) * scale

    assert_each_is_the_others_oracle(by_hand, of_one_row, jnp.ones(()), rng)


OF_ROWS = {
    "conv": lambda x: jm.ops.conv(x, jnp.ones((3, 2, 4)), strides=2, padding="same"),
    "conv, valid": lambda x: jm.ops.conv(x, jnp.ones((3, 2, 4))),
    "depthwise_conv": lambda x: jm.ops.depthwise_conv(x, jnp.ones((3, 2, 2)), strides=3, padding="same"),
    "conv_transpose": lambda x: jm.ops.conv_transpose(x, jnp.ones((3, 4, 2)), strides=2),
    "max_pool": lambda x: jm.ops.max_pool(x, 3, padding="same"),
    "average_pool": lambda x: jm.ops.average_pool(x, 3, padding="same"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", OF_ROWS)
def test_the_functions_themselves_are_functions_of_one_sequence_for_vmap(name, getkey):
    x = random_masked(getkey(), [5, 0, 2], 2)
    y, expected = jm.vmap(OF_ROWS[name])(x), OF_ROWS[name](x)
    assert_close(y.values, expected.values)
    np.testing.assert_array_equal(y.mask, expected.mask)


# lengths, by the formulas of Keras


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["valid", "same", "causal"])
@pytest.mark.parametrize(("width", "strides", "dilation_rate"), [(1, 1, 1), (1, 3, 1), (3, 1, 2), (4, 2, 1), (2, 5, 1)])
def test_lengths_of_windows(width, strides, dilation_rate, padding):
    """`compute_conv_output_shape`, and `floor((steps - 1) / strides) + 1`."""
    windows = Windows(width, strides, padding, dilation_rate)
    steps, span = np.arange(13), (width - 1) * dilation_rate + 1
    inner = np.maximum((steps - span) // strides + 1, 0)
    expected = inner if padding == "valid" else np.maximum((steps - 1) // strides + 1, 0)
    assert windows.output_length(jnp.asarray(steps)).tolist() == expected.tolist()
    x = jm.from_lengths(jnp.ones((13, 12, 2)), steps)
    for function, kernel in ((jm.ops.conv, (width, 2, 3)), (jm.ops.depthwise_conv, (width, 2, 3))):
        y = function(x, jnp.ones(kernel), strides=strides, padding=padding, dilation_rate=dilation_rate)
        assert y.lengths.tolist() == expected.tolist()
        assert y.shape[1] == expected[-1]
    if dilation_rate == 1 and padding != "causal":
        y = jm.ops.average_pool(x, width, strides=strides, padding=padding)
        assert (y.shape[1], y.lengths.tolist()) == (expected[-1], expected.tolist())
        assert np.array_equal(y.values[..., 0], y.mask), "the mean of ones is one, and zero in the padding"


@pytest.mark.slow
@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("width", "strides", "dilation_rate", "output_padding"),
    [
        (1, 1, 1, None),
        (3, 1, 2, 0),
        (2, 1, 1, 0),
        (2, 4, 1, None),
        (4, 2, 1, None),
        (5, 3, 1, 0),
        (2, 3, 1, 2),
        (2, 3, 1, 0),
    ],
)
def test_lengths_of_transposed_windows(width, strides, dilation_rate, output_padding, padding):
    windows = TransposedWindows(width, strides, padding, dilation_rate, output_padding)
    span = (width - 1) * dilation_rate + 1
    expected = [0] + [window_oracles.transposed_length(n, span, strides, padding, output_padding) for n in range(1, 8)]
    assert windows.output_length(jnp.arange(8)).tolist() == expected
    options = {"strides": strides, "dilation_rate": dilation_rate, "output_padding": output_padding}
    x = jm.from_lengths(jnp.ones((8, 7, 2)), np.arange(8))
    y = jm.ops.conv_transpose(x, jnp.ones((width, 3, 2)), padding=padding, **options)
    assert (y.shape[1], y.lengths.tolist()) == (expected[-1], expected)
    assert windows.preserves_length == (expected == list(range(8)))


# where steps stand


@pytest.mark.slow
def test_steps_stay_where_they_stand_if_there_are_as_many(rng):
    kernel = jnp.asarray(rng.normal(size=(3, 3, 3)), "float32")
    x = batch(rng, holes(LENGTHS, TIME))
    aligned = jm.left_align(x)[0]
    for y, front in (
        (jm.ops.conv(x, kernel, padding="same"), jm.ops.conv(aligned, kernel, padding="same")),
        (jm.ops.conv_transpose(x, kernel, padding="same"), jm.ops.conv_transpose(aligned, kernel, padding="same")),
        (jm.ops.max_pool(x, 3, strides=1, padding="same"), jm.ops.max_pool(aligned, 3, strides=1, padding="same")),
    ):
        assert y.mask is x.mask
        assert_close(y.values[np.asarray(y.mask)], front.values[np.asarray(front.mask)])


@pytest.mark.slow
@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_on_one_side_costs_no_sort_and_no_gather(side, rng):
    layout = right(LENGTHS, TIME)
    x = jm.masked(jnp.ones((6, TIME, 3)), layout if side == "right" else layout[:, ::-1])
    kernel = jnp.ones((3, 3, 3))
    every_step = [
        lambda x: jm.ops.conv(x, kernel, padding="same"),
        lambda x: jm.ops.conv(x, kernel, padding="causal", dilation_rate=2),
        lambda x: jm.ops.depthwise_conv(x, kernel, padding="same"),
        lambda x: jm.ops.average_pool(x, 3, strides=1, padding="same"),
    ]
    shorter = [
        lambda x: jm.ops.conv(x, kernel, padding="same", strides=4),
        lambda x: jm.ops.conv(x, kernel),
        lambda x: jm.ops.conv_transpose(x, kernel, strides=2),
        lambda x: jm.ops.max_pool(x),
    ]
    for function in [*every_step, *(shorter if side == "right" else [])]:
        program = str(jax.make_jaxpr(jax.grad(lambda v, f=function: f(x.with_values(v)).fill().sum()))(x.values))
        assert "sort" not in program  # the mask is NumPy's, so it is known beforehand
        assert "gather" not in program
    for function in every_step:
        assert function(x).mask is x.mask


@pytest.mark.slow
def test_windows_of_one_step_leave_packed_rows_and_everything_else_as_it_is(rng):
    x = jm.from_segment_ids(jnp.asarray(rng.normal(size=(1, 5, 3)), "float32"), [[1, 0, 1, 2, 2]])
    kernel = jnp.asarray(rng.normal(size=(1, 3, 3)), "float32")
    for y, expected in (
        (jm.ops.conv(x, kernel), x @ kernel[0]),
        (jm.ops.conv_transpose(x, kernel, padding="same"), x @ kernel[0].T),
        (jm.ops.depthwise_conv(x, kernel[:, :, :1], padding="causal"), x * kernel[0, :, 0]),
        (jm.ops.separable_conv(x, jnp.ones((1, 3, 1)), kernel), x @ kernel[0]),
        (jm.ops.max_pool(x, 1), x),
        (jm.ops.average_pool(x, 1, padding="same"), x),
    ):
        assert y.segment_ids is x.segment_ids
        assert_close(y.fill(0), expected.fill(0))
        assert not y.values[~np.asarray(y.mask)].any()


# edges


NO_STEPS = {
    "conv": (lambda x: jm.ops.conv(x, jnp.ones((3, 2, 5)), strides=7, padding="same"), 5),
    "conv, causal": (lambda x: jm.ops.conv(x, jnp.ones((3, 2, 5)), padding="causal"), 5),
    "depthwise_conv": (lambda x: jm.ops.depthwise_conv(x, jnp.ones((3, 2, 2))), 4),
    "conv_transpose": (lambda x: jm.ops.conv_transpose(x, jnp.ones((3, 5, 2)), strides=2), 5),
    "max_pool": (lambda x: jm.ops.max_pool(x, 3, padding="same"), 2),
    "average_pool": (jm.ops.average_pool, 2),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", NO_STEPS)
def test_arrays_without_steps_or_rows_give_some_without(name):
    function, features = NO_STEPS[name]
    assert function(jnp.ones((2, 0, 2))).shape == (2, 0, features)
    y = function(jm.from_lengths(jnp.ones((2, 0, 2)), [0, 0]))
    assert (y.shape, y.mask.shape) == ((2, 0, features), (2, 0))
    time = function(jnp.ones((1, 6, 2))).shape[1]
    assert function(jnp.ones((0, 6, 2))).shape == (0, time, features)
    assert function(jm.from_lengths(jnp.ones((0, 6, 2)), np.zeros(0, int))).shape == (0, time, features)


@pytest.mark.slow
def test_an_array_that_is_too_short_for_a_window_has_no_place_for_one():
    for function in (jm.ops.conv, jm.ops.depthwise_conv):
        assert function(jnp.ones((2, 3, 2)), jnp.ones((5, 2, 3)), strides=2).shape[1] == 0
        y = function(jm.from_lengths(jnp.ones((2, 3, 2)), [3, 1]), jnp.ones((5, 2, 3)))
        assert (y.shape[1], y.mask.shape) == (0, (2, 0))
    assert jm.ops.max_pool(jnp.ones((2, 3, 2)), 5).shape == (2, 0, 2)


@pytest.mark.slow
def test_pooling_of_integers():
    x = jm.from_lengths(jnp.asarray([[-3, -4, -5, 7], [7, 7, 7, 7]]), [3, 0])[..., None]
    y = jm.ops.max_pool(x, 2, padding="same")
    assert (y.dtype, y.values[..., 0].tolist()) == (jnp.int32, [[-3, -5], [0, 0]])
    y = jm.ops.average_pool(x, 2, padding="same")
    assert (y.dtype, y.values[..., 0].tolist()) == (jnp.float32, [[-3.5, -5], [0, 0]])


@pytest.mark.slow
def test_a_kernel_of_a_wider_dtype_widens_the_result():
    for function in (jm.ops.conv, jm.ops.depthwise_conv, jm.ops.conv_transpose):
        assert function(jnp.ones((1, 4, 2), jnp.bfloat16), jnp.ones((2, 2, 2))).dtype == jnp.float32
        assert function(jnp.ones((1, 4, 2), jnp.int32), jnp.ones((2, 2, 2))).dtype == jnp.float32


@pytest.mark.slow
def test_many_small_numbers_do_not_get_lost_in_half_precision():
    """As they would if bfloat16, which has 8 bits, held the sum: 256 + 1 is 256 there."""
    x = jnp.ones((1, 16, 1), jnp.bfloat16).at[0, 0].set(256)
    assert jm.ops.average_pool(x, 16).item() == 17
    assert jm.ops.depthwise_conv(x, jnp.ones((16, 1, 1), jnp.bfloat16)).item() == 272


@pytest.mark.slow
def test_of_equal_values_the_first_has_the_gradient():
    gradient = jax.grad(lambda x: jm.ops.max_pool(jm.from_lengths(x, [3]), 3, padding="same").fill(0).sum())
    assert gradient(jnp.zeros((1, 5, 1)))[0, :, 0].tolist() == [1, 0, 0, 0, 0]


@pytest.mark.slow
def test_depthwise_conv_keeps_no_copy_of_its_input_for_every_entry_of_a_window():
    x, kernel = jnp.ones((2, 64, 3)), jnp.ones((7, 3, 1))
    _, pullback = jax.vjp(lambda x, kernel: jm.ops.depthwise_conv(x, kernel, padding="same"), x, kernel)
    assert sum(leaf.size for leaf in jax.tree.leaves(pullback)) < 3 * x.size


@pytest.mark.slow
def test_other_ranks_are_sequences_too(getkey):
    x = random_masked(getkey(), [4, 0, 5, 2], 2)
    documents = jax.tree.map(lambda leaf: leaf.reshape(2, 2, *leaf.shape[1:]), x)
    for function in map(OF_ROWS.get, ("conv", "depthwise_conv", "average_pool")):
        expected, y = function(x), function(documents)
        assert_close(y.values.reshape(expected.shape), expected.values)
        assert_close(function(x[2]).values, expected.values[2])
        values = x.fill(0)
        assert_close(function(values.reshape(2, 2, *values.shape[1:])).reshape(expected.shape), function(values))


# layers


@pytest.mark.slow
def test_convolutions_make_the_parameters_of_keras(getkey):
    x = jnp.ones((1, 7, 6))
    shapes = {
        L.Conv1D(4, 3, groups=2): {"kernel": (3, 3, 4), "bias": (4,)},
        L.Conv1D(4, 3, use_bias=False): {"kernel": (3, 6, 4)},
        L.DepthwiseConv1D(3, depth_multiplier=2): {"kernel": (3, 6, 2), "bias": (12,)},
        L.SeparableConv1D(4, 3, depth_multiplier=2): {
            "depthwise_kernel": (3, 6, 2),
            "pointwise_kernel": (1, 12, 4),
            "bias": (4,),
        },
        L.Conv1DTranspose(4, 3): {"kernel": (3, 4, 6), "bias": (4,)},
    }
    for layer, expected in shapes.items():
        params = layer.init(getkey(), x)
        assert {name: p.shape for name, p in params.items()} == expected
        assert all(p.any() != (name == "bias") for name, p in params.items())
        assert layer.apply(params, x).shape[0] == 1


@pytest.mark.slow
def test_the_initialisers_and_the_dtype_are_used(getkey):
    x, options = jnp.ones((1, 7, 2)), {"bias_initializer": "ones", "param_dtype": "bfloat16"}
    depthwise = {"depthwise_initializer": "ones"}
    for layer in (
        L.Conv1D(4, 3, kernel_initializer="ones", **options),
        L.Conv1DTranspose(4, 3, kernel_initializer="ones", **options),
        L.DepthwiseConv1D(3, **depthwise, **options),
        L.SeparableConv1D(4, 3, **depthwise, pointwise_initializer="ones", **options),
    ):
        params = layer.init(getkey(), x)
        assert all((p == 1).all() and p.dtype == jnp.bfloat16 for p in params.values())


@pytest.mark.slow
def test_an_activation_that_is_infinite_at_zero(getkey):
    layer = L.Conv1D(1, 2, activation=jnp.log, kernel_initializer="ones", padding="causal")
    x = jm.from_lengths(FOUR_STEPS, [2])
    params = layer.init(getkey(), x)
    y = layer.apply(params, x)
    assert_close(y.values[0, :, 0], np.log([3, 10, 1, 1]))
    gradients = jax.grad(lambda p: layer.apply(p, x).fill(0).sum())(params)
    assert all(jnp.isfinite(g).all() for g in gradients.values())


def test_global_max_pooling_keeps_the_time_axis_if_asked():
    x = jm.from_lengths(-FOUR_STEPS, [2])
    y = L.GlobalMaxPooling1D(keepdims=True)(x)
    assert y.values.tolist() == [[[-1, -2]]]
    assert y.mask.tolist() == [[True]]
    assert L.GlobalMaxPooling1D()(-FOUR_STEPS).tolist() == [[-1, -2]]


@pytest.mark.slow
def test_shapes_of_a_graph_are_those_of_its_batches(getkey):
    model = jm.Sequential(
        [
            L.Embedding(9, 3, mask_zero=True),
            L.Conv1D(4, 3, padding="same", strides=2),
            L.Conv1DTranspose(5, 2, strides=3),
            L.AveragePooling1D(3, strides=2, padding="same"),
            L.DepthwiseConv1D(2),
        ]
    )
    ids = jm.Input((None,), "int32")
    h = ids
    for layer in model.layers:
        h = layer(h)
    assert "time" in str(h.shape[1])
    functional = jm.Model(ids, h)
    x = jm.pad_sequences([[3, 4, 5, 1, 2, 7, 8], [6, 1], []])
    y = functional.apply(functional.init(getkey(), x), x)
    assert y.lengths.tolist() == [5, 1, 0]
    assert y.shape == (3, 5, 5)


# errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Windows(2, 0), "`strides` must be at least 1; received 0"),
        (lambda: Windows(2, 1, "full"), "`padding` must be 'valid', 'same' or 'causal'; received 'full'"),
        (lambda: Windows(2, 1, "same", 0), "`dilation_rate` must be at least 1; received 0"),
        (lambda: TransposedWindows(2, 2, "causal"), "`padding` must be 'valid' or 'same'; received 'causal'"),
        (
            lambda: TransposedWindows(2, 2, "same", 1, 2),
            "`output_padding` must be less than `strides`, 2; received 2. Leave it out for the usual number of steps.",
        ),
        (lambda: TransposedWindows(2, 2, "same", 1, -1), "`output_padding` must be at least 0; received -1"),
        (lambda: L.Conv1D(0, 3), "`filters` of `Conv1D` is a positive integer; received 0."),
        (lambda: L.Conv1D(3, 0), "`kernel_size` of `Conv1D` is a positive integer; received 0."),
        (lambda: L.Conv1D(3, 2, groups=2), "`filters` must be a multiple of `groups`; received 3 and 2."),
        (lambda: L.Conv1D(3, 2, strides=0), "`strides` of `Conv1D` is a positive integer; received 0."),
        (lambda: L.Conv1DTranspose(3, 2, padding="causal"), "`padding` must be 'valid' or 'same'; received 'causal'"),
        (
            lambda: L.DepthwiseConv1D(2, depth_multiplier=0),
            "`depth_multiplier` of `DepthwiseConv1D` is a positive integer; received 0.",
        ),
        (
            lambda: L.SeparableConv1D(2, 2, padding="full"),
            "`padding` of `SeparableConv1D` is 'valid' or 'same' or 'causal'; received 'full'.",
        ),
        (lambda: L.MaxPooling1D(0), "`pool_size` of `MaxPooling1D` is a positive integer; received 0."),
        (
            lambda: L.AveragePooling1D(2, strides=0),
            "`strides` of `AveragePooling1D` is a positive integer or None; received 0.",
        ),
        (
            lambda: L.MaxPooling1D(2, padding="causal"),
            "`padding` of `MaxPooling1D` is 'valid' or 'same'; received 'causal'.",
        ),
        (
            lambda: L.Conv1D(4, 2, groups=2).init(jax.random.key(0), jnp.ones((1, 4, 3))),
            "The features must be a multiple of `groups`; received 3 and 2.",
        ),
        (
            lambda: jm.ops.conv(FOUR_STEPS, jnp.ones((2, 2, 3)), groups=2),
            "`conv` takes a kernel (width, features / groups, filters); received (2, 2, 3) for 2 features and 2 "
            "groups, of which filters are a multiple.",
        ),
        (lambda: jm.ops.conv(FOUR_STEPS, jnp.ones((2, 1, 3)), groups=2), "received (2, 1, 3) for 2 features"),
        (lambda: jm.ops.conv(FOUR_STEPS, jnp.ones((2, 3))), "(width, features / groups, filters); received (2, 3)"),
        (
            lambda: jm.ops.conv_transpose(FOUR_STEPS, jnp.ones((2, 2, 3))),
            "`conv_transpose` takes a kernel (width, filters, features); received (2, 2, 3) for 2 features.",
        ),
        (
            lambda: jm.ops.depthwise_conv(FOUR_STEPS, jnp.ones((2, 3, 1))),
            "`depthwise_conv` takes a kernel (width, features, multiplier); received (2, 3, 1) for 2 features.",
        ),
        (
            lambda: jm.ops.max_pool(jm.from_lengths(jnp.ones((2, 3)), [1, 2])),
            "`max_pool` works on values (batch, time, features), with one feature axis behind the last axis of the "
            "mask; received (2, 3) with a mask (2, 3). Add an axis, `x[..., None]`, or merge the feature axes.",
        ),
        (lambda: jm.ops.average_pool(jnp.ones(3)), "`average_pool` works on values .* received (3,). Add an axis"),
        (
            lambda: L.Conv1D(2, 2).init(jax.random.key(0), jm.from_lengths(jnp.ones((2, 3, 4, 5)), [1, 2])),
            "`Conv1D` works on values (batch, time, features), .* received (2, 3, 4, 5) with a mask (2, 3).",
        ),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(call, message):
    pattern = ".*".join(map(escaped, message.split(".*")))
    with pytest.raises(ValueError, match=pattern):
        call()


def escaped(text):
    return text.translate(str.maketrans({c: f"\\{c}" for c in "()[]{}.*+?|^$"}))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: L.Conv1D(3, (3,)), r"`kernel_size` of `Conv1D` is a positive integer; received \(3,\)"),
        (
            lambda: L.SeparableConv1D(2, 2, padding=1),
            "`padding` of `SeparableConv1D` is 'valid' or 'same' or 'causal'; received 1",
        ),
        (lambda: L.Conv1D(3, 3, strides=1.0), r"`strides` of `Conv1D` is a positive integer; received 1\.0"),
        (lambda: jm.ops.max_pool(FOUR_STEPS, 2, strides=True), "`strides` must be an integer or None; received True"),
    ],
)
def test_what_is_of_another_type_is_refused(call, message):
    with pytest.raises(TypeError, match=message):
        call()
