"""Attention beyond the table of laws: the fused path, options, packed rows, edges, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.batches import LENGTHS, TIME, holes, left, right

LAYOUTS = pytest.mark.parametrize("layout", [right, left, holes], ids=lambda f: f.__name__)
EARLIER = np.tril(np.ones((TIME, TIME), bool))


def sequences(rng, layout=right, features=(4, 3), dtype="float32", garbage=np.nan):
    mask = layout(LENGTHS, TIME)
    values = rng.normal(size=(*mask.shape, *features)).astype(dtype)
    values[~mask] = garbage
    return jm.masked(jnp.asarray(values), mask)


def by_name(value, key=None):
    """Keys and values of inputs in the order of Keras' layers."""
    return {"key": value if key is None else key, "value": value}


def attend(*inputs, **options):
    """Values of the outputs and gradients of all inputs, of a loss that reads padded positions too."""
    weights = np.random.default_rng(0).normal(size=inputs[0].shape)

    def loss(values):
        given = [x.with_values(v) for v, x in zip(values, inputs, strict=True)]
        y = jm.ops.attention(given[0], **by_name(*given[1:]), **options)
        return (y.values * weights[..., : y.shape[-1]]).sum(), y

    gradients, y = jax.grad(loss, has_aux=True)([x.values for x in inputs])
    return y, gradients


# by `jm.vmap` of attention that knows no masks


@pytest.mark.slow
@LAYOUTS
@pytest.mark.parametrize(("dtype", "causal"), [("float32", True), ("float64", False)])
def test_attention_is_plain_attention_of_each_row(rng, layout, causal, dtype, x64):
    x = sequences(rng, layout, dtype=dtype)
    plain = jm.vmap(lambda row: jax.nn.dot_product_attention(row, row, row, is_causal=causal))

    def results(function):
        loss = lambda x: ((y := function(x)).map(jnp.sin).fill(0).sum(), y)  # noqa: E731
        gradient, y = jax.grad(loss, has_aux=True, allow_int=True)(x)
        return y.fill(0), gradient.values

    for found, expected in zip(results(lambda x: jm.ops.attention(x, causal=causal)), results(plain), strict=True):
        assert found.dtype == dtype
        assert_close(found, expected, precision="float32")  # the weights of the plain one are float32


# `jax.nn.dot_product_attention` and the path beside it


def beside(rng, layout, **options):
    """The same in float32, by `jax.nn`, and in float64, without it."""
    rows = [sequences(rng, layout, (heads, 3)) for heads in (4, 2)]
    narrow = attend(*rows, **options)
    wide = attend(*(x.astype("float64") for x in rows), **options)
    return narrow, wide


@pytest.mark.slow
@LAYOUTS
@pytest.mark.parametrize(
    "options",
    [{}, {"causal": True, "window": (2, None)}, {"window": (0, 1), "scale": 2.0}, {"attention_mask": EARLIER}],
    ids=str,
)
def test_both_paths_give_the_same(rng, layout, options, x64):
    (y, gradients), (expected, expected_gradients) = beside(rng, layout, **options)
    assert y.dtype == "float32"
    assert expected.dtype == "float64"
    assert not np.asarray(y.values)[~np.asarray(y.mask)].any()
    assert_close(y.values, expected.values)
    for found, wide, x in zip(gradients, expected_gradients, (y, y), strict=True):
        assert_close(found, wide)
        assert not np.asarray(found)[~np.asarray(x.mask)].any()


@pytest.mark.slow
@LAYOUTS
@pytest.mark.parametrize("garbage", [np.nan, -np.inf])
def test_padding_is_invisible_to_the_bit_in_float32(layout, garbage):
    def results(garbage):
        rng = np.random.default_rng(3)
        return attend(sequences(rng, layout, garbage=garbage), sequences(rng, layout, garbage=garbage), causal=True)

    jax.tree.map(np.testing.assert_array_equal, results(garbage), results(0.5))


def test_a_cotangent_of_nan_at_padding_goes_nowhere(rng):
    x = sequences(rng, holes)

    @jax.jit
    def pull_back(at_padding):
        y, pull_back = jax.vjp(lambda values: jm.ops.attention(x.with_values(values)).values, x.values)
        return pull_back(jnp.where(x.mask[..., None, None], jnp.cos(y), at_padding))[0]

    np.testing.assert_array_equal(pull_back(np.nan), pull_back(0.0))


