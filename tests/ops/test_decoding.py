"""Decoding with a cache: what each step sees, and that a greedy loop gives what full passes give."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

VOCABULARY, FEATURES, ROOM, NEW = 11, 6, 12, 5
PROMPTS = [[3, 1, 4], [1, 5, 9, 2, 6], [], [5]]


class Greedy:
    """A language model of one block, and how it is asked for one more token."""

    def __init__(self, attention, positions):
        self.attention, self.positions = attention, positions
        self.embedding = jm.layers.Embedding(VOCABULARY, FEATURES)
        self.table = jm.layers.PositionEmbedding(ROOM)
        self.head = jm.layers.Dense(VOCABULARY)

    def init(self, key):
        keys = jax.random.split(key, 4)
        h = jnp.ones((1, 1, FEATURES))
        return {
            "embedding": self.embedding.init(keys[0], jnp.ones((1, 1), int)),
            "table": self.table.init(keys[1], h),
            "attention": self.attention.init(keys[2], h, h),
            "head": jax.tree.map(lambda leaf: 9 * leaf, self.head.init(keys[3], h)),
        }

    def apply(self, params, ids, cache=None, offset=None):
        """Logits, and the cache."""
        h = 3 * self.embedding.apply(params["embedding"], ids)
        if self.positions == "learned":
            h = h + self.table.apply(params["table"], h, offset=offset)
            inputs = (h, h)
        else:
            turned = jm.layers.RotaryEmbedding().apply({}, h, offset=offset)
            inputs = (turned, h, turned)
        if cache is None:
            y = self.attention.apply(params["attention"], *inputs)
        else:
            y, cache = self.attention.apply(params["attention"], *inputs, cache=cache)
        return self.head.apply(params["head"], h + y), cache

    def generate(self, params, prompt):
        """Logits `(batch, NEW, vocabulary)`, and the ids `(batch, NEW)` that are read from them."""
        cache = self.attention.init_cache(len(prompt), ROOM)
        logits, cache = self.apply(params, prompt, cache, offset=0)

        def step(carry, _):
            logits, cache = carry
            token = jnp.argmax(logits, -1)
            again, cache = self.apply(params, token[:, None], cache, offset=cache["key"].lengths)
            return (again[:, 0], cache), (logits, token)

        last = jm.as_masked(jm.ops.last(logits)).unmasked()
        _, (logits, ids) = jax.lax.scan(step, (last, cache), length=NEW)
        return jnp.moveaxis(logits, 0, 1), ids.T


ATTENTION = {
    "multi-head": jm.layers.MultiHeadAttention(2, 4, use_causal_mask=True),
    "window": jm.layers.MultiHeadAttention(2, 4, use_causal_mask=True, sliding_window=3, use_gate=True),
    "groups": jm.layers.GroupQueryAttention(3, 4, 2, use_causal_mask=True),
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("attention", "positions", "padding"),
    [
        ("window", "rotary", "pre"),
        pytest.param("multi-head", "learned", "pre", marks=pytest.mark.slow),
        pytest.param("groups", "rotary", "post", marks=pytest.mark.slow),
        pytest.param("groups", "learned", "pre", marks=pytest.mark.slow),
    ],
)
def test_a_greedy_loop_gives_what_full_passes_give(attention, positions, padding):
    model = Greedy(ATTENTION[attention], positions)
    params = model.init(jax.random.key(0))
    prompt = jm.pad_sequences(PROMPTS, padding=padding)
    logits, ids = jax.jit(model.generate)(params, prompt)
    for row, given in enumerate(PROMPTS):
        if given:
            whole = jnp.asarray([[*given, *ids[row].tolist()]])
            expected = model.apply(params, whole)[0][0]
            assert_close(logits[row], expected[len(given) - 1 : -1], precision="float32")
            assert (ids[row] == jnp.argmax(expected, -1)[len(given) - 1 : -1]).all()
    assert len(set(ids.ravel().tolist())) > 2


# rotations of heads, by functions alone


@pytest.mark.slow
def test_chunks_of_any_layout_give_what_the_whole_gives(rng, x64):
    """Steps that come in chunks with padding anywhere, some without any for a sequence."""
    lengths = [5, 0, 9]
    q, k, v = (rng.normal(size=(3, 9, heads, 4)) for heads in (4, 2, 2))
    counts = np.array([[0, 0, 0], [3, 0, 4], [1, 0, 2], [0, 0, 2], [1, 0, 1]]).cumsum(0)
    cache = [jm.from_lengths(jnp.zeros((3, 11, 2, 4)), [0, 0, 0])] * 2
    found = [[], [], []]
    for number, width in enumerate([4, 3, 2, 1]):
        mask = np.zeros((3, width), bool)
        parts = [np.full((3, width, *a.shape[2:]), np.nan) for a in (q, k, v)]
        for row in range(3):
            begin, end = counts[number, row], counts[number + 1, row]
            place = np.sort(rng.choice(width, end - begin, replace=False))
            mask[row, place] = True
            for part, a in zip(parts, (q, k, v), strict=True):
                part[row, place] = a[row, begin:end]
        query, key, value = (jm.masked(jnp.asarray(part), mask) for part in parts)
        offset = cache[0].lengths
        query, key = jm.ops.rotary(query, offset=offset), jm.ops.rotary(key, offset=offset)
        cache = [jm.ops.append(old, new) for old, new in zip(cache, (key, value), strict=True)]
        y = jm.ops.attention(query, key=cache[0], value=cache[1], causal=True, window=3, query_offset=offset)
        for row, steps in enumerate(jm.unpad(y)):
            found[row] += list(steps)
    for row, n in enumerate(lengths):
        query, key, value = (jnp.asarray(a[row : row + 1, :n]) for a in (q, k, v))
        query, key = jm.ops.rotary(query), jm.ops.rotary(key)
        expected = jm.ops.attention(query, key=key, value=value, causal=True, window=3)[0]
        assert_close(np.reshape(found[row], expected.shape), expected)


# where steps stand


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", pytest.param("float64", marks=pytest.mark.slow)])
def test_a_query_behind_its_keys_sees_them_all(rng, dtype, x64):
    keys = jm.from_lengths(jnp.asarray(rng.normal(size=(2, 5, 2, 3)), dtype), [5, 3])
    query = jnp.asarray(rng.normal(size=(2, 1, 2, 3)), dtype)
    at = {"key": keys, "causal": True}
    first = jm.ops.attention(query, **at)
    assert_close(first[1, 0], keys.values[1, 0])  # as in JAX, where queries and keys both count from 0
    all_of_them = jm.ops.attention(query, key=keys)
    for place in (
        {"query_offset": keys.lengths - 1},
        {"query_offset": 4},
        {"query_positions": (keys.lengths - 1)[:, None]},
        {"query_positions": jnp.asarray(4)},
        {"query_positions": jm.ops.positions(query, offset=4)},
        {"key_positions": keys.positions - 4},
    ):
        assert_close(jm.ops.attention(query, **at, **place), all_of_them)
        assert_close(jm.ops.additive_attention(query, **at, **place), jm.ops.additive_attention(query, key=keys))
    near = jm.ops.attention(query, **at, window=1, query_offset=keys.lengths - 1)
    assert_close(near, jm.ops.attention(query, key=jm.ops.reverse(keys)[:, :2]))
    layer = jm.layers.Attention(use_causal_mask=True)
    flat = jm.Masked(keys.values[:, :, 0], keys.mask)
    y = layer.apply({}, query[:, :, 0], flat, query_offset=4)
    assert_close(y, jm.layers.Attention().apply({}, query[:, :, 0], flat))


@pytest.mark.slow
def test_positions_of_keys_that_are_not_in_order(rng):
    """A cache that begins anew at its end: step `i` stands at place `i % 4`."""
    steps = jnp.asarray(rng.normal(size=(1, 7, 1, 3)), "float32")
    expected = jm.ops.attention(steps, causal=True, window=3)[:, -1:]
    places = jnp.asarray([4, 5, 6, 3])
    y = jm.ops.attention(
        steps[:, -1:],
        key=steps[:, places],
        causal=True,
        window=3,
        query_positions=jnp.asarray([6]),
        key_positions=places,
    )
    assert_close(y, expected)


@pytest.mark.slow
def test_positions_in_packed_rows_count_in_each_sequence(rng):
    x = jm.from_segment_ids(jnp.asarray(rng.normal(size=(1, 7, 2, 4)), "float32"), [[1, 1, 2, 0, 2, 2, 1]])
    expected = jm.ops.attention(x, causal=True, window=1)
    places = [{"query_positions": x.positions}, {"key_positions": jm.ops.positions(x)}, {"query_offset": 0}]
    for place in places:
        assert_close(jm.ops.attention(x, causal=True, window=1, **place).fill(0), expected.fill(0))
    later = jm.ops.rotary(x, offset=2)
    for sequence in ([0, 1], [2, 4, 5], [6]):
        alone = jnp.pad(x.values[:, np.array(sequence)], [(0, 0), (2, 0), (0, 0), (0, 0)])
        assert_close(later.values[:, np.array(sequence)], jm.ops.rotary(alone)[:, 2:])


@pytest.mark.slow
@pytest.mark.parametrize("function", ["position_embedding", "sine_position_encoding", "rotary"])
def test_positions_go_on_where_earlier_steps_end(function, rng):
    whole = jnp.asarray(rng.normal(size=(2, 9, 4)), "float32")
    table = {"table": jnp.asarray(rng.normal(size=(9, 4)), "float32")} if function == "position_embedding" else {}
    place = lambda x, **options: getattr(jm.ops, function)(x, **table, **options)  # noqa: E731
    expected = place(whole)[:, 5:]
    assert_close(place(whole[:, 5:], offset=5), expected)
    assert_close(place(whole[:, 5:], offset=jnp.asarray([5, 5], "uint8")), expected)
    assert_close(place(whole[:, 5:], positions=jnp.arange(5, 9)), expected)
    left = jm.masked(whole[:, 3:], jnp.arange(6) >= jnp.asarray([[2], [2]]))
    assert_close(place(left, offset=jnp.asarray([5, 5])).values[:, 2:], expected)
    places = jm.ops.positions(left, offset=5)
    assert_close(place(left, positions=places).values[:, 2:], expected)
    gradient = jax.grad(lambda x: place(x, positions=jnp.arange(5, 9)).sum())(whole[:, 5:])
    assert jnp.isfinite(gradient).all()


@pytest.mark.slow
def test_positions_of_layers(rng):
    x = jnp.asarray(rng.normal(size=(2, 3, 4)), "float32")
    layers = [jm.layers.PositionEmbedding(9), jm.layers.SinePositionEncoding(), jm.layers.RotaryEmbedding()]
    whole = jnp.pad(x, [(0, 0), (4, 0), (0, 0)])
    for layer in layers:
        params = layer.init(jax.random.key(0), x)
        expected = layer.apply(params, whole)[:, 4:]
        for place in ({"offset": 4}, {"offset": jnp.asarray([4, 4])}, {"positions": jnp.arange(4, 7)[None]}):
            assert_close(layer.apply(params, x, **place), expected)
        node, offset = jm.Input((None, 4)), jm.Input((), "int32")
        model = jm.Model([node, offset], layer(node, offset=offset))
        inputs = [x, jnp.asarray([4, 4])]
        assert_close(model.apply({layer.default_name: params}, inputs), expected)


def test_what_is_refused_of_positions(rng):
    x, table = jnp.ones((2, 3, 4)), jnp.ones((5, 4))
    keys = jnp.ones((2, 5, 1, 4))
    with pytest.raises(ValueError, match=r"`rotary` takes `offset` or `positions`, not both: .* `jm.ops.positions"):
        jm.ops.rotary(x, offset=1, positions=jnp.arange(3))
    with pytest.raises(ValueError, match=r"`offset` of `rotary` is one integer, or one for each row, \(2,\); received"):
        jm.ops.rotary(x, offset=jnp.ones(3, int))
    with pytest.raises(TypeError, match=r"`offset` of `positions` is a number of steps, an integer; received dtype fl"):
        jm.ops.positions(x, offset=np.float32(1.0))
    with pytest.raises(ValueError, match=r"`positions` of `rotary` are one for each step, here \(2, 3\), .* \(4,\)"):
        jm.ops.rotary(x, positions=jnp.arange(4))
    with pytest.raises(TypeError, match="`positions` of `rotary` are numbers, one for each step; received dtype bool"):
        jm.ops.rotary(x, positions=np.ones(3, bool))
    with pytest.raises(TypeError, match="Ids must be integers"):
        jm.ops.position_embedding(x, table, positions=jnp.ones(3))
    with pytest.raises(ValueError, match=r"vectors for 5 positions, and all 3 steps .*, from position 3 on, are"):
        jm.ops.position_embedding(x, table, offset=3)
    assert jnp.isnan(jm.ops.position_embedding(x, table, offset=jnp.asarray([0, 3]))[1, 2]).all()
    with pytest.raises(ValueError, match=r"`query_positions` of `attention` are one for each step, here \(2, 3\)"):
        jm.ops.attention(x[:, :, None], key=keys, causal=True, query_positions=jnp.arange(4))
    with pytest.raises(ValueError, match=r"`attention` has a value and no key.* pass `key=` too"):
        jm.ops.attention(keys, value=keys)
    with pytest.raises(ValueError, match=r"`multi_head_attention` has a value and no key"):
        jm.ops.multi_head_attention({}, x, value=x)
    with pytest.raises(TypeError, match="positional argument"):
        jm.ops.attention(keys, keys, keys)


# a cache


@pytest.mark.slow
def test_a_sequence_that_has_ended_adds_nothing_and_one_that_is_too_long_shows():
    x = jm.from_lengths(jnp.asarray([[1.0, 2.0, 9.0], [3.0, 9.0, 9.0], [9.0, 9.0, 9.0]]), [2, 1, 0])
    new = jm.masked(
        jnp.asarray([[4.0, 5.0], [jnp.nan, 6.0], [jnp.nan, jnp.nan]]), np.array([[1, 1], [0, 1], [0, 0]], bool)
    )
    y = jm.ops.append(x, new)
    assert y.lengths.tolist() == [3, 2, 0]
    assert y.fill(0)[1].tolist() == [3, 6, 0]
    assert jnp.isnan(y.values[0, 2])
    assert jm.ops.append(x.astype("int8"), new[:, :1]).fill(0).tolist() == [[1, 2, 4], [3, 0, 0], [0, 0, 0]]
    full = jm.ops.append(jm.from_lengths(jnp.asarray([[1]], "int8"), [1]), jnp.asarray([[2]], "int8"))
    assert full.values.tolist() == [[-128]]
    gradient = jax.grad(lambda v: jm.ops.append(x, new.with_values(v)).fill(0)[1:].sum())(new.values)
    assert gradient.tolist() == [[0, 0], [0, 1], [0, 0]]


def test_what_append_refuses():
    x = jm.from_lengths(jnp.ones((2, 3, 4)), [1, 1])
    with pytest.raises(TypeError, match=r"`append` writes into the padding .* use `jm.ops.concatenate"):
        jm.ops.append(x.values, x)
    for other in (jnp.ones((2, 1, 5)), jnp.ones((3, 1, 4)), jnp.ones((2, 4)), jm.masked(x.values, jnp.ones(2, bool))):
        with pytest.raises(ValueError, match=r"`append` takes x .batch, room, .* received values \(2, 3, 4\) and"):
            jm.ops.append(x, other)
    with pytest.raises(ValueError, match="`append` does not keep the sequences of a row apart"):
        jm.ops.append(x, jm.from_segment_ids(jnp.ones((2, 1, 4)), jnp.ones((2, 1), int)))
    with pytest.raises(ValueError, match="at least one step of room"):
        jm.ops.append(x[:, :0], x)


# masks and biases of every rank


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 5), (2, 3, 5), (2, 4, 3, 5), (1, 1, 3, 5), (1, 5), (3, 1), (2, 1, 5)], ids=str)
def test_masks_and_biases_of_arrays(rng, shape, dtype, x64):
    q, k = (jnp.asarray(rng.normal(size=(2, n, 4, 2)), dtype) for n in (3, 5))
    allowed, bias = rng.random(shape) < 0.6, rng.normal(size=shape).astype(dtype)
    full = lambda a: jnp.broadcast_to(a[:, None] if a.ndim == 3 else a, (2, 4, 3, 5))  # noqa: E731
    scores = jnp.where(full(allowed), jnp.einsum("bqhf,bkhf->bhqk", q, k) / 2**0.5 + full(bias), -jnp.inf)
    weights = jnp.where(full(allowed).any(-1, keepdims=True), jax.nn.softmax(scores), 0)
    expected = jnp.einsum("bhqk,bkhf->bqhf", jnp.where(jnp.isnan(weights), 0, weights), k)
    precision = "float32" if dtype == "float32" else None
    for masked in (False, True):
        inputs = [jm.as_masked(a) if masked else a for a in (q, k)]
        y = jm.ops.attention(inputs[0], key=inputs[1], attention_mask=allowed, bias=bias)
        assert_close(getattr(y, "values", y), expected, precision=precision)
        additive = jm.ops.additive_attention(inputs[0], key=inputs[1], attention_mask=allowed)
        wide = jm.ops.additive_attention(*inputs[:1], key=inputs[1], attention_mask=full(allowed))
        assert_close(getattr(additive, "values", additive), getattr(wide, "values", wide), precision=precision)
    layer = jm.layers.MultiHeadAttention(4, 3)
    x = jnp.asarray(rng.normal(size=(2, 3, 6)), "float32"), jnp.asarray(rng.normal(size=(2, 5, 6)), "float32")
    params = layer.init(jax.random.key(0), *x)
    y = layer.apply(params, *x, attention_mask=allowed)
    assert_close(y, layer.apply(params, *x, attention_mask=full(allowed)), precision="float32")


def test_a_mask_of_another_shape_is_refused():
    x = jnp.ones((2, 3, 1, 4))
    for shape in ((2, 3), (3,), (), (2, 3, 4), (1, 1, 1, 3, 3)):
        with pytest.raises(ValueError, match=r"here \(2, 1, 3, 3\); received shape .* make `x\[:, None, :\]`"):
            jm.ops.attention(x, attention_mask=np.ones(shape, bool))
    real = jnp.asarray([[True, True, False], [True, False, False]])
    expected = jm.ops.attention(x, key=jm.Masked(x, real))
    assert_close(jm.ops.attention(x, attention_mask=real[:, None, :]), expected)


@pytest.mark.slow
def test_no_rank_is_promoted_where_jax_is_told_to_promote_none():
    x = jm.masked(jnp.ones((2, 3, 2, 4)), jnp.asarray([[False, True, True], [True, False, True]]))
    y, ones = jnp.ones((2, 5, 2, 4)), jnp.ones((9, 4))
    programs = [
        lambda x: jm.ops.attention(x, causal=True),
        lambda x: jm.ops.attention(y, key=x, causal=True, query_offset=2, attention_mask=np.ones((5, 3), bool)),
        lambda x: jm.ops.attention(x, key=y, causal=True, window=1, query_positions=jnp.arange(3)),
        lambda x: jm.ops.additive_attention(x, weight=jnp.ones(4)),
        lambda x: jm.ops.rotary(x, offset=2),
        lambda x: jm.ops.sine_position_encoding(x[..., 0, :], offset=jnp.arange(2)),
        lambda x: jm.ops.position_embedding(x[..., 0, :], ones, positions=jnp.arange(3)),
        lambda x: jm.ops.one_hot(x.astype("int32"), 5),
        lambda x: jm.ops.append(x, y),
    ]
    with jax.numpy_rank_promotion("raise"):
        for program in programs:
            jax.eval_shape(program, x)
