"""`jm.vmap` as its users call it: arguments, results, lengths, transforms around it and within it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmask as jm
from jmask.testing import assert_close

LENGTHS = [3, 0, 5, 1]
ROWS = [np.linspace(0.5 + i, 2 + i, 2 * n, dtype=np.float32).reshape(n, 2) for i, n in enumerate(LENGTHS)]


def batch(side="post"):
    x = jm.pad_sequences(ROWS, padding=side)
    return x.with_values(jnp.where(x.mask[..., None], x.values, jnp.nan))


def normalise(x):
    return (x - x.mean(0)) / jnp.sqrt(x.var(0) + 1e-3)


def outer_sum(q, k):
    return jax.nn.softmax(q @ k.T, axis=-1) @ k


def assert_rows(result, expected):
    """The real steps of each row, None for an empty one."""
    for row, alone in enumerate(expected):
        real = np.asarray(result.values)[row][np.asarray(result.mask)[row]]
        assert_close(real, np.zeros((0, *real.shape[1:])) if alone is None else alone)


# Arguments


def test_a_batch_axis_elsewhere():
    x = batch()
    transposed = jm.masked(x.values.swapaxes(0, 1), x.mask.T)
    assert_close(jm.vmap(jnp.mean, in_axes=1)(transposed), jm.vmap(jnp.mean)(x))
    assert_close(jm.vmap(jnp.mean, in_axes=jm.Masked(1, 1))(transposed), jm.vmap(jnp.mean)(x))


def test_arrays_beside_sequences_are_batched_as_usual():
    x, scale = batch(), jnp.arange(1.0, 5.0)
    for in_axes, given in ((0, scale), ([0, 0], scale), ((0, None), 2.0), ((0, 1), scale[None])):
        factors = np.broadcast_to(np.ravel(given), 4)
        result = jm.vmap(lambda x, s: (x * s).sum(), in_axes=in_axes)(x, given)
        assert_close(result, [f * row.sum() for f, row in zip(factors, ROWS, strict=True)])


def test_keywords_and_nests():
    x = batch()
    result = jm.vmap(lambda tree, *, scale: {"sum": scale * tree["x"].sum(0), "none": None})(
        {"x": x}, scale=jnp.ones(4)
    )
    assert_close(result["sum"], [row.sum(0) for row in ROWS])
    assert result["none"] is None


def test_a_sequence_that_all_rows_share():
    keys = jm.masked(np.float32([[1, 2], [np.nan, 0], [3, 4]]), [True, False, True])
    result = jm.vmap(outer_sum, in_axes=(0, None))(batch(), keys)
    alone = np.float32([[1, 2], [3, 4]])
    assert_rows(result, [outer_sum(row, alone) if len(row) else None for row in ROWS])


def test_no_mask_at_all():
    x = jnp.arange(6.0).reshape(2, 3)
    assert_close(jm.vmap(jnp.cumsum)(x), jnp.cumsum(x, 1))


def test_no_steps_at_all():
    x = jm.masked(jnp.ones((3, 0, 2)), np.ones((3, 0), bool))
    assert_close(jm.vmap(normalise)(x).mask.any(), False)
    assert_close(jm.vmap(lambda x: jnp.log(x).sum())(x), np.zeros(3))


def test_rows_that_are_not_real_are_not_run():
    x = jm.masked(jnp.array([1.0, 0.0, 4.0]), [True, False, True])
    assert_close(jm.vmap(jnp.log)(x), [0, 0, np.log(4)])
    assert_close(jax.grad(lambda v: jm.vmap(jnp.log)(x.with_values(v)).sum())(x.values), [1, 0, 0.25])


def test_bad_arguments():
    x = batch()
    with pytest.raises(ValueError, match="an axis of its mask too; argument 0"):
        jm.vmap(normalise, in_axes=2)(x)
    with pytest.raises(ValueError, match=r"one size; received 4 \(argument 0\), 3 \(argument 1\)"):
        jm.vmap(lambda x, y: x)(x, jnp.ones(3))
    with pytest.raises(ValueError, match="one size; received none"):
        jm.vmap(normalise, in_axes=None)(x)
    with pytest.raises(ValueError, match="no axis 3"):
        jm.vmap(lambda x, y: x, in_axes=(0, 3))(x, jnp.ones(4))
    with pytest.raises(ValueError, match=r"`in_axes` of `jm\.vmap` must be a prefix"):
        jm.vmap(lambda x: x, in_axes=(0, 0))(x)
    with pytest.raises(ValueError, match=r"`jm\.vmap` gives one result for each sequence of packed rows"):
        jm.vmap(normalise)(jm.pack(ROWS).with_segment_ids(jm.pack(ROWS).segment_ids))


# Lengths


@pytest.mark.slow
def test_lengths_of_their_own():
    q, k = batch(), jm.pad_sequences(ROWS[::-1])
    expected = [outer_sum(a, b) if len(a) or len(b) else None for a, b in zip(ROWS, ROWS[::-1], strict=True)]
    result = jm.vmap(outer_sum)(q, k)
    assert_rows(result, expected)
    pairs = jm.vmap(lambda q, k: q @ k.T)(q, k)
    assert pairs.mask.ndim == 3
    for row, (a, b) in enumerate(zip(ROWS, ROWS[::-1], strict=True)):
        assert_close(pairs.values[row][pairs.mask[row]], np.ravel(a @ b.T))


def test_lengths_of_one_name():
    x, y = batch(), batch("pre")
    expected = [row * row if len(row) else None for row in ROWS]
    assert_rows(jm.vmap(lambda x, y: x * y, lengths="t")(x, y), expected)
    result = jm.vmap(lambda x, y, z: x * y + z.sum(), lengths=("n", "n", "m"))(x, y, x)
    assert_rows(result, [row * row + row.sum() if len(row) else None for row in ROWS])
    with pytest.raises(ValueError, match="in row 0 they are 3 and 1"):
        jm.vmap(lambda x, y: x * y, lengths="t")(x, jm.pad_sequences(ROWS[::-1]))
    with pytest.raises(ValueError, match="received 5 and 6 steps"):
        jm.vmap(lambda x, y: x * y, lengths="t")(x, jm.pad_sequences(ROWS, maxlen=6))
    with pytest.raises(ValueError, match="names such as 't'; received '2t'"):
        jm.vmap(normalise, lengths="2t")(x)


def test_lengths_that_may_differ_do_not_mix():
    with pytest.raises((TypeError, ValueError), match=r"t0.*t1") as info:
        jm.vmap(lambda x, y: x + y)(batch(), batch())
    assert any('lengths="t"' in note for note in info.value.__notes__)


def test_rows_that_break_a_constraint_count_as_empty():
    x = batch()
    result = jm.vmap(lambda x: lax.top_k(x[:, 0], 3)[0], constraints=["t >= 3"])(x)
    assert_close(result, [ROWS[0][::-1, 0], np.zeros(3), ROWS[2][:1:-1, 0], np.zeros(3)])
    even = jm.vmap(lambda x: x.reshape(x.shape[0] // 2, 4), lengths="n", constraints="mod(n, 2) == 0")(
        jm.from_lengths(jnp.arange(16.0).reshape(2, 4, 2), [3, 4])
    )
    assert even.lengths.tolist() == [0, 2]
    assert_close(even.values[1], jnp.arange(8.0, 16.0).reshape(2, 4))
    with pytest.raises(ValueError, match=r"compares two sizes by .*; received 't'"):
        jm.vmap(normalise, constraints=["t"])(x)


# Results


@pytest.mark.parametrize(
    ("fn", "size"),
    [
        (lambda x: x[1:], lambda n: n - 1),
        (lambda x: jnp.repeat(x, 2, 0), lambda n: 2 * n),
        (lambda x: x[::2], lambda n: -(-n // 2)),
        (lambda x: jnp.concatenate([x, x[:1]]), lambda n: n + 1),
    ],
)
def test_new_lengths(fn, size):
    result = jm.vmap(fn)(batch())
    assert result.lengths.tolist() == [size(n) if n else 0 for n in LENGTHS]
    assert_rows(result, [fn(jnp.asarray(row)) if len(row) else None for row in ROWS])


def test_steps_stay_where_they_stood():
    x = jm.masked(jnp.arange(8.0).reshape(2, 4), [[True, False, True, True], [False, False, True, False]])
    result = jm.vmap(jnp.cumsum)(x)
    assert_close(result.fill(), [[0, 0, 2, 5], [0, 0, 6, 0]])
    assert_close(result.mask, x.mask)
    right = jax.tree.map(jnp.asarray, batch())
    assert jm.vmap(normalise)(right).mask is right.mask, "no new mask where nothing has moved"


def test_a_length_behind_other_axes():
    result = jm.vmap(lambda x: x.T)(batch())
    assert result.mask.shape == (4, 2, 5)
    assert_close(result.mask, np.broadcast_to(np.arange(5) < np.array(LENGTHS)[:, None, None], (4, 2, 5)))


def test_axes_of_results():
    x = batch()
    sums, flipped = jm.vmap(lambda x: (x.sum(0), jnp.flip(x, 0)), out_axes=(1, 1))(x)
    assert sums.shape == (2, 4)
    assert flipped.shape == (5, 4, 2)
    assert flipped.mask.shape == (5, 4)
    with pytest.raises(ValueError, match="`out_axes`"):
        jm.vmap(normalise, out_axes=2)(x)


@pytest.mark.slow
def test_documents_of_sentences_of_words():
    lengths = np.array([[3, 1, 0], [4, 0, 2]])
    docs = jm.masked(np.random.default_rng(0).normal(size=(2, 3, 4, 5)), np.arange(4) < lengths[..., None])
    means = jm.vmap(jm.vmap(lambda words: words.mean(0)))(docs)
    assert_close(means.mask, lengths > 0)
    for doc, sentence in np.argwhere(lengths):
        n = lengths[doc, sentence]
        assert_close(means.values[doc, sentence], docs.values[doc, sentence, :n].mean(0))
    sums = jm.vmap(jm.vmap(lambda words: jnp.cumsum(words, 0)))(docs)
    assert_close(sums.mask, docs.mask)
    weights = jm.vmap(lambda doc: jax.nn.softmax(jm.vmap(lambda words: words.sum())(doc)))(docs)
    for doc in range(2):
        alone = [docs.values[doc, s, :n].sum() for s, n in enumerate(lengths[doc]) if n]
        assert_close(weights.values[doc][weights.mask[doc]], jax.nn.softmax(jnp.array(alone)))


# Exactness where it is hard


@pytest.mark.slow
def test_no_gradient_from_numbers_that_no_sequence_has():
    """`log`, `1/x` and `sqrt` of zeros, of differences and in empty rows have infinite slopes."""
    x = jm.masked(
        jnp.array([[4.0, 1.0, 9.0], [0.0, 0.0, 0.0], [1.0, 2.0, 0.0]]), np.int8(0) < [[1, 1, 1], [0, 0, 0], [1, 1, 0]]
    )

    def fn(w, x):
        return jnp.sqrt(w * x).sum() + jnp.log(w * x).sum() + (1 / jnp.diff(w * x)).sum()

    def loss(w, v):
        return jm.vmap(lambda x: fn(w, x))(x.with_values(v)).sum()

    gradients = jax.grad(loss, (0, 1))(2.0, x.values)
    alone = [jax.grad(fn, (0, 1))(2.0, v) for v in (x.values[0], x.values[2, :2])]
    assert_close(gradients[0], sum(g[0] for g in alone))
    assert_close(gradients[1], jnp.stack([alone[0][1], jnp.zeros(3), jnp.pad(alone[1][1], (0, 1))]))


def test_a_batch_of_empty_rows():
    x = jm.masked(jnp.full((2, 3), jnp.nan), np.zeros((2, 3), bool))
    value, gradient = jax.value_and_grad(lambda w: jm.vmap(lambda x: jnp.log(w * x).sum())(x).sum())(2.0)
    assert (value, gradient) == (0, 0)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "int8", "uint32", "bool", "complex64"])
def test_dtypes(dtype):
    x = jm.from_lengths(jnp.asarray([[1, 0, 1, 1], [1, 1, 0, 0]]).astype(dtype), [4, 2])
    result = jm.vmap(lambda x: (x.max(0) if dtype != "complex64" else x.sum(0), jnp.flip(x), jnp.concatenate([x, x])))(
        x
    )
    assert [leaf.dtype for leaf in result] == [dtype] * 3
    assert_close(jnp.real(result[1].fill()).astype(float), [[1, 1, 0, 1], [1, 1, 0, 0]])
    assert result[2].lengths.tolist() == [8, 4]


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "float8_e4m3b11fnuz", "bfloat16"])
def test_extremes_of_dtypes_without_infinity(dtype):
    x = jm.from_lengths(jnp.asarray([[-2, -1, 9, 9], [2, 1, -9, -9]]).astype(dtype), [2, 2])
    result = jm.vmap(lambda x: (lax.reduce_max(x, (0,)), lax.reduce_min(x, (0,)), jnp.argmax(x)))(x)
    assert [leaf.astype(float).tolist() for leaf in result] == [[-1, 2], [-2, 1], [1, 0]]


def test_float64(x64):
    x = jm.from_lengths(jnp.asarray([[0.1, 0.2, 0.4], [0.3, 0.7, 0.9]]), [3, 2])
    weights, mean = jm.vmap(lambda x: (jax.nn.softmax(x), x.mean()))(x)
    assert weights.dtype == mean.dtype == jnp.float64
    assert_close(mean, [0.7 / 3, 0.5])


def test_random_draws_are_those_of_the_sequence():
    x, key = batch(), jax.random.key(0)
    result = jm.vmap(lambda x: x + jax.random.normal(key, x.shape))(x)
    assert_rows(result, [row + jax.random.normal(key, row.shape) if len(row) else None for row in ROWS])
    dropped = jm.vmap(lambda k, x: jnp.where(jax.random.bernoulli(k, 0.5, x.T.shape).T, x, 0))(
        jax.random.split(key, 4), x
    )
    assert dropped.lengths.tolist() == LENGTHS


# Transforms


@pytest.mark.slow
def test_transforms_around_it():
    x = batch()

    def loss(v, scale=1.0):
        return jm.vmap(lambda row: jax.nn.logsumexp(scale * row))(x.with_values(v)).sum()

    safe = x.fill(0.0)
    gradient = jax.grad(loss)(safe)
    assert_close(jax.grad(jax.jit(loss))(safe), gradient)
    assert_close(jax.grad(jax.checkpoint(loss))(safe), gradient)
    assert_close(jax.vmap(jax.grad(loss))(jnp.stack([safe, 2 * safe]))[0], gradient)
    assert_close(jax.jvp(loss, (safe,), (safe,))[1], (gradient * safe).sum())
    assert_close(lax.scan(lambda c, v: (c + loss(v), None), 0.0, safe[None])[0], loss(safe))
    hessian = jax.hessian(loss)(safe)
    alone = jax.hessian(lambda row: jax.nn.logsumexp(row))(jnp.asarray(ROWS[0]))
    assert_close(hessian[0, :3, :, 0, :3], alone)
    assert_close(jax.vmap(loss, (None, 0))(safe, jnp.ones(2)), jnp.full(2, loss(safe)))


@pytest.mark.parametrize("name", ["Auto", "Explicit", "shard_map"])
def test_over_several_devices(name):
    lengths = np.array([3, 0, 5, 1, 2, 5, 4, 0])
    x = jm.from_lengths(jnp.asarray(np.random.default_rng(0).normal(size=(8, 5, 2)), "float32"), lengths)
    w = jnp.ones((2, 3))

    def loss(w, values, mask):
        result = jm.vmap(lambda row: jax.nn.softmax(jnp.flip(row, 0) @ w, axis=0))(jm.Masked(values, mask))
        return (result.fill(0) ** 2).sum(), result.fill(0)

    run = jax.value_and_grad(loss, (0, 1), has_aux=True)
    (expected, outputs), gradients = run(w, x.values, x.mask)
    axis_type = jax.sharding.AxisType.Explicit if name == "Explicit" else jax.sharding.AxisType.Auto
    mesh = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    spec = jax.sharding.PartitionSpec
    with jax.set_mesh(mesh):
        if name == "shard_map":
            whole, rows = spec(), spec("data")

            def local(w, values, mask):
                return jax.lax.psum(loss(w, values, mask)[0], "data")

            mapped = jax.shard_map(local, mesh=mesh, in_specs=(whole, rows, rows), out_specs=whole)
            value, found = jax.jit(jax.value_and_grad(mapped, (0, 1)))(w, x.values, x.mask)
        else:
            placed = [jax.device_put(a, jax.NamedSharding(mesh, spec("data"))) for a in (x.values, x.mask)]
            (value, result), found = jax.jit(run)(w, *placed)
            assert_close(result, outputs)
    assert_close(value, expected)
    assert_close(found[0], gradients[0])
    assert_close(found[1], gradients[1])


def test_one_trace_and_one_compile_for_any_lengths():
    traces = []

    def fn(x):
        traces.append(None)
        return normalise(x)

    run = jax.jit(jm.vmap(fn))
    rng = np.random.default_rng(0)
    for _ in range(10):
        run(jm.from_lengths(jnp.ones((4, 5, 2)), rng.integers(0, 6, 4)))
    assert len(traces) == 1


# Refusals


def test_an_error_shows_the_line_and_the_remedy():
    """The line of the user, the rule and the remedy."""

    def loop(x):
        total = 0
        for i in range(x.shape[0]):  # here
            total += x[i]
        return total

    with pytest.raises(jm.SymbolicLengthError, match=r"(?s)lengths \(`t`\).*# here.*lax\.scan"):
        jm.vmap(loop)(batch())


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: x if x.shape[0] > 3 else 2 * x,
        lambda x: jnp.float32(int(x.shape[0])),
        lambda x: jnp.split(x, 2)[0],
        lambda x: lax.associative_scan(jnp.add, x),
        lambda x: jnp.linspace(0, 1, x.shape[0]),
        lambda x: x.sum() * len(x),
    ],
    ids=["if", "int", "split", "associative_scan", "linspace", "len"],
)
def test_what_jax_cannot_trace(fn):
    with pytest.raises(jm.SymbolicLengthError, match=r"test_vmap\.py"):
        jm.vmap(fn)(batch())


def test_an_error_of_the_user_stays_what_it_is():
    with pytest.raises(ZeroDivisionError):
        jm.vmap(lambda x: 1 / 0)(batch())


def test_a_primitive_without_a_rule():
    with pytest.raises(NotImplementedError, match=r"(?s)`eig`.*test_vmap\.py.*jm\.def_vmap_rule\('eig', rule\)"):
        jm.vmap(lambda x: jnp.linalg.eigvals(x @ x.T))(batch())
    assert jm.vmap(lambda x: jnp.linalg.eigh(x.T @ x + jnp.eye(2))[0])(batch()).shape == (4, 2), "no ragged axis"
