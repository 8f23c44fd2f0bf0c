"""Indexing of `Masked` is that of NumPy, for the values and for the mask, or it is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import jmask as jm
from tests.support.masked import broadcast_mask, checked, ragged

ALL = st.just(slice(None))


def consumed(item):
    """How many axes an item of an index takes."""
    if item is None:
        return 0
    return item.ndim if getattr(item, "dtype", None) == bool else 1


def touches_features_with_an_array(index, shape, mask_ndim):
    """Whether an index array lies on an axis behind the mask: only then may `Masked` refuse a NumPy index."""
    items = index if isinstance(index, tuple) else (index,)
    missing = len(shape) - sum(consumed(item) for item in items if item is not Ellipsis)
    axis = 0
    for item in items:
        count = missing if item is Ellipsis else consumed(item)
        if getattr(item, "ndim", 0) > 0 and axis + count > mask_ndim:
            return True
        if isinstance(item, (int, np.integer)) and axis >= mask_ndim:  # NumPy pairs it with arrays before it
            return any(getattr(other, "ndim", 0) > 0 for other in items)
        axis += count
    return False


@st.composite
def numpy_indices(draw, shape):
    """An index that NumPy takes for an array of this shape: anything that is in bounds and broadcasts."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    array_shape = draw(st.sampled_from([(2,), (1,), (3, 2), (0,)]))
    stop = draw(st.integers(0, len(shape)))
    ellipsis_at = draw(st.sampled_from([None, *range(len(shape) + 1)]))
    items, axis = [], 0
    while axis < stop:
        size = shape[axis]
        kind = (
            "ellipsis"
            if axis == ellipsis_at
            else draw(st.sampled_from(["int", "slice", "all", "array", "bool", "none"]))
        )
        if kind == "bool" and array_shape == (2,):  # two are true, so that it pairs with the integer arrays
            rank = draw(st.integers(1, min(2, len(shape) - axis)))
            chosen = np.zeros(shape[axis : axis + rank], bool)
            chosen.flat[rng.choice(chosen.size, 2, replace=False)] = True
            items.append(chosen)
            axis += rank
        elif kind == "ellipsis":  # what follows stands at the last axes
            items.append(Ellipsis)
            axis, ellipsis_at, stop = draw(st.integers(axis, len(shape))), None, len(shape)
        elif kind == "none":
            items.append(None)
        else:
            choices = {"int": st.integers(-size, size - 1), "slice": st.slices(size)}
            items.append(rng.integers(-size, size, array_shape) if kind == "array" else draw(choices.get(kind, ALL)))
            axis += 1
    return items[0] if len(items) == 1 and draw(st.booleans()) else tuple(items)