@pytest.mark.slow
def test_implementation_is_handed_on(rng, x64):
    x = sequences(rng, dtype="float64")
    exact = jm.ops.attention(x).values
    rounded = jm.ops.attention(x, implementation="xla").values
    assert_close(rounded, exact, precision="float32")
    assert (rounded != exact).any()
    with pytest.raises(ValueError, match=r"`implementation='xla'` is for what .* no dropout, no attention scores"):
        jm.ops.attention(x, implementation="xla", return_attention_scores=True)
    with pytest.raises(ValueError, match="`implementation` must be 'auto', "):
        jm.ops.attention(x.values, implementation="none of them")


class Spy:
    """Stands for cuDNN: notes what it is told, and lets XLA compute."""

    def __init__(self, function):
        self.function, self.told = function, None

    def __call__(self, q, k, v, bias=None, mask=None, *, implementation, **told):
        assert implementation == "cudnn"
        self.told = {name for name, value in {"mask": mask, **told}.items() if value is not None and value is not False}
        return self.function(q, k, v, bias, mask, implementation="xla", **told)


def right_padded(rng, lengths, time):
    values = np.where(np.arange(time) < np.array(lengths)[:, None], 0.0, np.nan)[..., None, None]
    return jm.from_lengths(jnp.asarray(values + rng.normal(size=(len(lengths), time, 2, 3)), "float32"), lengths)


@pytest.mark.slow
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("others", ["itself", "others", "an array"])
def test_cudnn_is_told_lengths_of_padding_on_the_right(causal, others, monkeypatch, rng):
    x = right_padded(rng, [5, 0, 2], 5)
    keys = {"itself": x, "others": right_padded(rng, [0, 4, 7], 7), "an array": x.values[:1].repeat(3, axis=0)}[others]

    def results(implementation):
        def loss(x, keys):
            y = jm.ops.attention(x, key=keys, causal=causal, implementation=implementation)
            return jnp.sum(y.fill(0) ** 2), y

        inputs = (x, keys) if isinstance(keys, jm.Masked) else (x.values, keys)
        gradient = jax.grad(lambda *values: loss(*map(rebuild, values, (x, keys)))[0], argnums=(0, 1))
        return loss(x, keys)[1].unmasked(), gradient(*(getattr(array, "values", array) for array in inputs))

    def rebuild(values, like):
        return like.with_values(values) if isinstance(like, jm.Masked) else values

    expected = results("auto")
    spy = Spy(jax.nn.dot_product_attention)
    monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
    jax.tree.map(assert_close, results("cudnn"), expected)
    lengths = {"query_seq_lengths"} | ({"key_value_seq_lengths"} if others != "an array" else set())
    assert spy.told == {"scale", *lengths, *(["is_causal"] if causal else [])}


@pytest.mark.slow
def test_cudnn_is_told_a_mask_where_lengths_do_not_say_all(monkeypatch, rng):
    spy = Spy(jax.nn.dot_product_attention)
    monkeypatch.setattr(jax.nn, "dot_product_attention", spy)
    x = right_padded(rng, [5, 0, 2], 5)
    left = jm.masked(x.values, x.mask[:, ::-1])
    allowed = jnp.ones((5, 5), bool)
    for query, options in ((left, {}), (x, {"window": 1}), (x, {"attention_mask": allowed})):
        jm.ops.attention(query, implementation="cudnn", **options)
        assert spy.told == {"scale", "mask"}


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("options", [{}, {"return_attention_scores": True}], ids=["fused", "by hand"])
def test_dtypes_come_back(rng, dtype, options):
    x = sequences(rng).astype(dtype)
    for leaf in jax.tree.leaves(jm.ops.attention(x, **options), is_leaf=lambda leaf: isinstance(leaf, jm.Masked)):
        assert leaf.dtype == dtype


@pytest.mark.slow
def test_queries_that_see_nothing_give_zeros_and_pass_no_gradient(rng, x64):
    forbidden = np.ones((len(LENGTHS), TIME, TIME), bool)
    forbidden[2, 3] = False
    for dtype in ("float32", "float64"):
        x = sequences(rng, dtype=dtype)
        y, (gradient, *_) = attend(x, x, x, attention_mask=forbidden)
        assert not y.values[2, 3].any()
        assert not gradient[2, 3].any()
        assert jnp.isfinite(gradient).all()
        assert y.values[2, 4].any()


