"""`Masked` as a pytree: through every transform of JAX, across devices, and through a save."""

import copy
import functools
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from jax import export
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

import jmask as jm
from jmask.testing import assert_close
from tests.support.masked import checked, ragged


def assert_same(x, y):
    """Two `Masked` with the same mask, hint and real values."""
    checked(x)
    assert np.array_equal(x.mask, y.mask)
    assert x.dtype == y.dtype
    assert_close(x.fill(0), y.fill(0))


def model(x):
    """A bit of everything that keeps the mask."""
    y = ((x * 2 + x) / (x**2 + 1.0)).map(jnp.tanh)
    return (y @ jnp.ones((2, 3), y.dtype) - y[..., :1])[:, ::-1]


def test_a_masked_is_a_pytree_of_its_two_arrays(rng):
    x = ragged(rng)
    leaves, treedef = jax.tree.flatten(x)
    assert leaves[0] is x.values
    assert leaves[1] is x.mask
    assert len(leaves) == 2
    assert_same(jax.tree.unflatten(treedef, leaves), x)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path({"x": x})]
    assert paths == ["['x'].values", "['x'].mask"]
    assert jax.tree.structure(x) == jax.tree.structure(ragged(rng, lengths=(1, 2)))


def test_tree_map(rng):
    x = ragged(rng)
    assert_same(jax.tree.map(lambda leaf: leaf[1:], x), x[1:])
    assert_same(jax.tree.map(jnp.asarray, jax.tree.map(np.asarray, x)), x)
    both = jax.tree.map(lambda *leaves: jnp.stack(leaves), x, ragged(rng, lengths=(1, 2, 3)))
    assert checked(both).mask.shape == (2, 3, 5)
    shapes = jax.tree.map(jnp.shape, x)
    assert (shapes.values, shapes.mask) == ((3, 5, 2), (3, 5))


@pytest.mark.parametrize("use", [lambda x: x.fill(0), lambda x: x.lengths, lambda x: x * 2, lambda x: x.sum(-1)])
@pytest.mark.parametrize("dtype", [np.int32, np.float32])
def test_a_mask_that_tree_map_has_changed_is_not_used(rng, use, dtype):
    x = jax.tree.map(lambda leaf: leaf.astype(dtype) * 2, ragged(rng))
    with pytest.raises(TypeError, match=rf"has become {np.dtype(dtype)}: .* changes the mask too. Use `x.map\("):
        use(x)


def test_jit_traces_once_for_all_lengths(rng):
    traces = []

    @jax.jit
    def step(x):
        traces.append(x.shape)
        return model(x)

    for lengths in ((3, 0, 5), (5, 5, 5), (0, 0, 0), (1, 2, 3)):
        x = ragged(rng, lengths)
        assert_same(step(x), model(x))
    assert len(traces) == 1


def test_a_masked_that_jit_closes_over(rng):
    x = ragged(rng)
    x = jax.tree.map(np.asarray, x)
    assert_close(jax.jit(lambda scale: (x * scale).fill(0))(2.0), x.fill(0) * 2)


def test_what_is_donated_is_gone_and_can_still_be_shown(rng):
    x = ragged(rng)
    y = jax.jit(lambda x: x * 1, donate_argnums=0)(x)
    jax.block_until_ready(y)
    assert x.values.is_deleted()
    assert repr(x) == "Masked(float32[3, 5, 2], mask=[3, 5])"


@pytest.mark.parametrize("wrap", [jax.jit, lambda f: jax.jit(jax.checkpoint(f))], ids=["jit", "checkpoint"])
def test_grad_with_respect_to_the_values(rng, wrap):
    x = ragged(rng)
    loss = wrap(lambda x: (model(x).fill(0) ** 2).sum())
    gradient = jax.grad(lambda values: loss(x.with_values(values)))(x.values)
    mask = np.asarray(x.mask)
    assert np.isfinite(gradient).all()
    assert not np.asarray(gradient)[~mask].any()
    for i, length in enumerate(x.lengths):
        if length:
            row = x[i : i + 1, :length]
            alone = jax.grad(lambda values, row=row: loss(row.with_values(values)))(row.values)
            assert_close(gradient[i, :length], alone[0])


def test_grad_with_respect_to_a_masked_is_a_masked(rng):
    x = ragged(rng)
    gradient = jax.grad(lambda x: (x.fill(0) ** 3).sum(), allow_int=True)(x)
    assert_close(gradient.values, 3 * x.fill(0) ** 2)
    assert gradient.mask.dtype == jax.dtypes.float0
    with pytest.raises(TypeError, match=r"or `x.values` of a gradient"):
        gradient.fill(0)
    assert "mask" in repr(gradient)
    _, pullback = jax.vjp(lambda x: (x * 2).fill(0), x)
    assert_close(pullback(jnp.ones(x.shape))[0].values, 2.0 * np.broadcast_to(x.mask[..., None], x.shape))


