"""The options of the layers, their dtypes, and their edges; `test_laws.py` holds what they compute to the laws."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.protocol.options import ACTIVATIONS, INITIALIZERS, has_finite_gradient, keeps_zeros
from jmask.testing import assert_close
from tests.support.parameters import shapes

L = jm.layers


def dtypes(params):
    return {str(p.dtype) for p in jax.tree.leaves(params)}


# Embedding


def test_embedding_makes_a_table_and_looks_ids_up(getkey):
    layer = L.Embedding(11, 3)
    params = layer.init(getkey())
    assert shapes(params) == {"embeddings": (11, 3)}
    assert jnp.abs(params["embeddings"]).max() <= 0.05
    ids = jm.pad_sequences([[4, 0], [10]])
    output = layer.apply(params, ids)
    np.testing.assert_array_equal(output.values[0], params["embeddings"][jnp.array([4, 0])])
    assert output.mask is ids.mask


@pytest.mark.slow
def test_embedding_of_ids_of_any_rank(getkey):
    layer = L.Embedding(11, 3, mask_zero=True)
    params = layer.init(getkey())
    for shape in ((), (2,), (2, 5), (2, 5, 7)):
        output = layer.apply(params, jnp.ones(shape, jnp.int32))
        assert output.shape == (*shape, 3)
        assert output.mask.shape == shape
    one = L.Embedding(11, 3).apply(params, jnp.asarray(4))
    np.testing.assert_array_equal(one, params["embeddings"][4])


def test_mask_zero_masks_zeros_besides_what_was_masked():
    layer = L.Embedding(11, 3, mask_zero=True)
    params = {"embeddings": jnp.ones((11, 3))}
    ids = jnp.asarray([[4, 0, 5], [0, 0, 2]])
    assert layer.apply(params, ids).mask.tolist() == [[True, False, True], [False, False, True]]
    output = layer.apply(params, jm.from_lengths(ids, [2, 3]))
    assert output.mask.tolist() == [[True, False, False], [False, False, True]]
    by_hand = layer.compute_mask(ids, jnp.asarray([[True, True, False], [True, True, True]]))
    assert by_hand.tolist() == [[True, False, False], [False, False, True]]
    assert isinstance(L.Embedding(11, 3).apply(params, ids), jax.Array)


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "uint8", "uint16", "uint32"])
def test_an_id_outside_the_vocabulary_gives_nan_in_every_dtype(dtype):
    table = {"embeddings": jnp.arange(300.0)[:, None]}
    ids = np.array([0, 100, np.iinfo(dtype).min, np.iinfo(dtype).max], dtype)
    expected = [i if 0 <= i < 300 else np.nan for i in ids.tolist()]
    np.testing.assert_array_equal(L.Embedding(300, 1).apply(table, jnp.asarray(ids))[:, 0], expected)


def test_an_id_outside_the_vocabulary_in_the_padding_is_never_seen():
    ids = jm.masked(jnp.asarray([[3, -7, 999]]), jnp.asarray([[True, False, False]]))
    gradients = jax.grad(lambda p: L.Embedding(5, 2).apply(p, ids).fill(0).sum())({"embeddings": jnp.ones((5, 2))})
    np.testing.assert_array_equal(gradients["embeddings"], np.eye(5)[3][:, None].repeat(2, 1))


@pytest.mark.parametrize("ids", [jnp.ones(3), jnp.ones(3, bool), jnp.ones(3, jnp.bfloat16)], ids=lambda v: str(v.dtype))
def test_ids_that_are_no_integers_are_refused(ids):
    with pytest.raises(TypeError, match=f"Ids must be integers; received dtype {ids.dtype}. Convert them with"):
        L.Embedding(5, 2).apply({"embeddings": jnp.ones((5, 2))}, ids)


# Masking


def test_masking_finds_steps_of_a_value_and_zeroes_them():
    values = jnp.asarray([[[2.0, 2.0], [2.0, 3.0], [0.0, 0.0]]])
    output = L.Masking(2.0)(values)
    assert output.mask.tolist() == [[False, True, True]]
    assert output.values.tolist() == [[[0, 0], [2, 3], [0, 0]]]
    assert L.Masking(mask_value=0.0)(values).mask.tolist() == [[True, True, False]]


def test_masking_finds_nan_where_all_features_are_nan():
    values = jnp.asarray([[[np.nan, np.nan], [np.nan, 3.0], [1.0, 1.0]]])
    output = L.Masking(np.nan)(values)
    assert output.mask.tolist() == [[False, True, True]]
    gradient = jax.grad(lambda v: (L.Masking(np.nan)(v).values[:, 2] ** 2).sum())(values)
    np.testing.assert_array_equal(gradient, [[[0, 0], [0, 0], [2, 2]]])


@pytest.mark.parametrize("mask_value", [0.0, 1.0, np.nan])
def test_masking_leaves_padding_padding(mask_value):
    values = jnp.asarray([[[5.0], [mask_value], [5.0], [7.0]]])
    output = L.Masking(mask_value)(jm.masked(values, jnp.asarray([[True, True, False, True]])))
    assert output.mask.tolist() == [[True, False, False, True]]
    assert output.fill(-1)[..., 0].tolist() == [[5, -1, -1, 7]]


def test_masking_of_other_ranks_and_dtypes():
    assert L.Masking()(jnp.ones((2, 3))).mask.shape == (2,)
    assert L.Masking()(jnp.ones((2, 3, 4, 5))).mask.shape == (2, 3, 4)
    assert L.Masking(3.0)(jnp.asarray([[[3], [4]]])).mask.tolist() == [[False, True]]
    assert L.Masking(0.1)(jnp.asarray([[[0.1], [0.2]]], jnp.bfloat16)).mask.tolist() == [[False, True]]
    with pytest.raises(ValueError, match=r"`Masking` needs a feature axis behind the steps; received values \(3,\)"):
        L.Masking()(jnp.ones(3))


# Dense


def test_dense(x, getkey):
    layer = L.Dense(3, activation="tanh")
    params = layer.init(getkey(), x)
    assert shapes(params) == {"kernel": (4, 3), "bias": (3,)}
    assert not params["bias"].any()
    params["bias"] = jnp.arange(3.0)
    output = layer.apply(params, x)
    assert output.mask is x.mask
    real = np.asarray(x.mask)
    expected = np.tanh(np.asarray(x.values)[real] @ params["kernel"] + params["bias"])
    assert_close(np.asarray(output.values)[real], expected)


def test_dense_options(x, getkey):
    layer = L.Dense(3, use_bias=False, kernel_initializer="ones", activation=lambda v: v * 2)
    params = layer.init(getkey(), x)
    assert shapes(params) == {"kernel": (4, 3)}
    assert_close(layer.apply(params, x).fill(0), 2 * np.asarray(x.fill(0)).sum(-1, keepdims=True).repeat(3, -1))
    biased = L.Dense(3, bias_initializer=lambda key, shape, dtype: jnp.full(shape, 7, dtype)).init(getkey(), x)
    assert biased["bias"].tolist() == [7, 7, 7]


def test_dense_of_arrays_of_any_rank(getkey):
    params = L.Dense(3).init(getkey(), jnp.ones(4))
    for shape in ((4,), (2, 4), (2, 5, 7, 4)):
        assert L.Dense(3).apply(params, jnp.ones(shape)).shape == (*shape[:-1], 3)
        assert L.Dense(3).apply(params, np.ones(shape, "float32")).shape == (*shape[:-1], 3)
    assert L.Dense(3).apply(params, jnp.ones((2, 4), jnp.int32)).dtype == jnp.float32


def test_an_activation_that_is_not_finite_at_padding_keeps_gradients_finite(x, getkey):
    layer = L.Dense(3, use_bias=False, activation=jnp.log, kernel_initializer="ones")
    positive = jm.masked(jnp.where(x.mask[..., None], jnp.abs(x.fill(0)) + 1, jnp.nan), x.mask)
    gradients = jax.grad(lambda p: layer.apply(p, positive).fill(0).sum())(layer.init(getkey(), x))
    assert jnp.isfinite(gradients["kernel"]).all()


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_activations_that_see_padding_are_finite_there(name, x64):
    function = ACTIVATIONS[name]
    for dtype in ("float16", "bfloat16", "float32", "float64"):
        sizes = jnp.array([0, jnp.finfo(dtype).tiny, 1e-3, 1, 3, 2e2, 1e3, 1e4, jnp.finfo(dtype).max / 2], dtype)
        biases = jnp.concatenate([-sizes, sizes])
        found = jnp.stack([function(biases), jax.vmap(jax.grad(function))(biases)])
        assert bool(jnp.isfinite(found).all()) == has_finite_gradient(name)
    assert has_finite_gradient(function) == has_finite_gradient(name)
    assert (function(jnp.zeros(())) == 0) == keeps_zeros(name)


@pytest.mark.parametrize("activation", ["relu", "sigmoid", jnp.cos, jax.nn.gelu])
def test_the_padding_of_a_convolution_is_zero_behind_any_activation(activation, x, getkey):
    layer = L.Conv1D(3, 2, activation=activation, bias_initializer="ones")
    y = layer.apply(layer.init(getkey(), x), x)
    assert y.values.any()
    assert not y.unmasked()[~np.asarray(y.mask)].any()


def test_an_activation_of_ones_own_sees_no_padding(x, getkey):
    assert not has_finite_gradient(lambda v: v)
    assert not has_finite_gradient(jax.nn.gelu)  # by tanh: its derivative at 200 is NaN in float16
    y = L.Dense(3, use_bias=False, activation=lambda v: v + 1).apply({"kernel": jnp.zeros((4, 3))}, x)
    assert y.unmasked()[~np.asarray(x.mask)].tolist() == [[2] * 3] * int((~np.asarray(x.mask)).sum())


@pytest.mark.parametrize(
    "layer", [L.Dense(3), L.LayerNormalization(), L.RMSNormalization(), L.GroupNormalization(1)], ids=str
)
def test_layers_over_features_refuse_a_mask_over_the_last_axis(layer, getkey):
    ids = jm.from_lengths(jnp.ones((2, 3)), [1, 3])
    name = type(layer).__name__
    with pytest.raises(ValueError, match=rf"`{name}` works on the last axis, .*; received values \(2, 3\) with a mask"):
        layer.init(getkey(), ids)
    with pytest.raises(ValueError, match=r"Add an axis: `x\[\.\.\., None\]`"):
        layer.apply({"kernel": jnp.ones((3, 3))} | dict.fromkeys(("bias", "scale", "gamma", "beta"), jnp.ones(3)), ids)
    column = ids[..., None]
    assert layer.apply(layer.init(getkey(), column), column).mask is ids.mask


# Activation, Softmax


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_name(name, x):
    output = L.Activation(name)(x)
    assert output.mask is x.mask
    real = np.asarray(x.mask)
    assert_close(np.asarray(output.values)[real], ACTIVATIONS[name](x.values[real]))


def test_activations_have_the_constants_of_keras():
    v = jnp.asarray([-2.0, -1.0, 0.5])
    assert_close(L.Activation("leaky_relu")(v), [-0.4, -0.2, 0.5])
    assert_close(L.Activation("gelu")(v), [-0.04550026, -0.15865526, 0.34573123])
    assert_close(L.Activation("hard_sigmoid")(v), [1 / 6, 1 / 3, 3.5 / 6])


def test_unknown_options_are_refused_with_what_there_is(getkey):
    with pytest.raises(ValueError, match="There is no activation 'rellu'; pass a function or one of celu, elu, "):
        L.Activation("rellu")(jnp.ones(3))
    with pytest.raises(ValueError, match="There is no initializer 'glorot'; pass a function or one of glorot_normal"):
        L.Dense(3, kernel_initializer="glorot").init(getkey(), jnp.ones(3))
    with pytest.raises(ValueError, match=r"'softmax' is not an elementwise activation.* `jm.layers.Softmax`"):
        L.Activation("softmax")(jnp.ones(3))
    assert L.Activation(None)(jnp.ones(3)).tolist() == [1, 1, 1]


@pytest.mark.parametrize("name", INITIALIZERS)
def test_initializers_by_name(name, getkey):
    kernel = L.Dense(64, kernel_initializer=name).init(getkey(), jnp.ones(32))["kernel"]
    assert kernel.shape == (32, 64)
    assert kernel.dtype == jnp.float32
    assert jnp.isfinite(kernel).all()


@pytest.mark.slow
def test_a_time_mask_means_time_even_if_all_axes_have_one_size():
    mask = jnp.asarray([[True, True, False], [True, False, False], [False, False, False]])
    values = jnp.where(mask[..., None], jnp.arange(27.0).reshape(3, 3, 3), jnp.nan)
    over_features = L.Softmax()(jm.masked(values, mask))
    assert_close(over_features.values[mask], jax.nn.softmax(values[mask], axis=-1))
    for axis in (1, -2):
        over_time = L.Softmax(axis)(jm.masked(values, mask))
        assert_close(over_time.values[0, :2], jax.nn.softmax(values[0, :2], axis=0))
        assert_close(over_time.values[1, 0], [1, 1, 1])
        assert not over_time.values[0, 2].any()
        assert not over_time.values[2].any()
    over_the_batch = L.Softmax(axis=0)(jm.masked(values, mask))
    assert_close(over_the_batch.values[:2, 0], jax.nn.softmax(values[:2, 0], axis=0))
    assert not over_the_batch.values[2].any()


def test_softmax_of_extreme_logits():
    logits = jm.from_lengths(jnp.asarray([[-1e30, -2e30, 5.0], [-np.inf, 0.0, 5.0], [3e38, -3e38, 5.0]]), [2, 2, 2])
    weights = L.Softmax()(logits)
    assert weights.values.tolist() == [[1, 0, 0], [0, 1, 0], [1, 0, 0]]
    with pytest.raises(TypeError, match="`softmax` works on floats; received dtype int32"):
        L.Softmax()(jnp.ones(3, jnp.int32))


# Dropout


def test_dropout_is_the_identity_except_in_training(x, getkey):
    assert L.Dropout(0.5)(x) is x
    assert L.Dropout(0.0)(x, training=True) is x
    assert L.Dropout(0.5).init(getkey(), x) == {}


def test_dropout_needs_a_key_and_says_where(x):
    model = jm.Sequential([L.Dropout(0.5, name="noise")])
    with pytest.raises(ValueError, match=r"^sequential/noise: dropout in training draws at random; pass a key: "):
        model.apply({}, x, training=True)


@pytest.mark.parametrize("rate", [-0.1, 1.1, float("nan"), 2.0])
def test_a_rate_that_is_no_probability_is_refused(rate):
    with pytest.raises(ValueError, match=r"`rate` of `Dropout` is a probability in \[0, 1\]; received"):
        L.Dropout(rate)


def test_dropout_drops_at_its_rate_and_keeps_the_expectation(getkey):
    values = jnp.full((100, 50, 20), 3.0)
    for rate in (0.1, 0.7):
        output = L.Dropout(rate)(values, training=True, key=getkey())
        dropped = np.mean(np.asarray(output) == 0)
        assert abs(dropped - rate) < 4 * (rate * (1 - rate) / values.size) ** 0.5
        assert_close(output[output != 0], jnp.full(((output != 0).sum(),), 3 / (1 - rate)))
    assert not L.Dropout(1.0)(values, training=True, key=getkey()).any()


def test_dropout_at_rate_one_has_gradient_zero(x, getkey):
    gradient = jax.grad(lambda v: L.Dropout(1.0)(x.with_values(v), training=True, key=getkey()).fill(0).sum())(x.values)
    np.testing.assert_array_equal(gradient, np.zeros(x.shape))


@pytest.mark.parametrize("features", [(), (3,), (2, 3)])
def test_the_draw_follows_the_real_steps(features, getkey):
    key, lengths, time = getkey(), [4, 0, 2, 5], 5
    ones = functools.partial(jnp.ones, dtype="float32")

    def drawn(x):
        """What each row keeps at its real steps."""
        output = L.Dropout(0.5)(x, training=True, key=key)
        return [np.asarray(output.values)[row][np.asarray(x.mask)[row]] for row in range(len(lengths))]

    steps = np.arange(2 * time)
    holes = np.zeros((4, 2 * time), bool)
    for row, length in enumerate(lengths):
        holes[row, 1 : 2 * length : 2] = True
    expected = drawn(jm.from_lengths(ones((4, time, *features)), lengths))
    assert sum((row == 0).sum() for row in expected) > 0
    for x in (
        jm.from_lengths(ones((4, 2 * time, *features)), lengths),
        jm.masked(ones((4, 2 * time, *features)), jnp.asarray(steps < np.array(lengths)[:, None])),
        jm.from_lengths(ones((4, 2 * time, *features)), lengths, padding_side="left"),
        jm.masked(ones((4, 2 * time, *features)), jnp.asarray(holes)),
    ):
        for actual, row in zip(drawn(x), expected, strict=True):
            np.testing.assert_array_equal(actual, row)


def test_different_steps_and_rows_and_features_draw_differently(getkey):
    output = L.Dropout(0.5)(jnp.ones((40, 41, 42)), training=True, key=getkey())
    for axis in range(3):
        first, second = output.take(0, axis), output.take(1, axis)
        assert 0.3 < (first == second).mean() < 0.7


def test_a_model_gives_each_dropout_a_key_of_its_own(getkey):
    model = jm.Sequential([L.Dropout(0.5), L.Dropout(0.5)])
    output = model.apply({}, jnp.ones((20, 30)), training=True, key=getkey())
    assert 0.6 < (output == 0).mean() < 0.9  # 0.75; with one key it would be 0.5


# LayerNormalization


def test_layer_normalization(x, getkey):
    layer = L.LayerNormalization(epsilon=1e-5)
    params = layer.init(getkey(), x)
    assert shapes(params) == {"gamma": (4,), "beta": (4,)}
    params = {"gamma": jnp.arange(4.0), "beta": jnp.full(4, 2.0)}
    real = np.asarray(x.mask)
    rows = np.asarray(x.values)[real]
    expected = (rows - rows.mean(-1, keepdims=True)) / np.sqrt(rows.var(-1, keepdims=True) + 1e-5) * np.arange(4) + 2
    assert_close(np.asarray(layer.apply(params, x).values)[real], expected)


def test_layer_normalization_without_scale_or_centre(x, getkey):
    assert shapes(L.LayerNormalization(scale=False).init(getkey(), x)) == {"beta": (4,)}
    assert shapes(L.LayerNormalization(center=False).init(getkey(), x)) == {"gamma": (4,)}
    bare = L.LayerNormalization(scale=False, center=False)
    assert bare.init(getkey(), x) == {}
    assert_close(bare.apply({}, x).fill(0).mean(-1), np.zeros((3, 5)))


def test_layer_normalization_without_epsilon_has_no_nan_from_padding(x, getkey):
    layer = L.LayerNormalization(epsilon=0.0)
    gradients = jax.grad(lambda p: (layer.apply(p, x).fill(0) ** 3).sum())(layer.init(getkey(), x))
    assert all(jnp.isfinite(g).all() for g in gradients.values())


def test_layer_normalization_of_large_means_in_half_precision():
    values = jnp.asarray([[300.0, 302.0, 304.0, 306.0]], jnp.bfloat16)
    layer = L.LayerNormalization(scale=False, center=False)
    assert_close(layer.apply({}, values), layer.apply({}, values.astype("float32")), precision="bfloat16")


# Lambda


def test_lambda_drops_a_mask_unless_it_is_told(x):
    with pytest.warns(jm.MaskDroppedWarning, match=r"^lambda: the mask of `inputs` is dropped"):
        assert isinstance(L.Lambda(jnp.square)(x), jax.Array)
    assert L.Lambda(jnp.square, supports_masking=True)(x).mask is x.mask
    assert isinstance(L.Lambda(jnp.square)(x.values), jax.Array)


def test_lambda_with_a_mask_function(x):
    halved = L.Lambda(lambda v: v[:, ::2], mask=lambda v, mask: mask[:, ::2])(x)
    assert halved.lengths.tolist() == [2, 0, 3]
    found = L.Lambda(lambda v: v, mask=lambda v, mask: v[..., 0] > 0)(x)
    assert found.mask.tolist() == (x.fill(0)[..., 0] > 0).tolist()
    assert isinstance(L.Lambda(lambda v: v.sum(1), mask=lambda v, mask: None)(x), jax.Array)


def test_lambda_gives_the_mask_to_a_function_that_asks_for_it(x):
    def count(v, mask=None):
        return v.sum(axis=1) if mask is None else mask.sum(axis=1)

    layer = L.Lambda(count, mask=lambda v, mask: None)
    assert layer._uses_mask
    assert not L.Lambda(jnp.square)._uses_mask
    assert layer(x).tolist() == [4, 0, 5]
    assert L.Lambda(functools.partial(count), mask=lambda v, mask: None)(x).tolist() == [4, 0, 5]
    assert layer(jnp.ones((2, 3))).tolist() == [3, 3]
    assert L.Lambda(max)([1, 2]) == 2  # a builtin, without a signature


@pytest.mark.parametrize("options", [{"mask": jnp.ones((3, 5), bool)}, {"function": "square"}])
def test_lambda_takes_functions(options):
    name = next(iter(options))
    with pytest.raises(TypeError, match=rf"`{name}` of `Lambda` is a function( or None)?; received"):
        L.Lambda(**{"function": jnp.square, **options})


# Add, Concatenate, GlobalAveragePooling1D


def test_add_of_masked_and_arrays(x):
    y = jm.masked(jnp.ones((3, 5, 4)), jnp.asarray([[True, False, True, False, True]] * 3))
    both = L.Add()([x, y, x.values * 0 + 1])
    np.testing.assert_array_equal(both.mask, x.mask & y.mask)
    for inputs in ([x, jnp.ones((3, 5, 4))], [jnp.ones((3, 5, 4)), x]):
        assert L.Add()(inputs).mask is x.mask
    assert L.Add()([jnp.ones(2), jnp.ones(2)]).tolist() == [2, 2]
    assert L.Add()([x]) is x


def test_add_in_union(x):
    y = jm.masked(jnp.full((3, 5, 4), 2.0), jnp.asarray([[True, False, True, False, True]] * 3))
    either = L.Add(merge="union")([x, y])
    np.testing.assert_array_equal(either.mask, x.mask | y.mask)
    assert_close(either.fill(0), np.asarray(x.fill(0)) + np.asarray(y.fill(0)))
    everywhere = L.Add(merge="union")([x, jnp.ones((3, 5, 4))])
    assert isinstance(everywhere, jax.Array)
    assert_close(everywhere, np.asarray(x.fill(0)) + 1)


def test_concatenate_features_and_time(x):
    y = jm.masked(jnp.ones((3, 5, 2)), jnp.asarray([[True, False, True, False, True]] * 3))
    features = L.Concatenate()([x, y, jnp.ones((3, 5, 1))])
    assert features.shape == (3, 5, 7)
    np.testing.assert_array_equal(features.mask, x.mask & y.mask)

    longer = L.Concatenate(axis=1)([x, jnp.ones((3, 2, 4)), x[:, :1]])
    assert longer.shape == (3, 8, 4)
    assert longer.lengths.tolist() == [7, 2, 8]
    doubled = L.Concatenate(axis=-2)([x, x])
    assert doubled.lengths.tolist() == [8, 0, 10]

    rows = L.Concatenate(axis=0)([x, x])
    assert rows.lengths.tolist() == [4, 0, 5, 4, 0, 5]
    assert isinstance(L.Concatenate()([x.values, x.values]), jax.Array)


@pytest.mark.parametrize("layer", [L.Add(), L.Add(merge="union"), L.Concatenate()], ids=str)
def test_layers_of_several_inputs_refuse_what_does_not_fit(layer, x):
    name = type(layer).__name__.lower()
    for wrong in ([], x, x.values):
        with pytest.raises(ValueError, match=f"`{name}` takes a list of one or more inputs"):
            layer(wrong)
    if name == "concatenate":
        with pytest.raises(ValueError, match=rf"`{name}` takes inputs of one rank .* values \[\(3, 5, 4\), \(3, 5\)\]"):
            layer([x, x.values[..., 0]])
    by_word = jm.masked(jnp.ones((3, 5, 4)), jnp.ones((3, 5, 4), bool))
    with pytest.raises(ValueError, match="with masks of one rank"):
        layer([x, by_word])


def test_add_refuses_another_word_for_merge(x):
    with pytest.raises(ValueError, match="`merge` of `Add` is 'intersection' or 'union'; received 'or'"):
        L.Add(merge="or")
    with pytest.raises(ValueError, match="`merge` must be 'intersection' or 'union'; received 'or'"):
        jm.ops.add([x, x], merge="or")


def test_global_average_pooling(x):
    values = np.asarray(x.values)
    expected = np.stack([values[0, :4].mean(0), np.zeros(4), values[2].mean(0)])
    assert_close(L.GlobalAveragePooling1D()(x), expected)
    assert_close(L.GlobalAveragePooling1D(keepdims=True)(x), expected[:, None])
    assert_close(L.GlobalAveragePooling1D()(x.values[2:]), expected[2:])


# dtypes


HALF = {
    "Dense": lambda dtype: L.Dense(3, param_dtype=dtype, activation="relu"),
    "LayerNormalization": lambda dtype: L.LayerNormalization(param_dtype=dtype),
    "LSTM": lambda dtype: L.LSTM(3, param_dtype=dtype),
    "Bidirectional": lambda dtype: L.Bidirectional(
        L.LSTM(3, param_dtype=dtype, recurrent_initializer="normal"), merge_mode="ave"
    ),
    "ConvLSTM1D": lambda dtype: jm.Sequential([L.Reshape((-1, 4, 1)), L.ConvLSTM1D(3, 2, param_dtype=dtype)]),
    "Softmax": lambda dtype: L.Softmax(axis=1),
    "Activation": lambda dtype: L.Activation("gelu"),
    "Dropout": lambda dtype: L.Dropout(0.5),
    "Masking": lambda dtype: L.Masking(),
    "EinsumDense": lambda dtype: L.EinsumDense("btf,fg->btg", (None, 3), bias_axes="g", param_dtype=dtype),
    "ReLU": lambda dtype: L.ReLU(1.0, negative_slope=0.5, threshold=0.25),
    "ELU": lambda dtype: L.ELU(2.0),
    "PReLU": lambda dtype: L.PReLU(shared_axes=[1], param_dtype=dtype),
    "SpatialDropout1D": lambda dtype: L.SpatialDropout1D(0.5),
    "GaussianDropout": lambda dtype: L.GaussianDropout(0.5),
    "GaussianNoise": lambda dtype: L.GaussianNoise(0.5),
    "AlphaDropout": lambda dtype: L.AlphaDropout(0.5),
    "RotaryEmbedding": lambda dtype: L.RotaryEmbedding(),
    "RMSNormalization": lambda dtype: L.RMSNormalization(param_dtype=dtype),
    "UnitNormalization": lambda dtype: L.UnitNormalization(),
    "GroupNormalization": lambda dtype: L.GroupNormalization(2, param_dtype=dtype),
    "GlobalAveragePooling1D": lambda dtype: L.GlobalAveragePooling1D(),
    "Concatenate": lambda dtype: L.Concatenate(),
    "Add": lambda dtype: L.Add(merge="union"),
    "Average": lambda dtype: L.Average(merge="union"),
    "Multiply": lambda dtype: L.Multiply(merge="union"),
    "Maximum": lambda dtype: L.Maximum(merge="union"),
    "Dot": lambda dtype: L.Dot(2, normalize=True),
    "ZeroPadding1D": lambda dtype: L.ZeroPadding1D(),
    "TimeDistributed": lambda dtype: L.TimeDistributed(L.Dense(3, param_dtype=dtype)),
}
MERGES = ("Add", "Average", "Concatenate", "Dot", "Maximum", "Multiply")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("name", HALF)
def test_half_precision_stays_half_precision(name, dtype, x, getkey):
    layer, half = HALF[name](dtype), x.astype(dtype)
    inputs = [half, half] if name in MERGES else half
    params = layer.init(getkey(), inputs)
    assert dtypes(params) <= {dtype}
    output = layer.apply(params, inputs, training=True, key=getkey())
    assert output.dtype == dtype
    values = output.fill(0) if isinstance(output, jm.Masked) else output
    assert jnp.isfinite(values).all()


def test_float32_parameters_lift_half_precision(x, getkey):
    for layer in (L.Dense(3), L.LSTM(3, recurrent_initializer="normal")):
        assert layer.apply(layer.init(getkey(), x), x.astype("bfloat16")).dtype == jnp.float32
    layer = L.LayerNormalization()
    assert layer.apply(layer.init(getkey(), x), x.astype("bfloat16")).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    "layer",
    [
        L.LayerNormalization(),
        L.UnitNormalization(1),
        L.GroupNormalization(2),
        L.GlobalAveragePooling1D(),
        L.RNN(L.GRUCell(2)),
        jm.Sequential([L.Dense(3)]),
    ],
    ids=repr,
)
def test_numpy_data_in_double_precision_need_no_word_about_it(layer, rng, getkey):
    """Without x64 they are float32 here, as they are everywhere in JAX; a warning would be an error."""
    values = rng.normal(size=(3, 5, 4))
    for x in (values, jm.masked(values, np.ones((3, 5), bool))):
        assert layer.apply(layer.init(getkey(), x), x).dtype == jnp.float32


@pytest.mark.slow
def test_float64(x64, rng, getkey):
    x = jm.from_lengths(jnp.asarray(rng.normal(size=(3, 5, 4))), [4, 0, 5])
    layers = {
        L.Dense(3, param_dtype="float64", activation="gelu"): (3, 5, 3),
        L.LSTM(3, param_dtype="float64", recurrent_initializer="normal"): (3, 3),
        L.LayerNormalization(param_dtype="float64"): (3, 5, 4),
    }
    for layer, shape in layers.items():
        params = layer.init(getkey(), x)
        assert dtypes(params) == {"float64"}
        output = layer.apply(params, x)
        assert (output.dtype, output.shape) == (jnp.float64, shape)
    for layer in (L.Dense(3), L.LSTM(3, recurrent_initializer="normal")):
        assert layer.apply(layer.init(getkey(), x), x).dtype == jnp.float64
    embedding = L.Embedding(5, 2, param_dtype="float64")
    assert embedding.apply(embedding.init(getkey()), jnp.asarray([2**40, 1])).dtype == jnp.float64


def test_masking_by_nan_finds_it_and_ids_out_of_range_show():
    """Keras 3.15 masks nothing by NaN, and takes id -1 for the last row of the table."""
    nan = float("nan")
    x = jnp.array([[[1.0, nan], [nan, nan], [2.0, 3.0]]])
    masked = jax.jit(L.Masking(nan).apply)({}, x)
    assert masked.mask.tolist() == [[True, False, True]]
    assert L.Masking(nan).compute_mask(x).tolist() == [[True, False, True]]
    np.testing.assert_array_equal(masked.values, jnp.where(masked.mask[..., None], x, 0))
    params = {"embeddings": jnp.arange(8.0).reshape(4, 2)}
    for apply in (L.Embedding(4, 2).apply, jax.jit(L.Embedding(4, 2).apply)):
        rows = apply(params, jnp.array([1, 4, -1, -5, 99]))
        np.testing.assert_array_equal(rows, [[2, 3], *[[nan, nan]] * 4])


@pytest.mark.parametrize("implementation", ["auto", "xla"])
def test_attention_in_half_precision_under_jit(implementation, rng):
    x = jm.from_lengths(jnp.asarray(rng.normal(size=(2, 5, 4)), "float16"), [5, 2])
    layer = L.MultiHeadAttention(2, 3, param_dtype="float16", implementation=implementation)
    params = layer.init(jax.random.key(0), x, x)
    wide = jax.tree.map(lambda leaf: leaf.astype("float32"), (params, x.fill(0)))
    found = jax.jit(layer.apply)(params, x, x)
    expected = L.MultiHeadAttention(2, 3).apply(wide[0], x.with_values(wide[1]), x.with_values(wide[1]))
    assert found.dtype == "float16"
    assert_close(found.fill(0), expected.fill(0), precision="float16")