# masks of the keys, of the query, and of neither


@pytest.mark.slow
def test_a_step_of_the_keys_is_real_where_key_and_value_are(rng):
    query, value, key = (jnp.asarray(rng.normal(size=(2, 5, 1, 3)), "float32") for _ in range(3))
    masks = {"value": np.array([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1]], bool), "key": np.array([[1, 0, 1, 1, 1]] * 2, bool)}
    both = masks["value"] & masks["key"]
    found = jm.ops.attention(
        query, key=jm.masked(key, masks["key"]), value=jm.masked(value, masks["value"]), causal=True
    )
    assert isinstance(found, jax.Array)
    for row in range(2):
        v, k = (x[row][both[row]] for x in (value, key))
        assert_close(found[row], jax.nn.dot_product_attention(query[row], k, v, mask=np.tri(5, len(k), dtype=bool)))
    alone = jm.ops.attention(query, key=jm.masked(key, both), value=value, causal=True)
    np.testing.assert_array_equal(alone, found)


@pytest.mark.slow
def test_ranks_without_a_batch_and_with_two_axes_of_it(rng, x64):
    for dtype in ("float32", "float64"):
        x = sequences(rng, holes, dtype=dtype)
        y = jm.ops.attention(x, causal=True)
        row = jm.ops.attention(x[0], causal=True)
        assert_close(row.values, y[0].values)
        deep = jax.tree.map(lambda leaf: leaf[None], x)
        assert_close(jm.ops.attention(deep, causal=True).values[0], y.values)


@pytest.mark.slow
def test_an_empty_batch_and_no_keys():
    assert jm.ops.attention(jnp.ones((0, 3, 1, 2))).shape == (0, 3, 1, 2)
    no_keys = jm.from_lengths(jnp.ones((2, 4, 1, 2)), [0, 0])
    assert not jm.ops.attention(jnp.ones((2, 3, 1, 2)), key=no_keys).any()


# scores, masks and biases by hand


@pytest.mark.slow
@LAYOUTS
def test_scores_are_weights_of_real_steps(rng, layout):
    x = sequences(rng, layout)
    y, weights = jm.ops.attention(x, causal=True, return_attention_scores=True)
    assert weights.shape == (len(LENGTHS), 4, TIME, TIME)
    mask = np.asarray(x.mask)
    assert not np.asarray(weights)[~np.broadcast_to(mask[:, None, :, None] & mask[:, None, None], weights.shape)].any()
    assert_close(weights.sum(-1), np.broadcast_to(mask[:, None], (len(LENGTHS), 4, TIME)))
    assert_close(jnp.einsum("bhqk,bkhf->bqhf", weights, x.fill(0)), y.values)
    again, same = jm.ops.additive_attention(x, causal=True, return_attention_scores=True)
    assert same.shape == weights.shape
    assert_close(jnp.einsum("bhqk,bkhf->bqhf", same, x.fill(0)), again.values)


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(7, 7), (5, 7, 7), (5, 4, 7, 7), (5, 1, 1, 7), (1, 7, 7), (1, 7)])
def test_shapes_of_masks_and_biases(rng, shape, x64):
    x = sequences(rng)
    allowed, bias = rng.random(shape) < 0.7, rng.normal(size=shape).astype("float32")
    full = lambda a: np.broadcast_to(a[:, None] if a.ndim == 3 else a, (5, 4, 7, 7))  # noqa: E731
    expected = jm.ops.attention(x, attention_mask=full(allowed), bias=full(bias))
    assert_close(jm.ops.attention(x, attention_mask=allowed, bias=bias).values, expected.values)
    wide = jm.ops.attention(x.astype("float64"), attention_mask=allowed, bias=bias)
    assert_close(wide.values, expected.values, precision="float32")


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_bias_may_forbid_and_hold_anything_at_padding(rng, dtype, x64):
    x, bias = sequences(rng, holes, dtype=dtype), rng.normal(size=(5, 1, TIME, TIME)).astype(dtype)
    mask = np.asarray(x.mask)
    there = (mask[:, :, None] & mask[:, None])[:, None]
    allowed = rng.random(bias.shape) < 0.6

    def loss(bias, x, **options):
        return (jm.ops.attention(x, bias=bias, **options).values ** 2).sum()

    forbidding = np.where(there, np.where(allowed, bias, -np.inf), np.nan)
    value, gradients = jax.value_and_grad(loss, (0, 1), allow_int=True)(forbidding, x)
    expected, others = jax.value_and_grad(loss, (0, 1), allow_int=True)(bias, x, attention_mask=allowed)
    assert_close(value, expected)
    assert_close(gradients[0], others[0])
    assert_close(gradients[1].values, others[1].values)
    assert not np.asarray(gradients[0])[~(there & allowed)].any()


