"""Layers of attention and of positions: parameters, options, masks by name, models, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.parameters import shapes

L = jm.layers


@pytest.fixture
def y(rng):
    return jm.from_lengths(jnp.asarray(rng.normal(size=(3, 7, 4)), "float32"), [7, 2, 3])


# parameters are named and shaped as in Keras


def test_parameters_of_multi_head_attention(x, getkey):
    keys = jnp.ones((3, 5, 11))
    params = L.MultiHeadAttention(2, 3, value_dim=5, output_shape=(7, 6)).init(getkey(), x, x, keys)
    assert shapes(params) == {
        "query": {"kernel": (4, 2, 3), "bias": (2, 3)},
        "key": {"kernel": (11, 2, 3), "bias": (2, 3)},
        "value": {"kernel": (4, 2, 5), "bias": (2, 5)},
        "attention_output": {"kernel": (2, 5, 7, 6), "bias": (7, 6)},
    }
    assert not any(p["bias"].any() for p in params.values())
    assert abs(params["query"]["kernel"]).max() <= (6 / (4 * (2 + 3))) ** 0.5
    ones = L.MultiHeadAttention(2, 3, use_bias=False, kernel_initializer="ones", param_dtype="bfloat16")
    made = ones.init(getkey(), x, x)
    assert shapes(made)["attention_output"] == {"kernel": (2, 3, 4)}
    assert all((p == 1).all() and p.dtype == "bfloat16" for p in jax.tree.leaves(made))


def test_parameters_of_a_gate(x, getkey):
    params = L.MultiHeadAttention(2, 3, value_dim=5, use_gate=True).init(getkey(), x, x)
    assert shapes(params.pop("gate")) == {"kernel": (4, 2, 5), "bias": (2, 5)}
    assert shapes(params) == shapes(L.MultiHeadAttention(2, 3, value_dim=5).init(getkey(), x, x))
    params = L.GroupQueryAttention(3, 4, 2, use_gate=True, use_bias=False).init(getkey(), x, x)
    assert shapes(params["gate"]) == {"kernel": (4, 4, 3)}


@pytest.mark.slow
def test_a_gate_is_of_the_heads_and_leaves_the_weights(x, y, getkey):
    layer = L.MultiHeadAttention(2, 3, use_gate=True, return_attention_scores=True)
    params = layer.init(getkey(), x, y)
    closed = {**params, "gate": {"kernel": jnp.zeros((4, 2, 3)), "bias": jnp.full((2, 3), -100.0)}}
    half = {**params, "gate": {"kernel": jnp.zeros((4, 2, 3)), "bias": jnp.zeros((2, 3))}}
    (nothing, _), (halved, weights) = layer.apply(closed, x, y), layer.apply(half, x, y)
    del params["gate"]
    whole, expected = L.MultiHeadAttention(2, 3, return_attention_scores=True).apply(params, x, y)
    assert_close(nothing.fill(0), jnp.zeros((3, 5, 4)))
    assert_close(halved.fill(0), whole.fill(0) / 2)
    assert_close(weights, expected)


def test_a_gate_that_does_not_fit_is_refused(x, getkey):
    layer = L.MultiHeadAttention(2, 3, use_gate=True)
    params = layer.init(getkey(), x, x)
    with pytest.raises(ValueError, match=r"`gate/kernel` has shape \(7, 2, 3\), not \(4, 2, 3\)"):
        layer.apply({**params, "gate": {**params["gate"], "kernel": jnp.ones((7, 2, 3))}}, x, x)


def test_parameters_of_grouped_queries(x, getkey):
    params = L.GroupQueryAttention(3, 4, 2, bias_initializer="ones").init(getkey(), x, x)
    assert shapes(params) == {
        "query": {"kernel": (4, 4, 3), "bias": (4, 3)},
        "key": {"kernel": (4, 2, 3), "bias": (2, 3)},
        "value": {"kernel": (4, 2, 3), "bias": (2, 3)},
        "attention_output": {"kernel": (4, 3, 4), "bias": (4,)},
    }
    assert params["value"]["bias"].all()


def test_parameters_of_one_head(x, getkey):
    assert L.Attention().init(getkey(), x, x) == {}
    both = L.Attention(use_scale=True, score_mode="concat", param_dtype="bfloat16").init(getkey(), [x, x])
    assert shapes(both) == {"scale": (), "concat_score_weight": ()}
    assert all(p == 1 and p.dtype == "bfloat16" for p in both.values())
    scale = L.AdditiveAttention().init(getkey(), [x, x])["scale"]
    assert scale.shape == (4,)
    assert 0 < abs(scale).max() <= (3 / 4) ** 0.5
    assert L.AdditiveAttention(use_scale=False).init(getkey(), x, x) == {}


# masks


@pytest.mark.parametrize(
    "layer", [L.MultiHeadAttention(2, 3), L.GroupQueryAttention(3, 4, 2), L.AdditiveAttention(), L.Attention()], ids=str
)
def test_masks_by_name(layer, x, y, getkey):
    keys = jnp.asarray(np.random.default_rng(0).normal(size=y.shape), "float32")
    params = layer.init(getkey(), x, y, keys)
    key_mask = np.arange(7) % 3 > 0
    key_mask = jnp.asarray(np.stack([key_mask] * 3))
    expected = layer.apply(params, x, y, jm.masked(keys, key_mask))
    assert expected.mask is x.mask
    given = {"query_mask": x.mask, "value_mask": y.mask, "key_mask": key_mask}
    assert_close(layer.apply(params, x.fill(0), y.fill(0), keys, **given).fill(0), expected.fill(0))
    listed = layer.apply(params, [x.fill(0), y.fill(0), keys], mask=list(given.values()))
    assert_close(listed.fill(0), expected.fill(0))
    unmasked = layer.apply(params, x, y, keys, query_mask=jm.NO_MASK, value_mask=jm.NO_MASK)
    assert isinstance(unmasked, jax.Array)
    with pytest.raises(TypeError, match="there is a mask for `key_`, but no `key_`"):
        layer.apply(params, x, y, key_mask=key_mask)


def test_attention_masks_and_scores(x, y, getkey):
    layer = L.MultiHeadAttention(2, 3, return_attention_scores=True, use_causal_mask=True)
    params = layer.init(getkey(), x, y)
    not_one = jnp.arange(7) != 1
    attended, scores = layer.apply(params, x, y, attention_mask=not_one[None])
    assert scores.shape == (3, 2, 5, 7)
    same, _ = layer.apply(params, x, y, attention_mask=jnp.broadcast_to(not_one, (3, 5, 7)))
    np.testing.assert_array_equal(attended.values, same.values)
    assert not scores[..., 1].any()
    assert scores[0, :, 1, 0].all()
    assert not scores[0, :, 1, 2:].any()
    attended, scores = L.Attention(return_attention_scores=True).apply({}, x, y)
    assert scores.shape == (3, 5, 7)
    assert attended.mask is x.mask
    assert_close(attended.fill(0), scores @ y.fill(0))


def test_implementation(x, getkey):
    layer, other = L.MultiHeadAttention(2, 3), L.MultiHeadAttention(2, 3, implementation="xla")
    params = layer.init(getkey(), x, x)
    assert_close(layer.apply(params, x, x).fill(0), other.apply(params, x, x).fill(0))


def test_queries_without_keys_give_the_bias(x, getkey):
    layer = L.MultiHeadAttention(2, 3, bias_initializer="ones")
    params = layer.init(getkey(), x, x)
    nothing = jm.from_lengths(x.values, [0, 0, 0])
    np.testing.assert_array_equal(layer.apply(params, jnp.ones((3, 2, 4)), nothing), np.ones((3, 2, 4)))


# dropout


@pytest.mark.parametrize(
    "layer",
    [L.MultiHeadAttention(2, 3, dropout=0.5), L.AdditiveAttention(dropout=0.5), L.Attention(dropout=0.5)],
    ids=str,
)
def test_dropout_in_training(layer, x, getkey):
    params, key = layer.init(getkey(), x, x), getkey()
    run = lambda **options: layer.apply(params, x, x, **options).fill(0)  # noqa: E731
    np.testing.assert_array_equal(run(), run(key=key))
    np.testing.assert_array_equal(run(training=True, key=key), run(training=True, key=key))
    assert (run(training=True, key=key) != run()).any()
    with pytest.raises(ValueError, match=f"^{layer.default_name}: dropout in training draws at random; pass a key"):
        run(training=True)
    with pytest.raises(TypeError, match=r"`key=` is the PRNG key, for dropout. The keys of attention are the third"):
        layer.apply(params, x, x, key=x)
    with pytest.raises(TypeError, match=r"by name `key_=`"):
        layer.apply(params, x, x, key=x.values)


# models


@pytest.mark.slow
def test_a_residual_block_keeps_its_mask(x, getkey):
    inputs = jm.Input((None, 4), masked=True)
    h = L.MultiHeadAttention(2, 3)(inputs, inputs)
    added = L.Add()([inputs, h])
    model = jm.Model(inputs, L.GlobalAveragePooling1D()(L.LayerNormalization()(added)))
    assert added.edge is inputs.edge
    params = model.init(getkey(), x)
    pooled = jax.jit(model.apply)(params, x)
    for row, n in enumerate([4, 0, 5]):
        alone = model.apply(params, x.values[row : row + 1, :n]) if n else jnp.zeros((1, 4))
        assert_close(pooled[row], alone[0])
    ways = str(jm.summarize(model))
    assert "dropped" not in ways
    assert any("multi_head_attention" in line and "used, passed" in line for line in ways.splitlines())


def test_cross_attention_of_two_lengths_in_a_model(x, y, getkey):
    query, value = jm.Input((None, 4), masked=True), jm.Input(("context", 4), masked=True)
    h = L.Attention()([query, value])
    assert h.edge is query.edge
    h = L.GroupQueryAttention(3, 4, 2)(h, value, key_=value, query_mask=query.mask, value_mask=value.mask)
    assert h.shape == query.shape
    h = L.MultiHeadAttention(2, 3, use_causal_mask=True)(h, h, query_mask=query.mask)
    model = jm.Model([query, value], h)
    params = model.init(getkey(), [x, y])
    found = model.apply(params, [x, y])
    assert found.mask.tolist() == x.mask.tolist()
    assert jnp.isfinite(found.fill(0)).all()
    assert "key_mask" not in str(jm.draw(model))
    copied = jm.from_config(model.to_config())
    np.testing.assert_array_equal(copied.apply(params, [x, y]).values, found.values)


def test_a_key_by_name_on_nodes_is_refused():
    node = jm.Input((None, 4))
    with pytest.raises(TypeError, match="key"):
        L.MultiHeadAttention(2, 3)(node, node, key=node)


# what is refused


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: L.Attention(score_mode="sum"), "`score_mode` of `Attention` is 'dot' or 'concat'; received 'sum'"),
        (lambda: L.Attention(dropout=2.0), r"`dropout` of `Attention` is a probability in \[0, 1\]; received 2.0"),
        (lambda: L.MultiHeadAttention(2, 3, dropout=-1.0), "`dropout` of `MultiHeadAttention`"),
        (lambda: L.MultiHeadAttention(0, 3), "`num_heads` of `MultiHeadAttention` is a positive integer; received 0"),
        (lambda: L.MultiHeadAttention(2, 3.0), "`key_dim` of `MultiHeadAttention` .* received 3.0"),
        (lambda: L.MultiHeadAttention(2, 3, value_dim=0), "`value_dim` of"),
        (lambda: L.MultiHeadAttention(2, 3, sliding_window=0), "`sliding_window` of"),
        (lambda: L.GroupQueryAttention(0, 4, 2), "`head_dim` of `GroupQueryAttention` is a positive integer"),
        (lambda: L.GroupQueryAttention(3, 4, 3), "a multiple of `num_key_value_heads`; received 4 and 3"),
        (lambda: L.PositionEmbedding(0), "`max_length` of `PositionEmbedding` is a positive integer; received 0"),
        (
            lambda: L.SinePositionEncoding(max_wavelength=0.0),
            "`max_wavelength` of .* number above 0; received 0.0",
        ),
        (lambda: L.RotaryEmbedding(max_wavelength=-1.0), "`max_wavelength` of `RotaryEmbedding` .*; received -1.0"),
    ],
)
def test_options_are_refused(make, message):
    with pytest.raises((TypeError, ValueError), match=message):
        make()


@pytest.mark.parametrize("inputs", [lambda x: (x,), lambda x: ([x],), lambda x: ([x, x], x), lambda x: ([x] * 4,)])
def test_inputs_that_are_not_two_or_three_are_refused(x, inputs):
    message = r"^attention: `Attention` takes `\(query, value\)` or .* one list of these; for self-attention `\(x, x\)`"
    with pytest.raises(ValueError, match=message):
        L.Attention().apply({}, *inputs(x))


# positions


def test_positions_of_every_kind_of_input():
    mask = jnp.asarray([[False, True, False, True], [True, True, True, False]])
    x = jm.masked(jnp.ones((2, 4, 3)), mask)
    assert jm.ops.positions(x).fill(-1).tolist() == [[-1, 0, -1, 1], [0, 1, 2, -1]]
    assert jm.ops.positions(x).mask is mask
    for array, expected in (
        (jnp.ones((2, 3, 5)), [[0, 1, 2]] * 2),
        (jnp.ones((1, 3)), [[0, 1, 2]]),
        (jnp.ones(2), [0, 1]),
    ):
        assert jm.ops.positions(array).tolist() == expected
    packed = jm.from_segment_ids(jnp.ones((1, 6, 2)), [[2, 2, 1, 0, 1, 0]])
    assert jm.ops.positions(packed).fill(-1).tolist() == [[0, 1, 0, -1, 1, -1]]
    assert jm.ops.positions(packed).segment_ids is packed.segment_ids


@pytest.mark.slow
def test_positions_begin_again_in_packed_rows(rng):
    x = jm.from_segment_ids(jnp.asarray(rng.normal(size=(1, 6, 4)), "float32"), [[1, 1, 2, 2, 2, 0]])
    table = jnp.asarray(rng.normal(size=(3, 4)), "float32")
    functions = [jm.ops.sine_position_encoding, jm.ops.rotary, lambda x: jm.ops.position_embedding(x, table)]
    for function in functions:
        y = function(x)
        assert y.segment_ids is x.segment_ids
        for start, stop in ((0, 2), (2, 5)):
            assert_close(y.values[:, start:stop], function(x.values[:, start:stop]))


def test_rotated_products_depend_on_differences_alone(rng):
    q, k = (jnp.asarray(rng.normal(size=6), "float32") for _ in range(2))
    rows = [jm.ops.rotary(jnp.broadcast_to(v, (1, 9, 6)))[0] for v in (q, k)]
    products = np.asarray(rows[0] @ rows[1].T)
    for offset in range(-8, 9):
        diagonal = np.diag(products, offset)
        assert_close(diagonal, np.full(len(diagonal), diagonal[0]))


def test_an_array_of_one_sequence_has_time_first(rng):
    x = jnp.asarray(rng.normal(size=(5, 4)), "float32")
    assert_close(jm.ops.rotary(x), jm.ops.rotary(x[None])[0])
    assert_close(jm.ops.sine_position_encoding(x), jm.ops.sine_position_encoding(x[None])[0])


def test_steps_beyond_the_table():
    table = jnp.ones((3, 2))
    x = jm.masked(jnp.ones((1, 5, 2)), jnp.asarray([[False, True, True, False, True]]))
    assert_close(jm.ops.position_embedding(x, table).fill(0), x.fill(0))
    longer = jm.from_lengths(jnp.ones((1, 5, 2)), [4])
    beyond = np.isnan(jm.ops.position_embedding(longer, table).fill(0)).any(axis=-1)
    assert beyond.tolist() == [[False, False, False, True, False]]
    with pytest.raises(ValueError, match=r"has vectors for 3 positions, and all 5 steps of an array are real. Use"):
        jm.ops.position_embedding(jnp.ones((1, 5, 2)), table)


def test_what_positions_refuse():
    with pytest.raises(ValueError, match="`rotary` rotates pairs of features; received 3, an odd number"):
        jm.ops.rotary(jnp.ones((1, 2, 3)))
    with pytest.raises(ValueError, match="`max_wavelength` of `rotary` must be positive; received -1"):
        jm.ops.rotary(jnp.ones((1, 2, 4)), max_wavelength=-1.0)
    with pytest.raises(TypeError, match="`sine_position_encoding` works on floats; received dtype int32"):
        jm.ops.sine_position_encoding(jnp.ones((1, 2, 4), "int32"))
    for function in (
        jm.ops.rotary,
        jm.ops.sine_position_encoding,
        lambda x: jm.ops.position_embedding(x, jnp.ones((9, 2))),
    ):
        with pytest.raises(ValueError, match="works on the last axis, which must be a feature axis behind the mask"):
            function(jm.from_lengths(jnp.ones((2, 4)), [3, 1]))
