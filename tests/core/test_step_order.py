"""`left_align` and its way back, against a plain Python loop over one row at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding, PartitionSpec

import jmask as jm

RAGGED = [[7, 8, 9], [], [5], [1, 2, 3, 4, 6]]

HOLES = np.array(
    [
        [False, True, False, True, True, False, True],
        [True, True, True, False, False, False, False],
        [False, False, False, False, True, True, True],
        [False] * 7,
        [True] * 7,
    ]
)


def with_nan_padding(rng, mask, *features):
    values = rng.normal(size=(*mask.shape, *features)).astype(np.float32)
    values[~mask] = np.nan
    return values


def aligned_by_hand(values, mask):
    """The real steps of each row in front, one row at a time."""
    pairs = zip(values, mask, strict=True)
    rows = [[step for step, real in zip(row, reals, strict=True) if real] for row, reals in pairs]
    return rows, [[True] * len(row) + [False] * (mask.shape[1] - len(row)) for row in rows]


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
@pytest.mark.parametrize("features", [(), (2,), (2, 3)])
def test_compact_and_restore(rng, transform, features):
    values = with_nan_padding(rng, HOLES, *features)
    x = jm.masked(jnp.asarray(values), jnp.asarray(HOLES))
    y, restore = transform(jm.left_align)(x)
    rows, mask = aligned_by_hand(values, HOLES)
    assert y.mask.tolist() == mask
    for row, unpadded in zip(rows, jm.unpad(y), strict=True):
        np.testing.assert_array_equal(np.reshape(row, (-1, *features)), unpadded)
    back = transform(lambda restore, y: restore(y))(restore, y)
    np.testing.assert_array_equal(back.values, values)
    np.testing.assert_array_equal(back.mask, HOLES)


def test_restore_takes_arrays_of_other_features_and_dtypes():
    y, restore = jm.left_align(jm.pad_sequences(RAGGED, padding="pre"))
    back = restore(jnp.stack([y.values, -y.values], axis=-1).astype(jnp.bfloat16))
    assert back.fill(0).tolist()[0] == [[0, 0], [0, 0], [7, -7], [8, -8], [9, -9]]


def test_compact_is_free_of_numpy_arrays_that_are_padded_on_the_right():
    x = jm.pad_sequences(RAGGED)
    y, restore = jm.left_align(x)
    assert y is x
    assert restore(y).values is x.values


def test_steps_move_in_a_branch_of_the_program():
    x = jm.masked(jnp.ones((2, 3, 4)), jnp.array([[True, True, False], [True, False, False]]))

    def names(jaxpr):  # of what runs in any case
        for equation in jaxpr.eqns:
            yield equation.primitive.name
            if "jaxpr" in equation.params:
                yield from names(equation.params["jaxpr"].jaxpr)

    found = set(names(jax.make_jaxpr(lambda x: jm.left_align(x)[0])(x).jaxpr))
    assert "cond" in found
    assert found.isdisjoint({"gather", "sort"})
    for mask in (x.mask, x.mask[:, ::-1]):
        y, restore = jax.jit(jm.left_align)(x.with_mask(mask))
        assert y.mask.tolist() == x.mask.tolist()
        assert bool(restore.moves) is (mask is not x.mask)


def test_compact_of_one_sequence_and_of_documents(rng):
    values = with_nan_padding(rng, HOLES, 3)
    documents = jm.masked(jnp.asarray(values[None]), jnp.asarray(HOLES[None]))
    expected, _ = jm.left_align(documents[0])
    np.testing.assert_array_equal(jm.left_align(documents)[0].values[0], expected.values)
    one, restore = jm.left_align(documents[0, 0])
    np.testing.assert_array_equal(one.values, expected.values[0])
    np.testing.assert_array_equal(restore(one).values, values[0])


def test_compact_under_vmap(rng):
    x = jm.masked(jnp.asarray(with_nan_padding(rng, HOLES, 3)), jnp.asarray(HOLES))
    y, restore = jax.vmap(jm.left_align)(x)
    expected, _ = jm.left_align(x)
    np.testing.assert_array_equal(y.values, expected.values)
    np.testing.assert_array_equal(jax.vmap(lambda restore, y: restore(y))(restore, y).values, x.values)


@pytest.mark.parametrize("transform", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_gradients_follow_the_steps_whatever_padding_holds(rng, transform):
    weights = rng.normal(size=(*HOLES.shape, 3)).astype(np.float32)
    values = jnp.asarray(with_nan_padding(rng, HOLES, 3))

    def loss(values, weights):
        y, restore = jm.left_align(jm.Masked(values, HOLES))
        return (restore(y * y).fill(0) * weights).sum() + y.fill(0).sum()

    gradient, of_weights = transform(jax.grad(loss, argnums=(0, 1)))(values, weights)
    clean = np.where(HOLES[..., None], values, 0)
    np.testing.assert_allclose(gradient, np.where(HOLES[..., None], 2 * clean * weights + 1, 0), rtol=1e-6)
    np.testing.assert_allclose(of_weights, clean**2, rtol=1e-6)


@pytest.mark.parametrize("axis_type", [AxisType.Auto, AxisType.Explicit], ids=str)
def test_compact_of_a_batch_over_eight_devices(rng, axis_type):
    mask = rng.random((8, 7)) < 0.5
    values = with_nan_padding(rng, mask, 3)
    mesh = jax.make_mesh((8,), ("batch",), axis_types=(axis_type,))
    rows = NamedSharding(mesh, PartitionSpec("batch"))
    x = jm.masked(jax.device_put(values, rows), jax.device_put(mask, rows))
    y, restore = jax.jit(jm.left_align)(x)
    expected, _ = jm.left_align(jm.masked(values, mask))
    np.testing.assert_array_equal(y.values, expected.values)
    np.testing.assert_array_equal(restore(y).values, values)
    assert y.values.sharding.is_equivalent_to(rows, y.ndim)


def test_a_new_set_of_lengths_does_not_recompile(rng):
    traces = []

    @jax.jit
    def left_align(x):
        traces.append(x)
        return jm.left_align(x)

    for _ in range(3):
        mask = rng.random((5, 7)) < 0.5
        left_align(jm.masked(jnp.ones((5, 7)), jnp.asarray(mask)))
    assert len(traces) == 1


def test_compact_of_strings_and_of_no_steps():
    y, restore = jm.left_align(jm.pad_sequences([["a"], ["b", "c"]], padding="pre"))
    assert np.asarray(y.mask).tolist() == [[True, False], [True, True]]
    assert y.values.tolist() == [["a", ""], ["b", "c"]]
    assert restore(y).values.tolist() == [["", "a"], ["b", "c"]]
    assert jm.left_align(jm.pad_sequences([[], []], padding="pre"))[0].shape == (2, 0)


def test_errors_of_compact():
    with pytest.raises(ValueError, match=r"`left_align` needs a time axis; received values .* with a mask of rank 0"):
        jm.left_align(jm.Masked(jnp.arange(3), jnp.array(True)))
    y, restore = jm.left_align(jm.pad_sequences(RAGGED, padding="pre"))
    with pytest.raises(ValueError, match=r"`restore` puts values back under a mask of shape \(4, 5\).*received \(4, 4"):
        restore(y[:, :4])


def test_the_hint_of_a_batch_means_nothing_to_a_function_mapped_over_time():
    x = jm.from_lengths(jnp.arange(12.0).reshape(3, 4), [0, 4, 2])  # at the last step only the middle row is real
    hinted = jax.vmap(lambda step: jm.left_align(step)[0].fill(-1), in_axes=1)(x)
    np.testing.assert_array_equal(hinted[-1], [7, -1, -1])
