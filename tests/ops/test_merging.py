"""Merge layers and ops: which steps are real, what belongs to the sequence, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
ELEMENTWISE = {
    "add": (L.Add, np.add),
    "subtract": (L.Subtract, np.subtract),
    "multiply": (L.Multiply, np.multiply),
    "average": (L.Average, lambda x, y: (x + y) / 2),
    "maximum": (L.Maximum, np.maximum),
    "minimum": (L.Minimum, np.minimum),
}
EACH = pytest.mark.parametrize("name", ELEMENTWISE)


def merge(name, xs, **options):
    return getattr(jm.ops, name)(xs, **options)


@pytest.fixture
def y(rng):
    values = rng.normal(size=(3, 5, 4)).astype("float32")
    mask = np.array([[True, False, True, False, True]] * 3)
    values[~mask] = np.nan
    return jm.masked(jnp.asarray(values), jnp.asarray(mask))


# masks


@EACH
def test_masks_and_hints(name, x, y):
    layer, function = ELEMENTWISE[name]
    both = layer()([x, y])
    np.testing.assert_array_equal(both.mask, x.mask & y.mask)
    real = np.asarray(both.mask)
    assert_close(np.asarray(both.values)[real], function(np.asarray(x.values)[real], np.asarray(y.values)[real]))
    assert layer()([x, x * 2]).mask is x.mask
    jm.from_lengths(x.values, [2, 5, 1])
    either = layer(merge="union")([x, y])
    np.testing.assert_array_equal(either.mask, x.mask | y.mask)
    assert isinstance(layer(merge="union")([x, jnp.ones((3, 5, 4))]), jax.Array)
    assert isinstance(layer()([np.ones((2, 3)), np.ones((2, 3))]), jax.Array)


@EACH
def test_a_side_that_is_missing_has_no_part_in_a_union(name, x):
    none = jm.masked(jnp.full((3, 5, 4), jnp.nan), jnp.zeros((3, 5), bool))
    expected = np.asarray(x.fill(0)) * np.asarray(x.mask)[..., None]
    assert_close(merge(name, [x, none], merge="union").fill(0), expected)
    sign = -1 if name == "subtract" else 1
    assert_close(merge(name, [none, x], merge="union").fill(0), sign * expected)


@EACH
def test_values_of_several_dtypes(name, x):
    small = jm.masked(jnp.asarray([[3, -7]], "int8"), jnp.asarray([[True, False]]))
    large = jm.masked(jnp.asarray([[1000, -1000]], "int32"), jnp.asarray([[True, True]]))
    function = ELEMENTWISE[name][1]
    merged = merge(name, [small, large], merge="union")
    assert merged.dtype == ("float32" if name == "average" else "int32")
    second = 1000 if name == "subtract" else -1000
    assert merged.values.tolist() == [[function(3, 1000), second]]  # -128 of int8 is above -1000
    assert merge(name, [x.astype("bfloat16"), x.astype("bfloat16")]).dtype == "bfloat16"
    assert merge(name, [x.astype("bfloat16"), x]).dtype == "float32"


def test_average_of_half_precision_sums_in_float32():
    terms = [jnp.full((1, 1), value, "bfloat16") for value in (256, 1, 1, 1)]
    assert jm.ops.average(terms).item() == 65  # 259 / 4, rounded; a sum in bfloat16 would stay at 256
    assert jm.ops.average([jnp.asarray([1, 2]), jnp.asarray([2, 4])]).tolist() == [1.5, 3.0]


def test_one_input_is_itself(x):
    for name in ("add", "multiply", "maximum", "minimum"):
        assert merge(name, [x]) is x
    assert_close(jm.ops.average([x]).fill(0), x.fill(0))


# inputs of lower rank


@EACH
def test_a_vector_belongs_to_the_sequence(name, x, rng):
    vector = rng.normal(size=(3, 4)).astype("float32")
    function = ELEMENTWISE[name][1]
    real = np.asarray(x.mask)
    for inputs, expected in (
        ([x, vector], function(np.asarray(x.values), vector[:, None])),
        ([vector, x], function(vector[:, None], np.asarray(x.values))),
    ):
        for rule in ("intersection", "union"):
            merged = merge(name, inputs, merge=rule)
            np.testing.assert_array_equal(merged.mask, real)
            assert_close(np.asarray(merged.values)[real], expected[real])
    assert_close(merge(name, [jnp.ones((3, 5, 4)), vector]), np.broadcast_to(function(1, vector[:, None]), (3, 5, 4)))


def test_as_many_rows_as_steps_and_features_make_no_difference(rng):
    """The vector stays the sequence's, where aligning the last axes would take it for a number of each step."""
    values, vector = rng.normal(size=(4, 4, 4)), rng.normal(size=(4, 4))
    merged = jm.ops.add([jm.from_lengths(values, [4, 2, 0, 1]), vector])
    assert_close(merged.values[0], values[0] + vector[0])
    assert_close(merged.values[1, :2], (values[1] + vector[1])[:2])


