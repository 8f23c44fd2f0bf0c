"""Other shapes, and steps that come and go: edges, ranks, packed rows and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers
LENGTHS = [4, 0, 1, 5]


@pytest.fixture(params=["right", "left", "holes", "no hint"])
def x(request, rng):
    """Four rows of numbers 1, 2, ... with NaN in the padding."""
    mask = np.arange(7) < np.array(LENGTHS)[:, None]
    if request.param == "left":
        mask = mask[:, ::-1]
    if request.param == "holes":
        mask = rng.permuted(mask, axis=1)
    values = np.where(mask, np.cumsum(mask, 1), np.nan).astype("float32")[..., None] * [1, 100]
    return jm.masked(jnp.asarray(values, "float32"), jnp.asarray(mask))


@pytest.fixture
def documents(rng):
    """Two documents of three sentences of words, one sentence empty."""
    mask = np.arange(5) < np.array([[3, 0, 5], [1, 2, 4]])[..., None]
    values = np.where(mask[..., None], rng.normal(size=(2, 3, 5, 4)), np.nan)
    return jm.masked(jnp.asarray(values, "float32"), jnp.asarray(mask))


def numbers(x):
    """The first feature of the real steps of each row, and a check of the hint."""
    jm.masked(x.values, x.mask)
    return [[step.flat[0] for step in row.reshape(*row.shape, 1)] for row in jm.unpad(x)]


# steps taken away, added, repeated


def test_cropping(x):
    y = L.Cropping1D((1, 2))(x)
    assert y.shape == (4, 4, 2)
    assert numbers(y) == [[2], [], [], [2, 3]]
    assert numbers(L.Cropping1D(0)(x)) == numbers(x)
    assert numbers(L.Cropping1D([3, 0])(x)) == [[4], [], [], [4, 5]]
    assert numbers(L.Cropping1D((0, 3))(x)) == [[1], [], [], [1, 2]]
    for far in ((4, 4), (0, 9), (9, 0)):
        assert L.Cropping1D(far)(x).shape == (4, 0, 2)


def test_zero_padding(x):
    y = L.ZeroPadding1D((1, 2))(x)
    assert y.shape == (4, 10, 2)
    assert numbers(y) == [[0, 1, 2, 3, 4, 0, 0], [], [0, 1, 0, 0], [0, 1, 2, 3, 4, 5, 0, 0]]
    assert not np.asarray(y.values)[~np.asarray(y.mask)].any()
    assert numbers(L.ZeroPadding1D(0)(x)) == numbers(x)


def test_up_sampling(x):
    y = L.UpSampling1D(3)(x)
    assert numbers(y)[2:] == [[1, 1, 1], [1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5]]


def test_arrays_lose_gain_and_repeat_steps(rng):
    values = rng.normal(size=(2, 5, 3))
    assert_close(L.Cropping1D((1, 2))(values), values[:, 1:3])
    assert_close(L.Cropping1D(0)(values), values)
    assert L.Cropping1D(3)(values).shape == (2, 0, 3)
    assert_close(L.ZeroPadding1D((1, 2))(values), np.pad(values, ((0, 0), (1, 2), (0, 0))))
    assert_close(L.UpSampling1D()(values), values.repeat(2, axis=1))


def test_one_sequence_alone_and_under_vmap_with_another_axis():
    x = jm.pad_sequences([[1, 2, 3], [4]])
    assert numbers(jm.ops.crop(x[0], (1, 0))[None]) == [[2, 3]]
    column = jax.tree.map(jnp.asarray, x)
    # The hint of the batch says nothing of a step of all rows.
    cropped = jax.vmap(lambda steps: jm.ops.crop(steps, (1, 0)), in_axes=1)(column)
    assert cropped.lengths.tolist() == [1, 0, 0]
    assert cropped.values[0].tolist() == [4]


@pytest.mark.parametrize("number", [-1, (1, -1), (1, 2, 3), 1.5, (1, 1.0), True, "1", None])
def test_numbers_of_steps_are_checked(number):
    for layer, name in ((L.Cropping1D, "cropping"), (L.ZeroPadding1D, "padding")):
        with pytest.raises((TypeError, ValueError), match=f"`{layer.__name__}`.*; received") as raised:
            layer(number)
        assert f"`{name}`" in str(raised.value)


@pytest.mark.parametrize("number", [0, -1, 1.0, True, None])
def test_numbers_of_copies_are_checked(number):
    wrong = (TypeError, ValueError)
    with pytest.raises(wrong, match=f"`size` of `UpSampling1D` is a positive integer; received {number}"):
        L.UpSampling1D(number)
    with pytest.raises(wrong, match=f"`n` of `RepeatVector` is a positive integer; received {number}"):
        L.RepeatVector(number)


@pytest.mark.parametrize(
    ("layer", "name"), [(L.Cropping1D(), "crop"), (L.ZeroPadding1D(), "zero_pad"), (L.UpSampling1D(), "up_sample")]
)
def test_a_time_axis_is_needed(layer, name):
    with pytest.raises(ValueError, match=rf"`{name}` needs a time axis, values \(batch, time, ...\); received \(3,\)"):
        layer(jnp.ones(3))


# shapes


@pytest.mark.parametrize("layer", [L.Flatten(), L.Reshape((-1, 3))])
def test_numpy_becomes_an_array_of_jax(layer):
    assert isinstance(layer(np.ones((2, 3, 5), "float32")), jax.Array)


def test_reshape_within_steps(x):
    assert L.Reshape((-1, 2, 1))(x).mask is x.mask
    assert L.Reshape((7, -1))(x).shape == (4, 7, 2)
    parts = L.Reshape((-1,))(x)
    assert parts.shape == (4, 14)
    assert numbers(parts)[0] == [1, 100, 2, 200, 3, 300, 4, 400]
    assert L.Reshape((14, 1))(x).lengths.tolist() == [8, 0, 2, 10]


def test_reshape_puts_steps_together(x):
    y = L.Reshape((-1, 2, 2))(x)
    assert y.shape == (4, 3, 2, 2)
    assert numbers(y) == [[1, 3], [], [], [1, 3]]  # a fifth step, or one alone, is left over
    assert y.values[0, :2, :, 0].tolist() == [[1, 2], [3, 4]]
    six = jm.from_lengths(jnp.arange(12.0).reshape(1, 6, 2), [4])
    assert L.Reshape((3, 4))(six).fill(-1)[0, :, 0].tolist() == [0, 4, -1]
    gradient = jax.grad(lambda v: jm.ops.sum(L.Reshape((-1, 4))(x.with_values(v))))(x.values)
    assert gradient.sum(axis=(1, 2)).tolist() == [8, 0, 0, 8]
    assert not gradient[~x.mask].any()


def test_reshape_of_other_ranks(documents):
    assert L.Reshape((3, -1, 2, 2))(documents).mask is documents.mask
    assert L.Reshape((-1, 5, 2, 2))(documents).mask is documents.mask
    assert L.Reshape((3, 5, 2, -1))(documents).mask is documents.mask
    assert L.Reshape((3, -1, 8))(documents).lengths.tolist() == [[1, 0, 2], [0, 1, 2]]
    sentence = documents[0, 0]
    assert jm.ops.reshape(sentence, (2, 2)).mask is sentence.mask
    rows = jm.masked(jnp.ones((3, 4)), jnp.asarray([True, False, True]))
    assert L.Reshape((2, -1))(rows).mask is rows.mask
    assert L.Reshape((2, -1))(jnp.ones((3, 4))).shape == (3, 2, 2)


@pytest.mark.parametrize("shape", [(2, -1), (7, 3), (3, -1, 2), (), (14, -1), (8, 2)])
def test_reshape_refuses_what_is_not_exact(shape):
    x = jm.from_lengths(jnp.ones((2, 7, 2)), [7, 2])
    with pytest.raises(
        ValueError, match=r"`reshape` of a `Masked` keeps the masked axes in front, .* Let -1 stand for"
    ):
        jm.ops.reshape(x, shape)


def test_reshape_refuses_steps_of_parts_of_several(documents):
    x = jm.from_lengths(jnp.ones((2, 7, 4)), [7, 2])
    message = r"6 numbers a step are neither a part nor a multiple of 4; .* `target_shape=\(-1, 6\)`.* reshape twice"
    with pytest.raises(ValueError, match=message):
        L.Reshape((-1, 6))(x)
    twice = L.Reshape((-1, 6))(L.Reshape((-1, 1))(x))
    assert twice.lengths.tolist() == [4, 1]
    with pytest.raises(ValueError, match=r"keeps the masked axes in front, .* a mask \(2, 3, 5\)"):
        L.Reshape((15, 4))(documents)
    with pytest.raises(TypeError, match="cannot reshape array"):
        L.Reshape((-1, 4))(jnp.ones((2, 7, 2)))


@pytest.mark.parametrize("shape", [(-1, -1), (-2,), (2.0,), 3, None, (True,)])
def test_target_shapes_are_checked(shape):
    with pytest.raises((TypeError, ValueError), match="`Reshape`") as raised:
        L.Reshape(shape)
    assert "`target_shape`" in str(raised.value)


def test_flatten(x, rng):
    values = rng.normal(size=(3, 2, 5))
    assert_close(L.Flatten()(values), values.reshape(3, 10))
    assert L.Flatten()(jnp.ones(3)).shape == (3, 1)
    rows = jm.masked(values, np.array([True, False, True]))
    assert L.Flatten()(rows).mask is rows.mask
    ids = jm.pad_sequences([[1, 2], [3]])
    assert L.Flatten()(ids) is ids
    message = r"`flatten` would join time .* values \(4, 7, 2\) with a mask \(4, 7\). Pool over time first"
    with pytest.raises(ValueError, match=message):
        L.Flatten()(x)
    assert L.Flatten()(x.fill(0)).shape == (4, 14)


def test_permute(x, documents):
    wide = L.Reshape((-1, 2, 1))(x)
    swapped = L.Permute((1, 3, 2))(wide)
    assert swapped.shape == (4, 7, 1, 2)
    assert swapped.mask is x.mask
    turned = L.Permute((2, 1, 3))(documents)
    np.testing.assert_array_equal(turned.mask, np.swapaxes(documents.mask, 1, 2))
    assert_close(turned.fill(0), np.swapaxes(documents.fill(0), 1, 2))
    assert L.Permute((2, 1))(jnp.ones((4, 7, 2))).shape == (4, 2, 7)
    with pytest.raises(ValueError, match=r"`permute` keeps the masked axes in front; .* `dims=\(2, 1\)`. Leave time"):
        L.Permute((2, 1))(x)
    with pytest.raises(ValueError, match=r"`dims` of `permute` names 3 axes behind the batch; received \(4, 7, 2\)"):
        L.Permute((1, 2, 3))(x)
    for dims in ((0, 1), (1, 1), (1, 3), 1):
        with pytest.raises((TypeError, ValueError), match=r"`dims`.* (permutation of the axes behind|tuple or list)"):
            L.Permute(dims)


def test_repeat_vector(x):
    rows = jm.masked(jnp.asarray([[1.0, 2.0], [jnp.nan, 3.0]]), jnp.asarray([True, False]))
    steps = L.RepeatVector(3)(rows)
    assert steps.shape == (2, 3, 2)
    assert steps.mask.tolist() == [[True] * 3, [False] * 3]
    assert L.LSTM(2).apply(L.LSTM(2).init(jax.random.key(0), steps), steps).values[1].tolist() == [0, 0]
    for wrong in (x, x[..., 0], x.values):
        with pytest.raises(
            ValueError, match=r"`repeat_vector` takes one vector for each row, \(batch, features\); recei"
        ):
            L.RepeatVector(3)(wrong)


# packed rows


def test_packed_rows():
    x = jm.from_segment_ids(jnp.arange(8.0).reshape(1, 4, 2), [[1, 1, 0, 2]])
    assert L.UpSampling1D()(x).segment_ids.tolist() == [[1, 1, 1, 1, 0, 0, 2, 2]]
    assert L.Reshape((-1, 1))(x).segment_ids.tolist() == [[1, 1, 1, 1, 0, 0, 2, 2]]
    assert L.Reshape((-1, 1, 2))(x).segment_ids is x.segment_ids
    assert L.Permute((1, 2))(x).segment_ids is x.segment_ids
    assert L.TimeDistributed(L.Activation("relu")).apply({}, x).segment_ids.tolist() == [[1, 1, 0, 2]]
    with pytest.raises(ValueError, match=r"takes one vector for each row.* Pool over time first"):
        L.RepeatVector(2)(x)
    with pytest.raises(ValueError, match="`repeat_vector` does not keep the sequences of a row apart"):
        jm.ops.repeat_vector(x[0], 2)
    with pytest.raises(ValueError, match="`permute` of masked axes, which would lay sequences across rows"):
        jm.ops.permute(jm.from_segment_ids(jnp.ones((2, 3, 2)), np.ones((2, 3, 2), int)), (2, 1))