# packed rows


IDS = np.array([[1, 1, 0, 2, 2, 2, 1, 1], [3, 3, 3, 3, 3, 5, 5, 0], [0] * 8])
RIGHT_PADDED = np.sort(IDS > 0, axis=1)[:, ::-1] * np.array([1, 1, 4, 4, 4, 1, 1, 1])


def each_sequence(x, function):
    """Every sequence of packed rows alone; an id that comes again is another one."""
    found = np.zeros(x.shape, "float32")
    for row, ids in enumerate(np.asarray(x.segment_ids)):
        steps = [i for i in range(len(ids)) if ids[i]]
        while steps:
            same = [i for n, i in enumerate(steps) if all(ids[j] == ids[steps[0]] for j in steps[: n + 1])]
            found[row, same] = function(x.values[row, np.array(same)])
            steps = steps[len(same) :]
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ids", "options"), [(IDS, {}), (IDS, {"causal": True, "window": 1}), (RIGHT_PADDED, {"causal": True})]
)
def test_sequences_of_packed_rows_attend_to_themselves(rng, ids, options, x64):
    values = np.where((ids > 0)[..., None, None], rng.normal(size=(3, 8, 2, 3)), np.nan)
    x = jm.from_segment_ids(jnp.asarray(values, "float32"), ids)
    y = jm.ops.attention(x, **options)
    assert y.segment_ids is x.segment_ids
    expected = each_sequence(x, lambda row: jm.ops.attention(row, **options))
    assert_close(y.values, expected)
    assert_close(jm.ops.attention(x.astype("float64"), **options).values, expected, precision="float32")
    additive = each_sequence(x, lambda row: jm.ops.additive_attention(row, **options))
    assert_close(jm.ops.additive_attention(x, **options).values, additive)


@pytest.mark.slow
def test_packed_rows_attend_to_no_others(rng):
    x = jm.from_segment_ids(jnp.ones((3, 8, 2, 3)), IDS)
    y = jm.from_segment_ids(jnp.ones((3, 8, 2, 3)), IDS + 0)
    for inputs in ((x, y), (x, x.values), (x.values, x), (x, x, y), (x.with_segment_ids(None), x)):
        with pytest.raises(
            ValueError, match=r"`attention` of inputs that are not packed alike does not .* Packed rows"
        ):
            jm.ops.attention(inputs[0], **by_name(*inputs[1:]))
    layer = jm.layers.MultiHeadAttention(2, 3)
    features = jm.from_segment_ids(jnp.ones((3, 8, 5)), IDS)
    params = layer.init(jax.random.key(0), features, features)
    assert layer.apply(params, features, features).segment_ids is features.segment_ids
    with pytest.raises(ValueError, match="are not packed alike"):
        layer.apply(params, features.values, features)


# dropout


@pytest.mark.slow
def test_dropout_scales_what_it_keeps(rng):
    x, key = sequences(rng), jax.random.key(0)
    ones = jm.Masked(jnp.ones_like(x.values), x.mask)
    dropped = functools.partial(jm.ops.attention, x, key=x, value=ones, dropout=0.25)
    means = jnp.stack([dropped(dropout_key=jax.random.fold_in(key, i)).values[2].mean() for i in range(50)])
    assert abs(means.mean() - 1) < 4 * means.std() / 50**0.5
    assert not jm.ops.attention(x, dropout=1.0, dropout_key=key).values.any()
    y, weights = jm.ops.attention(x, dropout=0.5, dropout_key=key, return_attention_scores=True)
    assert_close(weights, jm.ops.attention(x, return_attention_scores=True)[1])
    assert (y.values != jm.ops.attention(x).values).any()
    other = jm.ops.attention(x, dropout=0.5, dropout_key=jax.random.key(1))
    assert (y.values != other.values).any()