def test_a_masked_vector_takes_rows_away_or_no_part(x):
    vector = jm.masked(jnp.asarray([[2.0] * 4, [3.0] * 4, [jnp.nan] * 4]), jnp.asarray([True, True, False]))
    both = jm.ops.multiply([x, vector])
    np.testing.assert_array_equal(both.mask, x.mask & np.array([[True], [True], [False]]))
    assert_close(both.values[0, :4], 2 * x.values[0, :4])
    either = jm.ops.average([vector, x], merge="union")
    np.testing.assert_array_equal(either.mask, x.mask)
    assert_close(either.values[0, :4], (2 + x.values[0, :4]) / 2)
    assert_close(either.values[2], x.values[2])
    spread = jm.ops.add([jnp.ones((3, 5, 4)), vector])
    assert spread.mask.tolist() == [[True] * 5, [True] * 5, [False] * 5]
    gradient = jax.grad(lambda v: jm.ops.sum(jm.ops.multiply([x, vector.with_values(v)])))(vector.values)
    assert_close(gradient, np.stack([np.asarray(x.values[0, :4]).sum(0), np.zeros(4), np.zeros(4)]))


def test_sentences_and_documents_have_vectors_too(rng):
    values = rng.normal(size=(2, 3, 5, 4)).astype("float32")
    words = jm.from_lengths(values, np.array([[5, 0, 1], [2, 3, 0]]))
    sentences, documents = (rng.normal(size=shape).astype("float32") for shape in ((2, 3, 4), (2, 4)))
    merged = jm.ops.add([words, sentences, documents])
    np.testing.assert_array_equal(merged.mask, words.mask)
    expected = values + sentences[:, :, None] + documents[:, None, None]
    assert_close(merged.values[words.mask], expected[np.asarray(words.mask)])
    of_real_sentences = jm.ops.sum(words, axis=2)
    assert of_real_sentences.mask.shape == (2, 3)
    np.testing.assert_array_equal(jm.ops.multiply([words, of_real_sentences]).mask, words.mask)
    one = jm.ops.add([words[0, 0], sentences[0, 0]])
    assert_close(one.values, values[0, 0] + sentences[0, 0])


