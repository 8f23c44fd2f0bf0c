"""On a mesh with explicit axes: the numbers of one device, and rows stay where they are."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jmask as jm

LENGTHS = [3, 5, 1, 2, 2, 4, 5, 1]


@pytest.fixture
def mesh():
    return jax.make_mesh((4, 2), ("data", "model"), axis_types=(AxisType.Explicit,) * 2)


def laid_out(x, mesh, *axes):
    return jax.device_put(x, NamedSharding(mesh, PartitionSpec(*axes)))


@pytest.mark.parametrize(
    ("axes", "table_axes"),
    [
        (("data",), ()),
        (("data",), ("data",)),
        (("data", "model"), (None, "model")),
        ((("data", "model"),), ("model",)),
        ((), ("data", "model")),
    ],
)
def test_an_embedding_is_laid_out_as_its_ids(mesh, axes, table_axes, rng):
    table = rng.normal(size=(16, 8)).astype("float32")
    ids = jm.from_lengths(rng.integers(0, 18, (8, 6)), LENGTHS)  # 16 and 17 give NaN
    summed = jax.value_and_grad(lambda table, ids: jnp.nansum(jm.ops.embed(ids, table).fill(0) ** 2))
    expected, gradient = summed(table, ids)
    placed = laid_out(table, mesh, *table_axes), jax.tree.map(lambda leaf: laid_out(leaf, mesh, *axes), ids)
    found, found_gradient = jax.jit(summed)(*placed)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    np.testing.assert_allclose(found_gradient, gradient, rtol=1e-5)
    if axes:
        rows = jax.jit(lambda table, ids: jm.ops.embed(ids, table))(*placed)
        assert rows.values.sharding.spec[0] == axes[0]


def test_packed_rows_are_summed_where_they_are(mesh, rng):
    packed = jm.pack([rng.normal(size=(n, 3)).astype("float32") for n in LENGTHS * 2], row_length=6, num_rows=12)
    packed = jm.Masked(packed.values, segment_ids=packed.segment_ids, num_sequences=16)

    def loss(values, x):
        normal = jm.ops.unit_norm(x.with_values(values), axis=1)
        means = jm.ops.mean(normal, axis=1).fill(0)
        return (means * jnp.arange(16.0)[:, None]).sum(), means

    expected = jax.value_and_grad(loss, has_aux=True)(packed.values, packed)
    placed = jax.tree.map(lambda leaf: laid_out(leaf, mesh, "data"), packed)
    compiled = jax.jit(jax.value_and_grad(loss, has_aux=True)).lower(placed.values, placed).compile()
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), compiled(placed.values, placed), expected
    )
    assert "all-gather" not in compiled.as_text()
