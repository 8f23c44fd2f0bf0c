"""The number of sequences of packed rows: who sets it, what keeps it, and where two of them meet."""

import pickle

import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

import jmask as jm

IDS = np.array([[1, 1, 3, 0], [2, 2, 2, 0]], np.int32)


def packed(num_sequences=4, ids=IDS):
    values = np.arange(8, dtype=np.float32).reshape(2, 4)
    return jm.from_segment_ids(values, ids, num_sequences=num_sequences)


def test_who_sets_it():
    rows = [[3, 4], [], [6, 7, 8]]
    assert jm.pack(rows).num_sequences == 3
    assert jm.pack(rows, num_sequences=8).num_sequences == 8
    assert jm.pack(rows, num_rows=4).num_sequences is None  # batches of one shape share a compiled program
    assert jm.pack(rows, num_rows=4, num_sequences=np.int64(8)).num_sequences == 8
    assert jm.from_cu_seqlens(np.arange(6), [0, 3, 3, 4]).num_sequences == 3
    assert jm.from_cu_seqlens(np.ones((2, 6)), [[0, 3, 4], [0, 6, 6]]).num_sequences == 4
    positions = np.array([[0, 1, 2, 0, -1]])
    assert jm.from_position_ids(np.arange(5)[None], positions).num_sequences is None
    assert jm.from_position_ids(np.arange(5)[None], positions, num_sequences=2).num_sequences == 2
    assert packed(None).num_sequences is None
    x = packed()
    assert x.with_segment_ids(IDS).num_sequences is None
    assert x.with_segment_ids(None).num_sequences is None
    assert jm.masked(x.values, x.mask).num_sequences is None


KEEPS = {
    "operator": lambda x: x * 2 + 1,
    "comparison": lambda x: x > 1,
    "other without a number": lambda x: x.with_segment_ids(x.segment_ids) + x,
    "other with rows of one sequence": lambda x: jm.masked(x.values, x.mask) * x,
    "rows": lambda x: x[1:],
    "steps": lambda x: x[:, 1:],
    "map": lambda x: x.map(jnp.tanh),
    "astype": lambda x: x.astype("int32"),
    "left_align": lambda x: jm.left_align(x)[1](jm.left_align(x)[0]),
    "where": lambda x: jm.ops.where(x > 2, x, 0),
    "flip": jm.ops.flip,
    "shift": jm.ops.shift,
    "cumsum": jm.ops.cumsum,
    "associative_scan": lambda x: jm.ops.associative_scan(jnp.add, x),
    "features": lambda x: jm.ops.concatenate([x[..., None], x[..., None]], axis=-1),
    "add": lambda x: jm.ops.add([x, x.with_segment_ids(x.segment_ids)]),
    "reshape": lambda x: jm.ops.reshape(jm.ops.concatenate([x[..., None]] * 2, axis=-1), (-1, 1)),
    "layer": lambda x: jm.layers.Activation("relu")(x),
    "time distributed": lambda x: jm.layers.TimeDistributed(jm.layers.Activation("relu")).apply({}, x[..., None]),
    "losses": lambda x: jm.losses.squared_error(x, x + 1, reduction=None),
    "tree": lambda x: jax.tree.map(lambda leaf: leaf, x),
    "vmap": jax.vmap(lambda x: x + 1),
    "scan": lambda x: lax.scan(lambda carry, _: (carry * 2, None), x, None, length=2)[0],
    "cond": lambda x: lax.cond(x.values.sum() > 0, lambda x: x + 1, lambda x: x, x),
    "gradient": lambda x: jax.grad(lambda x: jm.ops.sum(x * 2), allow_int=True)(x),
    "pickle": lambda x: pickle.loads(pickle.dumps(x)),
    "flax": lambda x: flax.serialization.from_bytes(x, flax.serialization.to_bytes(x)),
}


@pytest.mark.parametrize("name", KEEPS)
def test_what_keeps_it(name):
    y = KEEPS[name](packed())
    assert (y.num_sequences, y.segment_ids.shape[0]) == (4, len(y))


def test_rows_of_several_batches_have_no_common_number():
    assert jm.ops.concatenate([packed(), packed()], axis=0).num_sequences is None
    assert jm.ops.stack([packed(), packed()]).num_sequences is None


def test_a_compiled_program_serves_all_batches_of_one_number():
    calls = []
    run = jax.jit(lambda x: calls.append(x.num_sequences) or x * 2)
    for rows in ([[1, 2], [3]], [[4], [5, 6], [7]], []):
        assert run(jm.pack(rows, row_length=4, num_rows=2, num_sequences=5, dtype="int32")).num_sequences == 5
    assert calls == [5]


def test_how_it_looks():
    assert repr(packed()).startswith("Masked(float32[2, 4], segments=3 of 4)")
    assert repr(packed(3)).startswith("Masked(float32[2, 4], segments=3)")
    assert "packed rows, num_sequences=4" in str(jax.tree.structure(packed()))


def test_two_numbers_raise():
    with pytest.raises(ValueError, match=r"one counts 4 of them, the other 3. .*num_sequences=4") as error:
        packed(4) + packed(3)
    remedy = str(error.value).split("`")[1]
    assert (packed(4) + eval(remedy, {"x": packed(3)})).num_sequences == 4


def test_wrong_numbers_raise():
    with pytest.raises(ValueError, match=r"there is an id 3, more than `num_sequences=2`; pass `num_sequences=3`"):
        packed(2)
    with pytest.raises(ValueError, match="`with_segment_ids`: there is an id 3"):
        packed(None).with_segment_ids(IDS, num_sequences=1)
    with pytest.raises(ValueError, match=r"`num_sequences=2` is less than the 3 sequences; pass `num_sequences=3`"):
        jm.pack([[1], [2], [3]], num_sequences=2)
    with pytest.raises(ValueError, match="belongs to packed rows"):
        jm.Masked(np.ones(2), np.ones(2, bool), num_sequences=2)
    with pytest.raises(ValueError, match="belongs to packed rows"):
        packed().with_segment_ids(None, num_sequences=2)
    with pytest.raises(TypeError, match=r"`num_sequences` must be an integer; received 2\.5"):
        packed(2.5)
    with pytest.raises(ValueError, match="`num_sequences` must be at least 0"):
        jm.pack([], num_sequences=-1)


def test_ids_that_several_sequences_share_raise_with_a_remedy():
    ids = np.array([[1, 1, 2, 0], [1, 2, 2, 0]], np.int32)
    with pytest.raises(ValueError, match="id 1 stands for 2 of them") as error:
        packed(4, ids)
    remedy = str(error.value).split("`")[-2]
    x = packed(4, eval(remedy, {"ids": ids, "n": 2, "np": np}))
    assert x.segment_ids.tolist() == [[1, 1, 2, 0], [3, 4, 4, 0]]
