"""What gives one result for each sequence, on packed rows; and what normalises over the steps of each sequence."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close
from tests.support.packed_rows import NUMBER, check_packed, rows

ops = jm.ops

REDUCTIONS = {
    "sum": lambda p, x: ops.sum(x, 1),
    "mean": lambda p, x: ops.mean(x, (1, 2), keepdims=True),
    "weighted mean": lambda p, x: ops.mean(x, 1, weights=x[..., 0] * x[..., 0]),
    "max": lambda p, x: ops.max(x, 1),
    "min": lambda p, x: ops.min(x, (1, -1)),
    "any": lambda p, x: ops.any(x > 0.5, 1),
    "all": lambda p, x: ops.all(x > -0.5, 1),
    "prod": lambda p, x: ops.prod(x, 1),
    "var": lambda p, x: ops.var(x, 1, ddof=1),
    "std": lambda p, x: ops.std(x, 1, keepdims=True),
    "logsumexp": lambda p, x: ops.logsumexp(x, 1) * 1.0,
    "mean_pool": lambda p, x: ops.mean_pool(x, keepdims=True),
    "global_max_pool": lambda p, x: ops.global_max_pool(x),
}
PICKS = {
    "first": lambda p, x: ops.first(x),
    "last": lambda p, x: ops.last(x, fill_value=2.0),
    "take": lambda p, x: ops.take(x, -2, fill_value=1.0),
    "argmax": lambda p, x: ops.argmax(x, 1, keepdims=True),
    "argmin": lambda p, x: ops.argmin(x, 1),
    "take the largest": lambda p, x: ops.take(x, ops.argmax(x[..., 0], 1)),
    "softmax": lambda p, x: ops.softmax(x, 1),
    "unit_norm": lambda p, x: ops.unit_norm(x, (1, 2)),
    "unit_norm over time": lambda p, x: ops.unit_norm(x, 1),
    "group_norm": lambda p, x: ops.group_norm(x, groups=3),
    "group_norm of one group": lambda p, x: ops.group_norm(x, groups=1),
    "layer": jm.layers.GroupNormalization(1).apply,
}


@pytest.mark.slow
@pytest.mark.parametrize("family", [REDUCTIONS, PICKS], ids=["reductions", "picks"])
def test_each_sequence_as_if_alone(family, rng, getkey):
    params = {"layer": jm.layers.GroupNormalization(1).init(getkey(), jax.ShapeDtypeStruct((2, 5, 3), "float32"))}
    check_packed(family, {name: p for name, p in params.items() if name in family}, rng)


def test_other_dtypes_and_ranks(rng):
    @jax.jit
    def run(x):
        integers = x.map(lambda v: jnp.round(v * 9)).astype("int8")
        found = [getattr(ops, name)(integers, 1) for name in ("sum", "max", "min", "prod", "mean", "any")]
        return [*found, ops.max(x[..., 0] > 0, 1), ops.mean(x.astype("bfloat16"), 1)]

    padded, packed = rows(rng, 0)
    for x, y in zip(run(padded), run(packed), strict=True):
        assert x.dtype == y.dtype
        assert_close(y.fill(0).astype("float32"), x.fill(0).astype("float32"))
    # each packed row on its own has an entry for every id, and the rows add up
    by_row = jax.jit(jax.vmap(lambda row: ops.sum(row, 0)))(packed)
    assert by_row.shape == (3, NUMBER, 3)
    assert_close(by_row.fill(0).sum(0), np.where(padded.mask[..., None], padded.values, 0).sum(1))


@pytest.mark.slow
def test_several_extremes_share_the_gradient():
    x = jm.from_segment_ids(jnp.array([[2.0, 2, 1, 5]]), [[1, 1, 1, 2]], num_sequences=2)
    gradient = jax.grad(lambda v: ops.max(x.with_values(v), 1).fill(0).sum())(x.values)
    assert gradient.tolist() == [[0.5, 0.5, 0.0, 1.0]]
    assert np.isnan(ops.max(x.with_values(x.values.at[0, 0].set(jnp.nan)), 1).values[0])


def test_no_sequences_at_all():
    x = jm.pack([], row_length=3, num_rows=2, num_sequences=0, dtype="float32")
    assert ops.mean(x, 1).shape == (0,)
    x = jm.pack([], row_length=3, num_rows=2, num_sequences=2, dtype="float32")
    assert (ops.max(x, 1).values.tolist(), ops.all(x, 1).values.tolist()) == ([0, 0], [True, True])


def test_an_unknown_number_raises_with_a_remedy():
    x = jm.from_segment_ids(jnp.ones((1, 4, 2)), [[1, 1, 3, 0]])
    match = r"`sum` over time gives one result for each sequence of packed rows, and it is not known how many"
    with pytest.raises(ValueError, match=match) as error:
        ops.sum(x, 1)
    remedy = str(error.value).split("`")[3]
    assert ops.sum(eval(remedy, {"x": x}), 1).values.tolist() == [[2, 2], [0, 0], [1, 1]]
    with pytest.raises(ValueError, match="num_sequences=n"):
        jax.jit(lambda x: ops.last(x))(x)
    with pytest.raises(ValueError, match="gru: `return_sequences=False` gives one result"):
        jm.layers.GRU(2).apply(jm.layers.GRU(2).init(jax.random.key(0), x), x)
    with pytest.raises(ValueError, match="`softmax` along the masked axis 0 does not keep the sequences"):
        ops.softmax(x, 0)
    with pytest.raises(ValueError, match="`n` of `take` is one integer, or for packed rows one for each sequence"):
        ops.take(x.with_segment_ids(x.segment_ids, num_sequences=3), jnp.ones(1, int))