@st.composite
def indexed_arrays(draw):
    """Values, a mask of some rank, a hint that is true, and an index that NumPy takes."""
    shape = draw(st.sampled_from([(3,), (3, 4), (2, 3, 4), (2, 3, 2, 4)]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    mask = rng.random(shape[: draw(st.integers(0, len(shape)))]) < 0.6
    side = draw(st.sampled_from(["right", "left", None])) if mask.ndim else None
    if side:
        steps = np.arange(mask.shape[-1])[:: 1 if side == "right" else -1]
        mask = steps < mask.sum(-1, keepdims=True)
    return np.arange(np.prod(shape)).reshape(shape), mask, side, draw(numpy_indices(shape))


def assert_indexed_as_numpy(values, mask, side, index, as_array):
    x = jm.masked(as_array(values), as_array(mask))
    try:
        result = x[index]
    except IndexError:
        assert touches_features_with_an_array(index, values.shape, mask.ndim)
        return
    expected, real = values[index], broadcast_mask(x)[index]
    assert isinstance(checked(result).values, type(x.values))
    assert result.shape == expected.shape
    assert np.array_equal(broadcast_mask(result), real)
    assert np.array_equal(np.asarray(result.values)[real], expected[real])


@pytest.mark.slow
@given(indexed_arrays())
@settings(max_examples=800)
def test_indexing_is_that_of_numpy(case):
    assert_indexed_as_numpy(*case, as_array=np.asarray)


@given(indexed_arrays())
@settings(max_examples=40)
def test_indexing_of_jax_arrays_is_that_of_numpy(case):
    assert_indexed_as_numpy(*case, as_array=jnp.asarray)


def test_an_index_that_leaves_the_steps_alone_keeps_the_mask_object(rng):
    x = ragged(rng)
    for index in (np.s_[...], np.s_[..., 0], np.s_[:, :, 1:], np.s_[..., None], (), np.s_[:]):
        assert x[index].mask is x.mask


@pytest.mark.parametrize("module", [np, jnp])
def test_a_traced_index(rng, module):
    x = ragged(rng)
    x = jm.masked(module.asarray(x.values), module.asarray(x.mask))
    pick = jax.jit(lambda i, j: (x[i], x[:, j], x[i, j], x[..., j], x[jnp.array([0, 1]) + i]))
    expected = (x[1], x[:, 1], x[1, 1], x[..., 1], x[np.array([1, 2])])
    for result, wanted in zip(pick(1, 1), expected, strict=True):
        assert np.array_equal(checked(result).mask, wanted.mask)
        assert np.array_equal(result.fill(0), wanted.fill(0))
    mixed = jm.masked(jnp.asarray(x.values), np.asarray(x.mask))
    assert np.array_equal(jax.jit(lambda i: mixed[i].fill(0))(2), mixed[2].fill(0))


def test_lists_as_indices(rng):
    x = ragged(rng)
    assert np.array_equal(x[[2, 0]].mask, np.asarray(x.mask)[[2, 0]])
    assert checked(x[[]]).shape == (0, 5, 2)
    assert checked(x[:, []]).shape == (3, 0, 2)
    assert x[(0, 1), (1, 2)].shape == (2, 2)


REFUSED = [
    (np.s_[[0, 1], :, [0, 1]], "not on both at once"),
    (np.s_[:, [0, 1], [0, 1]], "not on both at once"),
    (np.ones((3, 5, 2), bool), "not on both at once"),
    (np.s_[0, :, [0, 1]], r"NumPy moves their axes to the front, .* `x\[0\]\[:, features\]`"),
    (np.s_[0, 0, 0, 0], "Too many indices for a `Masked` of rank 3: 4 axes are indexed"),
    (np.s_[..., ...], "only one Ellipsis"),
    (np.s_[True], "not indexed by True or False; use `None` for a new axis"),
    (np.s_[:, np.False_], "not indexed by True or False"),
    (np.s_[jnp.array(True)], "not indexed by True or False"),
]


@pytest.mark.parametrize(("index", "message"), REFUSED)
def test_refused_indices(rng, index, message):
    with pytest.raises(IndexError, match=message):
        ragged(rng)[index]


def test_index_arrays_that_numpy_would_move_in_front_of_the_mask(rng):
    x = jm.masked(np.zeros((2, 3, 4, 5, 6)), rng.random((2, 3)) < 0.5)
    for index in (np.s_[:, :, [0, 1], :, 0], np.s_[:, :, [0, 1], :, [1, 2]], np.s_[:, 0, :, [1]], np.s_[:, [1], :, 0]):
        with pytest.raises(IndexError, match="NumPy moves their axes to the front"):
            x[index]
    for index in (np.s_[[0, 1], :, 0], np.s_[:, :, [0, 1], [1, 2]], np.s_[:, 0, [1]], np.s_[:, [1, 0], 0]):
        assert checked(x[index]).shape == x.values[index].shape


def test_a_masked_is_no_index(rng):
    x = ragged(rng)
    for index in (x > 0, x.astype(int)[..., 0], (slice(None), x > 0)):
        with pytest.raises(TypeError, match=r"A `Masked` is not an index.*`x.fill\(...\)`"):
            x[index]