@EACH
def test_what_does_not_fit_is_refused(name, x):
    layer = ELEMENTWISE[name][0]()
    with pytest.raises(ValueError, match=rf"`{name}` takes a list of (one or more|two) inputs; received"):
        layer(x)
    weights = x.values[..., 0]
    with pytest.raises(
        ValueError, match=r"becomes \(batch, 1, features\); received \[\(3, 5, 4\), \(3, 5\)\]. A number"
    ):
        layer([x, weights])
    assert layer([x, weights[..., None]]).shape == (3, 5, 4)
    message = rf"`{name}` takes an input of lower rank for one .* the mask \(3, 5\) among them. Add a feature axis"
    with pytest.raises(ValueError, match=message):
        layer([x, x[..., 0]])
    by_word = jm.masked(jnp.ones((3, 5, 4)), jnp.ones((3, 5, 4), bool))
    with pytest.raises(ValueError, match="with masks of one rank"):
        layer([x, by_word])
    with pytest.raises(ValueError, match=r"`merge` of `.*` is 'intersection' or 'union'; received 'or'"):
        type(layer)(merge="or")
    with pytest.raises(ValueError, match="`merge` must be 'intersection' or 'union'; received 'or'"):
        merge(name, [x, x], merge="or")
    packed = jm.from_segment_ids(jnp.ones((1, 3, 4)), [[1, 1, 2]])
    with pytest.raises(ValueError, match=f"`{name}` with an input of lower rank gives one result for each sequence"):
        layer([packed, jnp.ones((1, 4))])


def test_a_difference_has_two_inputs(x):
    for xs, received in (([x], "a list of 1"), ([x, x, x], "a list of 3")):
        with pytest.raises(ValueError, match=f"`subtract` takes a list of two inputs; received {received}"):
            jm.ops.subtract(xs)
        with pytest.raises(ValueError, match=f"`dot` takes a list of two inputs; received {received}"):
            jm.ops.dot(xs)


# dot


@pytest.mark.slow
def test_dot_compares_the_steps_of_two_sequences(x, rng, getkey):
    values = rng.normal(size=(3, 2, 4)).astype("float32")
    values[1, 1] = np.inf
    y = jm.from_lengths(jnp.asarray(values), [2, 1, 0])
    product = jax.jit(lambda x, y: L.Dot(axes=2)([x, y]))(x, y)
    assert product.shape == (3, 5, 2)
    for row in range(3):
        n, m = int(x.lengths[row]), int(y.lengths[row])
        expected = np.zeros((5, 2), bool)
        expected[:n, :m] = True
        np.testing.assert_array_equal(product.mask[row], expected)
        assert_close(product.values[row, :n, :m], np.asarray(x.values[row, :n] @ y.values[row, :m].T))
    gradients = jax.grad(lambda x, y: jm.ops.sum(L.Dot(2)([x, y])), argnums=(0, 1), allow_int=True)(x, y)
    for gradient, original in zip(gradients, (x, y), strict=True):
        assert jnp.isfinite(gradient.values).all()
        assert not gradient.values[~original.mask].any()


@pytest.mark.slow
def test_dot_of_weights_and_steps(x, rng):
    """Attention by hand: scores of queries, softmax over the real steps, and their weighted sum."""
    queries = jm.from_lengths(jnp.asarray(rng.normal(size=(3, 2, 4)), "float32"), [1, 2, 2])
    weights = jm.ops.softmax(jm.ops.dot([queries, x], 2), axis=2)
    attended = jm.ops.dot([weights, x], (2, 1))
    assert attended.shape == (3, 2, 4)
    assert attended.mask.tolist() == [[True, False], [False, False], [True, True]]  # the second row has no steps
    for row, (n, m) in enumerate([(1, 4), (2, 0), (2, 5)]):
        if m:
            scores = queries.values[row, :n] @ x.values[row, :m].T
            assert_close(attended.values[row, :n], jax.nn.softmax(scores, -1) @ x.values[row, :m])
    plain = jnp.asarray(rng.normal(size=(3, 2, 5)), "float32").at[0, :, 4].set(jnp.nan)  # stands against padding
    pooled = jm.ops.dot([plain, x], (2, 1))
    assert pooled.mask.tolist() == [True, False, True]  # which rows have steps
    assert_close(pooled[0], plain[0, :, :4] @ x.values[0, :4])
    assert_close(pooled[1], np.zeros((2, 4)))