def test_jvp_and_hessian(rng):
    x = ragged(rng)
    function = lambda values: ((x.with_values(values) * 3) ** 2).fill(0).sum()  # noqa: E731 - one expression
    _, tangent = jax.jvp(function, (x.values,), (jnp.ones(x.shape),))
    assert_close(tangent, (18 * x.fill(0)).sum())
    small = ragged(rng, (1, 0), time=2, features=1)
    hessian = jax.jit(jax.hessian(lambda v: (small.with_values(v) ** 2).fill(0).sum()))(small.values)
    assert np.array_equal(hessian.reshape(4, 4), np.diag(2.0 * np.asarray(small.mask).ravel()))


@pytest.mark.parametrize("in_axes", [0, (0,), (jm.Masked(0, 0),)])
def test_vmap_over_sequences(rng, in_axes):
    x = ragged(rng)
    shapes = []

    def one_sequence(row):
        shapes.append((row.shape, row.mask.shape))
        return row * row.fill(0).sum(), row.lengths

    result, lengths = jax.vmap(one_sequence, in_axes=in_axes)(x)
    assert shapes == [((5, 2), (5,))]
    assert np.array_equal(lengths, x.lengths)
    assert_same(result, x * x.fill(0).sum((1, 2))[:, None, None])


def test_vmap_over_steps_and_over_one_of_two_masked(rng):
    x = ragged(rng).with_mask(ragged(rng).mask)
    steps = jax.vmap(lambda step: step * 2, in_axes=1, out_axes=1)(x)
    assert_same(steps, x * 2)
    row = x[2]
    both = jax.vmap(lambda x, y: x + y, in_axes=(0, None))(x, row)
    assert_same(both, x + row[None])
    scales = jnp.arange(3.0)
    assert_same(jax.vmap(lambda scale: row * scale)(scales), jax.vmap(lambda _: row)(scales) * scales[:, None, None])


def test_scan_over_time(rng):
    x = ragged(rng)
    # The axes move, so the hint is dropped first.
    time_major = jax.tree.map(lambda leaf: leaf.swapaxes(0, 1), x.with_mask(x.mask))

    def step(total, x_t):
        total = total + x_t.fill(0)
        return total, x_t.with_values(total)

    total, totals = jax.lax.scan(step, jnp.zeros((3, 2)), time_major)
    assert_close(total, x.fill(0).sum(1))
    assert checked(totals).mask.shape == (5, 3)
    assert_close(totals.fill(0).swapaxes(0, 1), np.where(x.mask[..., None], np.cumsum(x.fill(0), axis=1), 0))


def test_scan_with_a_masked_in_the_carry(rng):
    x = ragged(rng)
    carry, outputs = jax.lax.scan(lambda carry, scale: (carry * scale, carry), x, jnp.array([2.0, 3.0]))
    assert_same(carry, x * 6)
    assert outputs.mask.shape == (2, 3, 5)
    assert_same(outputs[1], x * 2)
    looped = jax.lax.fori_loop(0, 2, lambda _, carry: carry + carry, x)
    assert_same(looped, x * 4)
    assert_same(jax.lax.while_loop(lambda c: c.fill(0).max() < 100, lambda c: c * 1e3, x), x * 1e3)


@pytest.mark.parametrize("flag", [True, False])
def test_cond_and_switch(rng, flag):
    x, y = ragged(rng), ragged(rng, (1, 2, 3))
    choose = jax.jit(lambda flag: jax.lax.cond(flag, lambda x, y: x + 1, lambda x, y: y * 2, x, y))
    assert_same(choose(flag), x + 1 if flag else y * 2)
    assert_same(jax.lax.switch(int(flag), [lambda x: x, lambda x: -x], x), -x if flag else x)


def test_eval_shape_and_custom_derivatives(rng):
    x = ragged(rng)
    shape = jax.eval_shape(model, x)
    assert (shape.shape, shape.mask.shape) == ((3, 5, 3), (3, 5))
    assert repr(shape) == "Masked(float32[3, 5, 3], mask=[3, 5])"

    @jax.custom_vjp
    def double(x):
        return x * 2

    double.defvjp(lambda x: (x * 2, None), lambda _, g: (jm.Masked(g.values * 5, g.mask),))
    gradient = jax.grad(lambda values: double(x.with_values(values)).fill(0).sum())(x.values)
    assert np.array_equal(gradient, 5.0 * np.broadcast_to(x.mask[..., None], x.shape))


