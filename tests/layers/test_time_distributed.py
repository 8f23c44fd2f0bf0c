"""Layers at every step: masks of steps and of what is in them, nests, draws, and errors."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import jmask as jm
from jmask.testing import assert_close

L = jm.layers


@pytest.fixture
def x():
    return jm.from_lengths(jnp.ones((4, 7, 2)), [4, 0, 1, 5])


@pytest.fixture
def documents(rng):
    """Two documents of three sentences of words, one sentence empty."""
    mask = np.arange(5) < np.array([[3, 0, 5], [1, 2, 4]])[..., None]
    values = np.where(mask[..., None], rng.normal(size=(2, 3, 5, 4)), np.nan)
    return jm.masked(jnp.asarray(values, "float32"), jnp.asarray(mask))


@pytest.mark.slow
def test_an_lstm_at_each_sentence(documents, getkey):
    layer, lstm = L.TimeDistributed(L.LSTM(2)), L.LSTM(2)
    params = layer.init(getkey(), documents)
    assert jax.tree.map(jnp.shape, params) == jax.tree.map(jnp.shape, lstm.init(getkey(), documents[0]))

    def loss(params, x):
        sentences = layer.apply(params, x)
        return jm.ops.sum(sentences * sentences), sentences

    (_, sentences), gradients = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True, allow_int=True))(
        params, documents
    )
    assert sentences.shape == (2, 3, 2)
    np.testing.assert_array_equal(sentences.mask, documents.mask.any(-1))

    def alone(params, rows):
        return sum((lstm.apply(params, row[None]) ** 2).sum() for row in rows)

    rows = [row for document in jm.unpad(documents) for row in document if len(row)]
    expected = jax.grad(alone, argnums=(0, 1))(params, rows)
    jax.tree.map(assert_close, gradients[0], expected[0])
    values = np.asarray(gradients[1].values)
    assert_close(values[np.asarray(documents.mask)], np.concatenate(expected[1]))
    assert not values[~np.asarray(documents.mask)].any()


@pytest.mark.slow
def test_outputs_keep_the_mask_of_the_words(documents, getkey):
    dense = L.TimeDistributed(L.Dense(3))
    assert dense.apply(dense.init(getkey(), documents), documents).mask is documents.mask
    flipped = L.TimeDistributed(L.LSTM(2, return_sequences=True, go_backwards=True))
    output = flipped.apply(flipped.init(getkey(), documents), documents)
    np.testing.assert_array_equal(output.mask, np.flip(documents.mask, -1))
    weights = L.TimeDistributed(L.Softmax(axis=1)).apply({}, documents)
    assert_close(weights.fill(0).sum(2)[documents.mask.any(-1)], np.ones((5, 4)))


def test_masks_that_the_layer_makes_count_at_real_steps(getkey):
    ids = jnp.asarray([[[3, 0], [4, 5]], [[1, 2], [6, 6]]])
    layer = L.TimeDistributed(L.Embedding(7, 3, mask_zero=True))
    params = layer.init(getkey(), ids)
    assert layer.apply(params, ids).mask.tolist() == [[[True, False], [True, True]], [[True, True], [True, True]]]
    some = jm.from_lengths(ids, [2, 1])
    assert layer.apply(params, some).mask.tolist() == [[[True, False], [True, True]], [[True, True], [False, False]]]


def test_nests_and_several_outputs(documents, x, getkey):
    added = L.TimeDistributed(L.Add()).apply({}, [documents, documents.values * 0])
    np.testing.assert_array_equal(added.mask, documents.mask)
    states = L.TimeDistributed(L.LSTM(2, return_state=True))
    outputs = states.apply(states.init(getkey(), documents), documents)
    assert [output.shape for output in outputs] == [(2, 3, 2)] * 3
    assert all(isinstance(output, jm.Masked) for output in outputs)
    both = L.TimeDistributed(L.Concatenate()).apply({}, [x, x.values[..., :1]])
    assert both.mask is x.mask


def test_steps_draw_differently_in_training(getkey):
    layer = L.TimeDistributed(L.Dropout(0.5))
    x = jm.from_lengths(jnp.ones((4, 30, 20)), [30, 30, 0, 7])
    y = layer.apply({}, x, training=True, key=getkey())
    assert 0.4 < (y.values[0] == y.values[1]).mean() < 0.6
    assert 0.4 < (y.values[:, 0] == y.values[:, 1])[:2].mean() < 0.6
    assert not y.values[2].any()


def test_a_model_in_a_model_is_distributed(documents, getkey):
    inner = jm.Sequential([L.LSTM(2, return_sequences=True), L.GlobalAveragePooling1D()], name="sentence")
    model = jm.Sequential([L.TimeDistributed(inner), L.LSTM(3)])
    params = model.init(getkey(), documents)
    assert list(params) == ["time_distributed", "lstm"]
    assert list(params["time_distributed"]) == ["lstm"]
    assert model.apply(params, documents).shape == (2, 3)


def test_what_counts_its_batch_is_refused_among_padded_steps(x):
    for inner, training in ((L.BatchNormalization(), True), (L.ActivityRegularization(l1=1.0), False)):
        layer = L.TimeDistributed(jm.Sequential([L.Dense(2), inner]))
        params, state = layer.init(jax.random.key(0), x), layer.init_state(x)
        with pytest.raises(
            ValueError, match=r"^time_distributed/sequential/\w+: .* counts its batch, of which .*Put it"
        ):
            layer.apply_with_state(params, state, x, training=training)
        layer.apply_with_state(params, state, x.values, training=training)
    layer = L.TimeDistributed(L.BatchNormalization())  # which counts nothing at inference
    y, _ = layer.apply_with_state(layer.init(jax.random.key(0), x), layer.init_state(x), x)
    assert y.mask is x.mask


@pytest.mark.slow
@pytest.mark.parametrize("inner", [L.BatchNormalization(), L.ActivityRegularization(l1=1.0)])
def test_what_counts_its_batch_may_count_it_where_a_mask_is_left(documents, getkey, inner):
    counted = L.TimeDistributed(jm.Sequential([L.LSTM(3, return_sequences=True), inner]))
    params, state = counted.init(getkey(), documents), counted.init_state(documents)
    _, state = counted.apply_with_state(params, state, documents, training=True)
    rows = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), documents)
    real = rows[np.asarray(rows.mask.any(-1))]
    _, alone = counted.layer.apply_with_state(params, counted.layer.init_state(real), real, training=True)
    jax.tree.map(assert_close, jax.tree.leaves(state), jax.tree.leaves(alone))

    pooled = L.TimeDistributed(jm.Sequential([L.LSTM(3), inner]))  # which leaves a mask of rows
    _, state = pooled.apply_with_state(params, pooled.init_state(documents), documents, training=True)
    _, alone = pooled.layer.apply_with_state(params, pooled.layer.init_state(real), real, training=True)
    jax.tree.map(assert_close, jax.tree.leaves(state), jax.tree.leaves(alone))


class Whole(jm.Layer):
    """Has one result for the batch."""

    def call(self, params, inputs):
        return inputs.sum()


def test_time_distributed_refuses_what_does_not_fit(x):
    with pytest.raises(TypeError, match="`TimeDistributed` applies a layer at every step; received 'relu'"):
        L.TimeDistributed("relu")
    stepwise = L.TimeDistributed(L.Activation("relu"))
    with pytest.raises(
        ValueError, match=r"^time_distributed: `TimeDistributed` takes values \(batch, time, ...\), with"
    ):
        stepwise.apply({}, jnp.ones(3))
    with pytest.raises(ValueError, match=r"`TimeDistributed` takes values \(batch, time, ...\), w.* received \(3,\)"):
        stepwise.init(jax.random.key(0), jnp.ones(3))
    with pytest.raises(ValueError, match=r"received \(7, 2\) with a mask \(7,\)"):
        stepwise.apply({}, x[0])
    with pytest.raises(ValueError, match=r"inputs with the same batch and time; received \[\(4, 7, 2\), \(4, 2\)\]"):
        L.TimeDistributed(L.Add()).apply({}, [x, x.values[:, 0]])
    with pytest.raises(
        ValueError, match=r"result for each row of its batch, 28 here; one of its outputs has shape \(\)"
    ):
        L.TimeDistributed(Whole()).apply({}, x)
