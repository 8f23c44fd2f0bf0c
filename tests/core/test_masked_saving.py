"""A `Masked` that is saved and restored, or rebuilt leaf by leaf: it comes back, or it is an error."""

import equinox as eqx
import flax.serialization
import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
import pytest
from flax import nnx

import jmask as jm

VALUES = jnp.array([[3.0, 4, 5], [6, 7, 8]])
RIGHT = jm.from_lengths(VALUES, jnp.array([2, 1]))
LEFT = jm.from_lengths(VALUES, jnp.array([2, 1]), padding_side="left")
PACKED = jm.from_segment_ids(VALUES, jnp.array([[1, 1, 2], [3, 0, 0]]))


def by_standard_checkpointer(path, x, like):
    with ocp.StandardCheckpointer() as checkpointer:
        checkpointer.save(path, {"x": x})
        checkpointer.wait_until_finished()
        return checkpointer.restore(path, jax.tree.map(ocp.utils.to_shape_dtype_struct, {"x": like}))["x"]


def by_pytree_checkpointer(path, x, like):
    with ocp.PyTreeCheckpointer() as checkpointer:
        checkpointer.save(path, {"x": x})
        restore_args = ocp.checkpoint_utils.construct_restore_args({"x": like})
        return checkpointer.restore(path, item={"x": like}, restore_args=restore_args)["x"]


def by_orbax_v1(path, x, like):
    v1 = getattr(ocp, "v1", None) or pytest.skip("this orbax has no such API")
    v1.save_pytree(path, {"x": x})
    return v1.load_pytree(path, {"x": like})["x"]


def by_equinox(path, x, like):
    eqx.tree_serialise_leaves(path, x)
    return eqx.tree_deserialise_leaves(path, like)


def by_flax(path, x, like):
    return flax.serialization.from_bytes({"x": like}, flax.serialization.to_bytes({"x": x}))["x"]


# Orbax' own use of what is deprecated elsewhere.
V1 = pytest.param(by_orbax_v1, marks=pytest.mark.filterwarnings("ignore::DeprecationWarning"))
WAYS = [by_standard_checkpointer, by_pytree_checkpointer, V1, by_equinox, by_flax]


@pytest.mark.parametrize("way", WAYS)
def test_the_side_of_the_padding_is_that_of_what_was_saved(way, tmp_path):
    got = way(tmp_path / "x.eqx", LEFT, RIGHT)
    assert got.mask.tolist() == LEFT.mask.tolist()
    assert jm.vmap(jnp.sum)(got).tolist() == [9, 8]
    assert jm.ops.reverse(got).fill(0).tolist() == [[0, 5, 4], [0, 0, 8]]


@pytest.mark.parametrize("way", WAYS)
def test_packed_rows_come_back_packed(way, tmp_path):
    got = way(tmp_path / "x.eqx", PACKED, PACKED.with_values(VALUES * 0))
    assert got.segment_ids.tolist() == PACKED.segment_ids.tolist()
    assert [row.tolist() for row in jm.unpack(got)] == [[3, 4], [5], [6]]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("x", "like"), [(PACKED, RIGHT), (RIGHT, PACKED)], ids=["packed", "rows"])
def test_packed_rows_are_not_restored_as_others_nor_others_as_packed(way, x, like, tmp_path):
    with pytest.raises((ValueError, RuntimeError), match=r"segment_ids|mask|dtype"):
        way(tmp_path / "x.eqx", x, like)


def test_the_error_of_flax_says_what_to_do():
    data = flax.serialization.to_bytes(PACKED)
    with pytest.raises(
        ValueError, match=r"has \['segment_ids', 'values'\], .* one sequence a row, has \['mask', 'values'\]"
    ):
        flax.serialization.from_bytes(RIGHT, data)
    assert sorted(flax.serialization.msgpack_restore(data)) == ["segment_ids", "values"]


def test_the_names_of_the_leaves():
    for x, names in ((RIGHT, [".values", ".mask"]), (PACKED, [".values", ".segment_ids"])):
        assert [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(x)] == names


@pytest.mark.parametrize("fake", [None, (), 0, object()], ids=lambda fake: type(fake).__name__)
def test_packed_rows_are_known_by_what_they_are_not_by_what_stands_in_their_place(fake):
    structure = jax.tree.structure(PACKED)
    y = structure.unflatten([fake, fake])
    assert structure.flatten_up_to(y) == [fake, fake]
    back = jax.tree.map(lambda _, leaf: leaf, y, PACKED, is_leaf=lambda leaf: leaf is fake)
    assert back.segment_ids is PACKED.segment_ids


