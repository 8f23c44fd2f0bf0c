"""Conditional random fields beside brute force: packed rows, forbidden transitions, dtypes, and what is refused."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from jmask.testing.counting import num_compiles
from tests.support import crf_oracle as oracle

LENGTHS = (3, 0, 4, 1, 2)
TAGS = 3
loss = jm.losses.crf_negative_log_likelihood


def draw(rng, lengths=LENGTHS):
    shapes = {"transitions": (TAGS, TAGS), "start_transitions": (TAGS,), "end_transitions": (TAGS,)}
    params = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    logits = [rng.normal(size=(n, TAGS)).astype(np.float32) for n in lengths]
    return params, logits, [rng.integers(0, TAGS, n).astype(np.int32) for n in lengths]


def packed(rng):
    """All sequences in rows of seven steps, with NaN in the padding and a hole in the first sequence."""
    params, logits, tags = draw(rng)
    x = jm.from_segment_ids(np.full((2, 7, TAGS), np.nan, np.float32), [[1, 1, 0, 1, 4, 4, 0], [5, 3, 3, 3, 3, 0, 0]])
    y = np.full((2, 7), -1, np.int32)
    places = {0: (0, [0, 1, 3]), 4: (0, [4, 5]), 3: (1, [0]), 2: (1, [1, 2, 3, 4])}
    values = np.array(x.values)
    for sequence, (row, steps) in places.items():
        values[row, steps], y[row, steps] = logits[sequence], tags[sequence]
    return (
        params,
        logits,
        tags,
        jm.from_segment_ids(values, x.segment_ids),
        jm.from_segment_ids(y, x.segment_ids),
        places,
    )


@pytest.mark.slow
def test_packed_rows_are_sequences_on_their_own(rng):
    params, logits, tags, x, y, places = packed(rng)
    each = [oracle.negative_log_likelihood(params, a, b) for a, b in zip(logits, tags, strict=True)]
    value, gradients = jax.value_and_grad(loss, (0, 1), allow_int=True)(params, x, y)
    assert_close(value, np.sum(each) / 4)
    assert_close(loss(params, x, y, reduction="steps"), np.sum(each) / 10)
    alone = jm.pad_sequences(logits), jm.pad_sequences(tags)
    expected = jax.grad(loss, (0, 1), allow_int=True)(params, *alone)
    jax.tree.map(assert_close, gradients[0], expected[0])
    assert not np.asarray(gradients[1].values)[~np.asarray(x.mask)].any()
    found = {f: f(x, **params) for f in (jm.ops.crf_decode, jm.ops.crf_marginals)}
    for sequence, (row, steps) in places.items():
        assert_close(gradients[1].values[row, jnp.array(steps)], expected[1].values[sequence, : len(steps)])
        assert np.array_equal(
            found[jm.ops.crf_decode].values[row, jnp.array(steps)], oracle.best_path(params, logits[sequence])
        )
        assert_close(
            found[jm.ops.crf_marginals].values[row, jnp.array(steps)], oracle.marginals(params, logits[sequence])
        )
    assert found[jm.ops.crf_decode].segment_ids is x.segment_ids


@pytest.mark.slow
def test_forbidden_transitions_have_finite_gradients(rng):
    params, logits, _ = draw(rng, (4, 2))
    params["transitions"][0, 1] = params["start_transitions"][2] = params["end_transitions"][1] = -np.inf
    x, y = jm.pad_sequences(logits), jm.pad_sequences([np.array([0, 0, 2, 0]), np.array([1, 0])])
    value, gradients = jax.value_and_grad(loss, (0, 1), allow_int=True)(params, x, y)
    each = [oracle.negative_log_likelihood(params, *row) for row in zip(logits, ([0, 0, 2, 0], [1, 0]), strict=True)]
    assert_close(value, np.mean(each))
    for leaf in jax.tree.leaves(gradients[0]):
        assert np.isfinite(leaf).all()
    assert np.isfinite(np.asarray(gradients[1].values)).all()
    for row, path in zip(logits, jm.unpad(jm.ops.crf_decode(x, **params)), strict=True):
        assert path.tolist() == oracle.best_path(params, row).tolist()
    assert float(loss(params, x, jm.pad_sequences([np.array([0, 1, 2, 0]), np.array([1, 0])]))) == np.inf


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_summed_in_float32(dtype):
    logits = jnp.full((1, 3000, 2), 30, dtype)
    weights = {"transitions": jnp.zeros((2, 2), dtype), "start_transitions": jnp.zeros(2), "end_transitions": None}
    found = loss(weights, logits, jnp.zeros((1, 3000), int), divide=False)
    assert found.total.dtype == "float32"
    assert_close(found.total, 3000 * np.log(2), precision="bfloat16")
    assert jm.ops.crf_marginals(logits, weights["transitions"]).dtype == dtype


@pytest.mark.slow
def test_tags_that_are_none_and_steps_that_are_left_out(rng):
    params, logits, tags = draw(rng)
    x, y = jm.pad_sequences(logits), jm.pad_sequences(tags)
    wrong = y.with_values(np.where(np.arange(4) == 1, -100, y.values))
    with pytest.raises(ValueError, match=r"there is -100.*`ignore_index=-100`"):
        loss(params, x, wrong)
    short = [np.delete(row, slice(1, 2), 0) for row in logits], [np.delete(row, slice(1, 2)) for row in tags]
    each = [oracle.negative_log_likelihood(params, a, b) for a, b in zip(*short, strict=True)]
    assert_close(loss(params, x, wrong, ignore_index=-100), np.sum(each) / 4)
    found = jax.jit(functools.partial(loss, reduction=None))(params, x, wrong)
    assert np.isnan(found.values).tolist() == [n > 1 for n in LENGTHS]


@pytest.mark.slow
def test_a_second_eager_call_compiles_nothing(rng):
    params, logits, tags = draw(rng)
    x, y = jm.pad_sequences(logits), jm.pad_sequences(tags)
    for run in (lambda: loss(params, x, y), lambda: jm.ops.crf_decode(x, **params)):
        jax.block_until_ready([run() for _ in range(2)])
        with num_compiles() as compiles:
            run()
        assert compiles.count == 0


@pytest.mark.slow
def test_a_tagger_learns_what_no_step_alone_tells(rng):
    """Tags alternate, and all but the first look alike: only transitions can say them."""
    x = jnp.zeros((8, 6, 2)).at[:4, 0, 0].set(1).at[4:, 0, 1].set(1)
    tags = jnp.concatenate([jnp.tile(jnp.array([[0, 1] * 3]), (4, 1)), jnp.tile(jnp.array([[1, 0] * 3]), (4, 1))])
    crf = jm.layers.CRF(transitions_initializer="zeros")
    params = {"crf": crf.init(jax.random.key(0), x), "scale": jnp.zeros(())}
    gradient = jax.jit(jax.grad(lambda p: loss(p["crf"], x * p["scale"], tags)))
    for _ in range(30):
        params = jax.tree.map(lambda p, g: p - g, params, gradient(params))
    assert np.array_equal(crf.apply(params["crf"], x * params["scale"]), tags)


PARAMS = {"transitions": jnp.zeros((3, 3)), "start_transitions": jnp.zeros(3), "end_transitions": jnp.zeros(3)}
LOGITS, IDS = jnp.zeros((2, 4, 3)), jnp.zeros((2, 4), int)
PACKED = jm.from_segment_ids(LOGITS, jnp.ones((2, 4), int))
REFUSED = {
    "params of the model": (lambda: loss({"crf": PARAMS}, LOGITS, IDS), r"received 'crf'.*`params\['crf'\]`"),
    "no params": (lambda: loss(LOGITS, LOGITS, IDS), "`params` are those of the layer"),
    "another number of tags": (lambda: loss(PARAMS, LOGITS[..., :2], IDS), r"logits of 2 tags need .*\(3, 3\)"),
    "tags of floats": (lambda: loss(PARAMS, LOGITS, IDS * 1.0), "takes ids of classes, integers"),
    "logits of ids": (lambda: jm.ops.crf_decode(IDS, PARAMS["transitions"]), "works on floats"),
    "a mask of another rank": (
        lambda: jm.ops.crf_decode(jm.masked(LOGITS, jnp.ones(2, bool)), PARAMS["transitions"]),
        r"with a mask \(batch, time\); received \(2, 4, 3\) with a mask \(2,\)",
    ),
    "one loss for each packed row": (lambda: loss(PARAMS, PACKED, IDS, reduction=None), "one loss for each sequence"),
    "another reduction": (lambda: loss(PARAMS, LOGITS, IDS, reduction="mean"), "`reduction` must be '"),
}


@pytest.mark.parametrize("call", REFUSED)
def test_refused(call):
    function, message = REFUSED[call]
    with pytest.raises((TypeError, ValueError), match=message):
        function()