def test_symbolic_shapes():
    batch, time = export.symbolic_shape("batch, time")
    values = jax.ShapeDtypeStruct((batch, time, 2), np.float32)
    lengths = jax.ShapeDtypeStruct((batch,), np.int32)

    def function(values, lengths):
        x = jm.from_lengths(values, lengths)
        y = model(x) / x.shape[1] + time
        return y, y[:, 1:], y.sum(-1), y.fill(0).sum(), y.lengths, (y > 0) & (jm.as_masked(values)[..., :1] < 0)

    y, later, total, everything, count, flags = jax.eval_shape(function, values, lengths)
    assert (y.shape, y.mask.shape) == ((batch, time, 3), (batch, time))
    assert (later.shape, later.mask.shape) == ((batch, time - 1, 3), (batch, time - 1))
    assert total.shape == (batch, time)
    assert everything.shape == ()
    assert count.shape == (batch,)
    assert flags.dtype == bool
    assert repr(y) == "Masked(float32[batch, time, 3], mask=[batch, time])"


def test_export_for_any_lengths_and_shapes(rng):
    batch, time = export.symbolic_shape("batch, time")
    function = jax.jit(lambda values, lengths: (jm.from_lengths(values, lengths) * 2).fill(0))
    shapes = jax.ShapeDtypeStruct((batch, time, 2), np.float32), jax.ShapeDtypeStruct((batch,), np.int32)
    exported = export.export(function)(*shapes)
    x = ragged(rng)
    assert_close(exported.call(x.values, x.lengths), x.fill(0) * 2)


def test_it_lowers_for_tpu_and_gpu(rng):
    jax.jit(model).trace(ragged(rng)).lower(lowering_platforms=("tpu", "cuda"))


def mesh_of_8(kind):
    return jax.make_mesh((8,), ("data",), axis_types=(kind,))


@pytest.fixture
def batch_of_16(rng):
    return ragged(rng, np.arange(16) % 6)


def test_device_put(batch_of_16):
    x = batch_of_16
    device = jax.devices()[1]
    moved = jax.device_put(x, device)
    assert moved.values.devices() == moved.mask.devices() == {device}
    assert_same(moved, x)
    sharding = NamedSharding(mesh_of_8(AxisType.Auto), P("data"))
    sharded = jax.device_put(x, sharding)
    assert sharded.values.sharding.is_equivalent_to(sharding, 3)
    assert sharded.mask.sharding.is_equivalent_to(sharding, 2)
    assert_same(sharded, x)
    assert repr(sharded) == repr(x)


@pytest.mark.parametrize("specs", [P("data"), jm.Masked(P("data"), P("data"))])
def test_shard_map(batch_of_16, specs):
    x = batch_of_16
    mesh = mesh_of_8(AxisType.Auto)

    @jax.jit
    @functools.partial(jax.shard_map, mesh=mesh, in_specs=(specs,), out_specs=(P("data"), P()))
    def function(x):
        assert x.mask.shape == (2, 5)
        total = jax.lax.psum(x.fill(0).sum(), "data") / jax.lax.psum(x.mask.sum(), "data")
        return x * total, total

    y, mean = function(x)
    assert_close(mean, x.fill(0).sum() / x.mask.sum())
    assert_same(y, x * mean)


@pytest.mark.parametrize("kind", [AxisType.Auto, AxisType.Explicit])
def test_sharded_jit_and_its_gradient(batch_of_16, kind):
    x = batch_of_16

    def function(x):
        y = model(x)
        full = jm.as_masked(y.unmasked())
        again = jm.from_lengths(y.values, x.lengths)
        return [y, y * full + again, y.sum(-1) > 0, y[:, 0], y[:, jnp.array([0, 1])], y[:, None]]

    def loss(values, x):
        return model(x.with_values(values)).fill(0).sum()

    mesh = mesh_of_8(kind)
    with jax.set_mesh(mesh):
        sharded = jax.device_put(x, NamedSharding(mesh, P("data")))
        results = jax.jit(function)(sharded)
        gradient = jax.jit(jax.grad(loss))(sharded.values, sharded)
    for result, expected in zip(results, jax.jit(function)(x), strict=True):
        assert result.values.sharding.spec[0] == "data"
        assert_same(result, expected)
    assert_close(gradient, jax.jit(jax.grad(loss))(x.values, x))


@pytest.mark.parametrize("clone", [lambda x: pickle.loads(pickle.dumps(x)), copy.deepcopy, copy.copy])
def test_pickle_and_copies(rng, clone):
    x = ragged(rng, side="left")
    y = clone({"x": [x]})["x"][0]
    assert_same(y, x)
    assert isinstance(y.values, jax.Array)
    words = jm.masked(np.array([["a", ""]], object), np.array([[True, False]]))
    assert clone(words).fill("-").tolist() == [["a", "-"]]


def test_orbax(rng, tmp_path):
    tree = {"params": {"kernel": jnp.arange(3.0)}, "batch": ragged(rng, side="left"), "step": 7}
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(tmp_path / "tree", tree)
        checkpointer.wait_until_finished()
        abstract = jax.tree.map(ocp.utils.to_shape_dtype_struct, tree)
        restored = checkpointer.restore(tmp_path / "tree", abstract)
    assert_same(restored["batch"], tree["batch"])
    assert restored["step"] == 7