@pytest.mark.parametrize("function", [jnp.sum, jnp.cumsum, lambda x: x[0]], ids=["sum", "cumsum", "first"])
def test_what_moves_steps_leaf_by_leaf_takes_the_mask_along(function):
    turned = jax.tree.map(lambda leaf: leaf[:, ::-1], RIGHT)
    expected = jm.vmap(function)(RIGHT.with_mask(RIGHT.mask[:, ::-1]).with_values(VALUES[:, ::-1]))
    jax.tree.map(np.testing.assert_array_equal, jm.vmap(function)(turned), expected)
    swapped = jax.tree.map(lambda leaf: leaf[:, ::-1], PACKED)
    assert swapped.mask.tolist() == PACKED.mask[:, ::-1].tolist()
    assert swapped.positions.tolist() == [[0, 0, 1], [0, 0, 0]]


def test_one_shape_is_one_program_wherever_it_comes_from():
    traces = []

    @jax.jit
    def total(x):
        traces.append(x)
        return jm.ops.sum(x)

    ids = np.array([[3, 4, 5], [6, 0, 0]], np.int32)
    for x in (
        jm.pad_sequences([[3, 4, 5], [6]]),
        jm.pad_sequences([[3, 4, 5], [6]], padding="pre"),
        jm.masked(ids, ids != 0),
        jm.from_attention_mask(ids, (ids != 0).astype(int)),
        jm.from_lengths(ids, np.array([3, 1])),
        jm.as_masked(ids),
        jm.left_align(jm.masked(ids, ids != 0))[0],
    ):
        assert total(x) == 18
    assert len(traces) == 1


def test_a_masked_in_a_module_of_flax():
    class Module(nnx.Module):
        def __init__(self):
            self.x = nnx.data(RIGHT) if hasattr(nnx, "data") else nnx.Variable(RIGHT)

    module = Module()
    graph, state = nnx.split(module)
    got = nnx.merge(graph, state).x
    assert (got if isinstance(got, jm.Masked) else got.get_value()).lengths.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("error", "parts", "text"),
    [
        (ValueError, (VALUES, RIGHT.mask[:, 1:]), r"prefix of the values' shape, .* received mask \(2, 2\) for"),
        (
            ValueError,
            (VALUES, RIGHT.mask, PACKED.segment_ids[:1]),
            r"`segment_ids` must be a prefix .* received \(1, 3\)",
        ),
        (TypeError, (VALUES, VALUES), "A mask must be bool, True at real steps; received dtype float32"),
        (TypeError, (VALUES, [[True] * 3] * 2), r"`jm.masked\(values, mask\)` takes a list too"),
        (TypeError, (VALUES,), r"received None. .* `jm.as_masked\(values\)` marks all steps as real"),
    ],
)
def test_parts_that_do_not_fit(error, parts, text):
    with pytest.raises(error, match=text):
        jm.Masked(*parts)
    with pytest.raises(AttributeError, match="A `Masked` does not change; make another one"):
        RIGHT.values = VALUES


def test_the_mask_of_packed_rows_is_that_of_their_segments():
    assert jm.Masked(VALUES, jnp.ones((2, 3), bool), PACKED.segment_ids).mask.tolist() == PACKED.mask.tolist()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_the_recipes_of_the_docs(tmp_path):
    v1 = getattr(ocp, "v1", None) or pytest.skip("this orbax has no such API")
    x = jm.pad_sequences([[3, 4, 5], [6]])
    device = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    shapes = jax.eval_shape(lambda: x)
    like = jax.tree.map(lambda s: jax.ShapeDtypeStruct(s.shape, s.dtype, sharding=device), shapes)
    v1.save_pytree(tmp_path / "x", {"x": x})
    got = v1.load_pytree(tmp_path / "x", {"x": like})["x"]
    assert [row.tolist() for row in jm.unpad(got)] == [[3, 4, 5], [6]]
    nothing = jm.pad_sequences([[]], pad_to_multiple_of=1)
    v1.save_pytree(tmp_path / "nothing", {"x": nothing})
    assert v1.load_pytree(tmp_path / "nothing", {"x": nothing})["x"].lengths.tolist() == [0]
