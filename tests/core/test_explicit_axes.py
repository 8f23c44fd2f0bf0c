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


def compared(functions, mesh, placed, *args):
    """The results and gradients of functions of rows, all in one program, beside those of one device."""

    def run(values, *args):
        def total(values):
            found = {name: function(values, *args) for name, function in functions.items()}
            leaves = [y.fill(0) if isinstance(y, jm.Masked) else y for y in jax.tree.leaves(found, is_leaf=is_masked)]
            floats = [leaf for leaf in leaves if jnp.issubdtype(leaf.dtype, jnp.floating)]
            return sum((jnp.sin(leaf) * (1 + i)).sum() for i, leaf in enumerate(floats)), found

        return jax.value_and_grad(total, has_aux=True)(values)

    expected = jax.jit(run)(*args)
    with jax.set_mesh(mesh):
        found = jax.jit(run)(*placed)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), found, expected)
    return found[0][1]


def is_masked(x):
    return isinstance(x, jm.Masked)


def test_rows_that_are_divided_give_what_one_device_gives(mesh, rng):
    x = jm.from_lengths(jnp.asarray(rng.normal(size=(8, 6, 4)), jnp.float32), LENGTHS)
    tags = jm.from_lengths(rng.integers(0, 4, (8, 6)).astype("int32"), LENGTHS)
    labels = jm.from_lengths(rng.integers(1, 4, (8, 2)).astype("int32"), [1, 2, 0, 1, 1, 2, 2, 0])
    weights = {"transitions": (4, 4), "start_transitions": (4,), "end_transitions": (4,)}
    weights = {name: jnp.asarray(rng.normal(size=shape), jnp.float32) for name, shape in weights.items()}
    functions = {
        "prod": lambda v, x, tags, labels: jm.ops.prod(x.with_values(v), axis=1),
        "sort": lambda v, x, tags, labels: jm.ops.sort(x.with_values(v), 1),
        "reshape": lambda v, x, tags, labels: jm.ops.reshape(x.with_values(v), (-1, 2)),
        "pairs": lambda v, x, tags, labels: jm.ops.reshape(x.with_values(v), (-1, 8)),
        "crf": lambda v, x, tags, labels: jm.losses.crf_negative_log_likelihood(weights, x.with_values(v), tags),
        "ctc": lambda v, x, tags, labels: jm.losses.ctc_loss(x.with_values(v), labels),
        "confusion": lambda v, x, tags, labels: jm.metrics.confusion_matrix(x.with_values(v), tags).value,
        "entities": lambda v, x, tags, labels: jm.metrics.entity_f1(x, tags, tags=["O", "B-A", "I-A", "B-B"]).value,
    }
    placed = [jax.tree.map(lambda leaf: laid_out(leaf, mesh, "data"), y) for y in (x.values, x, tags, labels)]
    found = compared(functions, mesh, placed, x.values, x, tags, labels)
    assert all(found[name].values.sharding.spec[0] == "data" for name in ("prod", "sort", "reshape", "pairs"))


def test_packed_rows_that_are_divided_give_what_one_device_gives(mesh, rng):
    sequences = [rng.normal(size=(n, 4)).astype("float32") for n in LENGTHS]
    x = jm.pack(sequences, row_length=6, num_rows=8, num_sequences=8)
    lstm = jm.layers.LSTM(2)
    params = lstm.init(jax.random.key(0), x)
    functions = {
        "max": lambda v, x: jm.ops.max(x.with_values(v), axis=1),
        "prod": lambda v, x: jm.ops.prod(x.with_values(v), axis=1),
        "softmax": lambda v, x: jm.ops.softmax(x.with_values(v), axis=1),
        "last": lambda v, x: jm.ops.last(x.with_values(v)),
        "lstm": lambda v, x: lstm.apply(params, x.with_values(v)),
        "top_k": lambda v, x: jm.ops.top_k(x.with_values(v), 2, axis=1)[0],
        "unpacked": lambda v, x: jm.unpack_batch(x.with_values(v), 8, 6),
        "padded": lambda v, x: jm.ops.zero_pad(x.with_values(v), 1, max_segments=3),
        "joined": lambda v, x: jm.ops.concatenate([x.with_values(v), x], axis=1),
        "pairs": lambda v, x: jm.ops.reshape(x.with_values(v), (-1, 8)),
        "each": lambda v, x: jm.vmap(lambda row: row - row.mean(0))(x.with_values(v)),
    }
    placed = [jax.tree.map(lambda leaf: laid_out(leaf, mesh, "data"), y) for y in (x.values, x)]
    found = compared(functions, mesh, placed, x.values, x)
    assert all(found[name].values.sharding.spec[0] == "data" for name in ("softmax", "padded", "joined", "pairs"))
    assert all(found[name].values.sharding.is_fully_replicated for name in ("max", "last", "lstm", "top_k", "unpacked"))