@pytest.mark.slow
def test_dropout_draws_for_every_row_head_query_and_key():
    x, value = jnp.zeros((3, 5, 2, 1)), jnp.eye(7)[None, :, None].repeat(3, 0).repeat(2, 2)
    y = jm.ops.attention(x, key=jnp.zeros((3, 7, 2, 1)), value=value, dropout=0.5, dropout_key=jax.random.key(0))
    kept = np.asarray(y > 0)  # (batch, queries, heads, keys)
    for axis in range(4):
        pairs = np.moveaxis(kept, axis, 0)
        assert not any((pairs[i] == pairs[j]).all() for i in range(len(pairs)) for j in range(i))


# what is refused


def test_what_is_refused(rng):
    x = sequences(rng)
    wide = sequences(rng, features=(4, 5))
    refused = [
        (TypeError, (x.astype("int32"), x), {}, "`attention` works on floats; received dtype int32"),
        (
            ValueError,
            (x[..., 0, :], x[..., 0, :]),
            {},
            "takes values .batch, time, heads, features. with masks .batch",
        ),
        (ValueError, (x, x, wide), {}, "takes a query .batch, queries, heads, features., a key .* heads a multiple of"),
        (ValueError, (x, x[:, :, :3]), {}, r"received \(5, 7, 4, 3\), \(5, 7, 3, 3\) and \(5, 7, 3, 3\)"),
        (ValueError, (x, x[:, :5], x), {}, "takes a query"),
        (ValueError, (x[:2], x), {}, "takes a query"),
        (ValueError, (x, x), {"window": -1}, r"`window` is a number of real steps.*; received -1"),
        (ValueError, (x, x), {"window": (1, 2, 3)}, r"received \(1, 2, 3\)"),
        (ValueError, (x, x), {"window": 1.5}, "received 1.5"),
        (ValueError, (x, x), {"dropout": 1.5}, r"`dropout` is a probability in \[0, 1\]; received 1.5"),
        (ValueError, (x, x), {"dropout": -0.5}, r"received -0.5"),
        (ValueError, (x, x), {"dropout": 0.5}, "draws at random; pass a PRNG key, `dropout_key`"),
        (
            TypeError,
            (x, x),
            {"attention_mask": EARLIER + 0},
            "must be bool, True where .* What is added to the",
        ),
        (
            ValueError,
            (x, x),
            {"attention_mask": np.ones((3, 7, 7), bool)},
            "`attention_mask` has one entry for each",
        ),
        (ValueError, (x, x), {"attention_mask": np.ones(7, bool)}, r"here \(5, 4, 7, 7\); received shape \(7,\)"),
        (ValueError, (x, x), {"bias": np.ones((1, 1, 5, 4, 7, 7), "float32")}, "`bias` has one entry for each pair"),
    ]
    for error, inputs, options, message in refused:
        with pytest.raises(error, match=message):
            jm.ops.attention(inputs[0], **by_name(*inputs[1:]), **options)
    with pytest.raises(ValueError, match="`additive_attention` takes values"):
        jm.ops.additive_attention(x[..., 0, :])


def test_kernels_that_do_not_fit_are_refused(rng):
    x = sequences(rng, features=(3,))
    params = {name: {"kernel": jnp.ones((3, 2, 5))} for name in ("query", "key", "value")}
    params["attention_output"] = {"kernel": jnp.ones((2, 5, 3))}
    for name, kernel in (("key", jnp.ones((4, 2, 5))), ("attention_output", jnp.ones((2, 4, 3)))):
        with pytest.raises(ValueError, match=f"`multi_head_attention`: the kernel of `{name}` has shape"):
            jm.ops.multi_head_attention(params | {name: {"kernel": kernel}}, x)
    with pytest.raises(ValueError, match=r"the last of the values, behind the mask; received values \(5, 7\)"):
        jm.ops.multi_head_attention(params, x[..., 0])
    with pytest.raises(TypeError, match="unexpected keyword argument 'casual'"):
        jm.ops.multi_head_attention(params, x, casual=True)