def test_dot_sums_over_the_steps_that_both_have(x, y):
    values = y.values.at[0, 4].set(jnp.inf)  # `x` has no fifth step in this row
    product = jm.ops.dot([x, y.with_values(values)], axes=1)
    assert product.mask.tolist() == (x.mask.any(1) & y.mask.any(1)).tolist()
    for row in range(3):
        both = np.asarray(x.mask & y.mask)[row]
        assert_close(product[row], np.asarray(x.values)[row, both].T @ np.asarray(y.values)[row, both])


def test_masks_behind_other_axes_are_repeated(x, rng):
    plain = jnp.asarray(rng.normal(size=(3, 7, 4)), "float32")
    product = jm.ops.dot([plain, x], 2)
    assert product.shape == (3, 7, 5)
    np.testing.assert_array_equal(product.mask, np.broadcast_to(np.asarray(x.mask)[:, None], (3, 7, 5)))
    assert jm.ops.dot([x, plain[:, 0]], (2, 1)).mask is x.mask
    row = jm.masked(plain[:, 0], jnp.asarray([True, False, True]))
    assert jm.ops.dot([row, plain[:, 1]], 1).mask.tolist() == [True, False, True]


@pytest.mark.slow
def test_dot_options(rng):
    a, b = (rng.normal(size=(3, 4)).astype("float32") for _ in range(2))
    a[1] = 0
    assert_close(L.Dot(1)([a, b]), (a * b).sum(-1, keepdims=True))
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    expected = (a * b).sum(-1) / np.where(norms > 0, norms, 1)
    assert_close(L.Dot(-1, normalize=True)([a, b])[:, 0], expected)
    gradient = jax.grad(lambda a: L.Dot(1, normalize=True)([a, b]).sum())(jnp.asarray(a))
    assert jnp.isfinite(gradient).all()
    assert L.Dot(1, normalize=True)([a.astype("float16"), b.astype("float16")]).dtype == "float16"
    cube = rng.normal(size=(3, 2, 4, 5)).astype("float32")
    assert_close(L.Dot((2, 1))([cube, a]), np.einsum("btfg,bf->btg", cube, a))


@pytest.mark.parametrize(
    ("axes", "message"),
    [
        (0, "must not name the batch axis, 0; received 0"),
        ((1, 0), r"must not name the batch axis, 0; received \(1, 0\)"),
        ((1, 2, 1), r"must be an integer or two; received \(1, 2, 1\)"),
        ((1, 1.0), r"must be an integer or two; received \(1, 1.0\)"),
        (None, "must be an integer or two; received None"),
    ],
)
def test_dot_refuses_axes(axes, message):
    with pytest.raises(ValueError, match=f"`axes` of `dot` {message}"):
        jm.ops.dot([jnp.ones((2, 3)), jnp.ones((2, 3))], axes)
    with pytest.raises((TypeError, ValueError), match=r"`Dot`.*; received"):
        L.Dot(axes)


def test_dot_refuses_what_does_not_fit(x):
    with pytest.raises(ValueError, match=r"`axes=3` of `dot` must be axes behind the batch axis of both inputs"):
        jm.ops.dot([x, x], 3)
    with pytest.raises(ValueError, match=r"`axes=-3` of `dot` must be axes behind the batch axis"):
        jm.ops.dot([x, x], -3)
    with pytest.raises(ValueError, match=r"sums over axes of one size; received \[.*\] with `axes=\(1, 2\)`"):
        jm.ops.dot([x, x], (1, 2))
    with pytest.raises(ValueError, match="`dot` takes two inputs with the same batch axis"):
        jm.ops.dot([x, x[:1]], 2)
    with pytest.raises(TypeError, match="`dot` works on floats; received dtype int32"):
        jm.ops.dot([x.astype("int32"), x.astype("int32")], normalize=True)
    assert jm.ops.dot([jnp.ones((2, 3), "int32"), jnp.ones((2, 3), "int32")]).tolist() == [[3], [3]]
