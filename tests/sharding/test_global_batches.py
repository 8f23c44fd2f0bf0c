"""One process with eight devices: the batch is what it was, with padding, divided by rows."""

import jax
import numpy as np
import pytest
from jax.sharding import NamedSharding, PartitionSpec

import jmask as jm

LENGTHS = [3, 0, 5, 1, 2]


@pytest.fixture
def sharding():
    mesh = jax.make_mesh((4, 2), ("data", "model"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    return NamedSharding(mesh, PartitionSpec("data"))


def test_rows_and_steps_of_padding_are_added(sharding, rng):
    sequences = [rng.normal(size=(n, 2)).astype("float32") for n in LENGTHS]
    local = {"x": jm.pad_sequences(sequences), "label": jm.masked(np.arange(1, 6), np.array(LENGTHS) > 0)}
    batch = jm.sharding.global_batch(local, sharding, widths=(4, 8, 16))
    assert batch["x"].shape == (8, 8, 2)
    assert batch["x"].values.sharding.is_equivalent_to(sharding, 3)
    for found, expected in zip(jm.unpad(batch["x"]), [*sequences, *[sequences[1]] * 3], strict=True):
        np.testing.assert_array_equal(found, expected)
    assert batch["label"].mask.tolist() == [n > 0 for n in LENGTHS] + [False] * 3
    loss = jm.losses.squared_error(jm.ops.mean(batch["x"], axis=1)[:, 0], batch["label"])
    alone = jm.losses.squared_error(jm.ops.mean(local["x"], axis=1)[:, 0], local["label"])
    np.testing.assert_allclose(loss, alone, rtol=1e-6)


def test_packed_rows_keep_their_entries(sharding, rng):
    sequences = [rng.normal(size=n).astype("float32") for n in LENGTHS]
    local = jm.pack(sequences), np.arange(5.0, dtype="float32")
    rows, entries = jm.sharding.global_batch(local, sharding)
    assert rows.num_sequences == 8  # so that entries can be divided too
    sums = jm.ops.sum(rows, axis=1)
    expected = [row.sum() for row in sequences] + [0] * 3
    np.testing.assert_allclose(sums.fill(0), expected, rtol=1e-6)
    assert entries.fill(9).tolist() == [0, 1, 2, 3, 4, 9, 9, 9]


def test_batches_end_with_the_last_one(sharding):
    local = [jm.pad_sequences([[1, 2]]), jm.pad_sequences([[3], [4]])]
    assert [x.fill(0).sum().item() for x in jm.sharding.batches(iter(local), sharding)] == [3, 7]
    assert list(jm.sharding.batches([], sharding)) == []
    assert jm.sharding.global_batch(None, sharding) is None


def test_an_error_of_the_data_comes_through(sharding):
    def broken():
        yield jm.pad_sequences([[1]])
        raise OSError("no disk")

    found = jm.sharding.batches(broken(), sharding)
    assert next(found).shape == (4, 1)
    with pytest.raises(OSError, match="no disk"):
        next(found)


def test_options_that_cannot_be(sharding):
    local = jm.pad_sequences([[1]])
    with pytest.raises(ValueError, match="Pass a multiple of 4"):
        jm.sharding.global_batch(local, sharding, rows=6)
    mesh = sharding.mesh
    with pytest.raises(TypeError, match="rows are divided"):
        jm.sharding.global_batch(local, NamedSharding(mesh, PartitionSpec()))
    with pytest.raises(ValueError, match="its first axis, alone"):
        jm.sharding.global_batch(local, NamedSharding(mesh, PartitionSpec("data", "model")))
